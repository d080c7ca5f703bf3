//  The chunked scan, which reads x and B through the head map.
//
//  For each chunk of Q tokens (counted from the start of the sequence) and each head, H the state that entered it:
//
//      1. steps       Δ_i = clamp(softplus(dt_i + bias)),   ℓ_i = ℓ_{i-1} + Δ_i A
//      2. weights     M_ij = (C_i · B_j) exp(ℓ_i - ℓ_j) Δ_j   for j <= i, else 0
//      3. outputs     y_i  = exp(ℓ_i) C_i · H  +  sum over j of M_ij x_j  +  D x_i
//      4. chunk full  H   <- exp(ℓ_end) H + sum over j of (exp(ℓ_end - ℓ_j) Δ_j B_j) x_jᵀ
//
//  i counts inside the chunk. Token i's row needs H and the tokens j <= i of its chunk, which the cache keeps, so it is the
//  same row whether the chunk comes whole, in parts or token by token; and a decoded token reads the state without
//  writing it. States lie transposed, [N][P'], B of a chunk too, [N][Q]: then all products have the form that the
//  register tile wants.
//
//  Source: Mamba-2 (arXiv 2405.21060) section 6.

enum { CHUNK = DK_SSD_CHUNK };

INLINE int64_t padded(int64_t n) { return (n + 15) / 16 * 16; }

/// Copies rows of one head, [n][P], to [n][P'].
static void copy_rows(const float *rows, int64_t ld, int64_t n, int64_t width, float *out) {
    for (int64_t i = 0; i < n; i++) memcpy(out + i * padded(width), rows + i * ld, (size_t)width * 4);
}

/// Copies rows of one head, [n][N], to columns at, at + 1 ... of [N][Q].
static void copy_columns(const float *rows, int64_t ld, int64_t n, int64_t width, int64_t at, float *out) {
    for (int64_t i0 = 0; i0 < n; i0 += 16)
        for (int64_t k = 0; k < width; k++)
            for (int64_t i = i0; i < n && i < i0 + 16; i++) out[k * CHUNK + at + i] = rows[i * ld + k];
}

/// Keeps tokens first ..< first + n of the operands as tokens at, at + 1 ... of the current chunk.
static void keep_tokens(const dk_ssd_shape *shape, const dk_ssd_cache *cache, const dk_ssd_operands *o, int64_t first,
                        int64_t n, int64_t at) {
    int64_t P = shape->headDim, N = shape->stateDim;
    for (int64_t h = 0; h < shape->xHeads; h++)
        copy_rows(o->x + first * o->ldx + h * P, o->ldx, n, P, cache->x + (h * CHUNK + at) * padded(P));
    for (int64_t h = 0; h < shape->bHeads; h++)
        copy_columns(o->b + first * o->ldb + h * N, o->ldb, n, N, at, cache->b + h * N * CHUNK);
}

static void ssd_prepare(const dk_ssd_shape *shape, const dk_ssd_cache *cache, int64_t fill,
                        const dk_ssd_operands *operands) {
    keep_tokens(shape, cache, operands, 0, least(operands->tokens, CHUNK - fill), fill);
}

static void ssd_retain(const dk_ssd_shape *shape, const dk_ssd_cache *cache, int64_t fill,
                       const dk_ssd_operands *operands) {
    int64_t end = fill + operands->tokens;
    if (end > CHUNK) keep_tokens(shape, cache, operands, operands->tokens - end % CHUNK, end % CHUNK, 0);
}

// MARK: - One head, one chunk

/// Scratch of a head: rows of C and of exp(ℓ) C, weights M, outputs, and what a later chunk's x and B are copied to.
typedef struct {
    float *c, *decayedC;  ///< [Q][N]
    float *weights;       ///< [Q][Q]
    float *y;             ///< [Q][P']
    float *x;             ///< [Q][P']
    float *b, *scaledB;   ///< [N][Q]
} scan_scratch;

