//  NEON with the dot product extension: Apple silicon, Neoverse N1 and later.

#include "../Dispatch/Tables.h"

#ifdef __aarch64__

#include <arm_neon.h>

#ifdef __linux__
#include <sys/auxv.h>
#endif

#define TILE 6
#define VECTORS 1
#define FOR_EACH_TILE(X) X(1) X(2) X(3) X(4) X(5) X(6)
#define PROBE_SUMS 6
#define INT8_TILES "Isa/NEONInt8.h"

#pragma clang attribute push(__attribute__((target("dotprod"))), apply_to = function)

#include "../Common/Lanes.h"

INLINE bit_lanes shuffle_bytes(uint8x16_t table, bit_lanes indices) {
    uint8x16_t quarter[4];
    memcpy(quarter, &indices, sizeof quarter);
    UNROLL for (int i = 0; i < 4; i++) quarter[i] = vqtbl1q_u8(table, quarter[i]);
    memcpy(&indices, quarter, sizeof quarter);
    return indices;
}

#define SHUFFLE_BYTES(table, indices) shuffle_bytes((uint8x16_t)(table), indices)

#include "../Kernels.inc"

#pragma clang attribute pop

static bool has_dot_product(void) {
#if defined(__APPLE__)
    return true;  // every 64-bit Mac
#elif defined(__linux__)
    return (getauxval(AT_HWCAP) & (1 << 20)) != 0;  // HWCAP_ASIMDDP
#else
    return false;
#endif
}

const dk_kernels *dk_neon_kernels(void) {
    static const dk_kernels kernels =
        KERNEL_TABLE(DK_NEON, "neon", "int8 by sdot, bf16 widened to float32, bf16-dot emulated");
    return has_dot_product() ? &kernels : 0;
}

#else

const dk_kernels *dk_neon_kernels(void) { return 0; }

#endif
