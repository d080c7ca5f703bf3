// ggml's gated delta net on the CPU: seconds for one layer, as JSON.
//
//     ggml_delta HEADS DIM TOKENS THREADS REPEATS
//
// The operator alone, on keys and queries that have been normalised and gates that have been made;
// what ours does to make them is not in its time.

#include "ggml_operator.h"
#include <math.h>

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
    measure(g, ggml_gated_delta_net(g, q, k, v, decay, beta, state, 1), (int)n[3], n[4]);
    return 0;
}
