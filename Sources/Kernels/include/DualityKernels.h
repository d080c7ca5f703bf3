//  The kernels of the fast path: what needs the vector units of a CPU.
//
//  One table of functions for each instruction set; `dk_active` picks one when the program starts.
//  Functions take raw pointers and a range of the work, and start no threads: the caller splits
//  ranges among its own.
//
//  Every function gives the same bits
//    - in every table: scalar, AVX2, AVX-512 and NEON round alike, operation by operation (`DK_BF16_DOT` excepted, which
//      is an instruction of its own);
//    - for any split of its range, and for a token alone or among others ("row-invariant"): the sum that makes a number
//      runs in an order that depends on neither. Prefill in one piece, in pieces and token by token agree exactly.
//  Zeros may differ in sign. The scan, the recurrences and attention take numbers below the normal range as zero.
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

#include "DualityPause.h"

#pragma clang assume_nonnull begin

#ifdef __cplusplus
extern "C" {
#endif

/// Bytes of a workspace, one for each thread.
#define DK_WORKSPACE_BYTES (4 << 20)
/// Rows of a panel of packed weights; ranges of a matrix product count panels.
#define DK_PANEL_ROWS 32
/// Tokens of a chunk of the scan, Q.
#define DK_SSD_CHUNK 64
/// Tokens of a page of the cache of keys and values.
#define DK_KV_PAGE 128
/// Tokens of a segment of attention, the unit of a split over keys and values.
#define DK_KV_SEGMENT 1024

// MARK: - Packed matrices

/// A weight matrix in int8: w[m][k] = scale[m][k / group] q[m][k], q in -127...127.
///
/// weights: [ceil(M/32)][K'/4][2][16][4] bytes q + 128, in the order (panel, 4 columns, half panel,
/// row, column); K' is K rounded up to 32, or to `group`. scales: [ceil(M/32)][G][32], G =
/// K'/group, or 1. Rows and columns of padding are zero.
typedef struct {
    int64_t rows;     ///< M
    int64_t columns;  ///< K, at most 131072
    int64_t group;    ///< columns that share a scale, a multiple of 32; 0 for one scale a row
    const uint8_t *weights;
    const float *scales;
} dk_int8_matrix;

/// A weight matrix in bfloat16: [ceil(M/32)][ceil(K/2)][2][16][2], in the order (panel, 2 columns,
/// half panel, row, column).
typedef struct {
    int64_t rows, columns;
    const uint16_t *weights;
} dk_bf16_matrix;

/// The same numbers in twelve bits each, without loss: signs and mantissas as they are, exponents
/// as indices into an alphabet of sixteen that every panel has for itself, and a list of the few
/// others.
///
/// units: [ceil(M/32)][ceil(K/4)][3][16] words; the order of the bits stands in CompactPacking.c.
/// An exception is unit << 15 | column of the unit << 13 | row of the panel << 8 | exponent; those
/// of a panel ascend.
typedef struct {
    int64_t rows;
    int64_t columns;             ///< K, at most DK_COMPACT_COLUMNS
    const uint32_t *units;
    const uint32_t *exponents;   ///< [ceil(M/32)][16], the exponent at bits 23 ... 30 and all other bits zero
    const uint32_t *exceptions;  ///< [starts[ceil(M/32)]]
    const uint32_t *starts;      ///< [ceil(M/32) + 1], the first exception of each panel, and the end
} dk_compact_matrix;

/// The columns of a compact matrix: an exception has 17 bits for its unit of four.
#define DK_COMPACT_COLUMNS (1 << 19)

/// A weight matrix in float32: [ceil(M/32)][K][32].
typedef struct {
    int64_t rows, columns;
    const float *weights;
} dk_f32_matrix;

/// Panels of a matrix: ceil(M/32).
int64_t dk_panels(int64_t rows);
int64_t dk_int8_weight_bytes(int64_t rows, int64_t columns, int64_t group);
/// Number of floats in `scales`.
int64_t dk_int8_scale_count(int64_t rows, int64_t columns, int64_t group);
int64_t dk_bf16_weight_bytes(int64_t rows, int64_t columns);
int64_t dk_f32_weight_bytes(int64_t rows, int64_t columns);
/// Bytes of `units`.
int64_t dk_compact_unit_bytes(int64_t rows, int64_t columns);

/// What packing bfloat16 weights in twelve bits takes: for each panel of `count` rows its alphabet,
/// [panels][16], and how many of its weights are exceptions, [panels].
void dk_compact_survey(const uint16_t *source, int64_t lds, int64_t columns, int64_t count, uint32_t *exponents,
                       uint32_t *exceptions);
/// Packs `count` rows, which begin at row `first`, a multiple of 32, of a matrix whose alphabets
/// and starts are complete.
void dk_compact_pack(const uint16_t *source, int64_t lds, int64_t columns, int64_t first, int64_t count,
                     const uint32_t *exponents, const uint32_t *starts, uint32_t *units, uint32_t *exceptions);

/// How many tokens' bytes the packed activations of T tokens take.
int64_t dk_int8_activation_bytes(int64_t tokens, int64_t columns, int64_t group);
int64_t dk_f32_activation_bytes(int64_t tokens, int64_t columns);

/// How bfloat16 weights are multiplied.
typedef enum {
    /// Weights widened to float32, activations float32, one fused multiply-add a product. The more
    /// exact.
    DK_BF16_FMA = 0,
    /// Activations rounded to bfloat16, `vdpbf16ps`: half the rate of the above on some CPUs, twice
    /// on others.
    DK_BF16_DOT = 1,
} dk_bf16_path;

// MARK: - The scan

/// Sizes of the scan. SSM head h reads head h / (H / xHeads) of x, and so for B and C.
typedef struct {
    int64_t heads, xHeads, bHeads, cHeads;
    int64_t headDim;   ///< P, at most 512
    int64_t stateDim;  ///< N, at most 512
} dk_ssd_shape;

/// What the scan remembers of a sequence: the state that entered the current chunk, and the tokens
/// of that chunk.
///
/// Chunks begin at multiples of Q tokens. The state moves only when a chunk is full, so that a
/// token's arithmetic does not depend on how the tokens came. P' is P rounded up to 16; padding
/// must be zero. All zero is the empty sequence.
typedef struct {
    float *state;     ///< [H][N][P'], transposed
    float *x;         ///< [xHeads][Q][P']
    float *b;         ///< [bHeads][N][Q], transposed
    float *delta;     ///< [H][Q], the steps Δ
    float *logDecay;  ///< [H][Q], ℓ_i = sum over k <= i of Δ_k A
} dk_ssd_cache;

/// The operands of T new tokens.
typedef struct {
    int64_t tokens;
    const float *x;   ///< [T][xHeads P]
    int64_t ldx;
    const float *b;   ///< [T][bHeads N]
    int64_t ldb;
    const float *c;   ///< [T][cHeads N]
    int64_t ldc;
    const float *dt;  ///< [T][H], raw
    int64_t lddt;
    const float *a;                 ///< [H], negative
    const float *_Nullable dtBias;  ///< [H]
    const float *_Nullable d;       ///< [H]
    bool softplus;                  ///< Δ = softplus(dt + bias), clamped; else dt + bias, clamped
    float dtLow, dtHigh;
    float *y;  ///< [T][H P]
    int64_t ldy;
    double *_Nullable logDecaySum;  ///< [H], Δ A of the new tokens is added
} dk_ssd_operands;

// MARK: - Recurrences over a matrix-valued state

/// Sizes of the gated delta rule and of Gated KalmaNet. Head h reads head h / (H / kHeads) of k,
/// and so v.
typedef struct {
    int64_t heads, kHeads, vHeads;
    int64_t headDim;  ///< D, at most 512
} dk_rule_shape;

/// The operands of T new tokens of the gated delta rule.
typedef struct {
    int64_t tokens;
    const float *q;  ///< [T][H D], before its norm
    int64_t ldq;
    const float *k;  ///< [T][kHeads D], before its norm
    int64_t ldk;
    const float *_Nullable v;  ///< [T][vHeads D]; null for zero
    int64_t ldv;
    const float *beta;  ///< [T][H], before the sigmoid
    int64_t ldbeta;
    const float *decay;  ///< [T][H]; a token's decay is exp(rate softplus(decay + bias))
    int64_t lddecay;
    const float *rates;   ///< [H], negative
    const float *dtBias;  ///< [H]
    float reach;          ///< what the sigmoid is multiplied with: 1, or 2 for eigenvalues down to -1
    float *_Nullable o;   ///< [T][H D]
    int64_t ldo;
} dk_delta_operands;

/// The operands of T new tokens of Gated KalmaNet.
typedef struct {
    int64_t tokens;
    const float *q;  ///< [T][H D], before its norm
    int64_t ldq;
    const float *k;  ///< [T][kHeads D], before its norm
    int64_t ldk;
    const float *v;  ///< [T][vHeads D]
    int64_t ldv;
    const float *_Nullable alpha;  ///< [T][H], before the sigmoid; null for 1
    int64_t ldalpha;
    const float *_Nullable beta;  ///< [T][H], before the sigmoid; null for none
    int64_t ldbeta;
    const float *_Nullable decay;  ///< as of the delta rule; null for none
    int64_t lddecay;
    const float *rates;
    const float *dtBias;
    bool decaysGram;
    int64_t iterations;  ///< of Chebyshev after the first step; 0 leaves the query as it is, and G
    float ridge, scale;
    double *_Nullable logDecaySum;  ///< [H], the logarithms of the new tokens' decays are added
    float *o;                       ///< [T][H D]
    int64_t ldo;
} dk_kalma_operands;

// MARK: - Attention

typedef enum { DK_KV_F32 = 0, DK_KV_BF16 = 1, DK_KV_INT8 = 2 } dk_kv_format;

/// Sizes of attention. Query head h reads key/value head h / (heads / kvHeads).
typedef struct {
    int64_t heads, kvHeads;
    int64_t headDim;  ///< D, at most 1024
    dk_kv_format format;
    float scale;     ///< scores are scale (q · k)
    int64_t window;  ///< a token sees itself and window - 1 before it; 0 for all
} dk_attention_shape;

/// Keys and values, and the queries that read them, [T][heads D].
typedef struct {
    void *_Nonnull const *_Nonnull pages;
    const float *q;
    int64_t ldq;
} dk_attention_set;

/// Bytes of a page: keys and values of `DK_KV_PAGE` tokens of one layer. A new page must be zero.
///
/// Token s lies in page s / DK_KV_PAGE. Keys [kvHeads][page/16][D'][16] (transposed in blocks of 16
/// tokens), values [kvHeads][page][D'], D' = D rounded up to 16; int8 has scales [2][kvHeads][page]
/// behind them.
int64_t dk_kv_page_bytes(const dk_attention_shape *shape);

/// Floats of the partial result of one segment for one query head: m, l, and D' sums.
int64_t dk_attention_partial_floats(const dk_attention_shape *shape);

// MARK: - The table

typedef enum { DK_SCALAR = 0, DK_AVX2 = 1, DK_AVX512 = 2, DK_NEON = 3 } dk_isa;

typedef struct {
    dk_isa isa;
    const char *name;     ///< scalar, avx2, avx512, neon
    const char *summary;  ///< what the int8 and bf16 products use, for people
    bool bf16Dot;         ///< whether DK_BF16_DOT is there
    /// Tokens that are multiplied together, at most: of n = ceil(T / tile) tiles, tile i begins at
    /// token i T / n. Ranges of tokens to pack that begin there are packed fastest.
    int64_t tile;

    // Weights. `first` is a multiple of 32; rows first ..< first + count of the matrix come from
    // `source`, whose row 0 is row `first`. A last panel that is not full is padded.

    /// Rounds float32 rows to int8 with the largest magnitude of a row or group as 127, and packs.
    void (*int8_pack)(const float *source, int64_t lds, int64_t rows, int64_t columns, int64_t group, int64_t first,
                      int64_t count, uint8_t *weights, float *scales);
    void (*bf16_pack)(const uint16_t *source, int64_t lds, int64_t rows, int64_t columns, int64_t first, int64_t count,
                      uint16_t *weights);
    void (*f32_pack)(const float *source, int64_t lds, int64_t rows, int64_t columns, int64_t first, int64_t count,
                     float *weights);
    /// One row of a packed matrix as float32, [K].
    void (*int8_row)(const dk_int8_matrix *matrix, int64_t row, float *out);
    void (*bf16_row)(const dk_bf16_matrix *matrix, int64_t row, float *out);
    void (*f32_row)(const dk_f32_matrix *matrix, int64_t row, float *out);
    void (*compact_row)(const dk_compact_matrix *matrix, int64_t row, float *out);

    // Activations: packed once for all matrices that read them. Tokens first ..< first + count of T
    // tokens; x is the row of token 0. T, K and group must be the same in all calls that share
    // `packed`.

    /// Rounds to int8, to nearest even, one scale for each token and group (0: each token).
    void (*int8_activations)(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t group, int64_t first,
                             int64_t count, void *packed);
    void (*f32_activations)(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t first, int64_t count,
                            void *packed);
    /// For `bf16_matmul` and `compact_matmul` by `path`. Sized by dk_f32_activation_bytes;
    /// DK_BF16_FMA packs as f32_activations does.
    void (*bf16_activations)(dk_bf16_path path, const float *x, int64_t ldx, int64_t tokens, int64_t columns,
                             int64_t first, int64_t count, void *packed);

    // Products: y[t][m] = sum over k of w[m][k] x[t][k], for the rows m of panels panelBegin ..<
    // panelEnd. Any T >= 1; few tokens run at the speed of memory.

    /// Integers are summed exactly over a group, y is the float32 sum of the scaled groups, in
    /// order.
    void (*int8_matmul)(const dk_int8_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                        int64_t panelEnd, float *y, int64_t ldy, void *workspace);
    /// float32 sums of 256 columns by fused multiply-add, added in order.
    void (*bf16_matmul)(dk_bf16_path path, const dk_bf16_matrix *w, const void *activations, int64_t tokens,
                        int64_t panelBegin, int64_t panelEnd, float *y, int64_t ldy, void *workspace);
    /// The bits of `bf16_matmul` on the same weights, activations packed as for that.
    void (*compact_matmul)(dk_bf16_path path, const dk_compact_matrix *w, const void *activations, int64_t tokens,
                           int64_t panelBegin, int64_t panelEnd, float *y, int64_t ldy, void *workspace);
    void (*f32_matmul)(const dk_f32_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                       int64_t panelEnd, float *y, int64_t ldy, void *workspace);
    /// C = A B, or C += A B: A [m][k], B [k][n], C [m][n], sums in order of k by fused
    /// multiply-add.
    void (*f32_gemm)(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float *c,
                     int64_t ldc, bool accumulate);

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
    void (*gated_norm)(const float *y, int64_t ldy, const float *z, int64_t ldz, float *out, int64_t ldo, int64_t tokens,
                       int64_t groups, int64_t width, const float *weight, float epsilon);
    /// Rotates `heads` heads of each row in place, element i with i + D/2. cosines, sines:
    /// [T][D/2].
    void (*rope)(float *x, int64_t ldx, int64_t tokens, int64_t heads, int64_t headDim, const float *cosines,
                 const float *sines);
    void (*f32_to_bf16)(const float *x, uint16_t *y, int64_t count);  ///< to nearest even; NaN stays NaN
    void (*bf16_to_f32)(const uint16_t *x, float *y, int64_t count);
    /// y = silu(bias + sum over j of weight[j] row[t - taps + 1 + j]) for channels channelBegin ..<
    /// channelEnd, and moves the window on. x, y [T][channels], not the same memory; weight
    /// [taps][channels]; window [taps - 1][channels], the rows before, oldest first.
    void (*conv_silu)(const float *x, int64_t ldx, float *y, int64_t ldy, int64_t tokens, float *window, int64_t channels,
                      int64_t taps, const float *weight, const float *_Nullable bias, int64_t channelBegin,
                      int64_t channelEnd);

    // The scan, in three calls. `fill` is the number of tokens in the current chunk, below Q;
    // afterwards it is (fill + T) % Q.

    /// First: keeps x and B of the tokens that still fit the current chunk. One call for all heads.
    void (*ssd_prepare)(const dk_ssd_shape *shape, const dk_ssd_cache *cache, int64_t fill,
                        const dk_ssd_operands *operands);
    /// Then: extends heads headBegin ..< headEnd by T tokens: writes y, moves their state, delta
    /// and logDecay. Ranges may run at the same time; heads that share B in one range are faster.
    void (*ssd_extend)(const dk_ssd_shape *shape, const dk_ssd_cache *cache, int64_t fill, const dk_ssd_operands *operands,
                       int64_t headBegin, int64_t headEnd, void *workspace);
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
    void (*delta_extend)(const dk_rule_shape *shape, float *states, const dk_delta_operands *operands, int64_t headBegin,
                         int64_t headEnd, void *workspace);
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
    /// Attention of T tokens to the last `window` tokens of one set and, in the same softmax, to the
    /// `window` before them of another, for kv heads headBegin ..< headEnd; window > 0. Keys and
    /// values of the T tokens must have been stored in both.
    void (*fading_attention)(const dk_attention_shape *shape, const dk_attention_set *context,
                             const dk_attention_set *fading, int64_t position, int64_t tokens, float *out, int64_t ldo,
                             int64_t headBegin, int64_t headEnd, void *workspace);

    // Limits of the machine, for one thread at a time: run on several threads at once and divide by
    // the time.

    double (*probe_int8)(int64_t iterations);  ///< int8 multiply-adds in registers; returns operations done (2 each)
    double (*probe_f32)(int64_t iterations);
    double (*probe_bf16)(int64_t iterations);  ///< 0 where there is no bf16 product
    double (*probe_read)(const void *memory, int64_t bytes);  ///< reads once through memory; returns bytes read
} dk_kernels;

/// The table of an instruction set, or null if this machine or this build does not have it.
const dk_kernels *_Nullable dk_kernels_for(dk_isa isa);

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
