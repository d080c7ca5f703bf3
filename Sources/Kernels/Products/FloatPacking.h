//  float32 and bfloat16 matrices, and the activations that meet them, in the order of the kernels.
//
//  Weights lie as DualityKernels.h says. Activations are packed [tile][K][rows of the tile], K
//  rounded up to even.

/// A whole tile at once, sixteen columns at a time: a store writes past its column, and the next
/// column's mends it.
static void pack_tile(const float *x, int64_t ldx, int64_t rows, int64_t columns, float *out) {
    int64_t k = 0;
    if (rows == 1) {
        memcpy(out, x, (size_t)columns * 4);
        k = columns;
    }
    for (; k + 16 <= columns; k += 16) {
        lanes block[16];
        UNROLL for (int r = 0; r < 16; r++) block[r] = r < rows ? load16(x + r * ldx + k) : (lanes)0.0f;
        transpose16(block);
        UNROLL for (int i = 0; i < 16; i++) {
            int64_t place = (k + i) * rows;
            if (place + 16 <= columns * rows) store16(out + place, block[i]);
            else store_part(out + place, block[i], rows);
        }
    }
    for (; k < columns; k++) {
        for (int64_t r = 0; r < rows; r++) out[k * rows + r] = x[r * ldx + k];
    }
    if (columns % 2) memset(out + columns * rows, 0, (size_t)rows * 4);
}

static void f32_activations(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t first, int64_t count,
                            void *packed) {
    int64_t tiles = tile_count(tokens), width = even(columns), end = first + count;
    int64_t tile = 0;
    for (int64_t t = first; t < end;) {
        while (tile_begin(tokens, tiles, tile + 1) <= t) tile++;
        int64_t begin = tile_begin(tokens, tiles, tile), rows = tile_begin(tokens, tiles, tile + 1) - begin;
        float *out = (float *)packed + begin * width;
        if (t == begin && begin + rows <= end) {
            pack_tile(x + t * ldx, ldx, rows, columns, out);
            t += rows;
        } else {  // a tile that another call has a part of
            const float *row = x + t * ldx;
            for (int64_t k = 0; k < columns; k++) out[k * rows + t - begin] = row[k];
            if (width > columns) out[columns * rows + t - begin] = 0;
            t++;
        }
    }
}

static void f32_pack(const float *source, int64_t lds, int64_t rows, int64_t columns, int64_t first, int64_t count,
                     float *weights) {
    (void)rows;
    for (int64_t panel = 0; panel < dk_panels(count); panel++) {
        float *out = weights + (first / DK_PANEL_ROWS + panel) * columns * DK_PANEL_ROWS;
        for (int64_t m = 0; m < DK_PANEL_ROWS; m++) {
            int64_t row = panel * DK_PANEL_ROWS + m;
            for (int64_t k = 0; k < columns; k++) out[k * DK_PANEL_ROWS + m] = row < count ? source[row * lds + k] : 0;
        }
    }
}

static void f32_row(const dk_f32_matrix *matrix, int64_t row, float *out) {
    const float *panel = matrix->weights + row / DK_PANEL_ROWS * matrix->columns * DK_PANEL_ROWS;
    for (int64_t k = 0; k < matrix->columns; k++) out[k] = panel[k * DK_PANEL_ROWS + row % DK_PANEL_ROWS];
}

static void bf16_pack(const uint16_t *source, int64_t lds, int64_t rows, int64_t columns, int64_t first, int64_t count,
                      uint16_t *weights) {
    (void)rows;
    int64_t width = even(columns);
    for (int64_t panel = 0; panel < dk_panels(count); panel++) {
        uint16_t *out = weights + (first / DK_PANEL_ROWS + panel) * width * DK_PANEL_ROWS;
        for (int64_t m = 0; m < DK_PANEL_ROWS; m++) {
            int64_t row = panel * DK_PANEL_ROWS + m;
            for (int64_t k = 0; k < width; k++)
                out[k / 2 * 64 + m * 2 + k % 2] = row < count && k < columns ? source[row * lds + k] : 0;
        }
    }
}

static void bf16_row(const dk_bf16_matrix *matrix, int64_t row, float *out) {
    const uint16_t *panel = matrix->weights + row / DK_PANEL_ROWS * even(matrix->columns) * DK_PANEL_ROWS;
    for (int64_t k = 0; k < matrix->columns; k++) {
        uint32_t bits = (uint32_t)panel[k / 2 * 64 + row % DK_PANEL_ROWS * 2 + k % 2] << 16;
        memcpy(out + k, &bits, 4);
    }
}

/// Pairs of bfloat16 in 32 bits, to float32: the even column is the lower half, the odd one the
/// upper.
INLINE lanes even_columns(bit_lanes pairs) { return from_bits(pairs << 16); }
INLINE lanes odd_columns(bit_lanes pairs) { return from_bits(pairs & 0xffff0000u); }

INLINE bit_lanes load_pairs(const uint16_t *p) {
    bit_lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

/// Widens columns first ..< first + count of a bfloat16 panel to float32, [count][32]; count may be
/// odd at the end.
static void widen(const uint16_t *panel, int64_t first, int64_t count, float *out) {
    for (int64_t k = 0; k < count; k += 2) {
        for (int half = 0; half < 2; half++) {
            bit_lanes pairs = load_pairs(panel + (first + k) * DK_PANEL_ROWS + half * 32);
            store16(out + k * DK_PANEL_ROWS + half * 16, even_columns(pairs));
            store16(out + (k + 1) * DK_PANEL_ROWS + half * 16, odd_columns(pairs));
        }
    }
}
