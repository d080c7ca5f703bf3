//  The register tile of the float32 products: R rows of A times 16 V columns of B, R V vectors of
//  sums in registers.
//
//      C[r][j] = sum over k of A[r][k] B[k][j]         one fused multiply-add a term, k ascending
//
//  Every sum is a lane of its own, so its bits do not depend on R, on V or on who else is in the
//  tile. The instruction set's file says how large a tile its registers hold: TILE rows of at most
//  VECTORS vectors.

/// What a tile's sums begin with, and what becomes of C.
typedef enum {
    FROM_ZERO,      ///< C = A B
    FROM_C,         ///< sums go on from C
    FROM_SCALED_C,  ///< sums go on from C, each row of it times a factor
    ADD_TO_C,       ///< C += A B, the sum of A B by itself first
} tile_start;

/// Where B's numbers lie: row k begins at k row, vector j of it at j vector.
///
/// Rows of eight cache lines that come next can be asked for meanwhile, a line with each k, so that
/// memory works at the pace of the multipliers: they begin at `ahead` and every `aheadRow` bytes
/// after it. Null asks for none.
typedef struct {
    const float *numbers;
    int64_t row, vector;
    const char *ahead;
    int64_t aheadRow;
} tile_operand;

/// Where C lies, [R][...], how sums start from it, a factor for each row if they start from scaled
/// ones, and where they go.
typedef struct {
    float *numbers;
    int64_t row;
    tile_start start;
    const float *factors;
    float *to;  ///< where the sums go instead, if not null: row r at to + r toRow
    int64_t toRow;
} tile_result;

enum { WIDEST = 8 };  ///< vectors of a tile of one row

INLINE void multiply_tile(const int R, const int V, int64_t k, const float *a, int64_t rowStride, int64_t columnStride,
                          tile_operand b, tile_result c) {
    lanes sums[TILE][WIDEST];
    if (c.start == FROM_ZERO || c.start == ADD_TO_C) {
        UNROLL for (int r = 0; r < R; r++) { UNROLL for (int j = 0; j < V; j++) sums[r][j] = 0.0f; }
    } else {
        UNROLL for (int r = 0; r < R; r++) {
            UNROLL for (int j = 0; j < V; j++) sums[r][j] = load16(c.numbers + r * c.row + 16 * j);
        }
        if (c.start == FROM_SCALED_C) {
            UNROLL for (int r = 0; r < R; r++) { UNROLL for (int j = 0; j < V; j++) sums[r][j] *= c.factors[r]; }
        }
    }
    const char *ahead = b.ahead ? b.ahead : (const char *)b.numbers;
    int64_t aheadRow = b.ahead ? b.aheadRow : 0;
    for (int64_t i = 0; i < k; i++) {
        __builtin_prefetch(ahead + (i >> 3) * aheadRow + (i & 7) * 64, 0, 2);
        lanes column[WIDEST];
        UNROLL for (int j = 0; j < V; j++) column[j] = load16(b.numbers + i * b.row + j * b.vector);
        UNROLL for (int r = 0; r < R; r++) {
            lanes row = a[r * rowStride + i * columnStride];
            UNROLL for (int j = 0; j < V; j++) sums[r][j] = fma16(row, column[j], sums[r][j]);
        }
    }
    if (c.start == ADD_TO_C) {
        UNROLL for (int r = 0; r < R; r++) {
            UNROLL for (int j = 0; j < V; j++) sums[r][j] = load16(c.numbers + r * c.row + 16 * j) + sums[r][j];
        }
    }
    float *out = c.to ? c.to : c.numbers;
    int64_t outRow = c.to ? c.toRow : c.row;
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int j = 0; j < V; j++) store16(out + r * outRow + 16 * j, sums[r][j]);
    }
}

/// Copies rows of `source` [rows][columns] to columns of `out` [columns][rows].
static void transpose_block(const float *source, int64_t lds, int64_t rows, int64_t columns, float *out, int64_t ldo) {
    for (int64_t r = 0; r < rows; r += 16) {
        for (int64_t c = 0; c < columns; c += 16) {
            if (rows - r >= 16 && columns - c >= 16) {
                lanes block[16];
                UNROLL for (int i = 0; i < 16; i++) block[i] = load16(source + (r + i) * lds + c);
                transpose16(block);
                UNROLL for (int i = 0; i < 16; i++) store16(out + (c + i) * ldo + r, block[i]);
            } else {
                for (int64_t i = r; i < rows && i < r + 16; i++)
                    for (int64_t j = c; j < columns && j < c + 16; j++) out[j * ldo + i] = source[i * lds + j];
            }
        }
    }
}

/// Rows of a matrix. The strides that the scan and attention have are constants, so that rows are
/// found without arithmetic.
INLINE void multiply_row_tile_of(const int R, const int V, int64_t k, const float *a, int64_t lda, tile_operand b,
                                 tile_result c) {
    if (lda == 128) multiply_tile(R, V, k, a, 128, 1, b, c);
    else if (lda == 64) multiply_tile(R, V, k, a, 64, 1, b, c);
    else multiply_tile(R, V, k, a, lda, 1, b, c);
}

