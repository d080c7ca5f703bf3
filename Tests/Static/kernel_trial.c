//  Tests of the kernels and a benchmark of their products in one program that needs nothing where
//  it runs: for machines that are lent without a toolchain.
//
//      kernel_trial                 compares every table's products with the scalar ones, bit by bit
//      kernel_trial bench [N ...]   measures products of 512 tokens with N threads beside the limit
//
//  Ends with 1 when a bit differs. The hash of all products is the same on every machine.

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "DualityKernels.h"
#include "kernel_trial.h"

static const dk_isa all[] = {DK_SCALAR, DK_AVX2, DK_AVX512, DK_AMX, DK_NEON};
enum { TABLES = sizeof all / sizeof *all };

typedef struct {
    int64_t rows, columns, tokens, group;
} trial_case;

static const trial_case cases[] = {
    {1, 1, 1, 0},         {33, 31, 5, 0},      {70, 100, 13, 32},  {32, 640, 25, 128},  {31, 1300, 14, 0},
    {290, 70, 3, 64},     {40, 48, 530, 0},    {40, 600, 13, 32},  {64, 96, 7, 32},     {64, 64, 12, 64},
    {32, 64, 16, 0},      {33, 128, 17, 0},    {1, 192, 31, 0},    {64, 512, 32, 0},    {70, 1024, 33, 0},
    {600, 320, 47, 0},    {545, 1088, 48, 0},  {95, 4096, 20, 0},  {40, 640, 530, 0},   {40, 1984, 1030, 0},
    {64, 64, 16, 64},     {100, 256, 40, 64},  {70, 640, 17, 128}, {33, 1024, 65, 256}, {545, 640, 49, 128},
    {64, 2048, 520, 128}, {31, 4096, 19, 512}, {64, 1024, 32, 96}, {64, 1000, 48, 0},   {48, 990, 64, 64},
    {230, 8256, 40, 0},   {40, 9216, 33, 128},
};
enum { CASES = sizeof cases / sizeof *cases };

/// As the engine takes it: from 2 MiB on in huge pages, where the system has them.
void *trial_memory(size_t bytes) {
    const size_t hugePage = 2 << 20, unit = bytes >= hugePage ? hugePage : 64, size = (bytes + unit) / unit * unit;
    void *memory = aligned_alloc(unit, size);
    if (!memory) exit(2);
    if (unit == hugePage) madvise(memory, size, MADV_HUGEPAGE);
    memset(memory, 0, size);
    return memory;
}

/// Numbers between -1 and 1 whose magnitudes differ.
void trial_numbers(float *x, int64_t count, uint64_t seed) {
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        double unit = (double)(seed >> 11) / (double)(1ull << 53) * 2 - 1;
        x[i] = (float)(unit * unit * unit);
    }
}

/// From one row of y to the next: of many tokens so far that y is more than the caches hold.
static int64_t stride_of(trial_case c) { return c.tokens > 500 ? 16640 : c.rows; }

/// With something in it that nobody may count on.
static void *used_workspace(void) {
    void *workspace = trial_memory(DK_WORKSPACE_BYTES);
    memset(workspace, 0x5a, DK_WORKSPACE_BYTES);
    return workspace;
}

/// x of a case in bytes, packed in two goes.
static void *byte_activations(const dk_kernels *kernels, trial_case c, const float *x) {
    void *packed = trial_memory((size_t)dk_int8_activation_bytes(c.tokens, c.columns, c.group));
    int64_t half = c.tokens / 2;
    kernels->int8_activations(x, c.columns, c.tokens, c.columns, c.group, 0, half, packed);
    kernels->int8_activations(x, c.columns, c.tokens, c.columns, c.group, half, c.tokens - half, packed);
    return packed;
}

