//  bfloat16 weights times float32 activations that are split in two bfloat16 numbers, x = high +
//  low up to 2^-17 of x, with the arithmetic of the tile unit of AMX, `tdpbf16ps`:
//
//      even <- fl(even + w[2i] x[2i]), odd <- fl(odd + w[2i + 1] x[2i + 1])     from zero, over a step of 32 columns
//      sum <- fl(sum + fl(even + odd))
//
//  for a step's high parts, then for its low parts, step after step. Each is rounded to nearest
//  even, subnormal operands and results are zero (Intel's description of the instruction). Tables
//  without the unit compute the same by fused multiply-adds.
//
//  Where high is infinite or NaN low is zero; numbers above the largest of bfloat16 are infinite.
//
//  Activations are packed [tile][ceil(K/2)][rows of the tile][2 parts][2].

static void bf16_split_activations(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t first,
                                   int64_t count, void *packed) {
    int64_t tiles = tile_count(tokens), width = even(columns), tile = 0;
    for (int64_t t = first; t < first + count; t++) {
        while (tile_begin(tokens, tiles, tile + 1) <= t) tile++;
        int64_t begin = tile_begin(tokens, tiles, tile), rows = tile_begin(tokens, tiles, tile + 1) - begin;
        uint16_t *out = (uint16_t *)packed + begin * width * 2 + (t - begin) * 4;
        for (int64_t k = 0; k < columns; k += 256) {
            uint16_t high[256], low[256];
            int64_t part = least(256, columns - k);
            split_row(x + t * ldx + k, part, high, low);
            for (int64_t i = 0; i < part; i += 2) {
                memcpy(out + (k + i) * rows * 2, high + i, 4);
                memcpy(out + (k + i) * rows * 2 + 2, low + i, 4);
            }
        }
    }
}

/// Adds `pairs` pairs of columns, a step at most, to the sums [32] of R of a tile's `rows` tokens.
INLINE void add_split_step(const int R, int64_t rows, int64_t pairs, const uint16_t *a, const uint16_t *w, float *c) {
    for (int64_t j = 0; j < 2; j += VECTORS) {
        lanes evens[2][2][VECTORS], odds[2][2][VECTORS];
        UNROLL for (int r = 0; r < R; r++) {
            UNROLL for (int part = 0; part < 2; part++) {
                UNROLL for (int v = 0; v < VECTORS; v++) evens[r][part][v] = odds[r][part][v] = 0.0f;
            }
        }
        for (int64_t i = 0; i < pairs; i++) {
            lanes evenWeights[VECTORS], oddWeights[VECTORS];
            UNROLL for (int v = 0; v < VECTORS; v++) {
                bit_lanes column = load_pairs(w + i * 64 + (j + v) * 32);
                evenWeights[v] = even_columns(column);
                oddWeights[v] = odd_columns(column);
            }
            UNROLL for (int r = 0; r < R; r++) {
                UNROLL for (int part = 0; part < 2; part++) {
                    uint32_t two;
                    memcpy(&two, a + (i * rows + r) * 4 + part * 2, 4);
                    lanes x0 = even_columns((bit_lanes)two), x1 = odd_columns((bit_lanes)two);
                    UNROLL for (int v = 0; v < VECTORS; v++) {
                        evens[r][part][v] = fma16(x0, evenWeights[v], evens[r][part][v]);
                        odds[r][part][v] = fma16(x1, oddWeights[v], odds[r][part][v]);
                    }
                }
            }
        }
        UNROLL for (int r = 0; r < R; r++) {
            UNROLL for (int v = 0; v < VECTORS; v++) {
                float *out = c + r * 32 + (j + v) * 16;
                lanes sum = load16(out) + (evens[r][0][v] + odds[r][0][v]);
                store16(out, sum + (evens[r][1][v] + odds[r][1][v]));
            }
        }
    }
}

/// For either form: `plain`, or else `compact`. The sums of a panel go on over blocks of columns.
NEVER_INLINE static void split_matmul(const uint16_t *plain, const dk_compact_matrix *compact, int64_t rows,
                                      int64_t columns, const uint16_t *activations, int64_t tokens, int64_t panelBegin,
                                      int64_t panelEnd, float *y, int64_t ldy, float *sums) {
    int64_t tiles = tile_count(tokens), width = even(columns);
    uint16_t *pairs = (uint16_t *)(sums + TILES_TOGETHER * TILE * 32);
    int64_t blocks = (tiles + TILES_TOGETHER - 1) / TILES_TOGETHER;
    for (int64_t block = 0; block < blocks; block++) {
        int64_t tile0 = block * tiles / blocks, tile1 = (block + 1) * tiles / blocks;
        int64_t begin = tile_begin(tokens, tiles, tile0), count = tile_begin(tokens, tiles, tile1) - begin;
        for (int64_t p = panelBegin; p < panelEnd; p++) {
            memset(sums, 0, (size_t)count * 32 * 4);
            for (int64_t k = 0; k < width; k += SUM_COLUMNS) {
                int64_t depth = least(SUM_COLUMNS, width - k);
                const uint16_t *weights = pairs;
                if (compact) {
                    compact_panel panel = compact_panel_of(compact, p);
                    compact_pairs(&panel, k, least(SUM_COLUMNS, columns - k), pairs);
                } else {
                    weights = plain + (p * width + k) * 32;
                }
                for (int64_t tile = tile0; tile < tile1; tile++) {
                    int64_t t = tile_begin(tokens, tiles, tile), n = tile_begin(tokens, tiles, tile + 1) - t;
                    for (int64_t step = 0; step < depth; step += SPLIT_STEP) {
                        const uint16_t *a = activations + (t * width + (k + step) * n) * 2;
                        const uint16_t *w = weights + step * 32;
                        int64_t some = least(SPLIT_STEP, depth - step) / 2, r = 0;
                        float *c = sums + (t - begin) * 32;
                        for (; r + 2 <= n && TILE >= 8; r += 2) add_split_step(2, n, some, a + r * 4, w, c + r * 32);
                        for (; r < n; r++) add_split_step(1, n, some, a + r * 4, w, c + r * 32);
                    }
                }
            }
            store_panel(sums, count, p, rows, y + begin * ldy, ldy);
        }
    }
}

static void bf16_split_matmul(const dk_bf16_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                              int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    WITHOUT_SUBNORMALS(
        split_matmul(w->weights, 0, w->rows, w->columns, activations, tokens, panelBegin, panelEnd, y, ldy, workspace));
}

static void compact_split_matmul(const dk_compact_matrix *w, const void *activations, int64_t tokens,
                                 int64_t panelBegin, int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    WITHOUT_SUBNORMALS(
        split_matmul(0, w, w->rows, w->columns, activations, tokens, panelBegin, panelEnd, y, ldy, workspace));
}
