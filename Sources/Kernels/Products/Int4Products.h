//  Weight matrices in four bits times activations in int8: the product of an int8 matrix whose
//  weights are the values of the codes, bit for bit, in whichever way it is computed.
//
//  A block of columns of a panel is unpacked into L1 and multiplied by the int8 tiles; with many
//  tokens once for all of them. Where the instruction set has `int4Streams`, few tokens are
//  multiplied with codes that are looked up in registers.

/// Unpacked columns of a panel: [width/4][2][16][4] bytes, and float32 scales [groups][32].
typedef struct {
    uint8_t bytes[INT8_COLUMNS * DK_PANEL_ROWS];
    float scales[INT8_COLUMNS / 32 * DK_PANEL_ROWS];
} int4_block;

/// Unpacks groups g ..< g + count of a panel.
INLINE void unpack_groups(const uint8_t *codes, const uint8_t *scales, int8_layout layout, int64_t g, int64_t count,
                          int4_block *block) {
    unpack_int4(codes + g * layout.group * DK_PANEL_ROWS / 2, count * layout.group / 4, block->bytes);
    unpack_int4_scales(scales, g, count, block->scales);
}

static void int4_matmul(const dk_int4_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                        int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    int8_layout layout = layout_of(w->columns, w->group);
    int8_parts parts = parts_of((void *)(uintptr_t)activations, tokens, layout);
    int64_t codeBytes = layout.columns * DK_PANEL_ROWS / 2,
            scaleBytes = INT4_ROW_SCALES + layout.groups * DK_PANEL_ROWS;
    int64_t tiles = tile_count(tokens), depth = INT8_COLUMNS / layout.group;
    int4_block *unpacked = workspace;
    int32_t *sums = (int32_t *)(unpacked + 1);

#ifdef INT4_STREAM_TOKENS
    if (tokens <= INT4_STREAM_TOKENS) {
        for (int64_t p = panelBegin; p < panelEnd; p++)
            int4Streams[tokens](layout.groups, layout.group / 4, parts.values, w->codes + p * codeBytes, parts.scales,
                                parts.corrections, w->scales + p * scaleBytes, y + p * DK_PANEL_ROWS, ldy,
                                least(DK_PANEL_ROWS, w->rows - p * DK_PANEL_ROWS));
        return;
    }
#endif

    int64_t blocks = (tiles + TILES_TOGETHER - 1) / TILES_TOGETHER;
    for (int64_t block = 0; block < blocks; block++) {
        int64_t tile0 = block * tiles / blocks, tile1 = (block + 1) * tiles / blocks;
        int64_t begin = tile_begin(tokens, tiles, tile0), count = tile_begin(tokens, tiles, tile1) - begin;
        // The activations of a block of columns stay in L2 for some panels; one tile's stay anyway.
        int64_t together = tiles == 1 ? 1 : PANELS_TOGETHER;
        for (int64_t p0 = panelBegin; p0 < panelEnd; p0 += together) {
            int64_t p1 = least(p0 + together, panelEnd);
            for (int64_t g = 0; g < layout.groups; g += depth) {
                int64_t some = least(depth, layout.groups - g);
                for (int64_t p = p0; p < p1; p++) {
                    const uint8_t *codes = w->codes + p * codeBytes;
                    unpack_groups(codes, w->scales + p * scaleBytes, layout, g, some, unpacked);
                    // What comes next is fetched into L2 meanwhile, a share with each tile.
                    const uint8_t *ahead =
                        codes + (p + 1 < p1 ? codeBytes : 0) + (g + (p + 1 < p1 ? 0 : some)) * layout.group * 16;
                    int64_t stride = 64 / (tile1 - tile0);
                    for (int64_t tile = tile0; tile < tile1; tile++) {
                        int64_t t = tile_begin(tokens, tiles, tile), n = tile_begin(tokens, tiles, tile + 1) - t;
                        int64_t at = t * layout.groups + g * n;
                        int8_result result = {sums + ((p - p0) * count + t - begin) * 32,
                                              g == 0,
                                              g + some == layout.groups,
                                              parts.corrections + t,
                                              parts.scales + t,
                                              unpacked->scales,
                                              y + t * ldy + p * DK_PANEL_ROWS,
                                              ldy,
                                              least(DK_PANEL_ROWS, w->rows - p * DK_PANEL_ROWS)};
                        if (result.ends) fetch_result(result.y, ldy, n);
                        int8_group_tile_of(n, some, layout.group / 4,
                                           parts.values + t * layout.columns + g * layout.group * n, unpacked->bytes,
                                           parts.scales + at, parts.corrections + at, unpacked->scales, &result,
                                           ahead + (tile - tile0) * stride * some * (layout.group / 4), stride);
                    }
                }
            }
        }
    }
}