/// y of a case by one table, the panels `split` at a time; the caller frees it.
static float *int8_product(const dk_kernels *kernels, trial_case c, const float *w, const float *x, int64_t split) {
    uint8_t *weights = trial_memory((size_t)dk_int8_weight_bytes(c.rows, c.columns, c.group));
    float *scales = trial_memory((size_t)dk_int8_scale_count(c.rows, c.columns, c.group) * 4);
    kernels->int8_pack(w, c.columns, c.rows, c.columns, c.group, 0, c.rows, weights, scales);
    void *packed = byte_activations(kernels, c, x);
    void *workspace = used_workspace();
    float *y = trial_memory((size_t)(c.tokens * stride_of(c) * 4));
    dk_int8_matrix matrix = {c.rows, c.columns, c.group, weights, scales};
    int64_t panels = dk_panels(c.rows);
    for (int64_t p = 0; p < panels; p += split)
        kernels->int8_matmul(&matrix, packed, c.tokens, p, p + split < panels ? p + split : panels, y, stride_of(c),
                             workspace);
    free(weights), free(scales), free(packed), free(workspace);
    return y;
}

/// The same in four bits.
static float *int4_product(const dk_kernels *kernels, trial_case c, const float *w, const float *x, int64_t split) {
    uint8_t *codes = trial_memory((size_t)dk_int4_code_bytes(c.rows, c.columns, c.group));
    uint8_t *scales = trial_memory((size_t)dk_int4_scale_bytes(c.rows, c.columns, c.group));
    kernels->int4_pack(w, c.columns, c.rows, c.columns, c.group, 0, c.rows, 0, codes, scales);
    void *packed = byte_activations(kernels, c, x);
    void *workspace = used_workspace();
    float *y = trial_memory((size_t)(c.tokens * stride_of(c) * 4));
    dk_int4_matrix matrix = {c.rows, c.columns, c.group, codes, scales};
    int64_t panels = dk_panels(c.rows);
    for (int64_t p = 0; p < panels; p += split)
        kernels->int4_matmul(&matrix, packed, c.tokens, p, p + split < panels ? p + split : panels, y, stride_of(c),
                             workspace);
    free(codes), free(scales), free(packed), free(workspace);
    return y;
}

/// The same of bf16-split, in two bytes a weight or in twelve bits.
static float *split_product(const dk_kernels *kernels, trial_case c, bool compact, const float *w, const float *x,
                            int64_t split) {
    int64_t panels = dk_panels(c.rows), half = c.tokens / 2;
    uint16_t *narrow = trial_memory((size_t)(c.rows * c.columns * 2));
    kernels->f32_to_bf16(w, narrow, c.rows * c.columns);
    uint16_t *weights = trial_memory((size_t)dk_bf16_weight_bytes(c.rows, c.columns));
    kernels->bf16_pack(narrow, c.columns, c.rows, c.columns, 0, c.rows, weights);
    uint32_t *exponents = trial_memory((size_t)(panels * 64)), *starts = trial_memory((size_t)(panels + 1) * 4);
    uint32_t *counts = trial_memory((size_t)panels * 4);
    dk_compact_survey(narrow, c.columns, c.columns, c.rows, exponents, counts);
    for (int64_t p = 0; p < panels; p++) starts[p + 1] = starts[p] + counts[p];
    uint32_t *units = trial_memory((size_t)dk_compact_unit_bytes(c.rows, c.columns));
    uint32_t *exceptions = trial_memory((size_t)starts[panels] * 4 + 4);
    dk_compact_pack(narrow, c.columns, c.columns, 0, c.rows, exponents, starts, units, exceptions);
    void *packed = trial_memory((size_t)dk_f32_activation_bytes(c.tokens, c.columns));
    kernels->bf16_split_activations(x, c.columns, c.tokens, c.columns, 0, half, packed);
    kernels->bf16_split_activations(x, c.columns, c.tokens, c.columns, half, c.tokens - half, packed);
    void *workspace = used_workspace();
    float *y = trial_memory((size_t)(c.tokens * stride_of(c) * 4));
    dk_bf16_matrix plain = {c.rows, c.columns, weights};
    dk_compact_matrix twelve = {c.rows, c.columns, units, exponents, exceptions, starts};
    for (int64_t p = 0; p < panels; p += split) {
        int64_t end = p + split < panels ? p + split : panels;
        if (compact) kernels->compact_split_matmul(&twelve, packed, c.tokens, p, end, y, stride_of(c), workspace);
        else kernels->bf16_split_matmul(&plain, packed, c.tokens, p, end, y, stride_of(c), workspace);
    }
    free(narrow), free(weights), free(exponents), free(starts), free(counts), free(units), free(exceptions);
    free(packed), free(workspace);
    return y;
}

