//  float32 and bfloat16 weights straight from memory: for as few tokens as one tile holds, whose
//  speed is that of reading.

/// Adds the sums of a block of columns to c [R][32], for V of a panel's two vectors from vector j
/// on. Weights come straight from memory: they are fetched ahead, and bfloat16 is widened in
/// registers.
INLINE void stream_tile(const int R, const int V, const bool narrow, int64_t j, int64_t k, const float *a,
                        const float *f32, const uint16_t *bf16, float *c) {
    lanes sums[TILE][2];
    UNROLL for (int r = 0; r < R; r++) { UNROLL for (int v = 0; v < V; v++) sums[r][v] = 0.0f; }
    if (narrow) {
        for (int64_t i = 0; i < k; i += 2) {
            const uint16_t *pairs = bf16 + i * 32 + j * 32;
            FETCH_L1(bf16 + i * 32, AHEAD_L1);
            FETCH_L1(bf16 + i * 32, AHEAD_L1 + 64);
            bit_lanes w[2];
            UNROLL for (int v = 0; v < V; v++) w[v] = load_pairs(pairs + 32 * v);
            UNROLL for (int r = 0; r < R; r++) {
                lanes x = a[i * R + r];
                UNROLL for (int v = 0; v < V; v++) sums[r][v] = fma16(x, even_columns(w[v]), sums[r][v]);
            }
            if (i + 1 == k) break;
            UNROLL for (int r = 0; r < R; r++) {
                lanes x = a[(i + 1) * R + r];
                UNROLL for (int v = 0; v < V; v++) sums[r][v] = fma16(x, odd_columns(w[v]), sums[r][v]);
            }
        }
    } else {
        for (int64_t i = 0; i < k; i++) {
            FETCH_L1(f32 + i * 32, AHEAD_L1);
            FETCH_L1(f32 + i * 32, AHEAD_L1 + 64);
            lanes w[2];
            UNROLL for (int v = 0; v < V; v++) w[v] = load16(f32 + i * 32 + (j + v) * 16);
            UNROLL for (int r = 0; r < R; r++) {
                lanes x = a[i * R + r];
                UNROLL for (int v = 0; v < V; v++) sums[r][v] = fma16(x, w[v], sums[r][v]);
            }
        }
    }
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int v = 0; v < V; v++) {
            float *out = c + r * 32 + (j + v) * 16;
            store16(out, load16(out) + sums[r][v]);
        }
    }
}

#define DEFINE_STREAM(R)                                                                                            \
    static void stream_f32_##R(int64_t k, const float *a, const void *w, float *c) {                                \
        for (int64_t j = 0; j < 2; j += VECTORS) stream_tile(R, VECTORS, false, j, k, a, (const float *)w, 0, c);   \
    }                                                                                                               \
    static void stream_bf16_##R(int64_t k, const float *a, const void *w, float *c) {                               \
        for (int64_t j = 0; j < 2; j += VECTORS) stream_tile(R, VECTORS, true, j, k, a, 0, (const uint16_t *)w, c); \
    }
FOR_EACH_TILE(DEFINE_STREAM)

typedef void stream_function(int64_t k, const float *a, const void *weights, float *c);
#define STREAM_F32_ENTRY(R) [R] = stream_f32_##R,
#define STREAM_BF16_ENTRY(R) [R] = stream_bf16_##R,
static stream_function *const streamF32[TILE + 1] = {FOR_EACH_TILE(STREAM_F32_ENTRY)};
static stream_function *const streamBF16[TILE + 1] = {FOR_EACH_TILE(STREAM_BF16_ENTRY)};
