//  Element-wise functions, norms, rotation: what is linear in the number of
//  activations.
//
//  Sums of squares run in 64 partial sums (4 vectors of 16), joined as a tree. Formulas stand in
//  DualityKernels.h.

// MARK: - Element by element

static void exp_vector(const float *x, float *y, int64_t count) {
    FOR_LANES(i, width, count) store_lanes(y + i, exp16(load_lanes(x + i, width, 0)), width);
}

static void softplus_vector(const float *x, float *y, int64_t count) {
    FOR_LANES(i, width, count) store_lanes(y + i, softplus16(load_lanes(x + i, width, 0)), width);
}

static void silu_vector(const float *x, float *y, int64_t count) {
    FOR_LANES(i, width, count) store_lanes(y + i, silu16(load_lanes(x + i, width, 0)), width);
}

static void add_vector(const float *x, const float *y, float *sum, int64_t count) {
    FOR_LANES(i, width, count) store_lanes(sum + i, load_lanes(x + i, width, 0) + load_lanes(y + i, width, 0), width);
}

static void silu_multiply(const float *gate, int64_t ldg, const float *up, int64_t ldu, float *out, int64_t ldo,
                          int64_t tokens, int64_t width) {
    for (int64_t t = 0; t < tokens; t++) {
        const float *g = gate + t * ldg, *u = up + t * ldu;
        float *o = out + t * ldo;
        FOR_LANES(i, part, width)
            store_lanes(o + i, silu16(load_lanes(g + i, part, 0)) * load_lanes(u + i, part, 0), part);
    }
}

typedef uint16_t half_lanes __attribute__((ext_vector_type(16)));

/// To nearest even; NaN stays NaN.
INLINE half_lanes narrow_bf16(lanes v) {
    bit_lanes bits = bits_of(v);
    // One more than half of the last place when the kept part is odd carries into it exactly when
    // rounding up is right.
    bit_lanes rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    bit_lanes quiet = (bits >> 16) | 0x0040;
    bit_lanes kept = v != v ? quiet : rounded;
    return __builtin_convertvector(kept, half_lanes);
}

static void f32_to_bf16(const float *x, uint16_t *y, int64_t count) {
    FOR_LANES(i, width, count) {
        half_lanes narrow = narrow_bf16(load_lanes(x + i, width, 0));
        memcpy(y + i, &narrow, (size_t)width * 2);
    }
}

static void bf16_to_f32(const uint16_t *x, float *y, int64_t count) {
    // From the end of each stretch of 16 a store never overtakes the loads, even where y begins at
    // x.
    FOR_LANES(i, width, count) {
        uint16_t part[16] = {0};
        memcpy(part, x + i, (size_t)width * 2);
        float wide[16];
        for (int j = 0; j < 16; j++) {
            uint32_t bits = (uint32_t)part[j] << 16;
            memcpy(wide + j, &bits, 4);
        }
        store_lanes(y + i, load16(wide), width);
    }
}

static void one_nan(float *x, int64_t count) {
    FOR_LANES(i, width, count) {
        lanes v = load_lanes(x + i, width, 0);
        store_lanes(x + i, v == v ? v : (lanes)__builtin_nanf(""), width);
    }
}

// MARK: - Over a row

static void softmax(float *x, int64_t count) {
    if (count <= 0) return;
    lanes top = load_lanes(x, count < 16 ? count : 16, -__builtin_inff());
    FOR_LANES(i, width, count) top = larger(load_lanes(x + i, width, -__builtin_inff()), top);
    float largest = largest_of(top);
    lanes total = 0.0f;
    FOR_LANES(i, width, count) {
        lanes e = exp16(load_lanes(x + i, width, -__builtin_inff()) - largest);
        store_lanes(x + i, e, width);
        total += e;
    }
    float scale = 1.0f / sum_of(total);
    FOR_LANES(i, width, count) store_lanes(x + i, load_lanes(x + i, width, 0) * scale, width);
}

/// 1 / sqrt(mean of v² + epsilon) from the sum of squares in parts.
INLINE float root_mean_square_scale(const lanes squares[4], int64_t width, float epsilon) {
    float sum = sum_of((squares[0] + squares[1]) + (squares[2] + squares[3]));
    return 1.0f / __builtin_sqrtf(sum / (float)width + epsilon);
}

static void normalize(const float *x, float *y, int64_t width, const float *weight, float epsilon) {
    lanes squares[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    int64_t i = 0;
    for (; i + 64 <= width; i += 64) {
        UNROLL for (int j = 0; j < 4; j++) {
            lanes v = load16(x + i + 16 * j);
            squares[j] = fma16(v, v, squares[j]);
        }
    }
    for (; i < width; i += 16) {
        lanes v = load_lanes(x + i, width - i < 16 ? width - i : 16, 0);
        squares[0] = fma16(v, v, squares[0]);
    }
    float scale = root_mean_square_scale(squares, width, epsilon);
    FOR_LANES(k, part, width)
        store_lanes(y + k, load_lanes(weight + k, part, 0) * (load_lanes(x + k, part, 0) * scale), part);
}

static void rms_norm(const float *x, int64_t ldx, float *y, int64_t ldy, int64_t tokens, int64_t groups, int64_t width,
                     const float *weight, float epsilon) {
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t g = 0; g < groups; g++)
            normalize(x + t * ldx + g * width, y + t * ldy + g * width, width, weight, epsilon);
}

static void add_rms_norm(float *h, int64_t ldh, const float *delta, int64_t ldd, float *y, int64_t ldy, int64_t tokens,
                         int64_t width, const float *weight, float epsilon) {
    for (int64_t t = 0; t < tokens; t++) {
        add_vector(h + t * ldh, delta + t * ldd, h + t * ldh, width);
        normalize(h + t * ldh, y + t * ldy, width, weight, epsilon);
    }
}

static void gated_norm(const float *y, int64_t ldy, const float *z, int64_t ldz, float *out, int64_t ldo,
                       int64_t tokens, int64_t groups, int64_t width, const float *weight, float epsilon) {
    for (int64_t t = 0; t < tokens; t++) {
        silu_multiply(z + t * ldz, 0, y + t * ldy, 0, out + t * ldo, 0, 1, groups * width);
        for (int64_t g = 0; g < groups; g++) {
            float *row = out + t * ldo + g * width;
            normalize(row, row, width, weight + g * width, epsilon);
        }
    }
}

static void rope(float *x, int64_t ldx, int64_t tokens, int64_t heads, int64_t headDim, const float *cosines,
                 const float *sines) {
    int64_t half = headDim / 2;
    for (int64_t t = 0; t < tokens; t++) {
        for (int64_t h = 0; h < heads; h++) {
            float *first = x + t * ldx + h * headDim, *second = first + half;
            FOR_LANES(i, width, half) {
                lanes c = load_lanes(cosines + t * half + i, width, 0), s = load_lanes(sines + t * half + i, width, 0);
                lanes a = load_lanes(first + i, width, 0), b = load_lanes(second + i, width, 0);
                store_lanes(first + i, a * c - b * s, width);
                store_lanes(second + i, b * c + a * s, width);
            }
        }
    }
}
