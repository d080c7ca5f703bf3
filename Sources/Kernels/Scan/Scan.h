//  The chunked scan, which reads x and B through the head map.
//
//  For each chunk of Q tokens (counted from the start of the sequence) and each head, H the state
//  that entered it:
//
//      1. steps       Δ_i = clamp(softplus(dt_i + bias)),   ℓ_i = ℓ_{i-1} + Δ_i A
//      2. weights     M_ij = (C_i · B_j) exp(ℓ_i - ℓ_j) Δ_j   for j <= i, else 0
//      3. outputs     y_i  = exp(ℓ_i) (C_i · H)  +  sum over j of M_ij x_j  +  D x_i
//      4. chunk full  H   <- exp(ℓ_end) H + sum over j of (exp(ℓ_end - ℓ_j) Δ_j B_j) x_jᵀ
//
//  i counts inside the chunk. Token i's row needs H and the tokens j <= i of its chunk, which the
//  cache keeps, so it is the same row whether the chunk comes whole, in parts or token by token;
//  and a decoded token reads the state without writing it. States lie transposed, [N][P'], B of a
//  chunk too, [N][Q]: then all products have the form that the register tile wants.
//
//  Source: Mamba-2 (arXiv 2405.21060) section 6.

enum { CHUNK = DK_SSD_CHUNK };

/// Copies n rows of one head to rows that lie closer.
static void copy_rows(const float *rows, int64_t ld, int64_t n, int64_t width, int64_t ldo, float *out) {
    for (int64_t i = 0; i < n; i++) {
        FOR_LANES(k, part, width) store_lanes(out + i * ldo + k, load_lanes(rows + i * ld + k, part, 0), part);
    }
}

