//  int4 streams of AVX-512 with VNNI: a line of codes is 4 columns of a panel. Both its halves are
//  looked up in registers and go to `vpdpbusd` as int8 weights do. More than six tokens take a
//  panel
//  twice, half of them each time: their sums would not fit the registers, and the second time the
//  codes come from L2.

#define INT4_STREAM_TOKENS 12
#define INT4_TOKENS_TOGETHER 6

typedef void int4_stream(int64_t groups, int64_t steps, const int8_t *a, const uint8_t *codes, const float *tokenScales,
                         const int32_t *corrections, const uint8_t *scales, float *y, int64_t ldy, int64_t rows);

/// R of the `tokens` tokens of a tile; a, tokenScales, corrections and y begin at the first of
/// them.
INLINE void stream_int4(const int R, const int tokens, int64_t groups, int64_t steps, const int8_t *a,
                        const uint8_t *codes, const float *tokenScales, const int32_t *corrections,
                        const uint8_t *scales, float *y, int64_t ldy, int64_t rows) {
    __m512i alphabet = _mm512_broadcast_i32x4((__m128i)int4_alphabet()), nibble = _mm512_set1_epi8(15);
    __m512 unit[2], total[INT4_TOKENS_TOGETHER][2];
    UNROLL for (int v = 0; v < 2; v++) {
        unit[v] = _mm512_loadu_ps(scales + v * 64);
        UNROLL for (int r = 0; r < R; r++) total[r][v] = _mm512_setzero_ps();
    }
    scales += INT4_ROW_SCALES;
    for (int64_t g = 0; g < groups; g++, scales += 32) {
        __m512i s[INT4_TOKENS_TOGETHER][2];
        UNROLL for (int r = 0; r < R; r++) s[r][0] = s[r][1] = _mm512_set1_epi32(corrections[g * tokens + r]);
        FETCH_L1(scales, 512);
        for (int64_t i = 0; i < steps; i++, a += 4 * tokens, codes += 64) {
            FETCH_L1(codes, AHEAD_L1);
            __m512i both = _mm512_loadu_si512(codes);
            __m512i low = _mm512_shuffle_epi8(alphabet, _mm512_and_si512(both, nibble));
            __m512i high = _mm512_shuffle_epi8(alphabet, _mm512_and_si512(_mm512_srli_epi16(both, 4), nibble));
            UNROLL for (int r = 0; r < R; r++) {
                __m512i x = four_activations(a + 4 * r);
                s[r][0] = _mm512_dpbusd_epi32(s[r][0], low, x);
                s[r][1] = _mm512_dpbusd_epi32(s[r][1], high, x);
            }
        }
        UNROLL for (int v = 0; v < 2; v++) {
            __m512i q = _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(scales + v * 16)));
            __m512 rowScale = _mm512_mul_ps(_mm512_cvtepi32_ps(q), unit[v]);
            UNROLL for (int r = 0; r < R; r++) {
                __m512 scale = _mm512_mul_ps(rowScale, _mm512_set1_ps(tokenScales[g * tokens + r]));
                total[r][v] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s[r][v]), scale, total[r][v]);
            }
        }
    }
    UNROLL for (int v = 0; v < 2; v++) {
        int64_t left = rows - 16 * v;
        __mmask16 kept = left >= 16 ? 0xffff : left <= 0 ? 0 : (__mmask16)((1 << left) - 1);
        UNROLL for (int r = 0; r < R; r++) _mm512_mask_storeu_ps(y + r * ldy + v * 16, kept, total[r][v]);
    }
}

#define DEFINE_INT4_STREAM(R)                                                                                          \
    static void int4_stream_##R(int64_t groups, int64_t steps, const int8_t *a, const uint8_t *codes,                  \
                                const float *tokenScales, const int32_t *corrections, const uint8_t *scales, float *y, \
                                int64_t ldy, int64_t rows) {                                                           \
        const int first = R <= INT4_TOKENS_TOGETHER ? R : (R + 1) / 2, rest = R - first;                               \
        stream_int4(first, R, groups, steps, a, codes, tokenScales, corrections, scales, y, ldy, rows);                \
        if (rest > 0)                                                                                                  \
            stream_int4(rest, R, groups, steps, a + 4 * first, codes, tokenScales + first, corrections + first,        \
                        scales, y + first * ldy, ldy, rows);                                                           \
    }
FOR_EACH_TILE(DEFINE_INT4_STREAM)

#define INT4_STREAM_ENTRY(R) [R] = int4_stream_##R,
static int4_stream *const int4Streams[INT4_STREAM_TOKENS + 1] = {FOR_EACH_TILE(INT4_STREAM_ENTRY)};
