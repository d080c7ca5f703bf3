//  Weight matrices in int8 times activations in int8: the order of the work. Formula and layout stand in Int8Packing.h.
//
//  Blocking as in FloatProducts.h, with 512 columns to a block. The instruction set's file has the tiles: `int8Tiles[R]`
//  adds 4 x steps columns to sums [R][32], `int8Streams[R]` does so for weights that come from memory, `int8GroupTiles[R]`
//  adds scaled groups to float sums [R][32].

/// Sums of one scale a row to y: float(sum) (scale_w scale_x).
static void scale_panel(const int32_t *sums, int64_t tokens, const float *tokenScales, const float *rowScales,
                        int64_t panel, int64_t rows, float *y, int64_t ldy) {
    int64_t count = least(DK_PANEL_ROWS, rows - panel * DK_PANEL_ROWS);
    for (int64_t t = 0; t < tokens; t++) {
        for (int64_t half = 0; half < 2 && half * 16 < count; half++) {
            int_lanes whole;
            memcpy(&whole, sums + t * 32 + half * 16, sizeof whole);
            lanes scaled = __builtin_convertvector(whole, lanes) * (load16(rowScales + half * 16) * tokenScales[t]);
            store_lanes(y + t * ldy + panel * DK_PANEL_ROWS + half * 16, scaled, least(16, count - half * 16));
        }
    }
}

/// Asks for the n rows of y that a tile will write for one panel.
INLINE void fetch_result(const float *y, int64_t ldy, int64_t n) {
    for (int64_t r = 0; r < n; r++) {
        __builtin_prefetch(y + r * ldy, 1, 2);
        __builtin_prefetch(y + r * ldy + 16, 1, 2);
    }
}

static void int8_matmul(const dk_int8_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                        int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    int8_layout layout = layout_of(w->columns, w->group);
    int8_parts parts = parts_of((void *)(uintptr_t)activations, tokens, layout);
    int64_t tiles = tile_count(tokens), panelSize = layout.columns * DK_PANEL_ROWS;
    bool grouped = layout.groups > 1;
    float *floats = workspace;
    int32_t *sums = workspace;

    if (tiles == 1) {
        for (int64_t p = panelBegin; p < panelEnd; p++) {
            const uint8_t *weights = w->weights + p * panelSize;
            const float *scales = w->scales + p * layout.groups * DK_PANEL_ROWS;
            if (grouped) {
                memset(floats, 0, (size_t)tokens * 32 * 4);
                int8GroupTiles[tokens](layout.groups, layout.group / 4, parts.values, weights, parts.scales,
                                       parts.corrections, scales, floats, weights + 8192, 128);
                store_panel(floats, tokens, p, w->rows, y, ldy);
            } else {
                start_sums(sums, parts.corrections, tokens);
                int8Streams[tokens](layout.columns / 4, parts.values, weights, sums);
                scale_panel(sums, tokens, parts.scales, scales, p, w->rows, y, ldy);
            }
        }
        return;
    }

    int64_t depth = grouped ? (INT8_BLOCK + layout.group - 1) / layout.group * layout.group : INT8_BLOCK;
    int64_t blocks = (tiles + BLOCK_TILES - 1) / BLOCK_TILES;
    for (int64_t block = 0; block < blocks; block++) {
        int64_t tile0 = block * tiles / blocks, tile1 = (block + 1) * tiles / blocks;
        int64_t begin = tile_begin(tokens, tiles, tile0), count = tile_begin(tokens, tiles, tile1) - begin;
        for (int64_t p0 = panelBegin; p0 < panelEnd; p0 += PANEL_GROUP) {
            int64_t p1 = least(p0 + PANEL_GROUP, panelEnd);
            for (int64_t p = p0; p < p1; p++) {
                if (grouped) memset(floats + (p - p0) * count * 32, 0, (size_t)count * 32 * 4);
                else start_sums(sums + (p - p0) * count * 32, parts.corrections + begin, count);
            }
            for (int64_t k = 0; k < layout.columns; k += depth) {
                int64_t width = least(depth, layout.columns - k), nextK = k + depth < layout.columns ? k + depth : 0;
                for (int64_t p = p0; p < p1; p++) {
                    const uint8_t *weights = w->weights + p * panelSize + k * DK_PANEL_ROWS;
                    // What comes next is fetched into L2 meanwhile, a share with each tile.
                    int64_t nextP = p + 1 < p1 ? p + 1 : nextK > 0 ? p0 : least(p1, panelEnd - 1);
                    const uint8_t *nextWeights =
                        w->weights + nextP * panelSize + (p + 1 < p1 ? k : nextK) * DK_PANEL_ROWS;
                    int64_t stride = (width * DK_PANEL_ROWS / (tile1 - tile0) + width / 4 - 1) / (width / 4);
                    for (int64_t tile = tile0; tile < tile1; tile++) {
                        int64_t t = tile_begin(tokens, tiles, tile), n = tile_begin(tokens, tiles, tile + 1) - t;
                        const int8_t *values = parts.values + t * layout.columns;
                        int64_t valueShare = (n * width / 64 + p1 - p0 - 1) / (p1 - p0);
                        const uint8_t *ahead = nextWeights + (tile - tile0) * stride * (width / 4);
                        fetch(values + nextK * n + (p - p0) * valueShare * 64, valueShare);
                        if (nextK == 0) fetch_result(y + t * ldy + p * DK_PANEL_ROWS, ldy, n);
                        values += k * n;
                        int64_t place = ((p - p0) * count + t - begin) * 32;
                        if (grouped) {
                            int64_t g = k / layout.group, at = t * layout.groups + g * n;
                            int8GroupTiles[n](width / layout.group, layout.group / 4, values, weights, parts.scales + at,
                                              parts.corrections + at,
                                              w->scales + (p * layout.groups + g) * DK_PANEL_ROWS, floats + place, ahead,
                                              stride);
                        } else {
                            int8Tiles[n](width / 4, values, weights, sums + place, ahead, stride);
                        }
                    }
                }
            }
            // Row by row, so that a row's piece of y is written whole.
            for (int64_t t = 0; t < count; t++) {
                float *row = y + (begin + t) * ldy;
                for (int64_t p = p0; p < p1; p++) {
                    int64_t place = ((p - p0) * count + t) * 32;
                    if (grouped) store_panel(floats + place, 1, p, w->rows, row, ldy);
                    else
                        scale_panel(sums + place, 1, parts.scales + begin + t, w->scales + p * DK_PANEL_ROWS, p, w->rows,
                                    row, ldy);
                }
            }
        }
    }
}
