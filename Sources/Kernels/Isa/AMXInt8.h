//  int8 products by the tile unit: `tdpbsud` adds 64 products of a byte with a sign and one without
//  to 32 bits, for 16 tokens and 16 rows of weights. The integers are exact, and what is made of
//  them is computed as in the other tables, so that y has their bits.

/// Sums of a pair and a panel, or of a group of them, that are still to be scaled. Without groups
/// the vector units do that beside the next product of the tiles, some tokens with each step.
typedef struct {
    const int32_t *sums;         ///< [4][16][16]
    int64_t tokens;              ///< of the pair; 0 for nothing to do
    int64_t rows;                ///< of the panel that there are
    const float *tokenScales;    ///< [tile][G][16], of the pair's first tile
    const int32_t *corrections;  ///< the same
    const float *rowScales;      ///< [G][32], from group `firstGroup` on
    int64_t group, groups, firstGroup;
    float *totals;  ///< [32][32], of the groups before
    float *y;       ///< of the pair's first token and the panel's first row
    int64_t ldy;
    bool streams;  ///< past the caches
} tile_rest;

INLINE __mmask16 half_of_panel(int64_t rows, int half) {
    int64_t left = rows - 16 * half;
    return left >= 16 ? 0xffff : left <= 0 ? 0 : (__mmask16)((1 << left) - 1);
}

/// One token: float(sum) (scale_w scale_x), or with groups the sum of these.
INLINE void finish_token(const bool GROUPED, const tile_rest *rest, int64_t t) {
    const int32_t *row = rest->sums + t / 16 * 512 + t % 16 * 16;
    const float *scales = rest->rowScales + (rest->group - rest->firstGroup) * 32;
    int64_t place = GROUPED ? (t / 16 * rest->groups + rest->group) * 16 + t % 16 : t;
    bool last = rest->group + 1 == rest->groups;
    __m512i correction = _mm512_set1_epi32(rest->corrections[place]);
    __m512 scale = _mm512_set1_ps(rest->tokenScales[place]);
    __m512 low = _mm512_mul_ps(_mm512_loadu_ps(scales), scale);
    __m512 high = _mm512_mul_ps(_mm512_loadu_ps(scales + 16), scale);
    __m512 first = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_loadu_si512(row), correction));
    __m512 second = _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_loadu_si512(row + 256), correction));
    float *total = GROUPED ? rest->totals + t * 32 : 0;
    if (GROUPED) {
        bool begins = rest->group == 0;
        first = _mm512_fmadd_ps(first, low, begins ? _mm512_setzero_ps() : _mm512_loadu_ps(total));
        second = _mm512_fmadd_ps(second, high, begins ? _mm512_setzero_ps() : _mm512_loadu_ps(total + 16));
    } else {
        first = _mm512_mul_ps(first, low);
        second = _mm512_mul_ps(second, high);
    }
    if (last && rest->streams && rest->rows >= DK_PANEL_ROWS) {
        _mm512_stream_ps(rest->y + t * rest->ldy, first);
        _mm512_stream_ps(rest->y + t * rest->ldy + 16, second);
    } else if (last) {
        float *y = rest->y + t * rest->ldy;
        _mm512_mask_storeu_ps(y, half_of_panel(rest->rows, 0), first);
        _mm512_mask_storeu_ps(y + 16, half_of_panel(rest->rows, 1), second);
    } else {
        _mm512_storeu_ps(total, first);
        _mm512_storeu_ps(total + 16, second);
    }
}

/// What is asked for with each step: lines of the next panel and of the next block of activations
/// into L2, and the rows of y that are written during the next product.
typedef struct {
    const char *activations, *weights;
    int64_t activationLines, weightLines;
    const float *y;
    int64_t ldy;
} tile_ahead;

INLINE void fetch_lines(const char **at, int64_t lines) {
#pragma clang loop unroll(disable)
    for (int64_t i = 0; i < lines; i++) FETCH_L2(*at, i * 64);
    *at += lines * 64;
}

