//  Weight matrices in float32 and bfloat16 times float32 activations.
//
//      y[t][m] = sum over blocks of 256 columns, in order, of ( sum over k of the block of w[m][k] x[t][k] )
//
//  bfloat16 comes in two bytes or, without loss, in twelve bits (CompactBF16.h).
//
//  Blocking, for more tokens than one tile holds. A block of a panel (256 x 32 weights, 32 KiB,
//  widened if they are bfloat16) stays in L1 while tile after tile of activations passes it; the
//  block's activations (256 columns of at most 512 tokens, 512 KiB) stay in L2 for eight panels,
//  and so do the panels' sums. Weights are read from memory once for 512 tokens. For few tokens
//  each panel is read straight through, at the speed of memory.
//
//  Activations are packed [tile][K][rows of the tile], K rounded up to even.

enum {
    K_BLOCK = 256,      ///< columns that are summed by themselves
    PANEL_GROUP = 8,    ///< panels that share a block of activations
    BLOCK_TILES = 516 / TILE,  ///< tiles that are multiplied together
};

INLINE int64_t even(int64_t k) { return (k + 1) / 2 * 2; }
INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/// A whole tile at once, sixteen columns at a time: a store writes past its column, and the next
/// column's mends it.
static void pack_tile(const float *x, int64_t ldx, int64_t rows, int64_t columns, float *out) {
    int64_t k = 0;
    if (rows == 1) {
        memcpy(out, x, (size_t)columns * 4);
        k = columns;
    }
    for (; k + 16 <= columns; k += 16) {
        lanes block[16];
        UNROLL for (int r = 0; r < 16; r++) block[r] = r < rows ? load16(x + r * ldx + k) : (lanes)0.0f;
        transpose16(block);
        UNROLL for (int i = 0; i < 16; i++) {
            int64_t place = (k + i) * rows;
            if (place + 16 <= columns * rows) store16(out + place, block[i]);
            else store_part(out + place, block[i], rows);
        }
    }
    for (; k < columns; k++) {
        for (int64_t r = 0; r < rows; r++) out[k * rows + r] = x[r * ldx + k];
    }
    if (columns % 2) memset(out + columns * rows, 0, (size_t)rows * 4);
}

static void f32_activations(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t first, int64_t count,
                            void *packed) {
    int64_t tiles = tile_count(tokens), width = even(columns), end = first + count;
    int64_t tile = 0;
    for (int64_t t = first; t < end;) {
        while (tile_begin(tokens, tiles, tile + 1) <= t) tile++;
        int64_t begin = tile_begin(tokens, tiles, tile), rows = tile_begin(tokens, tiles, tile + 1) - begin;
        float *out = (float *)packed + begin * width;
        if (t == begin && begin + rows <= end) {
            pack_tile(x + t * ldx, ldx, rows, columns, out);
            t += rows;
        } else {  // a tile that another call has a part of
            const float *row = x + t * ldx;
            for (int64_t k = 0; k < columns; k++) out[k * rows + t - begin] = row[k];
            if (width > columns) out[columns * rows + t - begin] = 0;
            t++;
        }
    }
}

static void f32_pack(const float *source, int64_t lds, int64_t rows, int64_t columns, int64_t first, int64_t count,
                     float *weights) {
    (void)rows;
    for (int64_t panel = 0; panel < dk_panels(count); panel++) {
        float *out = weights + (first / DK_PANEL_ROWS + panel) * columns * DK_PANEL_ROWS;
        for (int64_t m = 0; m < DK_PANEL_ROWS; m++) {
            int64_t row = panel * DK_PANEL_ROWS + m;
            for (int64_t k = 0; k < columns; k++) out[k * DK_PANEL_ROWS + m] = row < count ? source[row * lds + k] : 0;
        }
    }
}

static void f32_row(const dk_f32_matrix *matrix, int64_t row, float *out) {
    const float *panel = matrix->weights + row / DK_PANEL_ROWS * matrix->columns * DK_PANEL_ROWS;
    for (int64_t k = 0; k < matrix->columns; k++) out[k] = panel[k * DK_PANEL_ROWS + row % DK_PANEL_ROWS];
}

