//  Weight matrices in int8 times activations in int8.
//
//      y[t][m] = sum over groups g, in order, of (float)( sum over k in g of w[m][k] x[t][k] ) (scale_w[m][g] scale_x[t][g])
//
//  The inner sum is exact. Weights are stored as q + 128, unsigned, because the instructions that
//  multiply bytes want one operand of each kind; the surplus 128 sum x[t][k] is known when x is
//  packed, and sums start from minus that. They may wrap on the way (arithmetic modulo 2^32), the
//  total cannot.
//
//  Activations are packed as
//
//      values       [tile][K'/4][rows of the tile][4]
//      scales       [tile][G][rows of the tile]
//      corrections  [tile][G][rows of the tile]         -128 sum of the group's values

/// Where the parts of packed activations lie.
typedef struct {
    int8_t *values;
    float *scales;
    int32_t *corrections;
} int8_parts;

INLINE int8_parts parts_of(void *packed, int64_t tokens, int8_layout layout) {
    int8_t *values = packed;
    float *scales = (float *)(values + (tokens * layout.columns + 63) / 64 * 64);
    return (int8_parts){values, scales, (int32_t *)(scales + tokens * layout.groups)};
}

static void int8_activations(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t group, int64_t first,
                             int64_t count, void *packed) {
    int8_layout layout = layout_of(columns, group);
    int8_parts parts = parts_of(packed, tokens, layout);
    int64_t tiles = tile_count(tokens), tile = 0;
    for (int64_t t = first; t < first + count; t++) {
        while (tile_begin(tokens, tiles, tile + 1) <= t) tile++;
        int64_t begin = tile_begin(tokens, tiles, tile), rows = tile_begin(tokens, tiles, tile + 1) - begin,
                r = t - begin;
        for (int64_t g = 0; g < layout.groups; g++) {
            int64_t k = g * layout.group, end = least(k + layout.group, layout.columns);
            int64_t given = least(end, columns) - k;
            float reciprocal, scale = int8_scale(largest_magnitude(x + t * ldx + k, given), &reciprocal);
            int32_t sum = 0;
            // In pieces of 256 columns: rounded in order, then dealt out four by four among the
            // tile's rows.
            for (int64_t piece = k; piece < end; piece += 256) {
                int8_t bytes[256];
                int64_t width = least(256, end - piece), have = least(piece + width, columns) - piece;
                sum += round_row(x + t * ldx + (have > 0 ? piece : 0), have > 0 ? have : 0, width, reciprocal, bytes);
                int8_t *out = parts.values + begin * layout.columns + piece * rows + r * 4;
                for (int64_t i = 0; i < width / 4; i++) memcpy(out + i * rows * 4, bytes + i * 4, 4);
            }
            int64_t place = begin * layout.groups + g * rows + r;
            parts.scales[place] = scale;
            parts.corrections[place] = -128 * sum;
        }
    }
}

// Between ranks activations travel as what int8_activations makes of them: the largest magnitude of
// each group, and bytes. int8_numbers are numbers that int8_activations rounds to the same bytes
// and scales: the largest itself wherever a byte is 127 (127 scales may be more, for the largest
// float even infinite), multiples of the scale elsewhere.

static void int8_largest(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t group, float *largest,
                         int64_t ldl) {
    int64_t width = group > 0 ? group : columns > 0 ? columns : 1;
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t k = 0, g = 0; k < columns; k += width, g++)
            largest[t * ldl + g] = largest_magnitude(x + t * ldx + k, least(width, columns - k));
}

static void int8_bytes(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t group,
                       const float *largest, int64_t ldl, int8_t *bytes, int64_t ldb) {
    int64_t width = group > 0 ? group : columns > 0 ? columns : 1;
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t k = 0, g = 0; k < columns; k += width, g++) {
            float reciprocal;
            int8_scale(largest[t * ldl + g], &reciprocal);
            for (int64_t piece = k, end = least(k + width, columns); piece < end; piece += 256) {
                int8_t rounded[256];
                int64_t count = least(256, end - piece);
                round_row(x + t * ldx + piece, count, (count + 15) / 16 * 16, reciprocal, rounded);
                memcpy(bytes + t * ldb + piece, rounded, (size_t)count);
            }
        }
}

static void int8_numbers(const int8_t *bytes, int64_t ldb, int64_t tokens, int64_t columns, int64_t group,
                         const float *largest, int64_t ldl, float *x, int64_t ldx) {
    int64_t width = group > 0 ? group : columns > 0 ? columns : 1;
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t k = 0, g = 0; k < columns; k += width, g++) {
            float top = largest[t * ldl + g], reciprocal, scale = int8_scale(top, &reciprocal);
            const int8_t *from = bytes + t * ldb + k;
            float *to = x + t * ldx + k;
            int64_t count = least(width, columns - k);
            // A group of zeros, or one that is not finite.
            if (reciprocal == 0.0f) {
                for (int64_t i = 0; i < count; i++) to[i] = scale == 0.0f ? 0.0f : top;
                continue;
            }
            for (int64_t i = 0; i < count; i++)
                to[i] = from[i] == 127 ? top : from[i] == -127 ? -top : (float)from[i] * scale;
        }
}

