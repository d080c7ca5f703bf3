//  The tables of this build, each null where the machine cannot run it.

#ifndef DUALITY_KERNELS_TABLES_H
#define DUALITY_KERNELS_TABLES_H

#include "DualityKernels.h"

const dk_kernels *dk_scalar_kernels(void);
const dk_kernels *dk_avx2_kernels(void);
const dk_kernels *dk_avx512_kernels(void);
const dk_kernels *dk_amx_kernels(void);
const dk_kernels *dk_neon_kernels(void);

#endif