typedef void packed_tile(int64_t k, const float *a, const tile_operand *b, const tile_result *c);
typedef void row_tile(int64_t k, const float *a, int64_t lda, const tile_operand *b, const tile_result *c);

// Operands come by reference: by value they would be copied at once after they are written, field
// by field, which stalls. Packed tiles have the R numbers of a column together; row tiles are rows
// of a matrix.
#define DEFINE_TILE(R)                                                                                                 \
    static void packed_tile_##R(int64_t k, const float *a, const tile_operand *b, const tile_result *c) {              \
        multiply_tile(R, VECTORS, k, a, 1, R, *b, *c);                                                                 \
    }                                                                                                                  \
    static void row_tile_##R(int64_t k, const float *a, int64_t lda, const tile_operand *b, const tile_result *c) {    \
        multiply_row_tile_of(R, VECTORS, k, a, lda, *b, *c);                                                           \
    }                                                                                                                  \
    static void narrow_tile_##R(int64_t k, const float *a, int64_t lda, const tile_operand *b, const tile_result *c) { \
        multiply_tile(R, 1, k, a, lda, 1, *b, *c);                                                                     \
    }
FOR_EACH_TILE(DEFINE_TILE)

/// One row by itself: many vectors, to have enough sums under way.
static void single_tile(int64_t k, const float *a, tile_operand b, tile_result c) {
    multiply_tile(1, WIDEST, k, a, 0, 1, b, c);
}

#define PACKED_TILE_ENTRY(R) [R] = packed_tile_##R,
#define ROW_TILE_ENTRY(R) [R] = row_tile_##R,
#define NARROW_TILE_ENTRY(R) [R] = narrow_tile_##R,
static packed_tile *const packedTiles[TILE + 1] = {FOR_EACH_TILE(PACKED_TILE_ENTRY)};
static row_tile *const rowTiles[TILE + 1] = {FOR_EACH_TILE(ROW_TILE_ENTRY)};
static row_tile *const narrowTiles[TILE + 1] = {FOR_EACH_TILE(NARROW_TILE_ENTRY)};

/// Rows are dealt to the fewest tiles that hold them, as evenly as whole rows allow: tile i begins
/// at row i count / tiles.
INLINE int64_t tile_count(int64_t rows) { return (rows + TILE - 1) / TILE; }
INLINE int64_t tile_begin(int64_t rows, int64_t tiles, int64_t tile) { return tile * rows / tiles; }

/// Multiplies one tile of rows with `vectors` vectors of columns.
INLINE void multiply_row_tile(int64_t rows, int64_t vectors, int64_t k, const float *a, int64_t lda, tile_operand b,
                              tile_result c) {
    int64_t j = 0;
    while (j < vectors) {
        tile_operand columns = {b.numbers + j * b.vector, b.row, b.vector, b.ahead, b.aheadRow};
        tile_result sums = {c.numbers + 16 * j, c.row, c.start, c.factors, 0, 0};
        if (rows == 1 && j + WIDEST <= vectors) {
            single_tile(k, a, columns, sums);
            j += WIDEST;
        } else if (j + VECTORS <= vectors) {
            rowTiles[rows](k, a, lda, &columns, &sums);
            j += VECTORS;
        } else {
            narrowTiles[rows](k, a, lda, &columns, &sums);
            j++;
        }
    }
}

/// A product of any number of rows with 16 vectors columns. A block of columns of B stays in L1
/// while the rows pass.
static void multiply_rows(int64_t rows, int64_t vectors, int64_t k, const float *a, int64_t lda, tile_operand b,
                          tile_result c) {
    int64_t tiles = tile_count(rows), together = rows == 1 ? vectors : VECTORS;
    for (int64_t j = 0; j < vectors; j += together) {
        tile_operand columns = {b.numbers + j * b.vector, b.row, b.vector, b.ahead, b.aheadRow};
        for (int64_t tile = 0; tile < tiles; tile++) {
            int64_t first = tile_begin(rows, tiles, tile), count = tile_begin(rows, tiles, tile + 1) - first;
            tile_result sums = {c.numbers + first * c.row + 16 * j, c.row, c.start,
                                c.factors ? c.factors + first : 0,  0,     0};
            multiply_row_tile(count, vectors - j < together ? vectors - j : together, k, a + first * lda, lda, columns,
                              sums);
        }
    }
}

/// C = A B or C += A B of any size; see DualityKernels.h.
static void f32_gemm(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb,
                     float *c, int64_t ldc, bool accumulate) {
    int64_t whole = n / 16, rest = n - 16 * whole;
    multiply_rows(m, whole, k, a, lda, (tile_operand){b, ldb, 16, 0, 0},
                  (tile_result){c, ldc, accumulate ? FROM_C : FROM_ZERO, 0, 0, 0});
    if (rest == 0) return;
    for (int64_t i = 0; i < m; i++) {
        float *out = c + i * ldc + 16 * whole;
        lanes sum = accumulate ? load_part(out, rest, 0) : (lanes)0.0f;
        for (int64_t p = 0; p < k; p++)
            sum = fma16((lanes)a[i * lda + p], load_part(b + p * ldb + 16 * whole, rest, 0), sum);
        store_part(out, sum, rest);
    }
}