/// Step 1 for tokens t ..< t + n, which are tokens at ..< at + n of the chunk.
static void scan_steps(const dk_ssd_operands *o, int64_t head, int64_t t, int64_t n, int64_t at, float *delta,
                       float *logDecay) {
    float steps[CHUNK];
    float bias = o->dtBias ? o->dtBias[head] : 0, rate = o->a[head];
    for (int64_t i = 0; i < n; i++) {
        float dt = o->dt[(t + i) * o->lddt + head];
        steps[i] = o->dtBias ? dt + bias : dt;
    }
    if (o->softplus) softplus_vector(steps, steps, n);
    float sum = at > 0 ? logDecay[at - 1] : 0;
    for (int64_t i = 0; i < n; i++) {
        float step = steps[i];
        if (step < o->dtLow) step = o->dtLow;
        if (step > o->dtHigh) step = o->dtHigh;
        float decay = step * rate;
        sum += decay;
        delta[at + i] = step;
        logDecay[at + i] = sum;
        if (o->logDecaySum) o->logDecaySum[head] += (double)decay;
    }
}

/// Step 2: turns row i's products C_i · B_j into weights, `vectors` vectors of them.
static void scan_weights(float *row, int64_t i, int64_t vectors, const float *delta, const float *logDecay) {
    const int_lanes counting = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    for (int64_t v = 0; v < vectors; v++) {
        int_lanes j = counting + (int32_t)(16 * v);
        lanes distance = logDecay[i] - load16(logDecay + 16 * v);
        distance = distance > 0.0f ? (lanes)0.0f : distance;  // only beyond the diagonal, which is cut off
        lanes weight = load16(row + 16 * v) * exp16(distance) * load16(delta + 16 * v);
        store16(row + 16 * v, j <= (int32_t)i ? weight : (lanes)0.0f);
    }
}

/// Steps 2 and 3 for tokens at ..< at + n of the chunk.
static void scan_outputs(const dk_ssd_shape *shape, const dk_ssd_operands *o, int64_t head, int64_t t, int64_t n,
                         int64_t at, const float *x, const float *b, const float *state, const float *delta,
                         const float *logDecay, scan_scratch s) {
    int64_t P = shape->headDim, N = shape->stateDim, width = padded(P);
    const float *c = o->c + t * o->ldc + head / (shape->heads / shape->cHeads) * N;
    float decays[CHUNK];
    exp_vector(logDecay + at, decays, n);
    for (int64_t i = 0; i < n; i++) {
        FOR_LANES(k, part, N) {
            lanes v = load_lanes(c + i * o->ldc + k, part, 0);
            store_lanes(s.c + i * N + k, v, part);
            store_lanes(s.decayedC + i * N + k, v * decays[i], part);
        }
    }
    multiply_rows(n, width / 16, N, s.decayedC, N, (tile_operand){state, width, 16}, s.y, width, FROM_ZERO);
    int64_t tiles = tile_count(n);
    for (int64_t tile = 0; tile < tiles; tile++) {
        int64_t first = tile_begin(n, tiles, tile), last = tile_begin(n, tiles, tile + 1);
        int64_t seen = at + last, vectors = padded(seen) / 16;
        float *weights = s.weights + first * CHUNK, *y = s.y + first * width;
        multiply_row_tile(last - first, vectors, N, s.c + first * N, N, (tile_operand){b, CHUNK, 16}, weights, CHUNK,
                          FROM_ZERO);
        for (int64_t i = first; i < last; i++)
            scan_weights(s.weights + i * CHUNK, at + i, vectors, delta, logDecay);
        multiply_row_tile(last - first, width / 16, seen, weights, CHUNK, (tile_operand){x, width, 16}, y, width, FROM_C);
    }
    float skip = o->d ? o->d[head] : 0;
    for (int64_t i = 0; i < n; i++) {
        const float *own = x + (at + i) * width, *sum = s.y + i * width;
        float *out = o->y + (t + i) * o->ldy + head * P;
        FOR_LANES(p, part, P)
            store_lanes(out + p, o->d ? fma16((lanes)skip, load16(own + p), load16(sum + p)) : load16(sum + p), part);
    }
}

