//  Plain C: what every machine can run, and what the tables of the others are compared with.

#include "../Dispatch/Tables.h"
#include "Scalar.h"

const dk_kernels *dk_plain_kernels(void) {
    static const dk_kernels kernels = SCALAR_TABLE;
    return &kernels;
}
