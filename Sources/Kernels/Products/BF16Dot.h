//  bfloat16 weights times activations rounded to bfloat16, with the arithmetic of `vdpbf16ps`:
//
//      sum <- fl(sum + w[2i + 1] x[2i + 1])          then          sum <- fl(sum + w[2i] x[2i])
//
//  each a fused multiply-add, rounded to nearest even, subnormal operands and results zero (Intel's
//  description of the instruction). Two fused multiply-adds in that mode have its bits, so tables
//  without the instruction compute the same. Columns in blocks of 256 as in FloatProducts.h.
//
//  Activations are packed [tile][ceil(K/2)][rows of the tile][2].

/// The instruction, or what it does.
INLINE lanes add_pairs(const bool instruction, lanes sum, bit_lanes w, bit_lanes x) {
#ifdef DOT_PAIRS
    if (instruction) return DOT_PAIRS(sum, w, x);
#endif
    (void)instruction;
    sum = fma16(odd_columns(x), odd_columns(w), sum);
    return fma16(even_columns(x), even_columns(w), sum);
}

/// Adds `pairs` pairs of columns to c [R][32], for V of a panel's two vectors from vector j on.
INLINE void multiply_bf16(const int R, const int V, const bool instruction, int64_t j, int64_t pairs, const uint16_t *a,
                          const uint16_t *w, float *c) {
    lanes s[TILE][2];
    UNROLL for (int r = 0; r < R; r++) { UNROLL for (int v = 0; v < V; v++) s[r][v] = 0.0f; }
    for (int64_t i = 0; i < pairs; i++) {
        if (R <= 8) {
            FETCH_L1(w + i * 64, AHEAD_L1);
            FETCH_L1(w + i * 64, AHEAD_L1 + 64);
        }
        bit_lanes column[2];
        UNROLL for (int v = 0; v < V; v++) column[v] = load_pairs(w + i * 64 + (j + v) * 32);
        UNROLL for (int r = 0; r < R; r++) {
            uint32_t two;
            memcpy(&two, a + (i * R + r) * 2, 4);
            UNROLL for (int v = 0; v < V; v++) s[r][v] = add_pairs(instruction, s[r][v], column[v], (bit_lanes)two);
        }
    }
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int v = 0; v < V; v++) {
            float *out = c + r * 32 + (j + v) * 16;
            store16(out, load16(out) + s[r][v]);
        }
    }
}

typedef void bf16_tile(int64_t pairs, const uint16_t *a, const uint16_t *w, float *c);

#define DEFINE_BF16_TILE(R)                                                                             \
    static void bf16_emulated_tile_##R(int64_t pairs, const uint16_t *a, const uint16_t *w, float *c) { \
        for (int64_t j = 0; j < 2; j += VECTORS) multiply_bf16(R, VECTORS, false, j, pairs, a, w, c);   \
    }
#define BF16_EMULATED_TILE_ENTRY(R) [R] = bf16_emulated_tile_##R,
FOR_EACH_TILE(DEFINE_BF16_TILE)
static bf16_tile *const bf16EmulatedTiles[TILE + 1] = {FOR_EACH_TILE(BF16_EMULATED_TILE_ENTRY)};

#ifdef DOT_PAIRS
#define DEFINE_BF16_DOT_TILE(R)                                                                      \
    static void bf16_tile_##R(int64_t pairs, const uint16_t *a, const uint16_t *w, float *c) {       \
        for (int64_t j = 0; j < 2; j += VECTORS) multiply_bf16(R, VECTORS, true, j, pairs, a, w, c); \
    }
#define BF16_TILE_ENTRY(R) [R] = bf16_tile_##R,
FOR_EACH_TILE(DEFINE_BF16_DOT_TILE)
static bf16_tile *const bf16Tiles[TILE + 1] = {FOR_EACH_TILE(BF16_TILE_ENTRY)};

static bf16_tile *const *bf16_tiles(void) { return RUNS_DOT_PAIRS ? bf16Tiles : bf16EmulatedTiles; }
#else
static bf16_tile *const *bf16_tiles(void) { return bf16EmulatedTiles; }
#endif

static void bf16_dot_activations(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t first,
                                 int64_t count, void *packed) {
    int64_t tiles = tile_count(tokens), width = even(columns), tile = 0;
    for (int64_t t = first; t < first + count; t++) {
        while (tile_begin(tokens, tiles, tile + 1) <= t) tile++;
        int64_t begin = tile_begin(tokens, tiles, tile), rows = tile_begin(tokens, tiles, tile + 1) - begin;
        uint16_t *out = (uint16_t *)packed + begin * width + (t - begin) * 2;
        for (int64_t k = 0; k < columns; k += 256) {
            uint16_t narrow[256];
            int64_t part = least(256, columns - k);
            f32_to_bf16(x + t * ldx + k, narrow, part);
            if (part % 2) narrow[part] = 0;
            for (int64_t i = 0; i < part; i += 2) memcpy(out + (k + i) * rows, narrow + i, 4);
        }
    }
}

