//  The kernels of the fast path: what needs the vector units of a CPU.
//
//  One table of functions for each instruction set; `dk_active` picks one when the program starts.
//  Functions take raw pointers and a range of the work, and start no threads: the caller splits
//  ranges among its own.
//
//  Every function gives the same bits
//    - in every table: scalar, AVX2, AVX-512, AMX and NEON round alike, operation by operation;
//    - for any split of its range, and for a token alone or among others ("row-invariant"): the sum that makes a number
//      runs in an order that depends on neither. Prefill in one piece, in pieces and token by token agree exactly.
//  Zeros may differ in sign, and NaNs in their bits. The scan, the recurrences and attention take
//  numbers below the normal range as zero.
//
//  | symbol | meaning                                   | symbol | meaning                                           |
//  |--------|-------------------------------------------|--------|---------------------------------------------------|
//  | T      | tokens of a call                          | H      | heads (query heads, SSM heads)                    |
//  | M      | rows of a weight matrix, outputs          | P, N   | head dimension and state dimension of the scan    |
//  | K      | columns of a weight matrix, inputs        | Q      | tokens of a chunk, `DK_SSD_CHUNK`                 |
//
//  Matrices are row-major. `ld...` is the distance of two rows in elements. Tokens are rows.
//  Nothing needs alignment but the workspace and what the `..._bytes` functions size, which want 64
//  bytes. "workspace" is memory of `DK_WORKSPACE_BYTES` that the call has for itself; what is in it
//  beforehand does not matter.

#ifndef DUALITY_KERNELS_H
#define DUALITY_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "DualityKernelTypes.h"
#include "DualityAffinity.h"
#include "DualityPause.h"

#pragma clang assume_nonnull begin

