//  Which table of kernels this machine runs.

#include "Tables.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const dk_isa widestFirst[] = {DK_AMX, DK_AVX512, DK_AVX2, DK_NEON, DK_SCALAR};
static const char *const names[] = {
    [DK_SCALAR] = "scalar", [DK_AVX2] = "avx2", [DK_AVX512] = "avx512", [DK_NEON] = "neon", [DK_AMX] = "amx"};

const dk_kernels *dk_kernels_for(dk_isa isa) {
    switch (isa) {
        case DK_SCALAR: return dk_scalar_kernels();
        case DK_AVX2: return dk_avx2_kernels();
        case DK_AVX512: return dk_avx512_kernels();
        case DK_AMX: return dk_amx_kernels();
        case DK_NEON: return dk_neon_kernels();
    }
    return NULL;
}

const dk_kernels *dk_active(char *message, int64_t size) { return dk_select(getenv("DUALITY_ISA"), message, size); }

const dk_kernels *dk_select(const char *wanted, char *message, int64_t size) {
    char available[64] = "";
    for (size_t i = 0; i < sizeof widestFirst / sizeof *widestFirst; i++) {
        const dk_kernels *kernels = dk_kernels_for(widestFirst[i]);
        if (kernels == NULL) continue;
        if (wanted == NULL || wanted[0] == 0 || strcmp(wanted, kernels->name) == 0) return kernels;
        if (available[0]) strncat(available, ", ", sizeof available - strlen(available) - 1);
        strncat(available, kernels->name, sizeof available - strlen(available) - 1);
    }
    bool known = false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) known |= strcmp(wanted, names[i]) == 0;
    if (size > 0)
        snprintf(message, (size_t)size, "DUALITY_ISA is \"%.40s\", which %s; this machine has %s", wanted,
                 known ? "this machine cannot run" : "is no instruction set we know", available);
    return NULL;
}
