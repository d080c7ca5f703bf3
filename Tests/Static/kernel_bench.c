//  Products of 512 tokens on the shapes of an 8B model, by any number of threads, beside what the
//  multiply-adds reach on registers with as many.

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "kernel_trial.h"

enum { MOST_THREADS = 256, REPEATS = 9 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

typedef void job(void *context, int thread, int threads);

/// Threads that do one job after another, each begun together.
typedef struct {
    int threads;
    pthread_barrier_t begin, end;
    job *job;
    void *context;
} crew;

typedef struct {
    crew *crew;
    int number;
} member;

static void *work(void *argument) {
    member self = *(member *)argument;
    for (;;) {
        pthread_barrier_wait(&self.crew->begin);
        if (!self.crew->job) return 0;
        self.crew->job(self.crew->context, self.number, self.crew->threads);
        pthread_barrier_wait(&self.crew->end);
    }
}

/// Seconds of the job, from the common start to the end of the last thread.
static double run(crew *crew, job *job, void *context) {
    crew->job = job;
    crew->context = context;
    pthread_barrier_wait(&crew->begin);
    double start = now();
    if (job) {
        job(context, 0, crew->threads);
        pthread_barrier_wait(&crew->end);
    }
    return now() - start;
}

typedef struct {
    const dk_kernels *kernels;
    double (*probe)(int64_t);
    int64_t iterations;
    dk_int8_matrix matrix;
    dk_bf16_matrix bf16;
    int64_t tokens;
    const void *packed;
    float *y;
    void *workspaces[MOST_THREADS];
} bench;

static void probe_job(void *context, int thread, int threads) {
    (void)thread, (void)threads;
    bench *b = context;
    b->probe(b->iterations);
}

static void product_job(void *context, int thread, int threads) {
    bench *b = context;
    int64_t panels = dk_panels(b->matrix.rows);
    b->kernels->int8_matmul(&b->matrix, b->packed, b->tokens, panels * thread / threads,
                            panels * (thread + 1) / threads, b->y, b->matrix.rows, b->workspaces[thread]);
}

static void split_job(void *context, int thread, int threads) {
    bench *b = context;
    int64_t panels = dk_panels(b->bf16.rows);
    b->kernels->bf16_split_matmul(&b->bf16, b->packed, b->tokens, panels * thread / threads,
                                  panels * (thread + 1) / threads, b->y, b->bf16.rows, b->workspaces[thread]);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values) {
    qsort(values, REPEATS, sizeof *values, ascending);
    return values[REPEATS / 2];
}

/// As many iterations of a probe as take `seconds`.
static void set_probe(crew *crew, bench *b, double (*probe)(int64_t), double seconds) {
    b->probe = probe;
    b->iterations = 1000;
    b->iterations = (int64_t)(1000 * seconds / (run(crew, probe_job, b) + 1e-7)) + 1;
}

static double probe_rate(crew *crew, bench *b) {
    return b->probe(1) * (double)b->iterations * crew->threads / run(crew, probe_job, b);
}

static double limit(crew *crew, bench *b, double (*probe)(int64_t)) {
    double rates[REPEATS];
    set_probe(crew, b, probe, 0.01);
    for (int i = 0; i < REPEATS; i++) rates[i] = probe_rate(crew, b);
    return median(rates);
}

/// The job and the limit in turns: a neighbour on the same cores slows both.
static void report(crew *crew, bench *b, job *job, double operations, const char *label) {
    double rates[REPEATS], shares[REPEATS], best = 0;
    run(crew, job, b);
    for (int i = 0; i < REPEATS; i++) {
        double peak = probe_rate(crew, b);
        rates[i] = operations / run(crew, job, b);
        shares[i] = rates[i] / ((peak + probe_rate(crew, b)) / 2);
        best = rates[i] > best ? rates[i] : best;
    }
    printf("  %-28s %7.3f TOPS, best %7.3f, %5.1f %% of the limit\n", label, median(rates) * 1e-12, best * 1e-12,
           100 * median(shares));
}

static void measure_shape(crew *crew, bench *b, int64_t rows, int64_t columns, int64_t group) {
    int64_t tokens = 512;
    uint8_t *weights = trial_memory((size_t)dk_int8_weight_bytes(rows, columns, group));
    float *scales = trial_memory((size_t)dk_int8_scale_count(rows, columns, group) * 4);
    float *source = trial_memory((size_t)(32 * columns * 4)), *x = trial_memory((size_t)(tokens * columns * 4));
    trial_numbers(x, tokens * columns, 2);
    trial_numbers(source, 32 * columns, 1);
    for (int64_t row = 0; row < rows; row += 32)
        b->kernels->int8_pack(source, columns, rows, columns, group, row, rows - row < 32 ? rows - row : 32, weights,
                              scales);
    void *packed = trial_memory((size_t)dk_int8_activation_bytes(tokens, columns, group));
    b->kernels->int8_activations(x, columns, tokens, columns, group, 0, tokens, packed);
    b->matrix = (dk_int8_matrix){rows, columns, group, weights, scales};
    b->tokens = tokens;
    b->packed = packed;
    b->y = trial_memory((size_t)(tokens * rows * 4));
    char label[64];
    snprintf(label, sizeof label, "int8 %lld x %lld, group %lld", (long long)rows, (long long)columns,
             (long long)group);
    report(crew, b, product_job, 2.0 * (double)(tokens * rows * columns), label);
    free(weights), free(scales), free(source), free(x), free(packed), free(b->y);
}

static void measure_split(crew *crew, bench *b, int64_t rows, int64_t columns) {
    int64_t tokens = 512;
    uint16_t *weights = trial_memory((size_t)dk_bf16_weight_bytes(rows, columns));
    float *x = trial_memory((size_t)(tokens * columns * 4));
    uint16_t *source = trial_memory((size_t)(32 * columns * 2));
    trial_numbers(x, tokens * columns, 2);
    b->kernels->f32_to_bf16(x, source, 32 * columns);
    for (int64_t row = 0; row < rows; row += 32)
        b->kernels->bf16_pack(source, columns, rows, columns, row, rows - row < 32 ? rows - row : 32, weights);
    void *packed = trial_memory((size_t)dk_f32_activation_bytes(tokens, columns));
    b->kernels->bf16_split_activations(x, columns, tokens, columns, 0, tokens, packed);
    b->bf16 = (dk_bf16_matrix){rows, columns, weights};
    b->tokens = tokens;
    b->packed = packed;
    b->y = trial_memory((size_t)(tokens * rows * 4));
    char label[64];
    snprintf(label, sizeof label, "bf16-split %lld x %lld", (long long)rows, (long long)columns);
    report(crew, b, split_job, 4.0 * (double)(tokens * rows * columns), label);
    free(weights), free(source), free(x), free(packed), free(b->y);
}

static void measure(const dk_kernels *kernels, int threads) {
    crew crew = {.threads = threads};
    pthread_barrier_init(&crew.begin, 0, (unsigned)threads);
    pthread_barrier_init(&crew.end, 0, (unsigned)threads);
    pthread_t handles[MOST_THREADS];
    member members[MOST_THREADS];
    for (int i = 1; i < threads; i++) {
        members[i] = (member){&crew, i};
        if (pthread_create(&handles[i], 0, work, &members[i])) exit(2);
    }
    bench b = {.kernels = kernels};
    for (int i = 0; i < threads; i++) b.workspaces[i] = trial_memory(DK_WORKSPACE_BYTES);
    double f32 = limit(&crew, &b, kernels->probe_f32);
    printf("%d threads, limits: float32 %.2f TFLOPS, int8 %.2f TOPS\n", threads, f32 * 1e-12,
           limit(&crew, &b, kernels->probe_int8) * 1e-12);
    measure_shape(&crew, &b, 24576, 4096, 0);
    measure_shape(&crew, &b, 4096, 12288, 0);
    measure_shape(&crew, &b, 4096, 4096, 0);
    measure_shape(&crew, &b, 6144, 1024, 0);
    measure_shape(&crew, &b, 4096, 4096, 128);
    measure_shape(&crew, &b, 4096, 4096, 64);
    measure_shape(&crew, &b, 4096, 4096, 32);
    limit(&crew, &b, kernels->probe_split);
    measure_split(&crew, &b, 24576, 4096);
    measure_split(&crew, &b, 4096, 12288);
    fflush(stdout);
    run(&crew, 0, 0);
    for (int i = 1; i < threads; i++) pthread_join(handles[i], 0);
    for (int i = 0; i < threads; i++) free(b.workspaces[i]);
}

int trial_bench(const dk_kernels *kernels, int count, char **threads) {
    if (count > 0) {
        for (int i = 0; i < count; i++) {
            int wanted = atoi(threads[i]);
            if (wanted >= 1 && wanted <= MOST_THREADS) measure(kernels, wanted);
        }
        return 0;
    }
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    for (int n = 1; n <= processors && n <= MOST_THREADS; n *= 2) measure(kernels, n);
    return 0;
}