static void int8_pack(const float *source, int64_t lds, int64_t rows, int64_t columns, int64_t group, int64_t first,
                      int64_t count, uint8_t *weights, float *scales) {
    (void)rows;
    int8_layout layout = layout_of(columns, group);
    for (int64_t panel = 0; panel < dk_panels(count); panel++) {
        int64_t place = first / DK_PANEL_ROWS + panel;
        uint8_t *out = weights + place * layout.columns * DK_PANEL_ROWS;
        for (int64_t m = 0; m < DK_PANEL_ROWS; m++) {
            int64_t row = panel * DK_PANEL_ROWS + m;
            const float *x = source + (row < count ? row : 0) * lds;
            for (int64_t g = 0; g < layout.groups; g++) {
                int64_t k = g * layout.group, end = least(k + layout.group, layout.columns);
                int64_t given = row < count ? least(end, columns) - k : 0;
                float reciprocal, scale = int8_scale(largest_magnitude(x + k, given), &reciprocal);
                scales[(place * layout.groups + g) * DK_PANEL_ROWS + m] = scale;
                for (int64_t piece = k; piece < end; piece += 256) {
                    int8_t bytes[256];
                    int64_t width = least(256, end - piece), have = least(piece + width, k + given) - piece;
                    round_row(x + (have > 0 ? piece : 0), have > 0 ? have : 0, width, reciprocal, bytes);
                    for (int64_t i = 0; i < width; i++)
                        out[(piece + i) / 4 * 128 + m * 4 + i % 4] = (uint8_t)(bytes[i] + 128);
                }
            }
        }
    }
}

static void int8_row(const dk_int8_matrix *matrix, int64_t row, float *out) {
    int8_layout layout = layout_of(matrix->columns, matrix->group);
    int64_t panel = row / DK_PANEL_ROWS, m = row % DK_PANEL_ROWS;
    const uint8_t *weights = matrix->weights + panel * layout.columns * DK_PANEL_ROWS;
    const float *scales = matrix->scales + panel * layout.groups * DK_PANEL_ROWS;
    for (int64_t g = 0; g < layout.groups; g++) {
        float scale = scales[g * DK_PANEL_ROWS + m];
        int64_t end = least((g + 1) * layout.group, matrix->columns);
        for (int64_t k = g * layout.group; k < end; k++) {
            int32_t q = (int32_t)weights[k / 4 * 128 + m * 4 + k % 4] - 128;
            out[k] = (float)q * scale;
        }
    }
}

/// Fills sums [rows][32] with each token's correction.
INLINE void start_sums(int32_t *sums, const int32_t *corrections, int64_t rows) {
    for (int64_t r = 0; r < rows; r++) {
        int_lanes start = corrections[r];
        memcpy(sums + r * 32, &start, 64);
        memcpy(sums + r * 32 + 16, &start, 64);
    }
}

// MARK: - Tiles

/// Where a tile's sums come from and where they go: a product begins and ends in registers, without
/// a walk of its own over memory.
typedef struct {
    void *sums;                  ///< [R][32], int32, or float with groups: of the columns before, and for those behind
    bool begins, ends;           ///< whether the tile has the first, the last of the columns
    const int32_t *corrections;  ///< [R], what sums begin with
    const float *tokenScales;    ///< [R], without groups
    const float *rowScales;      ///< [32], without groups
    float *y;                    ///< of the tile's first token and the panel's first row
    int64_t ldy, rows;           ///< rows of the panel that the matrix has
} int8_result;

/// sums [R][32] += the products of 4 x steps columns. Meanwhile the tile asks for the weights of
/// the next block: for those at `ahead`, `stride` bytes further in each step.
typedef void int8_tile(int64_t steps, const int8_t *a, const uint8_t *w, int32_t *sums, const uint8_t *ahead,
                       int64_t stride);
typedef void int8_stream(int64_t steps, const int8_t *a, const uint8_t *w, int32_t *sums);
typedef void int8_group_tile(int64_t groups, int64_t steps, const int8_t *a, const uint8_t *w, const float *tokenScales,
                             const int32_t *corrections, const float *rowScales, float *sums, const uint8_t *ahead,
                             int64_t stride);
/// The two of them from the beginning of the sums to y.
typedef void int8_whole_tile(int64_t steps, const int8_t *a, const uint8_t *w, const int8_result *result,
                             const uint8_t *ahead, int64_t stride);
typedef void int8_whole_group_tile(int64_t groups, int64_t steps, const int8_t *a, const uint8_t *w,
                                   const float *tokenScales, const int32_t *corrections, const float *rowScales,
                                   const int8_result *result, const uint8_t *ahead, int64_t stride);
