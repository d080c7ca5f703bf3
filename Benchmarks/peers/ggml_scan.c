// ggml's scan of Mamba-2 on the CPU: seconds for one layer, as JSON.
//
//     ggml_scan HEADS DIM STATE GROUPS TOKENS THREADS REPEATS
//
// ggml has the recurrence, token by token, with B and C in GROUPS; x has a head of its own for each
// of HEADS.

#include "ggml_operator.h"

int main(int count, char **arguments) {
    if (count != 8) return 2;
    long n[7];
    for (int i = 0; i < 7; i++) n[i] = atol(arguments[i + 1]);
    const long heads = n[0], dim = n[1], state = n[2], groups = n[3], tokens = n[4];
    struct ggml_init_params memory = {.mem_size = 2ul << 30};
    struct ggml_context *g = ggml_init(memory);
    ggml_cpu_init();
    struct ggml_tensor *s = ggml_new_tensor_4d(g, GGML_TYPE_F32, state, dim, heads, 1);
    struct ggml_tensor *x = ggml_new_tensor_4d(g, GGML_TYPE_F32, dim, heads, tokens, 1);
    struct ggml_tensor *dt = ggml_new_tensor_3d(g, GGML_TYPE_F32, heads, tokens, 1);
    struct ggml_tensor *a = ggml_new_tensor_2d(g, GGML_TYPE_F32, 1, heads);
    struct ggml_tensor *b = ggml_new_tensor_4d(g, GGML_TYPE_F32, state, groups, tokens, 1);
    struct ggml_tensor *c = ggml_new_tensor_4d(g, GGML_TYPE_F32, state, groups, tokens, 1);
    struct ggml_tensor *sequence = ggml_new_tensor_1d(g, GGML_TYPE_I32, 1);
    fill(s, 0, 0.1f), fill(x, 0, 2), fill(dt, -3, 2), fill(a, -2, 2), fill(b, 0, 1), fill(c, 0, 1);
    *(int *)sequence->data = 0;
    measure(g, ggml_ssm_scan(g, s, x, dt, a, b, c, sequence, 1), (int)n[5], n[6]);
    return 0;
}
