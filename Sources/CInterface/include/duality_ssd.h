/*
 * Duality from C, and from every language that can call C: state space duality computed by an oracle, with what a correct
 * kernel may be off by.
 *
 *     cc kernel_test.c -I Sources/CInterface/include -L .build/release -lduality_ssd
 *
 * One shape of call. Tensors go in by name, options as a JSON object, and an opaque result comes out that holds named tensors
 * and texts, or an error. Tensors are read where they lie, whatever their format and strides, and only during the call. A
 * result is never NULL, owns all that it hands out, and is given back with duality_free().
 *
 *     duality_result *r = duality_ssd(operands, 5, "{\"form\": \"chunked\", \"chunk_size\": 64}");
 *     duality_tensor y;
 *     if (duality_status(r) == DUALITY_OK && duality_find(r, "y", &y)) use((const double *)y.data);
 *     else fprintf(stderr, "%s\n", duality_text(r, "error"));
 *     duality_free(r);
 *
 * Calls may be made from any number of threads at once; a result belongs to one thread at a time. Nothing is kept between
 * calls. Wrong arguments come back as errors. Pointers cannot be checked: they must point to what they say.
 */
#ifndef DUALITY_SSD_H
#define DUALITY_SSD_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when something that was there changes its meaning or goes away; additions leave it as it is. */
#define DUALITY_ABI_VERSION 1

/* A named array. */
typedef struct duality_tensor {
    const char *name;       /* UTF-8: "x", "dt", "A", ... as listed at each function */
    const char *dtype;      /* as in safetensors: F64 F32 BF16 F16 F8_E4M3 F8_E5M2 I64 I32 I16 I8 U64 U32 U16 U8 BOOL */
    const void *data;       /* the first element; little-endian, of any alignment; may be NULL when there are no elements */
    int64_t rank;           /* number of axes, 0 to 32 */
    const int64_t *shape;   /* [rank], outermost first */
    const int64_t *strides; /* [rank], in bytes, of any sign or 0; NULL for row-major without gaps */
} duality_tensor;

/* What a call returns. */
typedef struct duality_result duality_result;

/* duality_status(): what class of mistake an error is. */
enum {
    DUALITY_OK = 0,
    DUALITY_MISSING_FILE = 1,      /* a file or directory that is not there */
    DUALITY_INACCESSIBLE_FILE = 2, /* a file that cannot be read or written */
    DUALITY_TRUNCATED = 3,         /* a file that ends before its contents do */
    DUALITY_MALFORMED = 4,         /* a file whose contents break its format */
    DUALITY_JSON = 5,              /* options that are not JSON, or a field of another type */
    DUALITY_MISSING = 6,           /* a tensor or option that is required and absent */
    DUALITY_UNKNOWN = 7,           /* a name that nothing uses */
    DUALITY_SHAPE = 8,             /* a shape that does not fit */
    DUALITY_DTYPE = 9,             /* a number format that does not fit */
    DUALITY_VALUE = 10,            /* a value out of its range */
    DUALITY_NOT_FINITE = 11,       /* a NaN or an infinity */
    DUALITY_UNSUPPORTED = 12,      /* well formed, and not done by this version */
    DUALITY_OTHER = 100            /* anything else; also the status of NULL */
};

/* DUALITY_ABI_VERSION of the library. A program that was compiled with another one must not go on. */
int32_t duality_abi_version(void);

/*
 * Runs the operator, and if asked its gradients.
 *
 *     S_t = exp(D_t A) S_{t-1} + D_t x_t B_t^T        y_t = (S_t C_t + D x_t) silu(z_t)        D_t = clamp(softplus(dt + dt_bias))
 *
 * Operands, in any real format:
 *     x [B,L,Hx,P]  dt [B,L,H]  A [H] (<= 0)  B [B,L,G,N]  C [B,L,G,N]                  required
 *     D [H] or [H,P]  z [B,L,H,P]  dt_bias [H]  initial_states [B,H,P,N] or [S,H,P,N]    optional
 *     seq_idx [B,L] or cu_seqlens [S+1], integers: packed sequences                      optional
 *     dout [B,L,H,P]  dfinal_states [B,H,P,N]  dvarlen_states [S,H,P,N]                  upstream gradients; with any of them
 *                                                                                        the result holds gradients too
 * Hx and the two G divide H; heads are read in equal groups.
 *
 * Options:
 *     "form"          "recurrent" (the default, and the oracle), "chunked", "quadratic", "associative", "convolution"
 *     "chunk_size"    tokens in a chunk of the chunked form, default 256
 *     "leaf", "tree"  of the associative form: tokens in a leaf, default 1; "balanced" (default), "left", "right"
 *     "precision"     "f64" (default) or "f32": what everything is computed and returned in
 *     "dt_softplus"   default true
 *     "dt_limit"      [lo, hi], default [0, Infinity]
 *     "states_every"  E: also return the states after every E tokens
 *
 * Result tensors: y [B,L,H,P], final_states [B,H,P,N], log_decay [B,H] (F64; the sum of D_t A); when packed varlen_states
 * [S,H,P,N] and varlen_log_decay [S,H]; with "states_every" chunk_states [B,ceil(L/E),H,P,N]; with upstream gradients grad_x,
 * grad_dt, grad_A, grad_B, grad_C, grad_initial_states and, of those that are given, grad_D, grad_z, grad_dt_bias.
 */
