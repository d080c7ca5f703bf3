// What programs that measure one operator of ggml share: numbers to work on, and the seconds.

#include "ggml.h"
#include "ggml-cpu.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void fill(struct ggml_tensor *t, float middle, float width) {
    static unsigned long long state = 88172645463325252ull;
    float *values = t->data;
    for (long i = 0; i < ggml_nelements(t); i++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        values[i] = middle + width * (float)((state >> 40) / 16777216.0 - 0.5);
    }
}

// Computes `result` and prints the seconds of each repetition behind two that are left out.
static void measure(struct ggml_context *g, struct ggml_tensor *result, int threads, long repeats) {
    struct ggml_cgraph *graph = ggml_new_graph(g);
    ggml_build_forward_expand(graph, result);
    struct ggml_threadpool_params parameters = ggml_threadpool_params_default(threads);
    struct ggml_cplan plan = ggml_graph_plan(graph, threads, ggml_threadpool_new(&parameters));
    plan.work_data = malloc(plan.work_size + 64);
    for (long i = -2; i < repeats; i++) {
        double start = now();
        ggml_graph_compute(graph, &plan);
        if (i >= 0) printf("%s%.9f", i ? ", " : "[", now() - start);
    }
    printf("]\n");
}
