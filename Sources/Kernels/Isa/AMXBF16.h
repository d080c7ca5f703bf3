//  bfloat16 products by the tile unit: `tdpbf16ps` adds 32 products to a float32, for 16 tokens and
//  16 rows of weights, in the order that Products/BF16Split.h describes. A step's weights meet the
//  high parts of the activations first and then, still in their registers, the low parts.
//
//  Activations are packed as the unit loads them, a block of columns after the other:
//
//      [block][pair of tiles][step of the block][high, low][1 or 2 tiles][16 tokens][32]
//
//  A pair's block, 32 KiB, stays in L1 while panel after panel comes by from L2, and sums go
//  through L2 from block to block: beside twice the products for the same weights there is time for
//  that. Weights in twelve bits are widened to sixteen for a block of some panels.

#ifndef SPLIT_STEPS
enum {
    SPLIT_STEPS = 8,   ///< of a block, at most: 256 columns
    SPLIT_PANELS = 8,  ///< panels whose blocks, 128 KiB, stay in L2 over all pairs
    SPLIT_PAIRS = 16,  ///< sums of 8 x 16 are 512 KiB, in L2
};
#endif

INLINE bool splits_tiles(int64_t tokens, int64_t columns) { return tokens >= 16 && columns % SPLIT_STEP == 0; }

INLINE tile_blocks split_blocks(int64_t columns) {
    int64_t steps = columns / SPLIT_STEP;
    return (tile_blocks){steps, 1, (steps + SPLIT_STEPS - 1) / SPLIT_STEPS};
}

static void tile_split_activations(const float *x, int64_t ldx, int64_t tokens, int64_t columns, int64_t first,
                                   int64_t count, void *packed) {
    tile_blocks blocks = split_blocks(columns);
    int64_t tiles = tiles_of(tokens);
    for (int64_t t = first; t < first + count; t++) {
        int64_t tile = t / 16, pair = t / PAIR_TOKENS, inPair = tiles_of_pair(tiles, pair), block = 0;
        for (int64_t k = 0; k < columns; k += 256) {
            uint16_t parts[2][256];
            int64_t width = least(256, columns - k);
            split_row(x + t * ldx + k, width, parts[0], parts[1]);
            for (int64_t i = 0; i < width; i += SPLIT_STEP) {
                int64_t step = (k + i) / SPLIT_STEP;
                while (block_begin(blocks, block + 1) <= step) block++;
                int64_t begin = block_begin(blocks, block), steps = block_begin(blocks, block + 1) - begin;
                char *out = (char *)packed +
                            (begin * tiles + 2 * pair * steps + (step - begin) * inPair) * 2 * TILE_BYTES +
                            (tile - 2 * pair) * TILE_BYTES + t % 16 * STEP_BYTES;
                memcpy(out, parts[0] + i, STEP_BYTES);
                memcpy(out + inPair * TILE_BYTES, parts[1] + i, STEP_BYTES);
            }
        }
    }
}

/// What is multiplied: one of two forms.
typedef struct {
    int64_t rows, columns;
    const uint16_t *plain;  ///< null for the other
    const dk_compact_matrix *compact;
} split_matrix;

/// Where the work stands.
typedef struct {
    const split_matrix *w;
    const char *activations;
    tile_blocks cut;
    int64_t tokens, tiles, pair0, pair1, q0, q1, step, steps;
    int64_t weightLines;  ///< of plain weights in each step, so that the next block's come in time
    bool lastBlock;
    const char *panels[SPLIT_PANELS];  ///< the block's columns of each
    char *scratch, *sums;
    float *y;
    int64_t ldy;
} split_place;

/// What is asked for with each step: lines of the next pair and of the next block of weights.
typedef struct {
    const char *activations, *weights;
    int64_t activationLines, weightLines;
} split_ahead;

/// Steps for one or two tiles of tokens, a [steps][2 parts][TILES][16][64]. Both operands are asked
/// for a step ahead, into L1.
INLINE void add_split_steps(const int TILES, int64_t steps, const char *a, const char *w, split_ahead ahead) {
    for (int64_t s = 0; s < steps; s++) {
        const char *nextA = a + 2 * TILES * TILE_BYTES, *nextW = w + PANEL_STEP;
        TILE_LOAD(4, a, STEP_BYTES);
        TILE_LOAD(6, w, 2 * STEP_BYTES);
        TILE_DOT_BF16(0, 4, 6);
        fetch_tile(nextA);
        TILE_LOAD(7, w + STEP_BYTES, 2 * STEP_BYTES);
        TILE_DOT_BF16(1, 4, 7);
        TILE_ZERO(4);
        fetch_tile(nextA + TILE_BYTES);
        fetch_lines(&ahead.activations, ahead.activationLines);
        fetch_lines(&ahead.weights, ahead.weightLines);
        if (TILES == 2) {
            TILE_LOAD(5, a + TILE_BYTES, STEP_BYTES);
            TILE_DOT_BF16(2, 5, 6);
            TILE_DOT_BF16(3, 5, 7);
            TILE_ZERO(5);
        }
        TILE_LOAD(4, a + TILES * TILE_BYTES, STEP_BYTES);
        TILE_DOT_BF16(0, 4, 6);
        if (TILES == 2) fetch_tile(nextA + 2 * TILE_BYTES);
        TILE_DOT_BF16(1, 4, 7);
        TILE_ZERO(4);
        fetch_tile(nextW);
        if (TILES == 2) {
            TILE_LOAD(5, a + 3 * TILE_BYTES, STEP_BYTES);
            TILE_DOT_BF16(2, 5, 6);
            fetch_tile(nextA + 3 * TILE_BYTES);
            TILE_DOT_BF16(3, 5, 7);
            TILE_ZERO(5);
        }
        TILE_ZERO(6);
        TILE_ZERO(7);
        fetch_tile(nextW + TILE_BYTES);
        a = nextA;
        w = nextW;
    }
}

