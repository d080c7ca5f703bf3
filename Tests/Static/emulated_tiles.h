//  The instructions of the tile unit in C, in the order and the roundings of Intel's description of
//  them, for machines without it. All registers are whole: 16 rows of 64 bytes.

#ifndef DUALITY_EMULATED_TILE_UNIT
#define DUALITY_EMULATED_TILE_UNIT

#include <math.h>
#include <stdint.h>
#include <string.h>

typedef union {
    uint8_t bytes[16][64];
    int8_t integers[16][64];
    uint16_t halves[16][32];
    int32_t sums[16][16];
    float floats[16][16];
} emulated_tile;

static _Thread_local emulated_tile emulated_tiles[8];
static _Thread_local int emulated_tiles_are_configured;

static inline void emulated_load(int tile, const void *memory, int64_t stride) {
    if (!emulated_tiles_are_configured) __builtin_trap();
    for (int r = 0; r < 16; r++) memcpy(emulated_tiles[tile].bytes[r], (const char *)memory + r * stride, 64);
}

static inline void emulated_store(int tile, void *memory, int64_t stride) {
    if (!emulated_tiles_are_configured) __builtin_trap();
    for (int r = 0; r < 16; r++) memcpy((char *)memory + r * stride, emulated_tiles[tile].bytes[r], 64);
}

static inline void emulated_dot_bytes(int c, int a, int b) {
    for (int m = 0; m < 16; m++) {
        for (int k = 0; k < 16; k++) {
            for (int n = 0; n < 16; n++) {
                uint32_t sum = (uint32_t)emulated_tiles[c].sums[m][n];
                for (int i = 0; i < 4; i++)
                    sum += (uint32_t)(emulated_tiles[a].integers[m][4 * k + i] * emulated_tiles[b].bytes[k][4 * n + i]);
                emulated_tiles[c].sums[m][n] = (int32_t)sum;
            }
        }
    }
}

/// A subnormal number is zero, with its sign.
static inline float emulated_flush(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }

static inline float emulated_widen(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, 4);
    return emulated_flush(x);
}

/// Sums of even and of odd columns by themselves from zero, then their sum, then onto C.
static inline void emulated_dot_bf16(int c, int a, int b) {
    for (int m = 0; m < 16; m++) {
        for (int n = 0; n < 16; n++) {
            float sums[2] = {0, 0};
            for (int k = 0; k < 16; k++) {
                for (int i = 0; i < 2; i++) {
                    float x = emulated_widen(emulated_tiles[a].halves[m][2 * k + i]);
                    sums[i] = emulated_flush(fmaf(x, emulated_widen(emulated_tiles[b].halves[k][2 * n + i]), sums[i]));
                }
            }
            float sum = emulated_flush(sums[0] + sums[1]);
            emulated_tiles[c].floats[m][n] = emulated_flush(emulated_flush(emulated_tiles[c].floats[m][n]) + sum);
        }
    }
}

#define TILE_ZERO(tile) memset(&emulated_tiles[tile], 0, sizeof(emulated_tile))
#define TILE_LOAD(tile, memory, stride) emulated_load(tile, memory, stride)
#define TILE_STORE(tile, memory, stride) emulated_store(tile, memory, stride)
#define TILE_DOT_BYTES(sums, a, w) emulated_dot_bytes(sums, a, w)
#define TILE_DOT_BF16(sums, a, w) emulated_dot_bf16(sums, a, w)
#define TILE_CONFIGURE(configuration) ((void)(configuration), emulated_tiles_are_configured = 1)
#define TILE_RELEASE() (emulated_tiles_are_configured = 0)

#endif
