//  Plain C where the processor has a fused multiply-add: an instruction then does what is otherwise
//  a call into the C library for each number, with the same bits.

#include "../Dispatch/Tables.h"

#ifdef __x86_64__

#pragma clang attribute push(__attribute__((target("fma"))), apply_to = function)

#include "Scalar.h"

#pragma clang attribute pop

const dk_kernels *dk_scalar_kernels(void) {
    static const dk_kernels kernels = SCALAR_TABLE;
    __builtin_cpu_init();
    return __builtin_cpu_supports("fma") ? &kernels : dk_plain_kernels();
}

#else

const dk_kernels *dk_scalar_kernels(void) { return dk_plain_kernels(); }

#endif
