// Normal random numbers in one of ggml's types, for files of random weights.
//
//     ggml_pool TYPE ROWS COLUMNS > BYTES        TYPE as ggml names it: q8_0, bf16, q4_K, iq4_ks, …
//
// The first line has the type's number in files and the bytes of a row; the rows follow. Columns must
// be a multiple of the type's block. No importance matrix.

#include "ggml.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/// Uniform in (0, 1].
static double uniform(void) {
    static unsigned long long state = 88172645463325252ull;
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return ((state >> 40) + 1) / 16777216.0;
}

int main(int count, char **arguments) {
    if (count != 4) return 2;
    const long rows = atol(arguments[2]), columns = atol(arguments[3]);
    int type = -1;
    for (int i = 0; i < GGML_TYPE_COUNT; i++) {
        const char *name = ggml_type_name((enum ggml_type)i);
        if (name && strcmp(name, arguments[1]) == 0) type = i;
    }
    if (type < 0) {
        fprintf(stderr, "ggml has no type %s\n", arguments[1]);
        return 1;
    }
    if (rows <= 0 || columns <= 0 || columns % ggml_blck_size((enum ggml_type)type)) {
        fprintf(stderr, "%ld columns are no multiple of %ld\n", columns, (long)ggml_blck_size((enum ggml_type)type));
        return 1;
    }
    struct ggml_init_params parameters = {.mem_size = 1 << 20};
    ggml_init(parameters);  // tables of float16
    ggml_quantize_init((enum ggml_type)type);
    const size_t bytes = ggml_row_size((enum ggml_type)type, columns);
    float *row = malloc((size_t)columns * 4);
    void *stored = malloc(bytes);
    if (!row || !stored) return 1;
    printf("%d %zu\n", type, bytes);
    for (long r = 0; r < rows; r++) {
        for (long c = 0; c < columns; c++)
            row[c] = (float)(0.02 * sqrt(-2 * log(uniform())) * cos(6.283185307179586 * uniform()));
        if (strcmp(arguments[1], "bf16") == 0)
            ggml_fp32_to_bf16_row(row, stored, columns);
        else
            ggml_quantize_chunk((enum ggml_type)type, row, stored, 0, 1, columns, NULL);
        if (fwrite(stored, 1, bytes, stdout) != bytes) return 1;
    }
    return 0;
}
