//  bfloat16 weights times bfloat16 activations by `vdpbf16ps`: sum += w[2i + 1] x[2i + 1], then sum
//  += w[2i] x[2i], rounded to nearest after each, denormals taken as zero. Columns in blocks of 256
//  as in FloatProducts.h.
//
//  Activations are packed [tile][ceil(K/2)][rows of the tile][2].

INLINE void multiply_bf16(const int R, int64_t pairs, const uint16_t *a, const uint16_t *w, float *c) {
    __m512 s[TILE][2];
    UNROLL for (int r = 0; r < R; r++) s[r][0] = s[r][1] = _mm512_setzero_ps();
    for (int64_t i = 0; i < pairs; i++) {
        if (R <= 8) {
            _mm_prefetch((const char *)(w + i * 64) + 4096, _MM_HINT_T0);
            _mm_prefetch((const char *)(w + i * 64) + 4160, _MM_HINT_T0);
        }
        __m512bh low = (__m512bh)_mm512_loadu_si512(w + i * 64), high = (__m512bh)_mm512_loadu_si512(w + i * 64 + 32);
        UNROLL for (int r = 0; r < R; r++) {
            int32_t two;
            memcpy(&two, a + (i * R + r) * 2, 4);
            __m512bh x = (__m512bh)_mm512_set1_epi32(two);
            s[r][0] = _mm512_dpbf16_ps(s[r][0], low, x);
            s[r][1] = _mm512_dpbf16_ps(s[r][1], high, x);
        }
    }
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int half = 0; half < 2; half++) {
            float *out = c + r * 32 + half * 16;
            _mm512_storeu_ps(out, _mm512_add_ps(_mm512_loadu_ps(out), s[r][half]));
        }
    }
}

#define DEFINE_BF16_TILE(R)                                                                        \
    static void bf16_tile_##R(int64_t pairs, const uint16_t *a, const uint16_t *w, float *c) {     \
        multiply_bf16(R, pairs, a, w, c);                                                          \
    }
FOR_EACH_TILE(DEFINE_BF16_TILE)

typedef void bf16_tile(int64_t pairs, const uint16_t *a, const uint16_t *w, float *c);
#define BF16_TILE_ENTRY(R) [R] = bf16_tile_##R,
static bf16_tile *const bf16Tiles[TILE + 1] = {FOR_EACH_TILE(BF16_TILE_ENTRY)};

static void bf16_activations(dk_bf16_path path, const float *x, int64_t ldx, int64_t tokens, int64_t columns,
                             int64_t first, int64_t count, void *packed) {
    if (path == DK_BF16_FMA) {
        f32_activations(x, ldx, tokens, columns, first, count, packed);
        return;
    }
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

/// For either form: `plain`, or else `compact`.
static void bf16_dot_matmul(const uint16_t *plain, const dk_compact_matrix *compact, int64_t rows, int64_t columns,
                            const uint16_t *activations, int64_t tokens, int64_t panelBegin, int64_t panelEnd, float *y,
                            int64_t ldy, float *sums) {
    int64_t tiles = tile_count(tokens), width = even(columns);
    uint16_t *pairs = (uint16_t *)(sums + PANEL_GROUP * BLOCK_TILES * TILE * 32);
    int64_t blocks = (tiles + BLOCK_TILES - 1) / BLOCK_TILES;
    for (int64_t block = 0; block < blocks; block++) {
        int64_t tile0 = block * tiles / blocks, tile1 = (block + 1) * tiles / blocks;
        int64_t begin = tile_begin(tokens, tiles, tile0), count = tile_begin(tokens, tiles, tile1) - begin;
        for (int64_t p0 = panelBegin; p0 < panelEnd; p0 += PANEL_GROUP) {
            int64_t p1 = least(p0 + PANEL_GROUP, panelEnd);
            memset(sums, 0, (size_t)(p1 - p0) * (size_t)count * 32 * 4);
            for (int64_t k = 0; k < width; k += K_BLOCK) {
                int64_t depth = least(K_BLOCK, width - k);
                for (int64_t p = p0; p < p1; p++) {
                    const uint16_t *weights = pairs;
                    if (compact) {
                        compact_panel panel = compact_panel_of(compact, p);
                        compact_pairs(&panel, k, least(K_BLOCK, columns - k), pairs);
                    } else {
                        weights = plain + (p * width + k) * 32;
                    }
                    for (int64_t tile = tile0; tile < tile1; tile++) {
                        int64_t t = tile_begin(tokens, tiles, tile), n = tile_begin(tokens, tiles, tile + 1) - t;
                        bf16Tiles[n](depth / 2, activations + t * width + k * n, weights,
                                     sums + ((p - p0) * count + t - begin) * 32);
                    }
                }
            }
            for (int64_t p = p0; p < p1; p++)
                store_panel(sums + (p - p0) * count * 32, count, p, rows, y + begin * ldy, ldy);
        }
    }
}

static void bf16_matmul(dk_bf16_path path, const dk_bf16_matrix *w, const void *activations, int64_t tokens,
                        int64_t panelBegin, int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    if (path == DK_BF16_DOT)
        bf16_dot_matmul(w->weights, 0, w->rows, w->columns, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
    else
        bf16_fma_matmul(w, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
}

static void compact_matmul(dk_bf16_path path, const dk_compact_matrix *w, const void *activations, int64_t tokens,
                           int64_t panelBegin, int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    if (path == DK_BF16_DOT)
        bf16_dot_matmul(0, w, w->rows, w->columns, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
    else
        compact_fma_matmul(w, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
}