/// Where the work stands: pairs pair0 ..< pair1, panels q0 ..< q1, a block of columns and what
/// comes after it.
typedef struct {
    int64_t rows;
    const char *weights;  ///< of int8
    const float *scales;
    const dk_int4_matrix *codes;  ///< of int4, else null
    char *bytes;                  ///< what they are unpacked to: the panels that a pair goes through together,
    float *byteScales;            ///< their scales,
    int64_t firstUnpacked;        ///< and which the first of them is
    int8_layout layout;
    tile_parts parts;
    tile_blocks cut;
    int64_t tokens, tiles, groupSteps, panelEnd, pair0, pair1, q0, q1;
    int64_t step, steps, next, nextSteps;
    int64_t few;  ///< panels that a pair of tokens goes through together
    bool lastBlock, streams;
    int64_t activationLines, weightLines;
    float *y;
    int64_t ldy;
    char *sums;          ///< a place for every pair and panel
    tile_rest rests[2];  ///< what is to be scaled, and where the next one is written down
    int current;
} tile_place;

/// Steps of one product, and beside them what the last one left. The sums go to `to`.
INLINE void multiply_steps(const int TILES, const tile_rest *rest, const char *a, const char *w, int64_t steps,
                           const void *from, void *to, tile_ahead *ahead) {
    int64_t token = 0, credit = 0, tokens = rest->tokens;
    const float *y = ahead->y;
    load_sums(TILES, from);
    ADD_STEPS(
        TILES, TILE_DOT_BYTES, steps, a, w, fetch_lines(&ahead->activations, ahead->activationLines),
        fetch_lines(&ahead->weights, ahead->weightLines),
        for (credit += PAIR_TOKENS; credit >= steps; credit -= steps, token++) {
            if (token < tokens) finish_token(false, rest, token);
            if (y) fetch_result(y + token * ahead->ldy, 0, 1);
        });
    store_sums(TILES, to);
}

/// A panel as it is stored: two weights of int4 are a byte.
INLINE const char *stored_at(const tile_place *at, int64_t panel, int64_t step) {
    int64_t place = panel * at->layout.columns * DK_PANEL_ROWS + step * PANEL_STEP;
    return at->codes ? (const char *)at->codes->codes + place / 2 : at->weights + place;
}

/// A panel of the block as it is multiplied.
INLINE const char *panel_at(const tile_place *at, int64_t panel) {
    return at->codes ? at->bytes + (panel - at->firstUnpacked) * at->steps * PANEL_STEP
                     : stored_at(at, panel, at->step);
}

/// Where the scales of a panel are, from the first group of the block on or from the first of all.
INLINE const float *scales_at(const tile_place *at, int64_t panel) {
    if (!at->codes) return at->scales + panel * DK_PANEL_ROWS * at->layout.groups;
    return at->byteScales + (panel - at->firstUnpacked) * (at->steps / at->groupSteps) * DK_PANEL_ROWS;
}

/// Unpacks the block's columns of panels begin ..< end of int4.
INLINE void unpack_panels(tile_place *at, int64_t begin, int64_t end) {
    int64_t scaleBytes = INT4_ROW_SCALES + at->layout.groups * DK_PANEL_ROWS, groups = at->steps / at->groupSteps;
    at->firstUnpacked = begin;
    for (int64_t p = begin; p < end; p++) {
        unpack_int4((const uint8_t *)stored_at(at, p, at->step), at->steps * STEP_BYTES / 4,
                    (uint8_t *)(uintptr_t)panel_at(at, p));
        unpack_int4_scales(at->codes->scales + p * scaleBytes, at->step / at->groupSteps, groups,
                           (float *)(uintptr_t)scales_at(at, p));
    }
}

/// The pair `pair` of the tiles in a block of `steps` steps from `step` on.
INLINE const char *pair_at(const tile_place *at, int64_t pair, int64_t step, int64_t steps) {
    return at->parts.values + (step * at->tiles + 2 * pair * steps) * TILE_BYTES;
}

