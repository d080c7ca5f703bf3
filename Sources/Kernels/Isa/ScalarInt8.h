//  int8 tiles of Plain C: what the tables of the others are compared with.

INLINE void multiply_int8(const int R, int64_t steps, const int8_t *a, const uint8_t *w, int32_t *sums) {
    for (int64_t s = 0; s < steps; s++) {
        for (int r = 0; r < R; r++) {
            for (int m = 0; m < 32; m++) {
                uint32_t sum = (uint32_t)sums[r * 32 + m];  // unsigned: it may wrap on the way
                for (int k = 0; k < 4; k++) sum += (uint32_t)(w[s * 128 + m * 4 + k] * a[(s * R + r) * 4 + k]);
                sums[r * 32 + m] = (int32_t)sum;
            }
        }
    }
}

#define DEFINE_INT8_TILE(R)                                                                                          \
    static void int8_tile_##R(int64_t steps, const int8_t *a, const uint8_t *w, int32_t *sums, const uint8_t *ahead, \
                              int64_t stride) {                                                                      \
        (void)ahead, (void)stride;                                                                                   \
        multiply_int8(R, steps, a, w, sums);                                                                         \
    }                                                                                                                \
    static void int8_stream_##R(int64_t steps, const int8_t *a, const uint8_t *w, int32_t *sums) {                   \
        multiply_int8(R, steps, a, w, sums);                                                                         \
    }
FOR_EACH_TILE(DEFINE_INT8_TILE)

#include "../Products/Int8Groups.h"
