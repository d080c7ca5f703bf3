//  int8 tiles of AVX-512 with VNNI: `vpdpbusd` adds four products of an unsigned and a signed byte
//  to 32 bits, without saturation.

INLINE __m512i four_activations(const int8_t *a) {
    int32_t four;
    memcpy(&four, a, 4);
    return _mm512_set1_epi32(four);
}

#define HAS_WHOLE_INT8_TILES

INLINE __mmask16 rows_of_half(const int8_result *result, int half) {
    int64_t rows = result->rows - 16 * half;
    return rows >= 16 ? 0xffff : rows <= 0 ? 0 : (__mmask16)((1 << rows) - 1);
}

INLINE void multiply_int8(const int R, int64_t steps, const int8_t *a, const uint8_t *w, const int8_result *result,
                          const uint8_t *ahead, int64_t stride) {
    __m512i s[TILE][2];
    int32_t *sums = result->sums;
    if (result->begins) {
        UNROLL for (int r = 0; r < R; r++) s[r][0] = s[r][1] = _mm512_set1_epi32(result->corrections[r]);
    } else {
        UNROLL for (int r = 0; r < R; r++) {
            s[r][0] = _mm512_loadu_si512(sums + r * 32);
            s[r][1] = _mm512_loadu_si512(sums + r * 32 + 16);
        }
    }
    for (int64_t i = 0; i < steps; i++) {
        _mm_prefetch((const char *)ahead, _MM_HINT_T1);
        ahead += stride;
        __m512i low = _mm512_loadu_si512(w + i * 128), high = _mm512_loadu_si512(w + i * 128 + 64);
        UNROLL for (int r = 0; r < R; r++) {
            __m512i x = four_activations(a + (i * R + r) * 4);
            s[r][0] = _mm512_dpbusd_epi32(s[r][0], low, x);
            s[r][1] = _mm512_dpbusd_epi32(s[r][1], high, x);
        }
    }
    if (!result->ends) {
        UNROLL for (int r = 0; r < R; r++) {
            _mm512_storeu_si512(sums + r * 32, s[r][0]);
            _mm512_storeu_si512(sums + r * 32 + 16, s[r][1]);
        }
        return;
    }
    __m512 low = _mm512_loadu_ps(result->rowScales), high = _mm512_loadu_ps(result->rowScales + 16);
    __mmask16 lowRows = rows_of_half(result, 0), highRows = rows_of_half(result, 1);
    UNROLL for (int r = 0; r < R; r++) {
        __m512 scale = _mm512_set1_ps(result->tokenScales[r]);
        float *y = result->y + r * result->ldy;
        _mm512_mask_storeu_ps(y, lowRows, _mm512_mul_ps(_mm512_cvtepi32_ps(s[r][0]), _mm512_mul_ps(low, scale)));
        _mm512_mask_storeu_ps(y + 16, highRows, _mm512_mul_ps(_mm512_cvtepi32_ps(s[r][1]), _mm512_mul_ps(high, scale)));
    }
}

/// For weights from memory: fetches ahead, and few rows sum in several parts to hide the latency.
INLINE void stream_int8(const int R, const int PARTS, int64_t steps, const int8_t *a, const uint8_t *w, int32_t *sums) {
    __m512i s[4][TILE][2];
    UNROLL for (int p = 0; p < PARTS; p++) {
        UNROLL for (int r = 0; r < R; r++) s[p][r][0] = s[p][r][1] = _mm512_setzero_si512();
    }
    for (int64_t i = 0; i < steps; i += PARTS) {
        UNROLL for (int p = 0; p < PARTS; p++) {
            const uint8_t *v = w + (i + p) * 128;
            if (R <= 2) {
                FETCH_L1(v, AHEAD_L1);
                FETCH_L1(v, AHEAD_L1 + 64);
            } else {  // L1 is full of activations
                FETCH_L2(v, AHEAD_L2);
                FETCH_L2(v, AHEAD_L2 + 64);
            }
            __m512i low = _mm512_loadu_si512(v), high = _mm512_loadu_si512(v + 64);
            UNROLL for (int r = 0; r < R; r++) {
                __m512i x = four_activations(a + ((i + p) * R + r) * 4);
                s[p][r][0] = _mm512_dpbusd_epi32(s[p][r][0], low, x);
                s[p][r][1] = _mm512_dpbusd_epi32(s[p][r][1], high, x);
            }
        }
    }
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int half = 0; half < 2; half++) {
            __m512i sum = _mm512_loadu_si512(sums + r * 32 + 16 * half);
            UNROLL for (int p = 0; p < PARTS; p++) sum = _mm512_add_epi32(sum, s[p][r][half]);
            _mm512_storeu_si512(sums + r * 32 + 16 * half, sum);
        }
    }
}

#define DEFINE_INT8_TILE(R)                                                                                \
    static void int8_tile_##R(int64_t steps, const int8_t *a, const uint8_t *w, const int8_result *result, \
                              const uint8_t *ahead, int64_t stride) {                                      \
        multiply_int8(R, steps, a, w, result, ahead, stride);                                              \
    }                                                                                                      \
    static void int8_stream_##R(int64_t steps, const int8_t *a, const uint8_t *w, int32_t *sums) {         \
        stream_int8(R, R <= 2 ? 4 : R <= 4 ? 2 : 1, steps, a, w, sums);                                    \
    }