static void bf16_pack(const uint16_t *source, int64_t lds, int64_t rows, int64_t columns, int64_t first, int64_t count,
                      uint16_t *weights) {
    (void)rows;
    int64_t width = even(columns);
    for (int64_t panel = 0; panel < dk_panels(count); panel++) {
        uint16_t *out = weights + (first / DK_PANEL_ROWS + panel) * width * DK_PANEL_ROWS;
        for (int64_t m = 0; m < DK_PANEL_ROWS; m++) {
            int64_t row = panel * DK_PANEL_ROWS + m;
            for (int64_t k = 0; k < width; k++)
                out[k / 2 * 64 + m * 2 + k % 2] = row < count && k < columns ? source[row * lds + k] : 0;
        }
    }
}

static void bf16_row(const dk_bf16_matrix *matrix, int64_t row, float *out) {
    const uint16_t *panel = matrix->weights + row / DK_PANEL_ROWS * even(matrix->columns) * DK_PANEL_ROWS;
    for (int64_t k = 0; k < matrix->columns; k++) {
        uint32_t bits = (uint32_t)panel[k / 2 * 64 + row % DK_PANEL_ROWS * 2 + k % 2] << 16;
        memcpy(out + k, &bits, 4);
    }
}

/// Asks for `lines` cache lines to be brought into L2. Where there is no memory nothing happens.
INLINE void fetch(const void *memory, int64_t lines) {
    for (int64_t i = 0; i < lines; i++) __builtin_prefetch((const char *)memory + i * 64, 0, 2);
}

// MARK: - Panels

/// Pairs of bfloat16 in 32 bits, to float32: the even column is the lower half, the odd one the
/// upper.
INLINE lanes even_columns(bit_lanes pairs) { return from_bits(pairs << 16); }
INLINE lanes odd_columns(bit_lanes pairs) { return from_bits(pairs & 0xffff0000u); }

INLINE bit_lanes load_pairs(const uint16_t *p) {
    bit_lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

/// Widens columns first ..< first + count of a bfloat16 panel to float32, [count][32]; count may be
/// odd at the end.
static void widen(const uint16_t *panel, int64_t first, int64_t count, float *out) {
    for (int64_t k = 0; k < count; k += 2) {
        for (int half = 0; half < 2; half++) {
            bit_lanes pairs = load_pairs(panel + (first + k) * DK_PANEL_ROWS + half * 32);
            store16(out + k * DK_PANEL_ROWS + half * 16, even_columns(pairs));
            store16(out + (k + 1) * DK_PANEL_ROWS + half * 16, odd_columns(pairs));
        }
    }
}

/// Adds all vectors of a panel for one packed tile of `rows` tokens to c [rows][32], which `begins`
/// as zero. With the last columns the sums go to y, if it is not null.
INLINE void multiply_panel(int64_t rows, int64_t k, const float *a, const float *weights, float *c, bool begins,
                           float *y, int64_t ldy) {
    for (int64_t j = 0; j < DK_PANEL_ROWS / 16; j += VECTORS)
        packedTiles[rows](k, a, &(tile_operand){weights + 16 * j, DK_PANEL_ROWS, 16, 0, 0},
                          &(tile_result){c + 16 * j, DK_PANEL_ROWS, begins ? FROM_ZERO : ADD_TO_C, 0,
                                        y ? y + 16 * j : 0, ldy});
}

/// Asks for the n rows of y that a tile will write for one panel.
INLINE void fetch_result(const float *y, int64_t ldy, int64_t n) {
    for (int64_t r = 0; r < n; r++) {
        __builtin_prefetch(y + r * ldy, 1, 2);
        __builtin_prefetch(y + r * ldy + 16, 1, 2);
    }
}

/// Adds the sums of a block of columns to c [R][32], for V of a panel's two vectors from vector j
/// on. Weights come straight from memory: they are fetched ahead, and bfloat16 is widened in
/// registers.
INLINE void stream_tile(const int R, const int V, const bool narrow, int64_t j, int64_t k, const float *a,
                        const float *f32, const uint16_t *bf16, float *c) {
    lanes sums[TILE][2];
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int v = 0; v < V; v++) sums[r][v] = 0.0f;
    }
    if (narrow) {
        for (int64_t i = 0; i < k; i += 2) {
            const uint16_t *pairs = bf16 + i * 32 + j * 32;
            __builtin_prefetch((const char *)(bf16 + i * 32) + 4096);
            __builtin_prefetch((const char *)(bf16 + i * 32) + 4160);
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
            __builtin_prefetch((const char *)(f32 + i * 32) + 4096);
            __builtin_prefetch((const char *)(f32 + i * 32) + 4160);
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

#define DEFINE_STREAM(R)                                                                                        \
    static void stream_f32_##R(int64_t k, const float *a, const void *w, float *c) {                            \
        for (int64_t j = 0; j < 2; j += VECTORS) stream_tile(R, VECTORS, false, j, k, a, (const float *)w, 0, c); \
    }                                                                                                           \
    static void stream_bf16_##R(int64_t k, const float *a, const void *w, float *c) {                           \
        for (int64_t j = 0; j < 2; j += VECTORS) stream_tile(R, VECTORS, true, j, k, a, 0, (const uint16_t *)w, c); \
    }
