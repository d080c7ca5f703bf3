//  AVX2 with FMA: Haswell, Zen and later.

#include "../Dispatch/Tables.h"

#ifdef __x86_64__

#include <immintrin.h>

#define TILE 6
#define VECTORS 1
#define FOR_EACH_TILE(X) X(1) X(2) X(3) X(4) X(5) X(6)
#define PROBE_SUMS 6
#define INT8_TILES "Isa/AVX2Int8.h"

#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)

#include "../Common/Lanes.h"

INLINE bit_lanes shuffle_bytes(__m128i table, bit_lanes indices) {
    __m256i half[2], twice = _mm256_broadcastsi128_si256(table);
    memcpy(half, &indices, sizeof half);
    UNROLL for (int i = 0; i < 2; i++) half[i] = _mm256_shuffle_epi8(twice, half[i]);
    memcpy(&indices, half, sizeof half);
    return indices;
}

#define SHUFFLE_BYTES(table, indices) shuffle_bytes((__m128i)(table), indices)

#include "../Kernels.inc"

#pragma clang attribute pop

const dk_kernels *dk_avx2_kernels(void) {
    static const dk_kernels kernels =
        KERNEL_TABLE(DK_AVX2, "avx2", "int8 by vpmaddwd on 16 bits, bf16 widened to float32, bf16-dot emulated");
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kernels : 0;
}

#else

const dk_kernels *dk_avx2_kernels(void) { return 0; }

#endif
