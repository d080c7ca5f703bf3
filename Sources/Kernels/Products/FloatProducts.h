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
//  Activations are packed as FloatPacking.h says.

// MARK: - Panels

/// Adds all vectors of a panel for one packed tile of `rows` tokens to c [rows][32], which `begins`
/// as zero. With the last columns the sums go to y, if it is not null.
INLINE void multiply_panel(int64_t rows, int64_t k, const float *a, const float *weights, float *c, bool begins,
                           float *y, int64_t ldy) {
    for (int64_t j = 0; j < DK_PANEL_ROWS / 16; j += VECTORS)
        packedTiles[rows](
            k, a, &(tile_operand){weights + 16 * j, DK_PANEL_ROWS, 16, 0, 0},
            &(tile_result){c + 16 * j, DK_PANEL_ROWS, begins ? FROM_ZERO : ADD_TO_C, 0, y ? y + 16 * j : 0, ldy});
}

/// What is multiplied: one of three forms.
typedef struct {
    int64_t rows, columns;
    const float *f32;  ///< the others are null, and so for each
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
            for (int64_t k = 0; k < columns; k += SUM_COLUMNS) {
                int64_t count = least(SUM_COLUMNS, columns - k);
                const float *a = activations + k * tokens;
                if (w->compact) compactStreams[tokens](k, count, a, &panel, sums);
                else (w->bf16 ? streamBF16 : streamF32)[tokens](count, a, column_of(w, p, k), sums);
            }
            store_panel(sums, tokens, p, rows, y, ldy);
        }
        return;
    }
    float *wide = sums + PANELS_TOGETHER * TILES_TOGETHER * TILE * 32;
    int64_t blocks = (tiles + TILES_TOGETHER - 1) / TILES_TOGETHER;
    for (int64_t block = 0; block < blocks; block++) {
        int64_t tile0 = block * tiles / blocks, tile1 = (block + 1) * tiles / blocks;
        int64_t begin = tile_begin(tokens, tiles, tile0), count = tile_begin(tokens, tiles, tile1) - begin;
        for (int64_t p0 = panelBegin; p0 < panelEnd; p0 += PANELS_TOGETHER) {
            int64_t p1 = least(p0 + PANELS_TOGETHER, panelEnd);
            for (int64_t k = 0; k < columns; k += SUM_COLUMNS) {
                int64_t depth = least(SUM_COLUMNS, columns - k), nextK = k + depth < columns ? k + depth : 0;
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

static void bf16_matmul(const dk_bf16_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                        int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    float_matrix matrix = {.rows = w->rows, .columns = w->columns, .bf16 = w->weights};
    float_matmul(&matrix, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
}

static void compact_matmul(const dk_compact_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                           int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    float_matrix matrix = {.rows = w->rows, .columns = w->columns, .compact = w};
    float_matmul(&matrix, activations, tokens, panelBegin, panelEnd, y, ldy, workspace);
}
