//  The kernels in plain C, for the files that compile them: without any instruction that a machine
//  may lack, and with fused multiply-add.

#define TILE 4
#define VECTORS 1
#define FOR_EACH_TILE(X) X(1) X(2) X(3) X(4)
#define PROBE_SUMS 1
#define INT8_TILES "Isa/ScalarInt8.h"

#include "../Kernels.inc"

#define SCALAR_TABLE KERNEL_TABLE(DK_SCALAR, "scalar", "int8 and bf16 by plain multiplication, bf16-dot emulated")