FOR_EACH_TILE(DEFINE_STREAM)

typedef void stream_function(int64_t k, const float *a, const void *weights, float *c);
#define STREAM_F32_ENTRY(R) [R] = stream_f32_##R,
#define STREAM_BF16_ENTRY(R) [R] = stream_bf16_##R,
static stream_function *const streamF32[TILE + 1] = {FOR_EACH_TILE(STREAM_F32_ENTRY)};
static stream_function *const streamBF16[TILE + 1] = {FOR_EACH_TILE(STREAM_BF16_ENTRY)};

/// Copies sums [tokens][32] into y, only the `count` rows that the panel has.
static void store_rows(const float *sums, int64_t tokens, int64_t count, float *y, int64_t ldy) {
    for (int64_t t = 0; t < tokens; t++) {
        float *out = y + t * ldy;
        if (count >= DK_PANEL_ROWS) {
            store16(out, load16(sums + t * 32));
            store16(out + 16, load16(sums + t * 32 + 16));
        } else {
            for (int64_t m = 0; m < count; m++) out[m] = sums[t * 32 + m];
        }
    }
}

/// The same for panel `panel` of a matrix with `rows` rows.
static void store_panel(const float *sums, int64_t tokens, int64_t panel, int64_t rows, float *y, int64_t ldy) {
    store_rows(sums, tokens, rows - panel * DK_PANEL_ROWS, y + panel * DK_PANEL_ROWS, ldy);
}

#include "CompactBF16.h"

/// What is multiplied: one of three forms.
typedef struct {
    int64_t rows, columns;
    const float *f32;      ///< the others are null, and so for each
    const uint16_t *bf16;
    const dk_compact_matrix *compact;
} float_matrix;

/// The bytes of columns 0 ..< k of a panel, all columns before it counted; k is a multiple of 4, or
/// K.
INLINE int64_t panel_bytes(const float_matrix *w, int64_t k) {
    return w->f32 ? k * DK_PANEL_ROWS * 4 : w->bf16 ? even(k) * DK_PANEL_ROWS * 2 : compact_units(k) * UNIT_WORDS * 4;
}

/// Where column k of a panel lies.
INLINE const char *column_of(const float_matrix *w, int64_t panel, int64_t k) {
    const void *start = w->f32 ? (const void *)w->f32 : w->bf16 ? (const void *)w->bf16 : w->compact->units;
    return (const char *)start + panel * panel_bytes(w, w->columns) + panel_bytes(w, k);
}

