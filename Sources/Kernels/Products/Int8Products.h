//  Weight matrices in int8 times activations in int8: the order of the work. Formula and layout
//  stand in Int8Packing.h.
//
//  Blocking as in FloatProducts.h, with 512 columns to a block. The instruction set's file has the
//  tiles: `int8_tile_of(R)` adds 4 x steps columns to sums [R][32], `int8Streams[R]` does so for
//  weights that come from memory, `int8_group_tile_of(R)` adds scaled groups to float sums [R][32].
//  With the last columns a tile writes y.

static void int8_matmul(const dk_int8_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                        int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    int8_layout layout = layout_of(w->columns, w->group);
    int8_parts parts = parts_of((void *)(uintptr_t)activations, tokens, layout);
    int64_t tiles = tile_count(tokens), panelSize = layout.columns * DK_PANEL_ROWS;
    bool grouped = layout.groups > 1;
    int32_t *sums = workspace;

    if (tiles == 1) {
        for (int64_t p = panelBegin; p < panelEnd; p++) {
            const uint8_t *weights = w->weights + p * panelSize;
            const float *scales = w->scales + p * layout.groups * DK_PANEL_ROWS;
            int64_t rows = least(DK_PANEL_ROWS, w->rows - p * DK_PANEL_ROWS);
            float *out = y + p * DK_PANEL_ROWS;
            if (grouped) {
                int8_result result = {workspace, true, true, 0, 0, 0, out, ldy, rows};
                int8_group_tile_of(tokens, layout.groups, layout.group / 4, parts.values, weights, parts.scales,
                                   parts.corrections, scales, &result, weights + AHEAD_L2, 128);
            } else {
                start_sums(sums, parts.corrections, tokens);
                int8Streams[tokens](layout.columns / 4, parts.values, weights, sums);
                scale_panel(sums, tokens, parts.scales, scales, rows, out, ldy);
            }
        }
        return;
    }

    int64_t depth = grouped ? (INT8_COLUMNS + layout.group - 1) / layout.group * layout.group : INT8_COLUMNS;
    int64_t blocks = (tiles + TILES_TOGETHER - 1) / TILES_TOGETHER;
    for (int64_t block = 0; block < blocks; block++) {
        int64_t tile0 = block * tiles / blocks, tile1 = (block + 1) * tiles / blocks;
        int64_t begin = tile_begin(tokens, tiles, tile0), count = tile_begin(tokens, tiles, tile1) - begin;
        for (int64_t p0 = panelBegin; p0 < panelEnd; p0 += PANELS_TOGETHER) {
            int64_t p1 = least(p0 + PANELS_TOGETHER, panelEnd);
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
                        int8_result result = {sums + ((p - p0) * count + t - begin) * 32,
                                              k == 0,
                                              nextK == 0,
                                              parts.corrections + t,
                                              parts.scales + t,
                                              w->scales + p * DK_PANEL_ROWS,
                                              y + t * ldy + p * DK_PANEL_ROWS,
                                              ldy,
                                              least(DK_PANEL_ROWS, w->rows - p * DK_PANEL_ROWS)};
                        if (nextK == 0) fetch_result(result.y, ldy, n);
                        values += k * n;
                        if (grouped) {
                            int64_t g = k / layout.group, at = t * layout.groups + g * n;
                            int8_group_tile_of(n, width / layout.group, layout.group / 4, values, weights,
                                               parts.scales + at, parts.corrections + at,
                                               w->scales + (p * layout.groups + g) * DK_PANEL_ROWS, &result, ahead,
                                               stride);
                        } else {
                            int8_tile_of(n, width / 4, values, weights, &result, ahead, stride);
                        }
                    }
                }
            }
        }
    }
}
