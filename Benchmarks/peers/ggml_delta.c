// ggml's gated delta net on the CPU: seconds for one layer, as JSON.
//
//     ggml_delta HEADS DIM TOKENS THREADS REPEATS
//
// The operator alone, on keys and queries that have been normalised and gates that have been made;
// what ours does to make them is not in its time.

#include "ggml.h"
#include "ggml-cpu.h"
#include <math.h>
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

int main(int count, char **arguments) {
    if (count != 6) return 2;
    long n[5];
    for (int i = 0; i < 5; i++) n[i] = atol(arguments[i + 1]);
    const long heads = n[0], dim = n[1], tokens = n[2];
    struct ggml_init_params memory = {.mem_size = 1ul << 30};
    struct ggml_context *g = ggml_init(memory);
    ggml_cpu_init();
    struct ggml_tensor *q = ggml_new_tensor_4d(g, GGML_TYPE_F32, dim, heads, tokens, 1);
    struct ggml_tensor *k = ggml_new_tensor_4d(g, GGML_TYPE_F32, dim, heads, tokens, 1);
    struct ggml_tensor *v = ggml_new_tensor_4d(g, GGML_TYPE_F32, dim, heads, tokens, 1);
    struct ggml_tensor *decay = ggml_new_tensor_4d(g, GGML_TYPE_F32, 1, heads, tokens, 1);
    struct ggml_tensor *beta = ggml_new_tensor_4d(g, GGML_TYPE_F32, 1, heads, tokens, 1);
    struct ggml_tensor *state = ggml_new_tensor_4d(g, GGML_TYPE_F32, dim, dim, heads, 1);
    // Keys and queries of length 1.
    const float width = 2 * sqrtf(3.0f / (float)dim);
    fill(q, 0, width), fill(k, 0, width), fill(v, 0, 2), fill(decay, -0.4f, 0.7f), fill(beta, 0.5f, 0.5f),
        fill(state, 0, 0);
    struct ggml_cgraph *graph = ggml_new_graph(g);
    ggml_build_forward_expand(graph, ggml_gated_delta_net(g, q, k, v, decay, beta, state, 1));
    struct ggml_threadpool_params parameters = ggml_threadpool_params_default((int)n[3]);
    struct ggml_cplan plan = ggml_graph_plan(graph, (int)n[3], ggml_threadpool_new(&parameters));
    plan.work_data = malloc(plan.work_size + 64);
    for (long i = -1; i < n[4]; i++) {
        double start = now();
        ggml_graph_compute(graph, &plan);
        if (i >= 0) printf("%s%.9f", i ? ", " : "[", now() - start);
    }
    printf("]\n");
    return 0;
}