duality_result *duality_ssd(const duality_tensor *operands, int64_t count, const char *options);

/*
 * What a correct kernel of a given arithmetic may be off by, number by number, against the float64 oracle.
 *
 * Operands as for duality_ssd(), without upstream gradients.
 *
 * Options: "dt_softplus", "dt_limit" as for duality_ssd(), and
 *     "precision"     the kernel's arithmetic: a preset ("float32", "mamba_ssm", ...), or items KEY=VALUE, or both, as in
 *                     "mamba_ssm,products=tf32"; default "float32"
 *     "quantities"    which of the four below; default all of them
 *
 * Result tensors, F64: y and final_states (the oracle's), and for each quantity Q of
 *     bound           no correct kernel is ever further off
 *     sigma           the standard deviation of a correct kernel's error; a few of them is normal
 *     floor           the error of the oracle's own numbers rounded to the kernel's output formats
 *     magnitude       the sum of the magnitudes of the terms: divided by |y|, the condition number
 * the tensors Q.y and Q.final_states; when packed varlen_states and Q.varlen_states too. Text "json": {"precision": "...",
 * "floor": {"y": ..., "final_states": ...}}, the arithmetic in full and the relative floors.
 */
duality_result *duality_bound(const duality_tensor *operands, int64_t count, const char *options);

/* A call of a kernel, and what came out of it. */
typedef struct duality_case {
    const char *name;              /* what the report calls it; "case 0", ... when NULL */
    const char *options;           /* a JSON object, or NULL: "kind" (default "scan"), "dt_softplus", "dt_limit", "chunk_size",
                                      ..., and "catches", what the case is there to catch */
    const duality_tensor *inputs;  /* the operands, by the names of the kind */
    int64_t input_count;
    const duality_tensor *outputs; /* the kernel's: y, final_states, varlen_states, grad_x, o, ...; absent ones are not checked;
                                      NULL when the kernel does not do this call */
    int64_t output_count;
} duality_case;

/*
 * Judges the outputs of a kernel. What is wrong with a case is said in the report; only wrong options are an error.
 *
 * Options:
 *     "precision"     what the kernel computes in, as for duality_bound(), also "vllm", "fla", "ggml", "mlx"; read off the
 *                     tensors when absent
 *     "candidate"     what the report calls the kernel
 *     "reference"     what the report calls the cases
 *     "diagnose"      whether to look for the cause of an error, default true
 *     "verbose"       whether "text" has the figures of cases that pass too, default false
 *
 * Result texts: "verdict" (PASS, SUSPECT or FAIL), "headline" (one line), "short" (for the message of a test), "text" (for a
 * terminal), "markdown", "html" (a self-contained page), "json" ({"schema": 1, "verdict", "cases": [{"name", "verdict",
 * "diagnosis": [names, best first], "outputs": {...}}], ...}).
 */
duality_result *duality_verify(const duality_case *cases, int64_t count, const char *options);

/*
 * Test vectors: operands that catch what goes wrong in kernels.
 *
 * Options:
 *     "suite"         "smoke" (default), "standard", "stress"
 *     "dtype"         "f32" (default), "bf16", "f16": the format in which every number is exact
 *     "cases"         names of the cases to make the operands of, default none
 *
 * Result: text "json", {"suite", "dtype", "cases": [{"name", "kind", "catches", "options"}]} of the whole suite; the operands of
 * the cases asked for as tensors CASE/NAME.
 */
duality_result *duality_vectors(const char *options);

/* DUALITY_OK, or the class of the error. */
int32_t duality_status(const duality_result *result);

/*
 * A text of the result, or NULL when it has none of that name. Lives as long as the result. Every error has "error", a sentence
 * for people, and "json", {"kind", "place", "expected", "found", "remedy", "message"}.
 */
const char *duality_text(const duality_result *result, const char *name);

/* How many tensors the result has. */
int64_t duality_count(const duality_result *result);

/* Describes tensor number `index`; 0 when there is none. Everything it points to lives as long as the result. */
int32_t duality_tensor_at(const duality_result *result, int64_t index, duality_tensor *tensor);

/* Describes the tensor of a name; 0 when there is none. */
int32_t duality_find(const duality_result *result, const char *name, duality_tensor *tensor);

/* Gives a result back, with all that it holds. NULL is ignored. */
void duality_free(duality_result *result);

#ifdef __cplusplus
}
#endif

#endif