FOR_EACH_TILE(DEFINE_INT8_TILE)

/// Scaled groups for R of a packed tile's `rows` rows: integer and float sums of all of them in
/// registers together. `a`, the scales and the corrections begin at the first of the R.
INLINE void multiply_groups(const int R, const int rows, int64_t groups, int64_t steps, const int8_t *a,
                            const uint8_t *w, const float *tokenScales, const int32_t *corrections,
                            const float *rowScales, float *sums, float *y, const int8_result *result, bool begins,
                            bool ends, const uint8_t *ahead, int64_t stride) {
    __m512 total[TILE][2];
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int v = 0; v < 2; v++) total[r][v] =
            begins ? _mm512_setzero_ps() : _mm512_loadu_ps(sums + r * 32 + v * 16);
    }
    for (int64_t g = 0; g < groups; g++) {
        __m512i s[TILE][2];
        UNROLL for (int r = 0; r < R; r++) s[r][0] = s[r][1] = _mm512_set1_epi32(corrections[g * rows + r]);
        for (int64_t i = 0; i < steps; i++, a += rows * 4, w += 128) {
            _mm_prefetch((const char *)ahead, _MM_HINT_T1);
            ahead += stride;
            __m512i low = _mm512_loadu_si512(w), high = _mm512_loadu_si512(w + 64);
            UNROLL for (int r = 0; r < R; r++) {
                __m512i x = four_activations(a + r * 4);
                s[r][0] = _mm512_dpbusd_epi32(s[r][0], low, x);
                s[r][1] = _mm512_dpbusd_epi32(s[r][1], high, x);
            }
        }
        UNROLL for (int v = 0; v < 2; v++) {
            __m512 rowScale = _mm512_loadu_ps(rowScales + g * 32 + v * 16);
            UNROLL for (int r = 0; r < R; r++) {
                __m512 scale = _mm512_mul_ps(rowScale, _mm512_set1_ps(tokenScales[g * rows + r]));
                total[r][v] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s[r][v]), scale, total[r][v]);
            }
        }
    }
    UNROLL for (int v = 0; v < 2; v++) {
        __mmask16 kept = ends ? rows_of_half(result, v) : 0xffff;
        UNROLL for (int r = 0; r < R; r++) {
            float *out = ends ? y + r * result->ldy : sums + r * 32;
            _mm512_mask_storeu_ps(out + v * 16, kept, total[r][v]);
        }
    }
}

INLINE void multiply_group_tile(const int R, int64_t groups, int64_t steps, const int8_t *a, const uint8_t *w,
                                const float *tokenScales, const int32_t *corrections, const float *rowScales,
                                const int8_result *result, const uint8_t *ahead, int64_t stride) {
    const int first = R <= 6 ? R : (R + 1) / 2, rest = R - first;
    // Half of the rows at a time, over as many groups as stay in L1 for the other half.
    int64_t block = rest == 0 ? groups : INT8_GROUP_STEPS / steps < 1 ? 1 : INT8_GROUP_STEPS / steps;
    for (int64_t g = 0; g < groups; g += block) {
        int64_t count = groups - g < block ? groups - g : block, at = g * steps;
        bool begins = result->begins && g == 0, ends = result->ends && g + count == groups;
        float *sums = (float *)result->sums;
        int64_t pace = rest == 0 ? stride : stride / 2;
        multiply_groups(first, R, count, steps, a + at * 4 * R, w + at * 128, tokenScales + g * R, corrections + g * R,
                        rowScales + g * 32, sums, result->y, result, begins, ends, ahead, pace);
        ahead += count * steps * pace;
        if (rest == 0) continue;
        multiply_groups(rest, R, count, steps, a + at * 4 * R + first * 4, w + at * 128, tokenScales + g * R + first,
                        corrections + g * R + first, rowScales + g * 32, sums + first * 32,
                        result->y + first * result->ldy, result, begins, ends, ahead, pace);
        ahead += count * steps * pace;
    }
}

#define DEFINE_INT8_GROUP_TILE(R)                                                                                 \
    static void int8_group_tile_##R(int64_t groups, int64_t steps, const int8_t *a, const uint8_t *w,             \
                                    const float *tokenScales, const int32_t *corrections, const float *rowScales, \
                                    const int8_result *result, const uint8_t *ahead, int64_t stride) {            \
        multiply_group_tile(R, groups, steps, a, w, tokenScales, corrections, rowScales, result, ahead, stride);  \
    }
FOR_EACH_TILE(DEFINE_INT8_GROUP_TILE)

#define HAS_INT8_PROBE
static double probe_int8(int64_t iterations) {
    __m512i sums[PROBE_SUMS], x = _mm512_set1_epi8(1), y = _mm512_set1_epi8(1);
    OPAQUE_VECTOR(x);
    OPAQUE_VECTOR(y);
    UNROLL for (int i = 0; i < PROBE_SUMS; i++) sums[i] = _mm512_setzero_si512();
    for (int64_t n = 0; n < iterations; n++) {
        UNROLL for (int i = 0; i < PROBE_SUMS; i++) sums[i] = _mm512_dpbusd_epi32(sums[i], x, y);
    }
    __m512i total = sums[0];
    UNROLL for (int i = 1; i < PROBE_SUMS; i++) total = _mm512_add_epi32(total, sums[i]);
    OPAQUE_VECTOR(total);
    return (double)iterations * PROBE_SUMS * 64 * 2;
}
