//  Activations in int8 for the tile unit, packed as it loads them, a block of columns after the
//  other:
//
//      values       [block][pair of tiles][step of the block][1 or 2 tiles][16 tokens][64]
//      scales       [tile][G][16]
//      corrections  [tile][G][16]
//
//  The last tile is filled up with rows that nothing reads the products of.
//
//  What bounds the unit is the way of lines into L1: from L2 one in one to two cycles, where a step
//  takes 64 cycles and 64 lines, and from farther away one in a dozen, because each holds one of
//  L1's few places for what is under way. So sums stay in the registers over all columns, or over
//  some thousands of them; a block of activations, 1 MiB at most, stays in L2 while panel after
//  panel comes by, each asked for while the one before is multiplied.

#ifndef TILE_STEPS
enum {
    TILE_STEPS = 64,            ///< of a block where that is all columns, at most: 4096 columns
    CUT_STEPS = 48,             ///< of one of several blocks, at most, which leaves L2 room for sums
    PANELS_OF_TILES = 16,       ///< panels that go through a block of activations together
    PAIRS_TOGETHER = 8,         ///< 8 pairs x 64 steps are 1 MiB; sums of 8 x 16 are 512 KiB
    SHORT_STEPS = 16,           ///< up to which there are twice as many pairs, 512 KiB
    FEW_STEPS = 256,            ///< of the panels that a pair goes through together, 512 KiB,
    MOST_STEPS_OF_FEW = 32,     ///< unless their columns are more than these
    STREAMED_BYTES = 32 << 20,  ///< y from which on results go past the caches, which cannot hold it
    UNPACKED_PLACE = 2 << 20,   ///< in the workspace, of int4 panels in bytes, FEW_STEPS at most
    UNPACKED_SCALES = 3 << 20,  ///< and of their scales
};
#endif

/// Groups and tokens that the unit serves; the others, whose products it would not make faster, go
/// the way of AVX-512.
INLINE bool serves_tiles(int64_t tokens, int64_t columns, int64_t group) {
    int8_layout layout = layout_of(columns, group);
    return tokens >= 16 && layout.columns % STEP_BYTES == 0 && layout.group % STEP_BYTES == 0;
}

/// How columns are cut: blocks of whole groups, as even as can be.
typedef struct {
    int64_t units, unitSteps, blocks;
} tile_blocks;

INLINE tile_blocks blocks_of(int8_layout layout) {
    int64_t unit = layout.groups > 1 ? layout.group / STEP_BYTES : 1;
    int64_t units = layout.columns / STEP_BYTES / unit;
    int64_t steps = units * unit <= TILE_STEPS ? TILE_STEPS : CUT_STEPS, most = steps > unit ? steps / unit : 1;
    return (tile_blocks){units, unit, (units + most - 1) / most};
}

/// The first step of a block.
INLINE int64_t block_begin(tile_blocks blocks, int64_t block) {
    return block * blocks.units / blocks.blocks * blocks.unitSteps;
}

INLINE int64_t tiles_of(int64_t tokens) { return (tokens + 15) / 16; }
INLINE int64_t tiles_of_pair(int64_t tiles, int64_t pair) { return least(2, tiles - 2 * pair); }

typedef struct {
    char *values;
    float *scales;
    int32_t *corrections;
} tile_parts;

INLINE tile_parts tile_parts_of(void *packed, int64_t tokens, int8_layout layout) {
    int64_t rows = tiles_of(tokens) * 16;
    float *scales = (float *)(void *)((char *)packed + rows * layout.columns);
    return (tile_parts){packed, scales, (int32_t *)(scales + rows * layout.groups)};
}

static void tile_activations(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t group, int64_t first,
                             int64_t count, void *packed) {
    int8_layout layout = layout_of(columns, group);
    tile_parts parts = tile_parts_of(packed, tokens, layout);
    tile_blocks blocks = blocks_of(layout);
    int64_t tiles = tiles_of(tokens), groupSteps = layout.group / STEP_BYTES;
    for (int64_t t = first; t < first + count; t++) {
        const float *row = x + t * ldx;
        int64_t tile = t / 16, pair = t / PAIR_TOKENS, inPair = tiles_of_pair(tiles, pair), block = 0;
        for (int64_t g = 0; g < layout.groups; g++) {
            int64_t k = g * layout.group, given = least(k + layout.group, columns) - k;
            float reciprocal, scale = int8_scale(largest_magnitude(row + k, given), &reciprocal);
            int32_t sum = 0;
            for (int64_t step = g * groupSteps; step < (g + 1) * groupSteps; step++) {
                while (block_begin(blocks, block + 1) <= step) block++;
                int64_t begin = block_begin(blocks, block), steps = block_begin(blocks, block + 1) - begin;
                char *out = parts.values + (begin * tiles + 2 * pair * steps + (step - begin) * inPair) * TILE_BYTES +
                            (tile - 2 * pair) * TILE_BYTES + t % 16 * STEP_BYTES;
                int64_t at = step * STEP_BYTES, have = columns - at < 0 ? 0 : least(STEP_BYTES, columns - at);
                sum += round_row(row + (have > 0 ? at : 0), have, STEP_BYTES, reciprocal, (int8_t *)out);
            }
            int64_t place = (tile * layout.groups + g) * 16 + t % 16;
            parts.scales[place] = scale;
            parts.corrections[place] = -128 * sum;
        }
    }
}
