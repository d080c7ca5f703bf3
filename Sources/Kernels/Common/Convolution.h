//  The causal convolution of each channel with a few taps, and SiLU.
//
//      y_t = silu(bias + sum over j of weight_j x_{t - taps + 1 + j})         rows before the first from the window

/// Row t - taps + 1 + j of the sequence that is the window and then x.
INLINE const float *convolution_row(const float *x, int64_t ldx, const float *window, int64_t channels, int64_t taps,
                                    int64_t row) {
    return row < 0 ? window + (row + taps - 1) * channels : x + row * ldx;
}

/// Four taps, VECTORS vectors of channels from channel c on: the rows before stay in registers, so
/// that each is read once.
INLINE void convolve_four_taps(const float *x, int64_t ldx, float *y, int64_t ldy, int64_t tokens, float *window,
                               int64_t channels, const float *weight, const float *bias, int64_t c) {
    lanes taps[4][VECTORS], rows[3][VECTORS], start[VECTORS];
    UNROLL for (int v = 0; v < VECTORS; v++) {
        UNROLL for (int j = 0; j < 4; j++) taps[j][v] = load16(weight + j * channels + c + 16 * v);
        UNROLL for (int j = 0; j < 3; j++) rows[j][v] = load16(window + j * channels + c + 16 * v);
        start[v] = bias ? load16(bias + c + 16 * v) : (lanes)0.0f;
    }
    for (int64_t t = 0; t < tokens; t++) {
        UNROLL for (int v = 0; v < VECTORS; v++) {
            const float *source = x + t * ldx + c + 16 * v;
            __builtin_prefetch(source + 8 * ldx);
            lanes row = load16(source), sum = fma16(taps[0][v], rows[0][v], start[v]);
            sum = fma16(taps[1][v], rows[1][v], sum);
            sum = fma16(taps[2][v], rows[2][v], sum);
            sum = fma16(taps[3][v], row, sum);
            store16(y + t * ldy + c + 16 * v, silu16(sum));
            rows[0][v] = rows[1][v];
            rows[1][v] = rows[2][v];
            rows[2][v] = row;
        }
    }
    UNROLL for (int v = 0; v < VECTORS; v++) {
        UNROLL for (int j = 0; j < 3; j++) store16(window + j * channels + c + 16 * v, rows[j][v]);
    }
}

static void conv_silu(const float *x, int64_t ldx, float *y, int64_t ldy, int64_t tokens, float *window,
                      int64_t channels, int64_t taps, const float *weight, const float *bias, int64_t channelBegin,
                      int64_t channelEnd) {
    for (; taps == 4 && channelBegin + 16 * VECTORS <= channelEnd; channelBegin += 16 * VECTORS)
        convolve_four_taps(x, ldx, y, ldy, tokens, window, channels, weight, bias, channelBegin);
    for (int64_t begin = channelBegin; begin < channelEnd; begin += CONVOLUTION_CHANNELS) {
        int64_t count = channelEnd - begin < CONVOLUTION_CHANNELS ? channelEnd - begin : CONVOLUTION_CHANNELS;
        for (int64_t t = 0; t < tokens; t++) {
            FOR_LANES(i, width, count) {
                int64_t c = begin + i;
                lanes sum = bias ? load_lanes(bias + c, width, 0) : (lanes)0.0f;
                for (int64_t j = 0; j < taps; j++) {
                    const float *row = convolution_row(x, ldx, window, channels, taps, t - taps + 1 + j);
                    sum = fma16(load_lanes(weight + j * channels + c, width, 0), load_lanes(row + c, width, 0), sum);
                }
                store_lanes(y + t * ldy + c, silu16(sum), width);
            }
        }
        // Oldest first: a row of the window is read before it is written.
        for (int64_t j = 0; j < taps - 1; j++) {
            const float *row = convolution_row(x, ldx, window, channels, taps, tokens - taps + 1 + j);
            memmove(window + j * channels + begin, row + begin, (size_t)count * 4);
        }
    }
}