/// Sums of a pair, or of a part of it, or of a part of a panel, from a place of their own to y.
static void store_split(const float *sums, int64_t tokens, int64_t rows, float *y, int64_t ldy) {
    for (int64_t t = 0; t < tokens; t++) {
        const float *row = sums + t / 16 * 512 + t % 16 * 16;
        _mm512_mask_storeu_ps(y + t * ldy, half_of_panel(rows, 0), _mm512_loadu_ps(row));
        _mm512_mask_storeu_ps(y + t * ldy + 16, half_of_panel(rows, 1), _mm512_loadu_ps(row + 256));
    }
}

INLINE void multiply_split(const int TILES, const split_place *at, int64_t pair) {
    int64_t token = pair * PAIR_TOKENS, tokens = least(PAIR_TOKENS, at->tokens - token), panels = at->q1 - at->q0;
    int64_t pairs = at->pair1 - at->pair0, stepLines = 2 * TILES * 16, lines = (stepLines + panels - 1) / panels;
    const char *a = at->activations + (at->step * at->tiles + 2 * pair * at->steps) * 2 * TILE_BYTES;
    for (int64_t p = at->q0; p < at->q1; p++) {
        int64_t place = (p - at->q0) * pairs + pair - at->pair0;
        int64_t rows = least(DK_PANEL_ROWS, at->w->rows - p * DK_PANEL_ROWS);
        char *sums = at->sums + place * 4 * TILE_BYTES;
        float *y = at->y + token * at->ldy + p * DK_PANEL_ROWS;
        load_sums(TILES, at->step > 0 ? sums : 0);
        const char *w = at->panels[p - at->q0];
        split_ahead ahead = {.activations = a + at->steps * 64 * (stepLines + (p - at->q0) * lines),
                             .weights = w + at->steps * (PANEL_STEP + (pair - at->pair0) * at->weightLines * 64),
                             .activationLines = lines,
                             .weightLines = at->weightLines};
        add_split_steps(TILES, at->steps, a, w, ahead);
        if (!at->lastBlock) {
            store_sums(TILES, sums);
        } else if (tokens == 16 * TILES && rows == DK_PANEL_ROWS) {
            TILE_STORE(0, y, at->ldy * 4);
            TILE_STORE(1, y + 16, at->ldy * 4);
            if (TILES == 2) TILE_STORE(2, y + 16 * at->ldy, at->ldy * 4);
            if (TILES == 2) TILE_STORE(3, y + 16 * at->ldy + 16, at->ldy * 4);
        } else {
            store_sums(TILES, at->scratch);
            store_split((const float *)(const void *)at->scratch, tokens, rows, y, at->ldy);
        }
    }
}

NEVER_INLINE static void tile_split_matmul(const dk_kernels *base, const split_matrix *w, const void *activations,
                                           int64_t tokens, int64_t panelBegin, int64_t panelEnd, float *y, int64_t ldy,
                                           void *workspace) {
    int64_t wideBytes = SPLIT_STEPS * PANEL_STEP;
    char *wide = (char *)workspace + 4 * TILE_BYTES;
    split_place at = {.w = w,
                      .activations = activations,
                      .cut = split_blocks(w->columns),
                      .tokens = tokens,
                      .tiles = tiles_of(tokens),
                      .scratch = workspace,
                      .sums = wide + SPLIT_PANELS * wideBytes,
                      .y = y,
                      .ldy = ldy};
    int64_t pairs = (at.tiles + 1) / 2, rounds = (pairs + SPLIT_PAIRS - 1) / SPLIT_PAIRS;
    begin_tiles();
    for (int64_t round = 0; round < rounds; round++) {
        at.pair0 = round * pairs / rounds;
        at.pair1 = (round + 1) * pairs / rounds;
        at.weightLines = w->plain ? (32 + at.pair1 - at.pair0 - 1) / (at.pair1 - at.pair0) : 0;
        for (at.q0 = panelBegin; at.q0 < panelEnd; at.q0 = at.q1) {
            at.q1 = least(at.q0 + SPLIT_PANELS, panelEnd);
            for (int64_t block = 0; block < at.cut.blocks; block++) {
                at.step = block_begin(at.cut, block);
                at.steps = block_begin(at.cut, block + 1) - at.step;
                at.lastBlock = block + 1 == at.cut.blocks;
                for (int64_t p = at.q0; p < at.q1; p++) {
                    char *columns = wide + (p - at.q0) * wideBytes;
                    if (w->compact) {
                        base->compact_pairs(w->compact, p, at.step * SPLIT_STEP, at.steps * SPLIT_STEP,
                                            (uint16_t *)(void *)columns);
                        at.panels[p - at.q0] = columns;
                    } else {
                        at.panels[p - at.q0] =
                            (const char *)w->plain + p * w->columns * DK_PANEL_ROWS * 2 + at.step * PANEL_STEP;
                    }
                }
                for (int64_t pair = at.pair0; pair < at.pair1; pair++) {
                    if (tiles_of_pair(at.tiles, pair) == 2) multiply_split(2, &at, pair);
                    else multiply_split(1, &at, pair);
                }
            }
        }
    }
    TILE_RELEASE();
}