static int64_t differing(const float *a, const float *b, int64_t count) {
    int64_t different = 0;
    for (int64_t i = 0; i < count; i++)
        different += memcmp(a + i, b + i, 4) != 0 && a[i] != b[i] && !(isnan(a[i]) && isnan(b[i]));
    return different;
}

enum { INT8, SPLIT, COMPACT, INT4, FORMATS };
static const char *const formats[] = {"int8", "bf16-split", "bf16-split in twelve bits", "int4"};

static float *product(const dk_kernels *kernels, int format, trial_case c, const float *w, const float *x,
                      int64_t split) {
    if (format == INT8) return int8_product(kernels, c, w, x, split);
    if (format == INT4) return int4_product(kernels, c, w, x, split);
    return split_product(kernels, c, format == COMPACT, w, x, split);
}

/// FNV-1a over the bits of the numbers; every NaN counts as the same one.
static uint64_t hashed(uint64_t hash, const float *numbers, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, numbers + i, 4);
        if (isnan(numbers[i])) bits = 0x7fc00000;
        hash = (hash ^ bits) * 0x100000001b3u;
    }
    return hash;
}

static int compare_tables(void) {
    int failures = 0, compared[TABLES] = {0};
    uint64_t hash = 0xcbf29ce484222325u;
    for (int i = 0; i < CASES * FORMATS; i++) {
        trial_case c = cases[i / FORMATS];
        int format = i % FORMATS;
        // int4 has groups, of 128 numbers at most.
        if (format == INT4 && (c.group == 0 || c.group == 96 || c.group > 128)) c.group = c.columns > 300 ? 64 : 128;
        float *w = trial_memory((size_t)(c.rows * c.columns * 4)),
              *x = trial_memory((size_t)(c.tokens * c.columns * 4));
        trial_numbers(w, c.rows * c.columns, 1);
        trial_numbers(x, c.tokens * c.columns, 2);
        if (c.tokens > 1) memset(x, 0, (size_t)c.columns * 4);
        if (c.tokens > 2) x[c.columns] = NAN;
        if (c.tokens > 3) x[2 * c.columns] = INFINITY;
        for (int64_t k = 0; c.tokens > 4 && k < c.columns; k++) x[3 * c.columns + k] *= 0x1p-124f;
        float *expected = product(dk_plain_kernels(), format, c, w, x, 1000);
        for (int64_t t = 0; t < c.tokens; t++) hash = hashed(hash, expected + t * stride_of(c), c.rows);
        for (int t = 0; t < TABLES; t++) {
            const dk_kernels *kernels = dk_kernels_for(all[t]);
            if (!kernels) continue;
            for (int64_t split = 1; split <= 1000; split += 999) {
                float *found = product(kernels, format, c, w, x, split);
                int64_t wrong = differing(expected, found, c.tokens * stride_of(c));
                compared[t]++;
                if (wrong) {
                    failures++;
                    printf("FAIL %s %s %lld x %lld, %lld tokens, group %lld: %lld numbers differ\n", kernels->name,
                           formats[format], (long long)c.rows, (long long)c.columns, (long long)c.tokens,
                           (long long)c.group, (long long)wrong);
                }
                free(found);
            }
        }
        free(expected), free(w), free(x);
    }
    for (int t = 0; t < TABLES; t++)
        if (compared[t]) printf("%-7s %d products compared with plain C\n", dk_kernels_for(all[t])->name, compared[t]);
    printf(failures ? "%d differ\n" : "all bits equal\n", failures);
    printf("hash of all products 0x%016llx\n", (unsigned long long)hash);
    return failures != 0;
}

int main(int count, char **arguments) {
    char message[256];
    const dk_kernels *active = dk_active(message, sizeof message);
    if (!active) {
        fprintf(stderr, "%s\n", message);
        return 2;
    }
    printf("%s: %s\n", active->name, active->summary);
    if (count > 1 && strcmp(arguments[1], "bench") == 0) return trial_bench(active, count - 2, arguments + 2);
    return compare_tables();
}