/// A block of columns of a pair, or a single tile, and panel p.
///
/// Of what is to be scaled field by field is written and read: a copy of it would wait for all
/// stores of the tiles.
INLINE void multiply_block(const int TILES, tile_place *at, int64_t pair, int64_t p, tile_ahead *ahead) {
    int64_t token = pair * PAIR_TOKENS, scales = token * at->layout.groups, row = p * DK_PANEL_ROWS;
    int64_t place = (p - at->q0) * (at->pair1 - at->pair0) + pair - at->pair0;
    const char *a = pair_at(at, pair, at->step, at->steps), *w = panel_at(at, p);
    char *sums = at->sums + place * 4 * TILE_BYTES;
    bool scaled = at->groupSteps || at->lastBlock;
    tile_rest *before = &at->rests[at->current], *rest = &at->rests[!at->current];
    if (scaled) {
        rest->tokens = least(PAIR_TOKENS, at->tokens - token);
        rest->rows = least(DK_PANEL_ROWS, at->rows - row);
        rest->tokenScales = at->parts.scales + scales;
        rest->corrections = at->parts.corrections + scales;
        rest->rowScales = scales_at(at, p);
        rest->firstGroup = at->codes ? at->step / at->groupSteps : 0;
        rest->totals = (float *)(void *)sums;
        rest->y = at->y + token * at->ldy + row;
    }
    ahead->y = at->lastBlock && TILES == 2 && !at->streams ? rest->y : 0;
    if (at->groupSteps) {  // scaled at once: beside the next group's few steps there is no time
        for (int64_t s = 0; s < at->steps; s += at->groupSteps) {
            multiply_steps(TILES, before, a + s * TILES * TILE_BYTES, w + s * PANEL_STEP, at->groupSteps, 0,
                           (void *)(uintptr_t)rest->sums, ahead);
            rest->group = (at->step + s) / at->groupSteps;
            for (int64_t t = 0; t < rest->tokens; t++) finish_token(true, rest, t);
        }
        return;
    }
    multiply_steps(TILES, before, a, w, at->steps, at->step > 0 ? sums : 0,
                   scaled ? (void *)(uintptr_t)rest->sums : sums, ahead);
    before->tokens = 0;
    if (scaled) at->current = !at->current;
}

/// The panel that takes the place of panel p when the next few come by, or in the next block.
INLINE const char *panel_after(const tile_place *at, int64_t p) {
    if (p + at->few < at->q1) return stored_at(at, p + at->few, at->step);
    int64_t place = (p - at->q0) % at->few;
    return stored_at(at, least((at->lastBlock ? at->q1 : at->q0) + place, at->panelEnd - 1), at->next);
}

/// Panels begin ..< end and all pairs of the round. Rows of y are pages apart, and every product
/// looks 32 of them up, a microsecond of a product of 1024 columns: several panels share that.
INLINE void multiply_panels(tile_place *at, int64_t begin, int64_t end) {
    if (at->codes) unpack_panels(at, begin, end);
    for (int64_t pair = at->pair0; pair < at->pair1; pair++) {
        for (int64_t p = begin; p < end; p++) {
            int64_t lines = at->weightLines * at->steps * 64, share = at->activationLines * at->steps * 64;
            tile_ahead ahead = {.activations = pair_at(at, pair, at->next, at->nextSteps) + (p - at->q0) * share,
                                .weights = panel_after(at, p) + (pair - at->pair0) * lines,
                                .activationLines = at->activationLines,
                                .weightLines = at->weightLines};
            if (tiles_of_pair(at->tiles, pair) == 2) multiply_block(2, at, pair, p, &ahead);
            else multiply_block(1, at, pair, p, &ahead);
        }
    }
}

