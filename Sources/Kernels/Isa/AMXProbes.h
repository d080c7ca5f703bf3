//  What the tile unit can do at most: products of tiles that stay in its registers. As many sums
//  as hide their latency.

#define DEFINE_TILE_PROBE(NAME, DOT, OPERATIONS)    \
    static double NAME(int64_t iterations) {        \
        begin_tiles();                              \
        UNROLL_TILES(TILE_ZERO)                     \
        for (int64_t n = 0; n < iterations; n++) {  \
            DOT(0, 6, 7);                           \
            DOT(1, 6, 7);                           \
            DOT(2, 6, 7);                           \
            DOT(3, 6, 7);                           \
            DOT(4, 6, 7);                           \
            DOT(5, 6, 7);                           \
        }                                           \
        TILE_RELEASE();                             \
        return (double)iterations * 6 * OPERATIONS; \
    }
#define UNROLL_TILES(ZERO) \
    ZERO(0);               \
    ZERO(1);               \
    ZERO(2);               \
    ZERO(3);               \
    ZERO(4);               \
    ZERO(5);               \
    ZERO(6);               \
    ZERO(7);
DEFINE_TILE_PROBE(probe_int8, TILE_DOT_BYTES, 2 * 16 * 16 * 64)

DEFINE_TILE_PROBE(probe_split, TILE_DOT_BF16, 2 * 16 * 16 * 32)
#undef UNROLL_TILES
#undef DEFINE_TILE_PROBE
