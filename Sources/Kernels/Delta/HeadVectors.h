//  What the recurrences over a matrix-valued state share: rows of one head scaled by their length,
//  gates and decays of one head, and the norm behind them.
//
//      gate = 1 / (1 + e^-x)          decay = exp( rate softplus(x + bias) )          rate = -e^A_log

enum { RULE_TOKENS = 64 };  ///< tokens whose rows and gates are made together

/// The sum of squares of a row, in lanes that are joined at the end.
INLINE float squares_of(const float *x, int64_t width) {
    lanes sum = 0.0f;
    FOR_LANES(i, part, width) {
        lanes v = load_lanes(x + i, part, 0);
        sum = fma16(v, v, sum);
    }
    return sum_of(sum);
}

/// out = factor x, [width].
INLINE void scale_row(const float *x, float factor, int64_t width, float *out) {
    FOR_LANES(i, part, width) store_lanes(out + i, load_lanes(x + i, part, 0) * factor, part);
}

/// Sigmoids of column `head` of rows t ..< t + n of a matrix.
INLINE void gates_of(const float *x, int64_t ldx, int64_t head, int64_t t, int64_t n, float *out) {
    float raw[RULE_TOKENS];
    for (int64_t i = 0; i < n; i++) raw[i] = x[(t + i) * ldx + head];
    FOR_LANES(i, part, n) {
        lanes v = load_lanes(raw + i, part, 0);
        store_lanes(out + i, (lanes)1.0f / (exp16(-v) + 1.0f), part);
    }
}

/// Decays of one head, and their logarithms onto `sum`.
INLINE void decays_of(const float *x, int64_t ldx, float rate, float bias, int64_t head, int64_t t, int64_t n,
                      float *out, double *sum) {
    float steps[RULE_TOKENS];
    for (int64_t i = 0; i < n; i++) steps[i] = x[(t + i) * ldx + head] + bias;
    softplus_vector(steps, steps, n);
    for (int64_t i = 0; i < n; i++) {
        steps[i] *= rate;
        if (sum) *sum += (double)steps[i];
    }
    exp_vector(steps, out, n);
}

/// Each of `groups` stretches of `width` numbers of a row: out = rms(x; weight) silu(gate), the
/// norm first; one weight [width] for all groups.
static void norm_gate(const float *x, int64_t ldx, const float *gate, int64_t ldg, float *out, int64_t ldo,
                      int64_t tokens, int64_t groups, int64_t width, const float *weight, float epsilon) {
    for (int64_t t = 0; t < tokens; t++) {
        for (int64_t g = 0; g < groups; g++) {
            float *y = out + t * ldo + g * width;
            normalize(x + t * ldx + g * width, y, width, weight, epsilon);
            if (gate) silu_multiply(gate + t * ldg + g * width, 0, y, 0, y, 0, 1, width);
        }
    }
}
