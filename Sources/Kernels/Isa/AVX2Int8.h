//  int8 tiles of AVX2: bytes are widened to 16 bits, `vpmaddwd` adds two products to 32 bits. The
//  shorter way, `vpmaddubsw`, adds products of bytes in 16 bits and saturates: 255 * 127 * 2 is
//  64770. Widening is exact for every input.

/// Eight rows of a panel for R tokens. A vector of sums holds four rows twice: columns 0 and 1, and
/// columns 2 and 3, which are joined at the end.
INLINE void multiply_eight_rows(const int R, const bool FETCH, int64_t steps, const int8_t *a, const uint8_t *w,
                                int32_t *sums, const uint8_t *ahead, int64_t stride) {
    __m256i s[TILE][2];
    UNROLL for (int r = 0; r < R; r++) s[r][0] = s[r][1] = _mm256_setzero_si256();
    for (int64_t i = 0; i < steps; i++) {
        if (FETCH) {
            _mm_prefetch((const char *)ahead, _MM_HINT_T0);
            ahead += stride;
        }
        __m256i low = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(w + i * 128)));
        __m256i high = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)(w + i * 128 + 16)));
        UNROLL for (int r = 0; r < R; r++) {
            int32_t four;
            memcpy(&four, a + (i * R + r) * 4, 4);
            __m256i x = _mm256_broadcastq_epi64(_mm_cvtepi8_epi16(_mm_cvtsi32_si128(four)));
            s[r][0] = _mm256_add_epi32(s[r][0], _mm256_madd_epi16(low, x));
            s[r][1] = _mm256_add_epi32(s[r][1], _mm256_madd_epi16(high, x));
        }
    }
    UNROLL for (int r = 0; r < R; r++) {
        // Neighbours are joined; within 128 bits hadd mixes the two operands, the permutation sorts
        // them.
        __m256i joined = _mm256_permute4x64_epi64(_mm256_hadd_epi32(s[r][0], s[r][1]), 0xd8);
        __m256i *out = (__m256i *)(void *)(sums + r * 32);
        _mm256_storeu_si256(out, _mm256_add_epi32(_mm256_loadu_si256(out), joined));
    }
}

#define DEFINE_INT8_TILE(R)                                                                                          \
    static void int8_tile_##R(int64_t steps, const int8_t *a, const uint8_t *w, int32_t *sums, const uint8_t *ahead, \
                              int64_t stride) {                                                                      \
        for (int eight = 0; eight < 4; eight++)                                                                      \
            multiply_eight_rows(R, true, steps, a, w + eight * 32, sums + eight * 8,                                 \
                                ahead + eight * steps * (stride / 4), stride / 4);                                   \
    }                                                                                                                \
    static void int8_stream_##R(int64_t steps, const int8_t *a, const uint8_t *w, int32_t *sums) {                   \
        /* In pieces that stay in L1 for the four passes over them; the first asks for the next piece. */            \
        for (int64_t i = 0; i < steps; i += 64) {                                                                    \
            int64_t count = least(64, steps - i);                                                                    \
            for (int eight = 0; eight < 4; eight++)                                                                  \
                multiply_eight_rows(R, true, count, a + i * 4 * R, w + i * 128 + eight * 32, sums + eight * 8,       \
                                    w + (i + 64) * 128 + eight * count * 32, 32);                                    \
        }                                                                                                            \
    }
FOR_EACH_TILE(DEFINE_INT8_TILE)

#include "../Products/Int8Groups.h"
