//  The tables of int8 tiles, by number of rows; the instruction set's file has defined the tiles.
//
//  Where it has none that begin and end in registers (HAS_WHOLE_INT8_TILES), they are made of those
//  that add to sums in memory.

#define INT8_TILE_ENTRY(R) [R] = int8_tile_##R,
#define INT8_STREAM_ENTRY(R) [R] = int8_stream_##R,
#define INT8_GROUP_TILE_ENTRY(R) [R] = int8_group_tile_##R,
static int8_stream *const int8Streams[TILE + 1] = {FOR_EACH_TILE(INT8_STREAM_ENTRY)};

/// Sums of one scale per row to y: float(sum) (scale_w scale_x).
static void scale_panel(const int32_t *sums, int64_t tokens, const float *tokenScales, const float *rowScales,
                        int64_t rows, float *y, int64_t ldy) {
    for (int64_t t = 0; t < tokens; t++) {
        for (int64_t half = 0; half < 2 && half * 16 < rows; half++) {
            int_lanes whole;
            memcpy(&whole, sums + t * 32 + half * 16, sizeof whole);
            lanes scaled = __builtin_convertvector(whole, lanes) * (load16(rowScales + half * 16) * tokenScales[t]);
            store_lanes(y + t * ldy + half * 16, scaled, least(16, rows - half * 16));
        }
    }
}

#ifdef HAS_WHOLE_INT8_TILES

static int8_whole_tile *const int8Tiles[TILE + 1] = {FOR_EACH_TILE(INT8_TILE_ENTRY)};
static int8_whole_group_tile *const int8GroupTiles[TILE + 1] = {FOR_EACH_TILE(INT8_GROUP_TILE_ENTRY)};

INLINE void int8_tile_of(int64_t R, int64_t steps, const int8_t *a, const uint8_t *w, const int8_result *result,
                         const uint8_t *ahead, int64_t stride) {
    int8Tiles[R](steps, a, w, result, ahead, stride);
}

INLINE void int8_group_tile_of(int64_t R, int64_t groups, int64_t steps, const int8_t *a, const uint8_t *w,
                               const float *tokenScales, const int32_t *corrections, const float *rowScales,
                               const int8_result *result, const uint8_t *ahead, int64_t stride) {
    int8GroupTiles[R](groups, steps, a, w, tokenScales, corrections, rowScales, result, ahead, stride);
}

#else

static int8_tile *const int8Tiles[TILE + 1] = {FOR_EACH_TILE(INT8_TILE_ENTRY)};
static int8_group_tile *const int8GroupTiles[TILE + 1] = {FOR_EACH_TILE(INT8_GROUP_TILE_ENTRY)};

INLINE void int8_tile_of(int64_t R, int64_t steps, const int8_t *a, const uint8_t *w, const int8_result *result,
                         const uint8_t *ahead, int64_t stride) {
    int32_t *sums = result->sums;
    if (result->begins) start_sums(sums, result->corrections, R);
    int8Tiles[R](steps, a, w, sums, ahead, stride);
    if (result->ends)
        scale_panel(sums, R, result->tokenScales, result->rowScales, result->rows, result->y, result->ldy);
}

INLINE void int8_group_tile_of(int64_t R, int64_t groups, int64_t steps, const int8_t *a, const uint8_t *w,
                               const float *tokenScales, const int32_t *corrections, const float *rowScales,
                               const int8_result *result, const uint8_t *ahead, int64_t stride) {
    float *sums = result->sums;
    if (result->begins) memset(sums, 0, (size_t)R * 32 * 4);
    int8GroupTiles[R](groups, steps, a, w, tokenScales, corrections, rowScales, sums, ahead, stride);
    if (result->ends) store_rows(sums, R, result->rows, result->y, result->ldy);
}

#endif