/// Columns first ..< first + count of a compact panel as the plain form has them,
/// [ceil(count/2)][2][16][2].
static void compact_pairs(const compact_panel *panel, int64_t first, int64_t count, uint16_t *out) {
    exponent_alphabet alphabet = alphabet_of(panel->exponents);
    const uint32_t *exception = exception_from(panel, first / 4);
    for (int64_t k = 0; k < count; k += 4) {
        float unit[128];
        exception = decode_unit(panel->units, (first + k) / 4, alphabet, exception, panel->end, unit);
        for (int64_t i = k; i < least(k + 4, count); i += 2) {
            for (int half = 0; half < 2; half++) {
                const float *column = unit + (i - k) * 32 + half * 16;
                bit_lanes upper = i + 1 < count ? bits_of(load16(column + 32)) : (bit_lanes)0;
                bit_lanes pairs = bits_of(load16(column)) >> 16 | upper;
                memcpy(out + i * 32 + half * 32, &pairs, sizeof pairs);
            }
        }
    }
}

static void compact_pairs_of(const dk_compact_matrix *matrix, int64_t panel, int64_t first, int64_t count,
                             uint16_t *out) {
    compact_panel one = compact_panel_of(matrix, panel);
    compact_pairs(&one, first, count, out);
}

/// For either form: `plain`, or else `compact`.
NEVER_INLINE static void dot_matmul(const uint16_t *plain, const dk_compact_matrix *compact, int64_t rows,
                                    int64_t columns, const uint16_t *activations, int64_t tokens, int64_t panelBegin,
                                    int64_t panelEnd, float *y, int64_t ldy, float *sums) {
    int64_t tiles = tile_count(tokens), width = even(columns);
    if (tiles == 1 && compact) {  // at the speed of memory, by fused multiply-adds: they have the bits
        for (int64_t p = panelBegin; p < panelEnd; p++) {
            memset(sums, 0, (size_t)tokens * 32 * 4);
            compact_panel panel = compact_panel_of(compact, p);
            fetch_tables(compact, p, panelEnd);
            for (int64_t k = 0; k < columns; k += SUM_COLUMNS)
                compactPairsStreams[tokens](k, least(SUM_COLUMNS, columns - k), activations + k * tokens, &panel, sums);
            store_panel(sums, tokens, p, rows, y, ldy);
        }
        return;
    }
    uint16_t *pairs = (uint16_t *)(sums + PANELS_TOGETHER * TILES_TOGETHER * TILE * 32);
    bf16_tile *const *tile_of = bf16_tiles();
    int64_t blocks = (tiles + TILES_TOGETHER - 1) / TILES_TOGETHER;
    for (int64_t block = 0; block < blocks; block++) {
        int64_t tile0 = block * tiles / blocks, tile1 = (block + 1) * tiles / blocks;
        int64_t begin = tile_begin(tokens, tiles, tile0), count = tile_begin(tokens, tiles, tile1) - begin;
        for (int64_t p0 = panelBegin; p0 < panelEnd; p0 += PANELS_TOGETHER) {
            int64_t p1 = least(p0 + PANELS_TOGETHER, panelEnd);
            memset(sums, 0, (size_t)(p1 - p0) * (size_t)count * 32 * 4);
            for (int64_t k = 0; k < width; k += SUM_COLUMNS) {
                int64_t depth = least(SUM_COLUMNS, width - k);
                for (int64_t p = p0; p < p1; p++) {
                    const uint16_t *weights = pairs;
                    if (compact) {
                        compact_panel panel = compact_panel_of(compact, p);
                        compact_pairs(&panel, k, least(SUM_COLUMNS, columns - k), pairs);
                    } else {
                        weights = plain + (p * width + k) * 32;
                    }
                    for (int64_t tile = tile0; tile < tile1; tile++) {
                        int64_t t = tile_begin(tokens, tiles, tile), n = tile_begin(tokens, tiles, tile + 1) - t;
                        tile_of[n](depth / 2, activations + t * width + k * n, weights,
                                   sums + ((p - p0) * count + t - begin) * 32);
                    }
                }
            }
            for (int64_t p = p0; p < p1; p++)
                store_panel(sums + (p - p0) * count * 32, count, p, rows, y + begin * ldy, ldy);
        }
    }
}

static void bf16_dot_matmul(const dk_bf16_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                            int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    WITHOUT_SUBNORMALS(
        dot_matmul(w->weights, 0, w->rows, w->columns, activations, tokens, panelBegin, panelEnd, y, ldy, workspace));
}

static void compact_dot_matmul(const dk_compact_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                               int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    WITHOUT_SUBNORMALS(
        dot_matmul(0, w, w->rows, w->columns, activations, tokens, panelBegin, panelEnd, y, ldy, workspace));
}