static void float_matmul(const float_matrix *w, const float *activations, int64_t tokens, int64_t panelBegin,
                         int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    int64_t tiles = tile_count(tokens), rows = w->rows, columns = w->columns, width = even(columns);
    float *sums = workspace;
    if (tiles == 1) {
        for (int64_t p = panelBegin; p < panelEnd; p++) {
            memset(sums, 0, (size_t)tokens * 32 * 4);
            compact_panel panel = {0};
            if (w->compact) {
                panel = compact_panel_of(w->compact, p);
                fetch_tables(w->compact, p, panelEnd);
            }
            for (int64_t k = 0; k < columns; k += K_BLOCK) {
                int64_t count = least(K_BLOCK, columns - k);
                const float *a = activations + k * tokens;
                if (w->compact) compactStreams[tokens](k, count, a, &panel, sums);
                else (w->bf16 ? streamBF16 : streamF32)[tokens](count, a, column_of(w, p, k), sums);
            }
            store_panel(sums, tokens, p, rows, y, ldy);
        }
        return;
    }
    float *wide = sums + PANEL_GROUP * BLOCK_TILES * TILE * 32;
    int64_t blocks = (tiles + BLOCK_TILES - 1) / BLOCK_TILES;
    for (int64_t block = 0; block < blocks; block++) {
        int64_t tile0 = block * tiles / blocks, tile1 = (block + 1) * tiles / blocks;
        int64_t begin = tile_begin(tokens, tiles, tile0), count = tile_begin(tokens, tiles, tile1) - begin;
        for (int64_t p0 = panelBegin; p0 < panelEnd; p0 += PANEL_GROUP) {
            int64_t p1 = least(p0 + PANEL_GROUP, panelEnd);
            for (int64_t k = 0; k < columns; k += K_BLOCK) {
                int64_t depth = least(K_BLOCK, columns - k), nextK = k + depth < columns ? k + depth : 0;
                for (int64_t p = p0; p < p1; p++) {
                    const float *weights = wide;
                    int64_t panelRows = rows - p * DK_PANEL_ROWS;
                    bool straight = nextK == 0 && panelRows >= DK_PANEL_ROWS;
                    if (w->f32) {
                        weights = (const float *)(const void *)column_of(w, p, k);
                    } else if (w->bf16) {
                        widen(w->bf16 + p * width * DK_PANEL_ROWS, k, depth, wide);
                    } else {
                        compact_panel panel = compact_panel_of(w->compact, p);
                        compact_widen(&panel, k, depth, wide);
                    }
                    // What comes next is fetched into L2 meanwhile, a share with each tile.
                    int64_t nextP = p + 1 < p1 ? p + 1 : nextK > 0 ? p0 : least(p1, panelEnd - 1);
                    const char *ahead = column_of(w, nextP, p + 1 < p1 ? k : nextK);
                    int64_t lines = panel_bytes(w, depth) / 64;
                    int64_t share = (lines + tile1 - tile0 - 1) / (tile1 - tile0);
                    for (int64_t tile = tile0; tile < tile1; tile++) {
                        int64_t t = tile_begin(tokens, tiles, tile), n = tile_begin(tokens, tiles, tile + 1) - t;
                        const float *rowsOfTile = activations + t * width;
                        int64_t rowShare = (n * depth / 16 + p1 - p0 - 1) / (p1 - p0);
                        fetch(ahead + (tile - tile0) * share * 64, share);
                        fetch(rowsOfTile + nextK * n + (p - p0) * rowShare * 16, rowShare);
                        float *place = sums + ((p - p0) * count + t - begin) * 32;
                        float *out = y + t * ldy + p * DK_PANEL_ROWS;
                        if (straight) fetch_result(out, ldy, n);
                        multiply_panel(n, depth, rowsOfTile + k * n, weights, place, k == 0, straight ? out : 0, ldy);
                        if (nextK == 0 && !straight) store_rows(place, n, panelRows, out, ldy);
                    }
                }
            }
        }
    }
}

static void f32_matmul(const dk_f32_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                       int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    float_matrix matrix = {.rows = w->rows, .columns = w->columns, .f32 = w->weights};
    float_matmul(&matrix, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
}

static void bf16_fma_matmul(const dk_bf16_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                            int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    float_matrix matrix = {.rows = w->rows, .columns = w->columns, .bf16 = w->weights};
    float_matmul(&matrix, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
}

static void compact_fma_matmul(const dk_compact_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                               int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    float_matrix matrix = {.rows = w->rows, .columns = w->columns, .compact = w};
    float_matmul(&matrix, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
}

#ifndef HAS_BF16_DOT
static void bf16_activations(dk_bf16_path path, const float *x, int64_t ldx, int64_t tokens, int64_t columns,
                             int64_t first, int64_t count, void *packed) {
    (void)path;  // the table says that there is only one
    f32_activations(x, ldx, tokens, columns, first, count, packed);
}

static void bf16_matmul(dk_bf16_path path, const dk_bf16_matrix *w, const void *activations, int64_t tokens,
                        int64_t panelBegin, int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    (void)path;
    bf16_fma_matmul(w, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
}

static void compact_matmul(dk_bf16_path path, const dk_compact_matrix *w, const void *activations, int64_t tokens,
                           int64_t panelBegin, int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    (void)path;
    compact_fma_matmul(w, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
}
#endif
