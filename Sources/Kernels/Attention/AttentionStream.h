//  A page for few rows: a decoded token, whose speed is that of reading keys and values.
//
//      s[r][j] = sum over d of q[r][d] k[j][d]          o[r][d] += sum over j of p[r][j] v[j][d]
//
//  The sums run over d and over j in the order of the tiles that many rows take, so the bits are
//  theirs. Keys and values are widened in registers, once for all rows, and never stored wide.
//  Their two parts of a page have one size: while the keys pass, the values are on their way into
//  L2, and while the values pass, the keys of the page that follows.

enum {
    STREAM_ROWS = 4,               ///< rows that read a page at once
    FEW_ROWS = 8,                  ///< rows that are few: they read a page twice, the second time in L2
    STREAM_SUMS = TILE * VECTORS,  ///< vectors of sums that the registers hold
};

/// Blocks of keys, or vectors of values, that R rows take at once: enough sums to hide the latency
/// of a multiply-add.
#define STREAM_WIDTH(R) ((R) == 1 && STREAM_SUMS >= 8 ? 8 : 4 * (R) <= STREAM_SUMS ? 4 : 2 * (R) <= STREAM_SUMS ? 2 : 1)

/// Sixteen numbers of a page as float32, without their scale.
INLINE lanes widen_page(const dk_kv_format format, const char *p) {
    if (format == DK_KV_F32) return load16((const float *)(const void *)p);
    return format == DK_KV_BF16 ? widen_bf16(p) : widen_int8(p);
}

/// Asks for `bytes` at `p`, as the loop that calls it passes as many.
INLINE void fetch_ahead(const char *p, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + i, 0, 2);
}

/// The scores of R rows with the keys of B blocks of 16. `ahead` moves on by the bytes that pass.
INLINE void stream_key_blocks(const int R, const int B, const dk_kv_format format, const char *keys, int64_t width,
                              const float *q, float *scores, const char **ahead) {
    const int64_t size = format == DK_KV_F32 ? 4 : format == DK_KV_BF16 ? 2 : 1;
    const int64_t together = 64 / (16 * size);  ///< steps that a cache line of a block is good for
    lanes sums[STREAM_ROWS][8];
    UNROLL for (int r = 0; r < R; r++) { UNROLL for (int b = 0; b < B; b++) sums[r][b] = 0.0f; }
    const char *next = *ahead;
    for (int64_t d = 0; d < width; d += together) {
        fetch_ahead(next, 64 * B);
        next += 64 * B;
        for (int64_t i = d; i < d + together; i++) {
            lanes column[8];
            UNROLL for (int b = 0; b < B; b++) column[b] = widen_page(format, keys + (b * width + i) * 16 * size);
            UNROLL for (int r = 0; r < R; r++) {
                lanes row = q[r * width + i];
                UNROLL for (int b = 0; b < B; b++) sums[r][b] = fma16(row, column[b], sums[r][b]);
            }
        }
    }
    *ahead = next;
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int b = 0; b < B; b++) store16(scores + r * PAGE + 16 * b, sums[r][b]);
    }
}

INLINE void stream_keys(const int R, const dk_kv_format format, head_page page, int64_t blocks, const float *q,
                        float *scores) {
    const int B = STREAM_WIDTH(R);
    const int64_t size = format == DK_KV_F32 ? 4 : format == DK_KV_BF16 ? 2 : 1, block = 16 * page.width * size;
    const char *ahead = page.values;
    int64_t b = 0;
    for (; b + B <= blocks; b += B)
        stream_key_blocks(R, B, format, page.keys + b * block, page.width, q, scores + 16 * b, &ahead);
    for (; b < blocks; b++)
        stream_key_blocks(R, 1, format, page.keys + b * block, page.width, q, scores + 16 * b, &ahead);
}

/// Adds `count` weighed values to V vectors of the output of R rows.
INLINE void stream_value_columns(const int R, const int V, const dk_kv_format format, const char *values, int64_t width,
                                 int64_t count, const float *weights, float *output, const char **ahead) {
    const int64_t size = format == DK_KV_F32 ? 4 : format == DK_KV_BF16 ? 2 : 1;
    lanes sums[STREAM_ROWS][8];
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int v = 0; v < V; v++) sums[r][v] = load16(output + r * width + 16 * v);
    }
    const char *next = *ahead;
    for (int64_t j = 0; j < count; j++) {
        fetch_ahead(next, 16 * V * size);
        next += 16 * V * size;
        lanes row[8];
        UNROLL for (int v = 0; v < V; v++) row[v] = widen_page(format, values + (j * width + 16 * v) * size);
        UNROLL for (int r = 0; r < R; r++) {
            lanes weight = weights[r * PAGE + j];
            UNROLL for (int v = 0; v < V; v++) sums[r][v] = fma16(weight, row[v], sums[r][v]);
        }
    }
    *ahead = next;
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int v = 0; v < V; v++) store16(output + r * width + 16 * v, sums[r][v]);
    }
}

INLINE void stream_values(const int R, const dk_kv_format format, head_page page, int64_t count, const float *weights,
                          float *output, const char *ahead) {
    const int V = STREAM_WIDTH(R);
    const int64_t size = format == DK_KV_F32 ? 4 : format == DK_KV_BF16 ? 2 : 1, vectors = page.width / 16;
    int64_t v = 0;
    for (; v + V <= vectors; v += V)
        stream_value_columns(R, V, format, page.values + v * 16 * size, page.width, count, weights, output + 16 * v,
                             &ahead);
    for (; v < vectors; v++)
        stream_value_columns(R, 1, format, page.values + v * 16 * size, page.width, count, weights, output + 16 * v,
                             &ahead);
}

#define DEFINE_STREAM_PAGE(R)                                                                                  \
    static void stream_keys_##R(head_page page, int64_t blocks, const float *q, float *scores) {               \
        if (page.format == DK_KV_F32) stream_keys(R, DK_KV_F32, page, blocks, q, scores);                      \
        else if (page.format == DK_KV_BF16) stream_keys(R, DK_KV_BF16, page, blocks, q, scores);               \
        else stream_keys(R, DK_KV_INT8, page, blocks, q, scores);                                              \
    }                                                                                                          \
    static void stream_values_##R(head_page page, int64_t count, const float *weights, float *output,          \
                                  const char *ahead) {                                                         \
        if (page.format == DK_KV_F32) stream_values(R, DK_KV_F32, page, count, weights, output, ahead);        \
        else if (page.format == DK_KV_BF16) stream_values(R, DK_KV_BF16, page, count, weights, output, ahead); \
        else stream_values(R, DK_KV_INT8, page, count, weights, output, ahead);                                \
    }
DEFINE_STREAM_PAGE(1)
DEFINE_STREAM_PAGE(2)
DEFINE_STREAM_PAGE(3)
DEFINE_STREAM_PAGE(4)

static void (*const streamKeys[])(head_page, int64_t, const float *, float *) = {0, stream_keys_1, stream_keys_2,
                                                                                 stream_keys_3, stream_keys_4};
static void (*const streamValues[])(head_page, int64_t, const float *, float *, const char *) = {
    0, stream_values_1, stream_values_2, stream_values_3, stream_values_4};