/// The blocks of all columns, for the panels and pairs of the round.
INLINE void multiply_blocks(tile_place *at) {
    int64_t panels = at->q1 - at->q0;
    at->activationLines = at->cut.blocks > 1 ? (32 + panels - 1) / panels : 0;
    for (int64_t block = 0; block < at->cut.blocks; block++) {
        at->step = block_begin(at->cut, block);
        at->steps = block_begin(at->cut, block + 1) - at->step;
        at->lastBlock = block + 1 == at->cut.blocks;
        at->next = at->lastBlock ? 0 : at->step + at->steps;
        at->nextSteps = block_begin(at->cut, at->lastBlock ? 1 : block + 2) - at->next;
        at->few = at->steps <= MOST_STEPS_OF_FEW ? FEW_STEPS / at->steps : 1;
        for (int64_t p = at->q0; p < at->q1; p += at->few) multiply_panels(at, p, least(p + at->few, at->q1));
    }
}

/// The product of a matrix that `at` names, in int8 or int4.
NEVER_INLINE static void multiply_tiles(tile_place at, const void *activations, int64_t panelBegin, void *workspace) {
    int8_layout layout = at.layout;
    int64_t ldy = at.ldy, panelEnd = at.panelEnd;
    at.parts = tile_parts_of((void *)(uintptr_t)activations, at.tokens, layout);
    at.cut = blocks_of(layout);
    at.tiles = tiles_of(at.tokens);
    at.streams = at.tokens * ldy * 4 >= STREAMED_BYTES && ldy % 16 == 0 && (uintptr_t)at.y % 64 == 0;
    at.sums = (char *)workspace + 8 * TILE_BYTES;
    at.bytes = (char *)workspace + UNPACKED_PLACE;
    at.byteScales = (float *)(void *)((char *)workspace + UNPACKED_SCALES);
    for (int i = 0; i < 2; i++) {
        at.rests[i] = (tile_rest){
            .sums = (const int32_t *)workspace + i * 1024, .groups = layout.groups, .ldy = ldy, .streams = at.streams};
    }
    int64_t together = layout.columns <= SHORT_STEPS * STEP_BYTES ? 2 * PAIRS_TOGETHER : PAIRS_TOGETHER;
    int64_t pairs = (at.tiles + 1) / 2, rounds = (pairs + together - 1) / together;
    begin_tiles();
    for (int64_t round = 0; round < rounds; round++) {
        at.pair0 = round * pairs / rounds;
        at.pair1 = (round + 1) * pairs / rounds;
        at.weightLines = ((at.codes ? 16 : 32) + at.pair1 - at.pair0 - 1) / (at.pair1 - at.pair0);
        for (at.q0 = panelBegin; at.q0 < panelEnd; at.q0 = at.q1) {
            at.q1 = least(at.q0 + PANELS_OF_TILES, panelEnd);
            multiply_blocks(&at);
        }
    }
    const tile_rest *rest = &at.rests[at.current];
    for (int64_t t = 0; t < rest->tokens; t++) finish_token(false, rest, t);
    if (at.streams) _mm_sfence();
    TILE_RELEASE();
}

static void tile_matmul(const dk_int8_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                        int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    int8_layout layout = layout_of(w->columns, w->group);
    tile_place at = {.rows = w->rows,
                     .weights = (const char *)w->weights,
                     .scales = w->scales,
                     .layout = layout,
                     .tokens = tokens,
                     .groupSteps = layout.groups > 1 ? layout.group / STEP_BYTES : 0,
                     .panelEnd = panelEnd,
                     .y = y,
                     .ldy = ldy};
    multiply_tiles(at, activations, panelBegin, workspace);
}

/// A single group is added to zero as several are, as the other tables do it in int4.
static void tile_int4_matmul(const dk_int4_matrix *w, const void *activations, int64_t tokens, int64_t panelBegin,
                             int64_t panelEnd, float *y, int64_t ldy, void *workspace) {
    int8_layout layout = layout_of(w->columns, w->group);
    tile_place at = {.rows = w->rows,
                     .codes = w,
                     .layout = layout,
                     .tokens = tokens,
                     .groupSteps = layout.group / STEP_BYTES,
                     .panelEnd = panelEnd,
                     .y = y,
                     .ldy = ldy};
    multiply_tiles(at, activations, panelBegin, workspace);
}