#ifdef __cplusplus
extern "C" {
#endif

// MARK: - The table

typedef enum { DK_SCALAR = 0, DK_AVX2 = 1, DK_AVX512 = 2, DK_NEON = 3, DK_AMX = 4 } dk_isa;

typedef struct {
    dk_isa isa;
    const char *name;     ///< scalar, avx2, avx512, neon, amx
    const char *summary;  ///< what the int8 and bf16 products use, for people
    /// Tokens that are multiplied together, at most: of n = ceil(T / tile) tiles, tile i begins at
    /// token i T / n. Ranges of tokens to pack that begin there are packed fastest.
    int64_t tile;

    // Weights. `first` is a multiple of 32; rows first ..< first + count of the matrix come from
    // `source`, whose row 0 is row `first`. A last panel that is not full is padded.

    /// Rounds float32 rows to int8 with the largest magnitude of a row or group as 127, and packs.
    void (*int8_pack)(const float *source, int64_t lds, int64_t rows, int64_t columns, int64_t group, int64_t first,
                      int64_t count, uint8_t *weights, float *scales);
    /// Rounds float32 rows to four bits, each group with the scale of the smallest error, and
    /// packs.
    /// importance [columns]: what a squared error in each column counts for, at least 0; null for
    /// all alike.
    void (*int4_pack)(const float *source, int64_t lds, int64_t rows, int64_t columns, int64_t group, int64_t first,
                      int64_t count, const float *_Nullable importance, uint8_t *codes, uint8_t *scales);
    /// Rounds columns first ..< first + columns, a group, of the `rows` rows of one panel to four
    /// bits: targets [rows][group] in groups' scales of the smallest error, each column's error in
    /// `weights` passed on to the targets of the columns behind it, feedback [columns][columns]
    /// above
    /// its diagonal. The targets are overwritten; errors [rows][columns] are what the weights lose.
    /// codes and scales are the panel's, with row scales from int4_pack.
    void (*int4_compensate)(const float *weights, int64_t ldw, float *targets, int64_t rows, int64_t columns,
                            int64_t group, const float *importance, const float *feedback, int64_t ldf, float *errors,
                            int64_t lde, int64_t first, uint8_t *codes, uint8_t *scales);
    void (*bf16_pack)(const uint16_t *source, int64_t lds, int64_t rows, int64_t columns, int64_t first, int64_t count,
                      uint16_t *weights);
    void (*f32_pack)(const float *source, int64_t lds, int64_t rows, int64_t columns, int64_t first, int64_t count,
                     float *weights);
    /// One row of a packed matrix as float32, [K].
    void (*int8_row)(const dk_int8_matrix *matrix, int64_t row, float *out);
    void (*int4_row)(const dk_int4_matrix *matrix, int64_t row, float *out);
    void (*bf16_row)(const dk_bf16_matrix *matrix, int64_t row, float *out);
    void (*f32_row)(const dk_f32_matrix *matrix, int64_t row, float *out);
    void (*compact_row)(const dk_compact_matrix *matrix, int64_t row, float *out);

    // Activations: packed once for all matrices that read them. Tokens first ..< first + count of T
    // tokens; x is the row of token 0. T, K and group must be the same in all calls that share
    // `packed`.

    /// Rounds to int8, to nearest even, one scale for each token and group (0: each token).
    void (*int8_activations)(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t group, int64_t first,
                             int64_t count, void *packed);
    /// What int8_activations rounds by: the largest magnitude of each token and group, [T][G] with
    /// rows `ldl` apart; a NaN where there is one. The columns may be some of a row's, a group's
    /// largest is then that of its parts.
    void (*int8_largest)(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t group, float *largest,
                         int64_t ldl);
    /// The bytes that int8_activations makes of the columns, by the largest of their groups.
    void (*int8_bytes)(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t group,
                       const float *largest, int64_t ldl, int8_t *bytes, int64_t ldb);
    /// Numbers of which int8_activations makes these bytes, and scales from these largest.
    void (*int8_numbers)(const int8_t *bytes, int64_t ldb, int64_t tokens, int64_t columns, int64_t group,
                         const float *largest, int64_t ldl, float *x, int64_t ldx);
    void (*f32_activations)(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t first, int64_t count,
                            void *packed);
    /// Rounded to bfloat16, for the products whose name has `dot`. Sized by
    /// dk_f32_activation_bytes.
    void (*bf16_dot_activations)(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t first,
                                 int64_t count, void *packed);

    /// Split in two bfloat16 numbers, for the products whose name has `split`. Sized by
    /// dk_f32_activation_bytes.
    void (*bf16_split_activations)(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t first,
                                   int64_t count, void *packed);
    /// Columns first ..< first + count of a panel of a compact matrix as the plain form has them,
    /// [ceil(count/2)][2][16][2]; first is a multiple of 4.
    void (*compact_pairs)(const dk_compact_matrix *matrix, int64_t panel, int64_t first, int64_t count, uint16_t *out);

    // Products: y[t][m] = sum over k of w[m][k] x[t][k], for the rows m of panels panelBegin ..<
    // panelEnd. Any T >= 1; few tokens run at the speed of memory.

    /// Integers are summed exactly over a group, y is the float32 sum of the scaled groups, in
    /// order.
    void (*int8_matmul)(const dk_int8_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                        int64_t panelEnd, float *y, int64_t ldy, void *workspace);
    /// Activations from int8_activations with the matrix's group. The bits of `int8_matmul` on the
    /// int8 matrix with the same weights.
    void (*int4_matmul)(const dk_int4_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                        int64_t panelEnd, float *y, int64_t ldy, void *workspace);
    /// Activations in float32, from f32_activations. float32 sums of 256 columns by fused
    /// multiply-add, added in order.
    void (*bf16_matmul)(const dk_bf16_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                        int64_t panelEnd, float *y, int64_t ldy, void *workspace);
    /// The bits of `bf16_matmul` on the same weights.
    void (*compact_matmul)(const dk_compact_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                           int64_t panelEnd, float *y, int64_t ldy, void *workspace);
    /// Activations in bfloat16, from bf16_dot_activations: the arithmetic of `vdpbf16ps`, by two
    /// fused multiply-adds a pair where the machine lacks it.
    void (*bf16_dot_matmul)(const dk_bf16_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                            int64_t panelEnd, float *y, int64_t ldy, void *workspace);
    void (*compact_dot_matmul)(const dk_compact_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                               int64_t panelEnd, float *y, int64_t ldy, void *workspace);
    /// Activations as two bfloat16 numbers, from bf16_split_activations: the arithmetic of
    /// `tdpbf16ps`, by fused multiply-adds where the machine lacks it.
    void (*bf16_split_matmul)(const dk_bf16_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                              int64_t panelEnd, float *y, int64_t ldy, void *workspace);
    void (*compact_split_matmul)(const dk_compact_matrix *w, const void *activations, int64_t tokens,
                                 int64_t panelBegin, int64_t panelEnd, float *y, int64_t ldy, void *workspace);
    void (*f32_matmul)(const dk_f32_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                       int64_t panelEnd, float *y, int64_t ldy, void *workspace);
    /// C = A B, or C += A B: A [m][k], B [k][n], C [m][n], sums in order of k by fused
    /// multiply-add.
    void (*f32_gemm)(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                     float *c, int64_t ldc, bool accumulate);

    // Vectors. Input and output may be the same memory.

    void (*exp)(const float *x, float *y, int64_t count);       ///< at most 1 ulp
    void (*softplus)(const float *x, float *y, int64_t count);  ///< ln(1 + e^x), at most 2 ulp; x itself above 20
    void (*silu)(const float *x, float *y, int64_t count);      ///< x / (1 + e^-x)
    void (*softmax)(float *x, int64_t count);
    void (*add)(const float *x, const float *y, float *sum, int64_t count);
    /// out[t] = silu(gate[t]) up[t], [T][width].
    void (*silu_multiply)(const float *gate, int64_t ldg, const float *up, int64_t ldu, float *out, int64_t ldo,
                          int64_t tokens, int64_t width);
    /// Each of `groups` consecutive stretches of `width` numbers of a row: y = weight (x /
    /// sqrt(mean x² + epsilon)).
    void (*rms_norm)(const float *x, int64_t ldx, float *y, int64_t ldy, int64_t tokens, int64_t groups, int64_t width,
                     const float *weight, float epsilon);
    /// h += delta, then y = rms_norm(h), [T][width] each.
    void (*add_rms_norm)(float *h, int64_t ldh, const float *delta, int64_t ldd, float *y, int64_t ldy, int64_t tokens,
                         int64_t width, const float *weight, float epsilon);
    /// v = y silu(z), out = weight (v / sqrt(mean over the group of v² + epsilon)); weight [groups
    /// width].
    void (*gated_norm)(const float *y, int64_t ldy, const float *z, int64_t ldz, float *out, int64_t ldo,
                       int64_t tokens, int64_t groups, int64_t width, const float *weight, float epsilon);
    /// Rotates `heads` heads of each row in place, element i with i + D/2. cosines, sines:
    /// [T][D/2].
    void (*rope)(float *x, int64_t ldx, int64_t tokens, int64_t heads, int64_t headDim, const float *cosines,
                 const float *sines);
    void (*f32_to_bf16)(const float *x, uint16_t *y, int64_t count);  ///< to nearest even; NaN stays NaN
    void (*bf16_to_f32)(const uint16_t *x, float *y, int64_t count);
    /// Gives every NaN the same bits, 0x7fc00000: which of its operands' bits a NaN takes over
    /// depends on the instructions that a compiler chose.
    void (*one_nan)(float *x, int64_t count);
    /// y = silu(bias + sum over j of weight[j] row[t - taps + 1 + j]) for channels channelBegin ..<
    /// channelEnd, and moves the window on. x, y [T][channels], not the same memory; weight
    /// [taps][channels]; window [taps - 1][channels], the rows before, oldest first.
    void (*conv_silu)(const float *x, int64_t ldx, float *y, int64_t ldy, int64_t tokens, float *window,
                      int64_t channels, int64_t taps, const float *weight, const float *_Nullable bias,
                      int64_t channelBegin, int64_t channelEnd);

    // The scan, in three calls. `fill` is the number of tokens in the current chunk, below Q;
    // afterwards it is (fill + T) % Q.

    /// First: keeps x and B of the tokens that still fit the current chunk. One call for all heads.
    void (*ssd_prepare)(const dk_ssd_shape *shape, const dk_ssd_cache *cache, int64_t fill,
                        const dk_ssd_operands *operands);
    /// Then: extends heads headBegin ..< headEnd by T tokens: writes y, moves their state, delta
    /// and logDecay. Ranges may run at the same time; heads that share B in one range are faster.
    void (*ssd_extend)(const dk_ssd_shape *shape, const dk_ssd_cache *cache, int64_t fill,
                       const dk_ssd_operands *operands, int64_t headBegin, int64_t headEnd, void *workspace);
    /// Last, when all heads are done: keeps x and B of a later chunk that the T tokens leave
    /// unfinished.
    void (*ssd_retain)(const dk_ssd_shape *shape, const dk_ssd_cache *cache, int64_t fill,
                       const dk_ssd_operands *operands);
    /// The state after the last token, [P][N], of one head.
    void (*ssd_state)(const dk_ssd_shape *shape, const dk_ssd_cache *cache, int64_t fill, int64_t head, float *state,
                      void *workspace);

    // Recurrences over a matrix-valued state, token by token. Ranges of heads may run at the same
    // time. A state that is zero is the empty sequence. D' is D rounded up to 16.

    /// The gated delta rule: states [H][D'/16][D][16], keys by values in panels of 16 columns.
    void (*delta_extend)(const dk_rule_shape *shape, float *states, const dk_delta_operands *operands,
                         int64_t headBegin, int64_t headEnd, void *workspace);
    /// Gated KalmaNet: G and M, [H][D][D'] each.
    void (*kalma_extend)(const dk_rule_shape *shape, float *grams, float *memories, const dk_kalma_operands *operands,
                         int64_t headBegin, int64_t headEnd, void *workspace);
    /// out = rms(x; weight) silu(gate) in each of `groups` stretches of `width`, the norm first;
    /// weight [width]. Null for no gate.
    void (*norm_gate)(const float *x, int64_t ldx, const float *_Nullable gate, int64_t ldg, float *out, int64_t ldo,
                      int64_t tokens, int64_t groups, int64_t width, const float *weight, float epsilon);

    // Attention. `position` is the number of tokens before the T new ones.

    /// Appends keys and values, [T][kvHeads D] each, for kv heads headBegin ..< headEnd.
    void (*kv_store)(const dk_attention_shape *shape, void *_Nonnull const *_Nonnull pages, int64_t position,
                     int64_t tokens, const float *k, int64_t ldk, const float *v, int64_t ldv, int64_t headBegin,
                     int64_t headEnd);
    /// Attention of tokens tokenBegin ..< tokenEnd of the T, for kv heads headBegin ..< headEnd and
    /// the query heads that read them. q, out: [T][heads D]. Keys and values of the T tokens must
    /// have been stored.
    void (*attention)(const dk_attention_shape *shape, void *_Nonnull const *_Nonnull pages, int64_t position,
                      const float *q, int64_t ldq, float *out, int64_t ldo, int64_t tokenBegin, int64_t tokenEnd,
                      int64_t headBegin, int64_t headEnd, void *workspace);
    /// The same for one token, one segment of keys (those from segment DK_KV_SEGMENT on) and kv
    /// heads headBegin ..< headEnd. q: the row of the token, at `position`. partial:
    /// [segments][heads][partial floats].
    void (*attention_partial)(const dk_attention_shape *shape, void *_Nonnull const *_Nonnull pages, int64_t position,
                              const float *q, int64_t segment, int64_t headBegin, int64_t headEnd, float *partial,
                              void *workspace);
    /// Joins the partial results of `segments` segments into the row `out` [heads D], for query
    /// heads headBegin ..< headEnd. The bits are those of `attention`.
    void (*attention_merge)(const dk_attention_shape *shape, int64_t segments, const float *partial, float *out,
                            int64_t headBegin, int64_t headEnd);
    /// Attention of T tokens to the last `window` tokens of one set and, in the same softmax, to
    /// the `window` before them of another, for kv heads headBegin ..< headEnd; window > 0. Keys
    /// and values of the T tokens must have been stored in both.
    void (*fading_attention)(const dk_attention_shape *shape, const dk_attention_set *context,
                             const dk_attention_set *fading, int64_t tokens, float *out, int64_t ldo, int64_t headBegin,
                             int64_t headEnd, void *workspace);

    // Limits of the machine, for one thread at a time: run on several threads at once and divide by
    // the time.

    double (*probe_int8)(int64_t iterations);  ///< int8 multiply-adds in registers; returns operations done (2 each)
    double (*probe_f32)(int64_t iterations);
    double (*probe_bf16)(int64_t iterations);                 ///< 0 where there is no bf16 product
    double (*probe_split)(int64_t iterations);                ///< what the products of bf16-split are made of
    double (*probe_read)(const void *memory, int64_t bytes);  ///< reads once through memory; returns bytes read
} dk_kernels;

/// The table of an instruction set, or null if this machine or this build does not have it.
const dk_kernels *_Nullable dk_kernels_for(dk_isa isa);

/// The scalar table as it is where the processor has no fused multiply-add: the same bits, far
/// slower. Tests compare with it; `dk_kernels_for` gives it where there is no better one.
const dk_kernels *dk_plain_kernels(void);

/// The table to use: the one that the environment variable DUALITY_ISA names, else the widest that
/// the machine has.
///
/// - Returns: null, with a sentence in `message` (of `size` bytes), if DUALITY_ISA names what is
///   unknown or not there.
const dk_kernels *_Nullable dk_active(char *message, int64_t size);

/// The same for a name that comes from elsewhere; null or empty for the widest.
const dk_kernels *_Nullable dk_select(const char *_Nullable wanted, char *message, int64_t size);

/// Transposes [rows][columns] to [columns][rows].
void dk_transpose(const float *source, int64_t lds, int64_t rows, int64_t columns, float *out, int64_t ldo);

#ifdef __cplusplus
}
#endif

#pragma clang assume_nonnull end

#endif
