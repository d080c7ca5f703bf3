//  Instruction sets that have no kernels yet.

#include "Tables.h"

const dk_kernels *dk_avx2_kernels(void) { return 0; }
const dk_kernels *dk_neon_kernels(void) { return 0; }
