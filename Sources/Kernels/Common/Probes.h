//  What the machine can do at most: multiply-adds on numbers that stay in registers, and reading
//  memory in order.
//
//  The instruction set's file may define the integer and bfloat16 loops; the float32 one and
//  reading are the same for all.

static double probe_f32(int64_t iterations) {
    // As many sums as hide the latency of two multiply-adds a cycle.
    enum { SUMS = PROBE_SUMS };
    lanes sums[SUMS], x = 0.5f, y = 0.25f;
    OPAQUE_VECTOR(x);
    OPAQUE_VECTOR(y);
    UNROLL for (int i = 0; i < SUMS; i++) sums[i] = 1.0f;
    for (int64_t n = 0; n < iterations; n++) {
        UNROLL for (int i = 0; i < SUMS; i++) sums[i] = fma16(x, sums[i], y);
    }
    lanes total = 0.0f;
    UNROLL for (int i = 0; i < SUMS; i++) total += sums[i];
    OPAQUE_VECTOR(total);
    return (double)iterations * SUMS * 16 * 2;
}

static double probe_read(const void *memory, int64_t bytes) {
    const float *p = memory;
    bit_lanes sums[4] = {0, 0, 0, 0};
    int64_t count = bytes / 256;
    for (int64_t n = 0; n < count; n++) {
        UNROLL for (int i = 0; i < 4; i++) {
            FETCH_L1(p + n * 64 + 16 * i, AHEAD_L1);
            sums[i] ^= bits_of(load16(p + n * 64 + 16 * i));
        }
    }
    bit_lanes total = (sums[0] ^ sums[1]) ^ (sums[2] ^ sums[3]);
    OPAQUE_VECTOR(total);
    return (double)count * 256;
}

#ifndef HAS_INT8_PROBE
/// Without an instruction for it, the tile of one token is the probe: its numbers stay in L1.
static double probe_int8(int64_t iterations) {
    int8_t a[64 * 4 * TILE];
    uint8_t w[64 * 128];
    int32_t sums[TILE * 32] = {0};
    memset(a, 1, sizeof a);
    memset(w, 1, sizeof w);
    for (int64_t n = 0; n < iterations; n++) {
        int8Streams[TILE](64, a, w, sums);
        OPAQUE_VECTOR(sums);
    }
    return (double)iterations * 64 * 4 * 32 * TILE * 2;
}
#endif

#ifdef DOT_PAIRS
static double probe_dot_pairs(int64_t iterations) {
    enum { SUMS = PROBE_SUMS };
    lanes sums[SUMS], x = from_bits(0x3f003f00), y = from_bits(0x3e003e00);
    OPAQUE_VECTOR(x);
    OPAQUE_VECTOR(y);
    UNROLL for (int i = 0; i < SUMS; i++) sums[i] = 0.0f;
    for (int64_t n = 0; n < iterations; n++) {
        UNROLL for (int i = 0; i < SUMS; i++) sums[i] = DOT_PAIRS(sums[i], x, y);
    }
    lanes total = 0.0f;
    UNROLL for (int i = 0; i < SUMS; i++) total += sums[i];
    OPAQUE_VECTOR(total);
    return (double)iterations * SUMS * 32 * 2;
}

static double probe_bf16(int64_t iterations) { return RUNS_DOT_PAIRS ? probe_dot_pairs(iterations) : 0; }
#else
static double probe_bf16(int64_t iterations) {
    (void)iterations;
    return 0;
}
#endif
