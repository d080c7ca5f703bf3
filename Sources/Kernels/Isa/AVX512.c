//  AVX-512 with VNNI: Ice Lake, Sapphire Rapids, Zen 4 and later.
//
//  bf16-dot: `vdpbf16ps` adds two products of bfloat16 numbers to a float32, where the machine has
//  it.

#include "../Dispatch/Tables.h"

#ifdef __x86_64__

#include <immintrin.h>

#define TILE 12
#define VECTORS 2
#define FOR_EACH_TILE(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12)
#define PROBE_SUMS 20
#define INT8_TILES "Isa/AVX512Int8.h"
#define INT4_STREAMS "Isa/AVX512Int4.h"

#pragma clang attribute push(                                                                          \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx512bf16"))), \
    apply_to = function)

#define SCALE_BY_POWER(v, n, integer) (lanes) _mm512_scalef_ps((__m512)(v), (__m512)(n))
#define LOOK_UP(alphabet, indices) (bit_lanes) _mm512_permutexvar_epi32((__m512i)(indices), (__m512i)(alphabet))
#define DOT_PAIRS(sum, w, x) (lanes) _mm512_dpbf16_ps((__m512)(sum), (__m512bh)(w), (__m512bh)(x))
#define RUNS_DOT_PAIRS __builtin_cpu_supports("avx512bf16")

#include "../Common/Lanes.h"
#include "AVX512Shuffle.h"

#include "../Kernels.inc"

#pragma clang attribute pop

const dk_kernels *dk_avx512_kernels(void) {
    static const dk_kernels without =
        KERNEL_TABLE(DK_AVX512, "avx512", "int8 by vpdpbusd, bf16 widened to float32, bf16-dot emulated");
    static const dk_kernels with =
        KERNEL_TABLE(DK_AVX512, "avx512", "int8 by vpdpbusd, bf16 widened to float32, bf16-dot by vdpbf16ps");
    __builtin_cpu_init();
    bool runs = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("fma");
    if (!runs) return 0;
    return RUNS_DOT_PAIRS ? &with : &without;
}

#else

const dk_kernels *dk_avx512_kernels(void) { return 0; }

#endif
