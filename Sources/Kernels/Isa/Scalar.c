//  Plain C: what every machine can run, and what the tables of the others are compared with.

#include "../Dispatch/Tables.h"

#define TILE 4
#define VECTORS 1
#define FOR_EACH_TILE(X) X(1) X(2) X(3) X(4)
#define PROBE_SUMS 1
#define INT8_TILES "Isa/ScalarInt8.h"

#include "../Kernels.inc"

const dk_kernels *dk_scalar_kernels(void) {
    static const dk_kernels kernels =
        KERNEL_TABLE(DK_SCALAR, "scalar", "int8 and bf16 by plain multiplication, bf16-dot emulated");
    return &kernels;
}
