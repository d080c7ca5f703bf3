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

/// Below it the largest number of a group counts as zero, because its reciprocal would not be
/// finite.
#define SMALLEST_SCALED 0x1p-100f

typedef struct {
    int64_t columns;  ///< K'
    int64_t group;    ///< columns of a group; K' for one scale a row
    int64_t groups;
} int8_layout;

INLINE int8_layout layout_of(int64_t columns, int64_t group) {
    int64_t unit = group > 0 ? group : 32;
    int64_t width = (columns + unit - 1) / unit * unit;
    return (int8_layout){width, group > 0 ? group : width, group > 0 ? width / group : 1};
}

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

// MARK: - Rounding to int8

/// The largest magnitude of `count` numbers; a NaN if there is one, because as integers NaNs are
/// the largest.
INLINE float largest_magnitude(const float *x, int64_t count) {
    int_lanes top = 0;
    FOR_LANES(i, width, count) {
        int_lanes magnitude = (int_lanes)(bits_of(load_lanes(x + i, width, 0)) & 0x7fffffffu);
        top = magnitude > top ? magnitude : top;
    }
    int32_t largest = 0;
    for (int i = 0; i < 16; i++) largest = top[i] > largest ? top[i] : largest;
    float result;
    memcpy(&result, &largest, 4);
    return result;
}

typedef int8_t byte_lanes __attribute__((ext_vector_type(16)));

/// x / scale to nearest even in -127...127, by the reciprocal of scale; 0 where that is 0.
INLINE int_lanes round_to_int8(lanes x, lanes reciprocal) {
    int_lanes q = (int_lanes)(bits_of(x * reciprocal + ROUNDING) - bits_of((lanes)ROUNDING));
    q = q > 127 ? (int_lanes)127 : q;
    q = q < -127 ? (int_lanes)-127 : q;
    return reciprocal == 0.0f ? (int_lanes)0 : q;
}

/// 127 / largest and largest / 127; both 0 for a group of zeros. A group with a number that is not
/// finite is all zeros with the scale NaN, so that whatever is made of it is NaN.
INLINE float int8_scale(float largest, float *reciprocal) {
    bool zero = largest < SMALLEST_SCALED, finite = largest < __builtin_inff();
    *reciprocal = zero || !finite ? 0.0f : 127.0f / largest;
    return zero ? 0.0f : finite ? largest / 127.0f : __builtin_nanf("");
}

/// `count` numbers, padded with zeros to `padded` (a multiple of 16), to bytes. Returns their sum.
INLINE int32_t round_row(const float *x, int64_t count, int64_t padded, float reciprocal, int8_t *out) {
    int_lanes sums = 0;
    for (int64_t i = 0; i < padded; i += 16) {
        int64_t width = count - i < 0 ? 0 : count - i < 16 ? count - i : 16;
        int_lanes q = round_to_int8(load_lanes(x + (width > 0 ? i : 0), width, 0), reciprocal);
        sums += q;
        byte_lanes bytes = __builtin_convertvector(q, byte_lanes);
        memcpy(out + i, &bytes, 16);
    }
    int32_t sum = 0;
    for (int i = 0; i < 16; i++) sum += sums[i];
    return sum;
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
