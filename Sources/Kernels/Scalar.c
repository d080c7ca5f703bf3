//  Plain C: what every machine can run, and what the tables of the others are compared with.

#include "Tables.h"

#define TILE 4
#define VECTORS 1
#define FOR_EACH_TILE(X) X(1) X(2) X(3) X(4)
#define PROBE_SUMS 1

#include "Lanes.h"

#include "Tiles.h"

#include "VectorFunctions.h"

#include "FloatProducts.h"

#include "Int8Packing.h"

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

#define DEFINE_INT8_TILE(R)                                                                        \
    static void int8_tile_##R(int64_t steps, const int8_t *a, const uint8_t *w, int32_t *sums,     \
                              const uint8_t *ahead, int64_t stride) {                              \
        (void)ahead, (void)stride;                                                                 \
        multiply_int8(R, steps, a, w, sums);                                                       \
    }                                                                                              \
    static void int8_stream_##R(int64_t steps, const int8_t *a, const uint8_t *w, int32_t *sums) { \
        multiply_int8(R, steps, a, w, sums);                                                       \
    }
FOR_EACH_TILE(DEFINE_INT8_TILE)

#include "Int8Groups.h"

#include "Int8Tiles.h"

#include "Int8Products.h"

#include "Subnormals.h"

#include "Scan.h"

#include "Delta/HeadVectors.h"

#include "Delta/DeltaRule.h"

#include "Delta/KalmaRule.h"

#include "AttentionKernel.h"

#include "Attention/FadingAttention.h"

#include "Probes.h"

#include "Table.h"

const dk_kernels *dk_scalar_kernels(void) {
    static const dk_kernels kernels =
        KERNEL_TABLE(DK_SCALAR, "scalar", "int8 and bf16 by plain multiplication", false);
    return &kernels;
}
