// ggml's own rounding to one of its types, and back: rows of float32 from standard input to standard
// output; bytes per row on standard error.
//
//     ggml_round TYPE COLUMNS < ROWS > ROUNDED          TYPE as ggml names it: q4_0, q4_K, iq4_xs, …
//
// Columns must be a multiple of the type's block. No importance matrix.

#include "ggml.h"
#include "ggml-cpu.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char **arguments) {
    if (count != 3) return 2;
    const long columns = atol(arguments[2]);
    enum ggml_type type = GGML_TYPE_COUNT;
    for (int i = 0; i < GGML_TYPE_COUNT; i++) {
        const char *name = ggml_type_name((enum ggml_type)i);
        if (name && strcmp(name, arguments[1]) == 0) type = (enum ggml_type)i;
    }
    if (type == GGML_TYPE_COUNT || !ggml_get_type_traits(type)->to_float) {
        fprintf(stderr, "ggml has no type %s\n", arguments[1]);
        return 1;
    }
    if (columns <= 0 || columns % ggml_blck_size(type)) {
        fprintf(stderr, "%ld columns are no multiple of %ld\n", columns, (long)ggml_blck_size(type));
        return 1;
    }
    ggml_cpu_init();  // tables of float16
    ggml_quantize_init(type);
    const size_t bytes = ggml_row_size(type, columns);
    float *row = malloc((size_t)columns * 4);
    void *stored = malloc(bytes);
    if (!row || !stored) return 1;
    while (fread(row, 4, (size_t)columns, stdin) == (size_t)columns) {
        ggml_quantize_chunk(type, row, stored, 0, 1, columns, NULL);
        ggml_get_type_traits(type)->to_float(stored, row, columns);
        if (fwrite(row, 4, (size_t)columns, stdout) != (size_t)columns) return 1;
    }
    fprintf(stderr, "%zu\n", bytes);
    return 0;
}
