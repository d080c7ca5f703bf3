//  The register tile of the float32 products: R rows of A times 16 V columns of B, R V vectors of sums in registers.
//
//      C[r][j] = sum over k of A[r][k] B[k][j]         one fused multiply-add a term, k ascending
//
//  Every sum is a lane of its own, so its bits do not depend on R, on V or on who else is in the tile. The instruction
//  set's file says how large a tile its registers hold: TILE rows of at most VECTORS vectors.

/// What a tile's sums begin with, and what becomes of C.
typedef enum {
    FROM_ZERO,  ///< C = A B
    FROM_C,     ///< sums go on from C
    ADD_TO_C,   ///< C += A B, the sum of A B by itself first
} tile_start;

/// Where B's numbers lie: row k begins at k row, vector j of it at j vector.
typedef struct {
    const float *numbers;
    int64_t row, vector;
} tile_operand;

INLINE void multiply_tile(const int R, const int V, int64_t k, const float *a, int64_t rowStride, int64_t columnStride,
                          tile_operand b, float *c, int64_t ldc, tile_start start) {
    lanes sums[TILE][2];
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int j = 0; j < V; j++) sums[r][j] = start == FROM_C ? load16(c + r * ldc + 16 * j) : (lanes)0.0f;
    }
    for (int64_t i = 0; i < k; i++) {
        lanes column[2];
        UNROLL for (int j = 0; j < V; j++) column[j] = load16(b.numbers + i * b.row + j * b.vector);
        UNROLL for (int r = 0; r < R; r++) {
            lanes row = a[r * rowStride + i * columnStride];
            UNROLL for (int j = 0; j < V; j++) sums[r][j] = fma16(row, column[j], sums[r][j]);
        }
    }
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int j = 0; j < V; j++) {
            float *out = c + r * ldc + 16 * j;
            store16(out, start == ADD_TO_C ? load16(out) + sums[r][j] : sums[r][j]);
        }
    }
}

// Packed tiles have the R numbers of a column together; row tiles are rows of a matrix.
#define DEFINE_TILE(R)                                                                                            \
    static void packed_tile_##R(int64_t k, const float *a, tile_operand b, float *c, int64_t ldc, tile_start s) { \
        multiply_tile(R, VECTORS, k, a, 1, R, b, c, ldc, s);                                                      \
    }                                                                                                             \
    static void row_tile_##R(int64_t k, const float *a, int64_t lda, tile_operand b, float *c, int64_t ldc,       \
                             tile_start s) {                                                                      \
        multiply_tile(R, VECTORS, k, a, lda, 1, b, c, ldc, s);                                                    \
    }                                                                                                             \
    static void narrow_tile_##R(int64_t k, const float *a, int64_t lda, tile_operand b, float *c, int64_t ldc,    \
                                tile_start s) {                                                                   \
        multiply_tile(R, 1, k, a, lda, 1, b, c, ldc, s);                                                          \
    }
FOR_EACH_TILE(DEFINE_TILE)

typedef void packed_tile(int64_t k, const float *a, tile_operand b, float *c, int64_t ldc, tile_start start);
typedef void row_tile(int64_t k, const float *a, int64_t lda, tile_operand b, float *c, int64_t ldc, tile_start start);

#define PACKED_TILE_ENTRY(R) [R] = packed_tile_##R,
#define ROW_TILE_ENTRY(R) [R] = row_tile_##R,
#define NARROW_TILE_ENTRY(R) [R] = narrow_tile_##R,
static packed_tile *const packedTiles[TILE + 1] = {FOR_EACH_TILE(PACKED_TILE_ENTRY)};
static row_tile *const rowTiles[TILE + 1] = {FOR_EACH_TILE(ROW_TILE_ENTRY)};
static row_tile *const narrowTiles[TILE + 1] = {FOR_EACH_TILE(NARROW_TILE_ENTRY)};

/// Rows are dealt to the fewest tiles that hold them, as evenly as whole rows allow: tile i begins at row i count / tiles.
INLINE int64_t tile_count(int64_t rows) { return (rows + TILE - 1) / TILE; }
INLINE int64_t tile_begin(int64_t rows, int64_t tiles, int64_t tile) { return tile * rows / tiles; }

/// Multiplies one tile of rows with `vectors` vectors of columns.
INLINE void multiply_row_tile(int64_t rows, int64_t vectors, int64_t k, const float *a, int64_t lda, tile_operand b,
                              float *c, int64_t ldc, tile_start start) {
    int64_t j = 0;
    for (; j + VECTORS <= vectors; j += VECTORS)
        rowTiles[rows](k, a, lda, (tile_operand){b.numbers + j * b.vector, b.row, b.vector}, c + 16 * j, ldc, start);
    for (; j < vectors; j++)
        narrowTiles[rows](k, a, lda, (tile_operand){b.numbers + j * b.vector, b.row, b.vector}, c + 16 * j, ldc, start);
}

/// A product of any number of rows with 16 vectors columns. A block of columns of B stays in L1 while the rows pass.
static void multiply_rows(int64_t rows, int64_t vectors, int64_t k, const float *a, int64_t lda, tile_operand b, float *c,
                          int64_t ldc, tile_start start) {
    int64_t tiles = tile_count(rows);
    for (int64_t j = 0; j < vectors; j += VECTORS) {
        tile_operand columns = {b.numbers + j * b.vector, b.row, b.vector};
        for (int64_t tile = 0; tile < tiles; tile++) {
            int64_t first = tile_begin(rows, tiles, tile), count = tile_begin(rows, tiles, tile + 1) - first;
            multiply_row_tile(count, vectors - j < VECTORS ? vectors - j : VECTORS, k, a + first * lda, lda, columns,
                              c + first * ldc + 16 * j, ldc, start);
        }
    }
}

/// C = A B or C += A B of any size; see DualityKernels.h.
static void f32_gemm(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, float *c,
                     int64_t ldc, bool accumulate) {
    tile_start start = accumulate ? FROM_C : FROM_ZERO;
    int64_t whole = n / 16;
    multiply_rows(m, whole, k, a, lda, (tile_operand){b, ldb, 16}, c, ldc, start);
    int64_t rest = n - 16 * whole;
    if (rest == 0) return;
    for (int64_t i = 0; i < m; i++) {
        float *out = c + i * ldc + 16 * whole;
        lanes sum = accumulate ? load_part(out, rest, 0) : (lanes)0.0f;
        for (int64_t p = 0; p < k; p++)
            sum = fma16((lanes)a[i * lda + p], load_part(b + p * ldb + 16 * whole, rest, 0), sum);
        store_part(out, sum, rest);
    }
}
