//  The tile unit of AMX: eight registers of 16 rows of 64 bytes. Four of them hold sums of 32
//  tokens and 32 rows of weights, two hold activations, two hold weights:
//
//                      weights, half panel 0 (6)   half panel 1 (7)
//      tokens  0 ... 15  (4)        0                     1
//      tokens 16 ... 31  (5)        2                     3
//
//  A step is 64 bytes of each token: 64 columns of int8, 32 of bfloat16. It has four products of
//  16 cycles each and four loads of 8. Packed weights are the unit's right operand as they lie in
//  memory: a row of it is 4 columns (or 2) of half a panel, 64 bytes, and the next is 128 bytes on.
//
//  DUALITY_EMULATED_TILES has the instructions computed in C, for tests on other machines.

#ifdef DUALITY_EMULATED_TILES
#include DUALITY_EMULATED_TILES
#else
#define TILE_ZERO(tile) _tile_zero(tile)
#define TILE_LOAD(tile, memory, stride) _tile_loadd(tile, memory, stride)
#define TILE_STORE(tile, memory, stride) _tile_stored(tile, memory, stride)
/// sums += bytes with a sign times bytes without.
#define TILE_DOT_BYTES(sums, a, w) _tile_dpbsud(sums, a, w)
#define TILE_DOT_BF16(sums, a, w) _tile_dpbf16ps(sums, a, w)
#define TILE_CONFIGURE(configuration) _tile_loadconfig(configuration)
#define TILE_RELEASE() _tile_release()
#endif

enum {
    STEP_BYTES = 64,                         ///< of a token in a step
    TILE_BYTES = 16 * STEP_BYTES,            ///< a register
    PAIR_TOKENS = 32,                        ///< two tiles of tokens
    PANEL_STEP = DK_PANEL_ROWS * STEP_BYTES  ///< bytes of a panel in a step
};

/// All eight registers whole. The kernel lets a thread use them after `dk_amx_kernels` has asked
/// for the process; TILE_RELEASE gives them back, so that a thread that waits has no tiles to save.
static void begin_tiles(void) {
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } configuration = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        configuration.bytes[i] = STEP_BYTES;
        configuration.rows[i] = 16;
    }
    TILE_CONFIGURE(&configuration);
}

/// Sums of tiles from zero, or from memory [4][16][16].
INLINE void load_sums(const int TILES, const void *sums) {
    TILE_ZERO(0);
    TILE_ZERO(1);
    if (TILES == 2) TILE_ZERO(2);
    if (TILES == 2) TILE_ZERO(3);
    if (!sums) return;
    TILE_LOAD(0, sums, STEP_BYTES);
    TILE_LOAD(1, (const char *)sums + TILE_BYTES, STEP_BYTES);
    if (TILES == 1) return;
    TILE_LOAD(2, (const char *)sums + 2 * TILE_BYTES, STEP_BYTES);
    TILE_LOAD(3, (const char *)sums + 3 * TILE_BYTES, STEP_BYTES);
}

INLINE void store_sums(const int TILES, void *sums) {
    TILE_STORE(0, sums, STEP_BYTES);
    TILE_STORE(1, (char *)sums + TILE_BYTES, STEP_BYTES);
    if (TILES == 1) return;
    TILE_STORE(2, (char *)sums + 2 * TILE_BYTES, STEP_BYTES);
    TILE_STORE(3, (char *)sums + 3 * TILE_BYTES, STEP_BYTES);
}

/// Asks for 16 lines, a tile, to be brought into L1.
INLINE void fetch_tile(const char *tile) { UNROLL for (int i = 0; i < 16; i++) FETCH_L1(tile, i * 64); }

/// `STEPS` steps for one or two tiles of tokens, A [steps][TILES][16][64] and W
/// [steps][16][2][64], and between the products of each step three statements for the other units.
/// Weights are asked for a step ahead, into L1.
///
/// An operand is cleared after its last use and loaded with what the next step reads: where another
/// thread of the core computes too, a load over a register in use costs twice as much, and a little
/// more without anything in between.
#define ADD_STEPS(TILES, DOT, STEPS, A, W, FIRST, SECOND, THIRD) \
    do {                                                         \
        const char *nextA = A, *nextW = W;                       \
        for (int64_t s = 0; s < (STEPS); s++) {                  \
            TILE_LOAD(4, nextA, STEP_BYTES);                     \
            TILE_LOAD(6, nextW, 2 * STEP_BYTES);                 \
            DOT(0, 4, 6);                                        \
            TILE_LOAD(7, nextW + STEP_BYTES, 2 * STEP_BYTES);    \
            DOT(1, 4, 7);                                        \
            TILE_ZERO(4);                                        \
            FIRST;                                               \
            SECOND;                                              \
            if (TILES == 2) {                                    \
                TILE_LOAD(5, nextA + TILE_BYTES, STEP_BYTES);    \
                DOT(2, 5, 6);                                    \
            }                                                    \
            TILE_ZERO(6);                                        \
            fetch_tile(nextW + PANEL_STEP);                      \
            THIRD;                                               \
            if (TILES == 2) {                                    \
                DOT(3, 5, 7);                                    \
                TILE_ZERO(5);                                    \
            }                                                    \
            TILE_ZERO(7);                                        \
            fetch_tile(nextW + PANEL_STEP + TILE_BYTES);         \
            nextA += TILES * TILE_BYTES;                         \
            nextW += PANEL_STEP;                                 \
        }                                                        \
    } while (0)
