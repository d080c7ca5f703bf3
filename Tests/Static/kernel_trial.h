//  What the two files of the program share.

#ifndef KERNEL_TRIAL_H
#define KERNEL_TRIAL_H

#include <stddef.h>
#include <stdint.h>

#include "DualityKernels.h"

/// Zeroed memory on a cache line; ends the program when there is none.
void *trial_memory(size_t bytes);
void trial_numbers(float *x, int64_t count, uint64_t seed);

/// Measures with each of the numbers of threads that are named, else 1, 2, 4 ... the processors.
int trial_bench(const dk_kernels *kernels, int count, char **threads);

#endif
