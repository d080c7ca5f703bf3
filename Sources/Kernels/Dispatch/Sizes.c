//  How much memory the packed forms take, and what needs no vector unit.

#include "DualityKernels.h"

static int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

int64_t dk_panels(int64_t rows) { return round_up(rows, DK_PANEL_ROWS) / DK_PANEL_ROWS; }

static int64_t padded_columns(int64_t columns, int64_t group) { return round_up(columns, group > 0 ? group : 32); }

static int64_t groups(int64_t columns, int64_t group) { return group > 0 ? round_up(columns, group) / group : 1; }

int64_t dk_int8_weight_bytes(int64_t rows, int64_t columns, int64_t group) {
    return dk_panels(rows) * DK_PANEL_ROWS * padded_columns(columns, group);
}

int64_t dk_int8_scale_count(int64_t rows, int64_t columns, int64_t group) {
    return dk_panels(rows) * DK_PANEL_ROWS * groups(columns, group);
}

int64_t dk_int4_code_bytes(int64_t rows, int64_t columns, int64_t group) {
    return dk_int8_weight_bytes(rows, columns, group) / 2;
}

int64_t dk_int4_scale_bytes(int64_t rows, int64_t columns, int64_t group) {
    return dk_panels(rows) * DK_PANEL_ROWS * (4 + groups(columns, group));
}

int64_t dk_bf16_weight_bytes(int64_t rows, int64_t columns) {
    return dk_panels(rows) * DK_PANEL_ROWS * round_up(columns, 2) * 2;
}

int64_t dk_f32_weight_bytes(int64_t rows, int64_t columns) { return dk_panels(rows) * DK_PANEL_ROWS * columns * 4; }

int64_t dk_int8_activation_bytes(int64_t tokens, int64_t columns, int64_t group) {
    // Values, then scales and corrections. The tile unit has tokens in sixteens.
    if (tokens >= 16) tokens = round_up(tokens, 16);
    return round_up(tokens * padded_columns(columns, group), 64) + tokens * groups(columns, group) * 8;
}

int64_t dk_f32_activation_bytes(int64_t tokens, int64_t columns) {
    if (tokens >= 16) tokens = round_up(tokens, 16);
    return tokens * round_up(columns, 2) * 4;
}

int64_t dk_kv_page_bytes(const dk_attention_shape *shape) {
    static const int64_t width[] = {[DK_KV_F32] = 4, [DK_KV_BF16] = 2, [DK_KV_INT8] = 1};
    int64_t numbers = 2 * shape->kvHeads * DK_KV_PAGE * round_up(shape->headDim, 16);
    int64_t scales = shape->format == DK_KV_INT8 ? 2 * shape->kvHeads * DK_KV_PAGE * 4 : 0;
    return numbers * width[shape->format] + scales;
}

int64_t dk_attention_partial_floats(const dk_attention_shape *shape) { return 2 + round_up(shape->headDim, 16); }

void dk_transpose(const float *source, int64_t lds, int64_t rows, int64_t columns, float *out, int64_t ldo) {
    // In blocks, so that both sides stay in cache.
    for (int64_t r0 = 0; r0 < rows; r0 += 16)
        for (int64_t c0 = 0; c0 < columns; c0 += 16)
            for (int64_t r = r0; r < rows && r < r0 + 16; r++)
                for (int64_t c = c0; c < columns && c < c0 + 16; c++) out[c * ldo + r] = source[r * lds + c];
}
