//  int8 tiles of NEON with the dot product extension: `sdot` adds four products of signed bytes to
//  32 bits. Weights lose their surplus 128 by flipping the upper bit; the sums of the callers
//  start from minus the surplus, so the tile adds 128 times the sum of the activations.

INLINE int8x16_t four_activations(const int8_t *a) {
    int32_t four;
    memcpy(&four, a, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}

/// Half a panel, sixteen rows, for R tokens.
INLINE void multiply_sixteen_rows(const int R, int64_t steps, const int8_t *a, const uint8_t *w, int32_t *sums,
                                  const uint8_t *ahead, int64_t stride) {
    int32x4_t s[TILE][4];
    UNROLL for (int r = 0; r < R; r++) {
        int32x4_t surplus = vdupq_n_s32(0);
        for (int64_t i = 0; i < steps; i++)
            surplus = vdotq_s32(surplus, vdupq_n_s8(64), four_activations(a + (i * R + r) * 4));
        surplus = vshlq_n_s32(surplus, 1);
        UNROLL for (int v = 0; v < 4; v++) s[r][v] = vaddq_s32(vld1q_s32(sums + r * 32 + v * 4), surplus);
    }
    for (int64_t i = 0; i < steps; i++) {
        __builtin_prefetch(ahead);
        ahead += stride;
        int8x16_t column[4];
        UNROLL for (int v = 0; v < 4; v++) column[v] =
            vreinterpretq_s8_u8(veorq_u8(vld1q_u8(w + i * 128 + v * 16), vdupq_n_u8(0x80)));
        UNROLL for (int r = 0; r < R; r++) {
            int8x16_t x = four_activations(a + (i * R + r) * 4);
            UNROLL for (int v = 0; v < 4; v++) s[r][v] = vdotq_s32(s[r][v], column[v], x);
        }
    }
    UNROLL for (int r = 0; r < R; r++) { UNROLL for (int v = 0; v < 4; v++) vst1q_s32(sums + r * 32 + v * 4, s[r][v]); }
}

#define DEFINE_INT8_TILE(R)                                                                                          \
    static void int8_tile_##R(int64_t steps, const int8_t *a, const uint8_t *w, int32_t *sums, const uint8_t *ahead, \
                              int64_t stride) {                                                                      \
        for (int half = 0; half < 2; half++)                                                                         \
            multiply_sixteen_rows(R, steps, a, w + half * 64, sums + half * 16, ahead + half * steps * (stride / 2), \
                                  stride / 2);                                                                       \
    }                                                                                                                \
    static void int8_stream_##R(int64_t steps, const int8_t *a, const uint8_t *w, int32_t *sums) {                   \
        for (int64_t i = 0; i < steps; i += 64) {                                                                    \
            int64_t count = least(64, steps - i);                                                                    \
            for (int half = 0; half < 2; half++)                                                                     \
                multiply_sixteen_rows(R, count, a + i * 4 * R, w + i * 128 + half * 64, sums + half * 16,            \
                                      w + (i + 64) * 128 + half * count * 64, 64);                                   \
        }                                                                                                            \
    }
FOR_EACH_TILE(DEFINE_INT8_TILE)

#include "../Products/Int8Groups.h"