/// Step 4: from decayed b [N][Q] and x [Q][P'], the sum over the first `count` tokens onto e^ℓ_end times the state.
static void scan_state(const dk_ssd_shape *shape, int64_t count, const float *x, const float *b, const float *delta,
                       const float *logDecay, float *scaledB, float *state) {
    int64_t N = shape->stateDim, width = padded(shape->headDim);
    float end = logDecay[count - 1], factors[CHUNK] = {0};
    FOR_LANES(j, part, count) {
        lanes decay = exp16((lanes)end - load_lanes(logDecay + j, part, end));
        store_lanes(factors + j, decay * load_lanes(delta + j, part, 0), part);
    }
    lanes whole = exp16((lanes)end);
    for (int64_t k = 0; k < N; k++) {
        FOR_LANES(j, part, count)
            store_lanes(scaledB + k * CHUNK + j, load_lanes(b + k * CHUNK + j, part, 0) * load16(factors + j), part);
        for (int64_t p = 0; p < width; p += 16) store16(state + k * width + p, load16(state + k * width + p) * whole);
    }
    multiply_rows(N, width / 16, count, scaledB, CHUNK, (tile_operand){x, width, 16}, state, width, FROM_C);
}

// MARK: - Heads

INLINE scan_scratch scratch_of(const dk_ssd_shape *shape, void *workspace) {
    int64_t N = shape->stateDim, width = padded(shape->headDim);
    float *next = workspace;
    scan_scratch s;
    s.c = next;
    s.decayedC = s.c + CHUNK * padded(N);
    s.weights = s.decayedC + CHUNK * padded(N);
    s.y = s.weights + CHUNK * CHUNK;
    s.x = s.y + CHUNK * width;
    s.b = s.x + CHUNK * width;
    s.scaledB = s.b + CHUNK * padded(N);
    return s;
}

static void ssd_extend(const dk_ssd_shape *shape, const dk_ssd_cache *cache, int64_t fill, const dk_ssd_operands *o,
                       int64_t headBegin, int64_t headEnd, void *workspace) {
    int64_t P = shape->headDim, N = shape->stateDim, width = padded(P);
    int64_t perB = shape->heads / shape->bHeads, perX = shape->heads / shape->xHeads;
    scan_scratch s = scratch_of(shape, workspace);
    memset(s.x, 0, (size_t)(CHUNK * width) * 4);
    memset(s.b, 0, (size_t)(CHUNK * N) * 4);
    // Heads that share B go through the chunks together: B is transposed once for them, and their states stay in L2.
    for (int64_t first = headBegin, last; first < headEnd; first = last) {
        last = least(headEnd, (first / perB + 1) * perB);
        int64_t at = fill;
        for (int64_t t = 0, n; t < o->tokens; t += n, at = 0) {
            n = least(o->tokens - t, CHUNK - at);
            bool kept = t == 0;  // by ssd_prepare
            if (!kept) copy_columns(o->b + t * o->ldb + first / perB * N, o->ldb, n, N, 0, s.b);
            for (int64_t head = first; head < last; head++) {
                if (!kept && (head == first || head % perX == 0))
                    copy_rows(o->x + t * o->ldx + head / perX * P, o->ldx, n, P, s.x);
                const float *x = kept ? cache->x + head / perX * CHUNK * width : s.x;
                const float *b = kept ? cache->b + head / perB * N * CHUNK : s.b;
                float *state = cache->state + head * N * width;
                float *delta = cache->delta + head * CHUNK, *logDecay = cache->logDecay + head * CHUNK;
                scan_steps(o, head, t, n, at, delta, logDecay);
                scan_outputs(shape, o, head, t, n, at, x, b, state, delta, logDecay, s);
                if (at + n == CHUNK) scan_state(shape, CHUNK, x, b, delta, logDecay, s.scaledB, state);
            }
        }
    }
}

static void ssd_state(const dk_ssd_shape *shape, const dk_ssd_cache *cache, int64_t fill, int64_t head, float *state,
                      void *workspace) {
    int64_t P = shape->headDim, N = shape->stateDim, width = padded(P);
    scan_scratch s = scratch_of(shape, workspace);
    float *copy = s.scaledB + CHUNK * padded(N);
    memcpy(copy, cache->state + head * N * width, (size_t)(N * width) * 4);
    if (fill > 0) {
        const float *x = cache->x + head / (shape->heads / shape->xHeads) * CHUNK * width;
        const float *b = cache->b + head / (shape->heads / shape->bHeads) * N * CHUNK;
        scan_state(shape, fill, x, b, cache->delta + head * CHUNK, cache->logDecay + head * CHUNK, s.scaledB, copy);
    }
    dk_transpose(copy, width, N, P, state, N);
}
