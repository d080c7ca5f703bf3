//  Tiles with a scale for each group of columns, made of tiles without: for instruction sets that
//  have no better way.

INLINE void multiply_group_tile(const int R, int8_tile *tile, int64_t groups, int64_t steps, const int8_t *a,
                                const uint8_t *w, const float *tokenScales, const int32_t *corrections,
                                const float *rowScales, float *sums, const uint8_t *ahead, int64_t stride) {
    for (int64_t g = 0; g < groups; g++) {
        int32_t whole[TILE * 32];
        start_sums(whole, corrections + g * R, R);
        tile(steps, a + g * steps * 4 * R, w + g * steps * 128, whole, ahead + g * steps * stride, stride);
        for (int r = 0; r < R; r++) {
            for (int half = 0; half < 2; half++) {
                int_lanes sum;
                memcpy(&sum, whole + r * 32 + half * 16, sizeof sum);
                lanes scale = load16(rowScales + g * 32 + half * 16) * tokenScales[g * R + r];
                float *out = sums + r * 32 + half * 16;
                store16(out, fma16(__builtin_convertvector(sum, lanes), scale, load16(out)));
            }
        }
    }
}

#define DEFINE_INT8_GROUP_TILE(R)                                                                                    \
    static void int8_group_tile_##R(int64_t groups, int64_t steps, const int8_t *a, const uint8_t *w,                \
                                    const float *tokenScales, const int32_t *corrections, const float *rowScales,    \
                                    float *sums, const uint8_t *ahead, int64_t stride) {                             \
        multiply_group_tile(R, int8_tile_##R, groups, steps, a, w, tokenScales, corrections, rowScales, sums, ahead, \
                            stride);                                                                                 \
    }
FOR_EACH_TILE(DEFINE_INT8_GROUP_TILE)
