//  What the kernels take: packed matrices, the memory and the operands of the scan, pages of keys
//  and values; and the functions that say how large they are. Symbols as in DualityKernels.h.

#ifndef DUALITY_KERNEL_TYPES_H
#define DUALITY_KERNEL_TYPES_H

#include <stdbool.h>
#include <stdint.h>

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
    int64_t group;    ///< columns that share a scale, a multiple of 32; 0 for one scale per row
    const uint8_t *weights;
    const float *scales;
} dk_int8_matrix;

/// A weight matrix in four bits: w[m][k] = alphabet[code[m][k]] ((float)scale[m][k / group]
/// rowScale[m]). The alphabet's sixteen int8 values stand in Int4Codes.h.
///
/// codes: [ceil(M/32)][K'/4][16][4] bytes in the order (panel, 4 columns, row of a half panel,
/// column), row r of the panel in the lower four bits and row r + 16 in the upper; K' is K rounded
/// up to `group`. scales: [ceil(M/32)][4 + G][32] bytes, G = K'/group: 32 float32 row scales, then
/// G times 32 signed bytes. Rows of padding have scales of zero; columns of padding have any code
/// and meet activations that are zero.
typedef struct {
    int64_t rows;     ///< M
    int64_t columns;  ///< K, at most 131072
    int64_t group;    ///< columns that share a scale: 32, 64 or 128
    const uint8_t *codes;
    const uint8_t *scales;
} dk_int4_matrix;

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
    int64_t columns;  ///< K, at most DK_COMPACT_COLUMNS
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
int64_t dk_int4_code_bytes(int64_t rows, int64_t columns, int64_t group);
int64_t dk_int4_scale_bytes(int64_t rows, int64_t columns, int64_t group);
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

/// Bytes that the packed activations of `tokens` tokens take; those of float32 hold pairs of
/// bfloat16 too.
int64_t dk_int8_activation_bytes(int64_t tokens, int64_t columns, int64_t group);
int64_t dk_f32_activation_bytes(int64_t tokens, int64_t columns);

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
    const float *x;  ///< [T][xHeads P]
    int64_t ldx;
    const float *b;  ///< [T][bHeads N]
    int64_t ldb;
    const float *c;  ///< [T][cHeads N]
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
    int64_t position;  ///< tokens in it before the new ones
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

#ifdef __cplusplus
}
#endif

#pragma clang assume_nonnull end

#endif
