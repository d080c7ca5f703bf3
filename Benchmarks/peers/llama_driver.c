// Times a GGUF model in llama.cpp, or with -DIK in ik_llama.cpp, as their llama-bench does: random
// tokens, no sampling.
//
//     llama_driver MODEL THREADS REPEATS CACHE(f16|q8_0) REPACK(0|1) TEST…      prints JSON, {"TEST": [tokens per second]}
//     llama_driver quantize FROM TO                                             ik_llama.cpp: to Q8_KV_R8, one scale per row
//
// TEST is ppN (a prompt of N tokens, logits of the last), or tgN@D (N tokens one by one behind D
// others). A run that is not counted warms up. The file is read into memory. llama-bench itself
// would need the engines' common library, which takes longer to build than all that is measured.

#include "llama.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

static void quiet(enum ggml_log_level level, const char *text, void *data) {
    (void)data;
    if (level >= GGML_LOG_LEVEL_ERROR) fputs(text, stderr);
}

static int past;

static void clear(struct llama_context *context) {
#ifdef IK
    llama_kv_cache_clear(context);
#else
    llama_memory_clear(llama_get_memory(context), true);
#endif
    past = 0;
}

static void decode(struct llama_context *context, int count) {
    llama_token tokens[2048];
    for (int i = 0; i < count; i++) tokens[i] = (i * 7919 + past) % 100000;
#ifdef IK
    struct llama_batch batch = llama_batch_get_one(tokens, count, past, 0);
#else
    struct llama_batch batch = llama_batch_get_one(tokens, count);
#endif
    if (llama_decode(context, batch)) {
        fprintf(stderr, "decoding failed\n");
        exit(1);
    }
    llama_synchronize(context);
    past += count;
}

/// Reads `count` tokens in batches.
static void prompt(struct llama_context *context, int count) {
    for (int rest = count; rest > 0; rest -= 2048) decode(context, rest < 2048 ? rest : 2048);
}

int main(int count, char **arguments) {
    llama_backend_init();
    llama_log_set(quiet, NULL);
#ifdef IK
    if (count == 4 && !strcmp(arguments[1], "quantize")) {
        struct llama_model_quantize_params parameters = llama_model_quantize_default_params();
        parameters.ftype = LLAMA_FTYPE_MOSTLY_Q8_KV_R8;
        parameters.allow_requantize = true;
        return (int)llama_model_quantize(arguments[2], arguments[3], &parameters);
    }
#endif
    if (count < 7) return 2;
    const int threads = atoi(arguments[2]), repeats = atoi(arguments[3]);
    struct llama_model_params model_parameters = llama_model_default_params();
#ifdef IK
    model_parameters.use_mmap = false;
    model_parameters.repack_tensors = atoi(arguments[5]);
#else
    model_parameters.load_mode = LLAMA_LOAD_MODE_NONE;
#endif
    struct llama_model *model = llama_model_load_from_file(arguments[1], model_parameters);
    if (!model) return 1;
    printf("{");
    for (int i = 6; i < count; i++) {
        const char *test = arguments[i], *at = strchr(test, '@');
        const int tokens = atoi(test + 2), depth = at ? atoi(at + 1) : 0, is_prompt = !strncmp(test, "pp", 2);
        struct llama_context_params parameters = llama_context_default_params();
        parameters.n_ctx = (depth + tokens * (is_prompt ? 1 : repeats) + 64 + 255) / 256 * 256;
        parameters.n_threads = parameters.n_threads_batch = threads;
        if (!strcmp(arguments[4], "q8_0")) parameters.type_k = parameters.type_v = GGML_TYPE_Q8_0;
#ifdef IK
        parameters.flash_attn = true;
#endif
        struct llama_context *context = llama_init_from_model(model, parameters);
        if (!context) return 1;
        decode(context, is_prompt ? 16 : 1);
        clear(context);
        printf("%s\"%s\": [", i > 6 ? ", " : "", test);
        if (!is_prompt) prompt(context, depth);
        for (int r = 0; r < repeats; r++) {
            if (is_prompt) {
                clear(context);
                prompt(context, depth);
            }
            const double start = now();
            if (is_prompt)
                prompt(context, tokens);
            else
                for (int n = 0; n < tokens; n++) decode(context, 1);
            printf("%s%.6f", r ? ", " : "", tokens / (now() - start));
        }
        printf("]");
        llama_free(context);
    }
    printf("}\n");
    return 0;
}