/// Keeps tokens first ..< first + n of the operands as tokens at, at + 1 ... of the current chunk.
static void keep_tokens(const dk_ssd_shape *shape, const dk_ssd_cache *cache, const dk_ssd_operands *o, int64_t first,
                        int64_t n, int64_t at) {
    int64_t P = shape->headDim, N = shape->stateDim;
    for (int64_t h = 0; h < shape->xHeads; h++)
        copy_rows(o->x + first * o->ldx + h * P, o->ldx, n, P, padded(P), cache->x + (h * CHUNK + at) * padded(P));
    for (int64_t h = 0; h < shape->bHeads; h++)
        transpose_block(o->b + first * o->ldb + h * N, o->ldb, n, N, cache->b + h * N * CHUNK + at, CHUNK);
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

/// Scratch of a head: rows of C, weights M, outputs, and what a later chunk's x and B are copied
/// to.
typedef struct {
    float *c;            ///< [Q][N]
    float *weights;      ///< [Q][Q]
    float *y;            ///< [Q][P']
    float *x;            ///< [Q][P']
    float *b, *scaledB;  ///< [N][Q]
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

/// Which tokens and head come next, so that their rows can be on their way while these multiply
/// with the state.
typedef struct {
    int64_t token, head;
} scan_next;

typedef enum { NEXT_C, NEXT_Y, NEXT_B, NEXT_X } next_operand;

/// `operand` with a prefetch attached: rows i, i + 1, ... of `which` for the next head or chunk. B
/// and x are shared by heads and prefetched for the first head of a group only.
INLINE tile_operand with_next(tile_operand operand, const dk_ssd_shape *shape, const dk_ssd_operands *o, scan_next next,
                              int64_t i, next_operand which) {
    int64_t P = shape->headDim, N = shape->stateDim, t = next.token + i, h = next.head;
    int64_t perX = shape->heads / shape->xHeads, perB = shape->heads / shape->bHeads,
            perC = shape->heads / shape->cHeads;
    if (t >= o->tokens) return operand;
    const float *row = 0;
    int64_t distance = 0;
    switch (which) {
        case NEXT_C: row = o->c + t * o->ldc + h / perC * N, distance = o->ldc; break;
        case NEXT_Y: row = o->y + t * o->ldy + h * P, distance = o->ldy; break;
        case NEXT_B:
            if (h % perB == 0) row = o->b + t * o->ldb + h / perB * N, distance = o->ldb;
            break;
        case NEXT_X:
            if (h % perX == 0) row = o->x + t * o->ldx + h / perX * P, distance = o->ldx;
            break;
    }
    operand.ahead = (const char *)row;
    operand.aheadRow = distance * 4;
    return operand;
}

/// The second part of step 3 for R rows whose last sees `seen` tokens, and each before it one less.
/// All of them go through all tokens, whose weights beyond the diagonal are zero; but zero times
/// what is not finite is NaN, so where x has such numbers each row goes through its own.
static void multiply_with_values(int64_t R, int64_t seen, const float *weights, const float *decays, const float *x,
                                 int64_t width, bool finite, float *y) {
    tile_operand values = {x, width, 16, 0, 0};
    if (finite) {
        multiply_row_tile(R, width / 16, seen, weights, CHUNK, values,
                          (tile_result){y, width, FROM_SCALED_C, decays, 0, 0});
        return;
    }
    for (int64_t r = 0; r < R; r++)
        multiply_row_tile(1, width / 16, seen - R + 1 + r, weights + r * CHUNK, CHUNK, values,
                          (tile_result){y + r * width, width, FROM_SCALED_C, decays + r, 0, 0});
}

/// Steps 2 and 3 for tokens at ..< at + n of the chunk; `finite` says whether their x is.
static void scan_outputs(const dk_ssd_shape *shape, const dk_ssd_operands *o, int64_t head, int64_t t, int64_t n,
                         int64_t at, const float *x, bool finite, const float *b, const float *state,
                         const float *delta, const float *logDecay, scan_next next, scan_scratch s) {
    int64_t P = shape->headDim, N = shape->stateDim, width = padded(P);
    copy_rows(o->c + t * o->ldc + head / (shape->heads / shape->cHeads) * N, o->ldc, n, N, N, s.c);
    float decays[CHUNK];
    exp_vector(logDecay + at, decays, n);
    int64_t tiles = tile_count(n);
    float skip = o->d ? o->d[head] : 0;
    for (int64_t tile = 0; tile < tiles; tile++) {
        int64_t first = tile_begin(n, tiles, tile), last = tile_begin(n, tiles, tile + 1);
        int64_t seen = at + last, vectors = padded(seen) / 16;
        float *weights = s.weights + first * CHUNK, *y = s.y + first * width;
        int64_t together = last - first == 1 ? width : 16 * VECTORS;
        for (int64_t p = 0, part = 0; p < width; p += together, part++) {
            tile_operand columns = {state + p, width, 16, 0, 0};
            multiply_row_tile(last - first, least(together, width - p) / 16, N, s.c + first * N, N,
                              with_next(columns, shape, o, next, first, part % NEXT_X),
                              (tile_result){y + p, width, FROM_ZERO, 0, 0, 0});
        }
        multiply_row_tile(last - first, vectors, N, s.c + first * N, N,
                          with_next((tile_operand){b, CHUNK, 16, 0, 0}, shape, o, next, first, NEXT_X),
                          (tile_result){weights, CHUNK, FROM_ZERO, 0, 0, 0});
        for (int64_t i = first; i < last; i++) scan_weights(s.weights + i * CHUNK, at + i, vectors, delta, logDecay);
        multiply_with_values(last - first, seen, weights, decays + first, x, width, finite, y);
        for (int64_t i = first; i < last; i++) {
            const float *own = x + (at + i) * width, *sum = s.y + i * width;
            float *out = o->y + (t + i) * o->ldy + head * P;
            FOR_LANES(p, part, P) {
                lanes v = load16(sum + p) + 0.0f;  // no zero of either sign by what was left out or added as zero
                store_lanes(out + p, o->d ? fma16((lanes)skip, load16(own + p), v) : v, part);
            }
        }
    }
}

/// Step 4: from b [N][Q] and x [Q][P'], the sum over the first `count` tokens onto e^ℓ_end times
/// the state.
static void scan_state(const dk_ssd_shape *shape, int64_t count, const float *x, const float *b, const float *delta,
                       const float *logDecay, float *scaledB, float *state) {
    int64_t N = shape->stateDim, width = padded(shape->headDim);
    float end = logDecay[count - 1], factors[CHUNK] = {0}, whole[512];
    FOR_LANES(j, part, count) {
        lanes decay = exp16((lanes)end - load_lanes(logDecay + j, part, end));
        store_lanes(factors + j, decay * load_lanes(delta + j, part, 0), part);
    }
    lanes decay = exp16((lanes)end);
    for (int64_t k = 0; k < N; k++) {
        whole[k] = decay[0];
        FOR_LANES(j, part, count)
            store_lanes(scaledB + k * CHUNK + j, load_lanes(b + k * CHUNK + j, part, 0) * load16(factors + j), part);
    }
    multiply_rows(N, width / 16, count, scaledB, CHUNK, (tile_operand){x, width, 16, 0, 0},
                  (tile_result){state, width, FROM_SCALED_C, whole, 0, 0});
}

// MARK: - Heads

INLINE scan_scratch scratch_of(const dk_ssd_shape *shape, void *workspace) {
    int64_t N = shape->stateDim, width = padded(shape->headDim);
    float *next = workspace;
    scan_scratch s;
    s.c = next;
    s.weights = s.c + CHUNK * padded(N);
    s.y = s.weights + CHUNK * CHUNK;
    s.x = s.y + CHUNK * width;
    s.b = s.x + CHUNK * width;
    s.scaledB = s.b + CHUNK * padded(N);
    return s;
}

NEVER_INLINE static void extend_heads(const dk_ssd_shape *shape, const dk_ssd_cache *cache, int64_t fill,
                                      const dk_ssd_operands *o, int64_t headBegin, int64_t headEnd, void *workspace) {
    int64_t P = shape->headDim, N = shape->stateDim, width = padded(P);
    int64_t perB = shape->heads / shape->bHeads, perX = shape->heads / shape->xHeads;
    scan_scratch s = scratch_of(shape, workspace);
    if (fill + o->tokens > CHUNK) {  // what is not filled of a later chunk is multiplied with zeros
        memset(s.x, 0, (size_t)(CHUNK * width) * 4);
        memset(s.b, 0, (size_t)(CHUNK * N) * 4);
    }
    // A few heads go through the chunks together, as many as have their states in L2: rows of
    // neighbours lie together in memory, and what heads share is copied once.
    for (int64_t first = headBegin, last; first < headEnd; first = last) {
        last = least(headEnd, first / HEADS_TOGETHER * HEADS_TOGETHER + HEADS_TOGETHER);
        int64_t at = fill;
        for (int64_t t = 0, n; t < o->tokens; t += n, at = 0) {
            n = least(o->tokens - t, CHUNK - at);
            bool kept = t == 0;  // by ssd_prepare
            bool finite = true;
            for (int64_t head = first; head < last; head++) {
                if (!kept && (head == first || head % perX == 0))
                    copy_rows(o->x + t * o->ldx + head / perX * P, o->ldx, n, P, width, s.x);
                if (!kept && (head == first || head % perB == 0))
                    transpose_block(o->b + t * o->ldb + head / perB * N, o->ldb, n, N, s.b, CHUNK);
                const float *x = kept ? cache->x + head / perX * CHUNK * width : s.x;
                const float *b = kept ? cache->b + head / perB * N * CHUNK : s.b;
                float *state = cache->state + head * N * width;
                float *delta = cache->delta + head * CHUNK, *logDecay = cache->logDecay + head * CHUNK;
                if (head == first || head % perX == 0) finite = all_finite(x + at * width, n * width);
                scan_steps(o, head, t, n, at, delta, logDecay);
                bool more = head + 1 < last;
                scan_next next = {more ? t : t + n, more ? head + 1 : first};
                scan_outputs(shape, o, head, t, n, at, x, finite, b, state, delta, logDecay, next, s);
                if (at + n == CHUNK) scan_state(shape, CHUNK, x, b, delta, logDecay, s.scaledB, state);
            }
        }
    }
}

static void ssd_extend(const dk_ssd_shape *shape, const dk_ssd_cache *cache, int64_t fill,
                       const dk_ssd_operands *operands, int64_t headBegin, int64_t headEnd, void *workspace) {
    WITHOUT_SUBNORMALS(extend_heads(shape, cache, fill, operands, headBegin, headEnd, workspace));
}

NEVER_INLINE static void state_of_head(const dk_ssd_shape *shape, const dk_ssd_cache *cache, int64_t fill, int64_t head,
                                       float *state, void *workspace) {
    int64_t P = shape->headDim, N = shape->stateDim, width = padded(P);
    scan_scratch s = scratch_of(shape, workspace);
    float *copy = s.scaledB + CHUNK * padded(N);
    memcpy(copy, cache->state + head * N * width, (size_t)(N * width) * 4);
    if (fill > 0) {
        const float *x = cache->x + head / (shape->heads / shape->xHeads) * CHUNK * width;
        const float *b = cache->b + head / (shape->heads / shape->bHeads) * N * CHUNK;
        scan_state(shape, fill, x, b, cache->delta + head * CHUNK, cache->logDecay + head * CHUNK, s.scaledB, copy);
    }
    transpose_block(copy, width, N, P, state, N);
}

static void ssd_state(const dk_ssd_shape *shape, const dk_ssd_cache *cache, int64_t fill, int64_t head, float *state,
                      void *workspace) {
    WITHOUT_SUBNORMALS(state_of_head(shape, cache, fill, head, state, workspace));
}
