//  The recurrence of Gated KalmaNet, token by token.
//
//      q̂ = q / (|q| + 1e-6),    k <- (β + 1e-6) k / (|k| + 1e-6),    v <- (β + 1e-6) v,    g = decay
//      G <- g G + k kᵀ,    F = |G|_F,    λ = ridge F,    s = 2 / (2 λ + F),    ρ = F / (2 λ + F)
//      x = s q̂;  K times:  ω <- 1 / (1 - ρ² ω / 4),  x, x' <- ω (x - s (G x + λ x - q̂)) + (1 - ω) x',  x
//      y = q̂ + α (x - q̂)
//      M <- g M + k vᵀ,    o = scale Mᵀ y
//
//  G and M lie row by row, [D][D']. Both matrices and every product are float32. Where F is 0
//  nothing has been read, and x is 0.
//
//  The iteration takes nine tenths of the time, and G has 64 KiB at D = 128, twice what L1 holds.
//  G is symmetric, so the products read half of it, from the sixteen columns of a row on that hold
//  its diagonal: a vector of a row gives x_row times itself to the columns, and its sum with their
//  x to the row.
//
//  Source: awslabs/hybrid-model-factory, layers/gated_kalmanet.

enum {
    KALMA_VECTORS = VECTORS > 1 ? 8 : 4,  ///< vectors of a row that are summed together
    KALMA_ROWS = VECTORS > 1 ? 16 : 4,    ///< rows of G that are read together
    KALMA_BESIDE = VECTORS > 1 ? 2 : 1,   ///< vectors of each of them
    KALMA_DIM = 512,                      ///< the largest D
};

/// One head's rows of a tile of tokens, and what a token's solution is made in.
typedef struct {
    float *q, *k, *v;                 ///< [RULE_TOKENS][D'], normalised and gated
    float *x, *before, *product, *y;  ///< [D'], zero beyond D
    float decay[RULE_TOKENS], alpha[RULE_TOKENS], beta[RULE_TOKENS];
} kalma_tile;

/// G <- decay G + k kᵀ in columns of V vectors from column c on; onto `squares` those of G.
INLINE void gram_move(const int V, float *gram, int64_t D, int64_t width, int64_t c, float decay, const float *k,
                      lanes *squares) {
    lanes sums[8], columns[8], fade = decay;
    UNROLL for (int j = 0; j < V; j++) {
        sums[j] = 0.0f;
        columns[j] = load16(k + c + 16 * j);
    }
    for (int64_t i = 0; i < D; i++) {
        lanes row = k[i];
        UNROLL for (int j = 0; j < V; j++) {
            float *at = gram + i * width + c + 16 * j;
            lanes s = fma16(row, columns[j], load16(at) * fade);
            store16(at, s);
            sums[j] = fma16(s, s, sums[j]);
        }
    }
    UNROLL for (int j = 0; j < V; j++) *squares += sums[j];
}

/// Of R rows of the symmetric G, N vectors of columns from d on, which stand for those on the other
/// side of the diagonal too: x times rows onto `out`, and the rows' sums with x onto `sums`. With
/// OWN also the rows' own columns, from c on. With WHOLE the rows are all sixteen, and what they
/// give is summed before it is added.
INLINE void gram_vectors(const int R, const int N, const bool OWN, const bool WHOLE, const float *rows, int64_t width,
                         const float *x, const float *factors, int64_t c, int64_t d, float *out, lanes *sums) {
    lanes own = 0.0f, below[2] = {0.0f, 0.0f}, columns[2];
    if (OWN && !WHOLE) own = load16(out + c);
    UNROLL for (int n = 0; n < N; n++) {
        if (!WHOLE) below[n] = load16(out + d + 16 * n);
        columns[n] = load16(x + d + 16 * n);
    }
    UNROLL for (int j = 0; j < R; j++) {
        lanes factor = factors[j];
        if (OWN) own = fma16(factor, load16(rows + j * width + c), own);
        UNROLL for (int n = 0; n < N; n++) {
            lanes row = load16(rows + j * width + d + 16 * n);
            below[n] = fma16(factor, row, below[n]);
            sums[j] = fma16(row, columns[n], sums[j]);
        }
    }
    if (OWN) store16(out + c, WHOLE ? load16(out + c) + own : own);
    UNROLL for (int n = 0; n < N; n++)
        store16(out + d + 16 * n, WHOLE ? load16(out + d + 16 * n) + below[n] : below[n]);
}

/// What R rows of G from row r on, and their columns, add to `out`; c are the rows' own sixteen
/// columns. Sums of the rows' vectors behind c with x go to `across`.
INLINE void gram_rows(const int R, const bool WHOLE, const float *gram, int64_t width, int64_t r, int64_t c,
                      const float *x, float *out, lanes *across) {
    const float *rows = gram + r * width;
    int64_t d = c + 16, first = (width - d) / 16 % KALMA_BESIDE;
    lanes sums[16];
    UNROLL for (int j = 0; j < R; j++) sums[j] = 0.0f;
    if (d == width) {
        gram_vectors(R, 0, true, WHOLE, rows, width, x, x + r, c, d, out, sums);
    } else if (first > 0) {
        gram_vectors(R, 1, true, WHOLE, rows, width, x, x + r, c, d, out, sums);
        d += 16;
    } else {
        gram_vectors(R, KALMA_BESIDE, true, WHOLE, rows, width, x, x + r, c, d, out, sums);
        d += 16 * KALMA_BESIDE;
    }
    for (; d < width; d += 16 * KALMA_BESIDE)
        gram_vectors(R, KALMA_BESIDE, false, WHOLE, rows, width, x, x + r, c, d, out, sums);
    UNROLL for (int j = 0; j < R; j++) across[j] = sums[j];
}

/// out = G x. G is symmetric, and half of it is read: sixteen rows at a time, from their own
/// columns on. What sixteen rows give to a column is summed by itself, so that no sum waits for
/// another.
INLINE void gram_product(const float *gram, int64_t D, int64_t width, const float *x, float *out) {
    memset(out, 0, (size_t)width * 4);
    for (int64_t c = 0; c < width; c += 16) {
        lanes sums;
        int64_t rows = least(16, D - c), j = 0;
        if (KALMA_ROWS == 16 && rows == 16) {
            lanes across[16];
            gram_rows(16, true, gram, width, c, c, x, out, across);
            sums = sums_of_lanes(across);
        } else {
            lanes across[16];
            float part[KALMA_DIM];
            memset(part + c, 0, (size_t)(width - c) * 4);
            for (; j + KALMA_ROWS <= rows; j += KALMA_ROWS)
                gram_rows(KALMA_ROWS, false, gram, width, c + j, c, x, part, across + j);
            for (; j < rows; j++) gram_rows(1, false, gram, width, c + j, c, x, part, across + j);
            for (; j < 16; j++) across[j] = 0.0f;
            for (int64_t d = c; d < width; d += 16) store16(out + d, load16(out + d) + load16(part + d));
            sums = sums_of_lanes(across);
        }
        if (c + 16 < width) store16(out + c, load16(out + c) + sums);
    }
}

/// M <- decay M + k vᵀ and out = Mᵀ y, V vectors from column c on.
INLINE void memory_move(const int V, float *memory, int64_t D, int64_t width, int64_t c, float decay, const float *k,
                        const float *v, const float *y, float *out) {
    lanes sums[8], columns[8], fade = decay;
    UNROLL for (int j = 0; j < V; j++) {
        sums[j] = 0.0f;
        columns[j] = load16(v + c + 16 * j);
    }
    for (int64_t i = 0; i < D; i++) {
        lanes row = k[i], query = y[i];
        UNROLL for (int j = 0; j < V; j++) {
            float *at = memory + i * width + c + 16 * j;
            lanes s = fma16(row, columns[j], load16(at) * fade);
            store16(at, s);
            sums[j] = fma16(query, s, sums[j]);
        }
    }
    UNROLL for (int j = 0; j < V; j++) store16(out + c + 16 * j, sums[j]);
}

/// Calls a function for all columns, KALMA_VECTORS vectors at a time and then one by one.
#define FOR_COLUMNS(width, V, c, call)                                       \
    do {                                                                     \
        int64_t c = 0;                                                       \
        for (; c + 16 * KALMA_VECTORS <= (width); c += 16 * KALMA_VECTORS) { \
            const int V = KALMA_VECTORS;                                     \
            call;                                                            \
        }                                                                    \
        for (; c < (width); c += 16) {                                       \
            const int V = 1;                                                 \
            call;                                                            \
        }                                                                    \
    } while (0)

/// x of the token whose query is q, into tile->x.
INLINE void kalma_solve(const kalma_tile *tile, const float *gram, int64_t D, int64_t width, float norm, float ridge,
                        int64_t iterations, const float *q) {
    if (norm == 0) {
        memset(tile->x, 0, (size_t)width * 4);
        return;
    }
    float lambda = ridge * norm, twice = 2 * lambda + norm, step = 2 / twice, rho = norm / twice, omega = 2;
    memset(tile->before, 0, (size_t)width * 4);
    for (int64_t d = 0; d < width; d += 16) store16(tile->x + d, load16(q + d) * step);
    for (int64_t n = 0; n < iterations; n++) {
        omega = 1 / (1 - rho * rho / 4 * omega);
        gram_product(gram, D, width, tile->x, tile->product);
        for (int64_t d = 0; d < width; d += 16) {
            lanes x = load16(tile->x + d);
            lanes residual = fma16((lanes)lambda, x, load16(tile->product + d)) - load16(q + d);
            lanes moved = fma16((lanes)-step, residual, x);
            store16(tile->x + d, fma16((lanes)omega, moved, load16(tile->before + d) * (1 - omega)));
            store16(tile->before + d, x);
        }
    }
}

/// One token of one head.
INLINE void kalma_token(const dk_kalma_operands *o, const kalma_tile *tile, int64_t D, int64_t i, float *gram,
                        float *memory, float *out) {
    int64_t width = padded(D);
    const float *q = tile->q + i * width, *k = tile->k + i * width, *v = tile->v + i * width;
    const float *y = q;
    if (o->iterations > 0) {
        lanes squares = 0.0f;
        float fade = o->decaysGram ? tile->decay[i] : 1;
        FOR_COLUMNS(width, V, c, gram_move(V, gram, D, width, c, fade, k, &squares));
        kalma_solve(tile, gram, D, width, __builtin_sqrtf(sum_of(squares)), o->ridge, o->iterations, q);
        for (int64_t d = 0; d < width; d += 16) {
            lanes query = load16(q + d);
            store16(tile->y + d, fma16((lanes)tile->alpha[i], load16(tile->x + d) - query, query));
        }
        y = tile->y;
    }
    FOR_COLUMNS(width, V, c, memory_move(V, memory, D, width, c, tile->decay[i], k, v, y, tile->product));
    scale_row(tile->product, o->scale, D, out);
}

/// Rows and gates of tokens t ..< t + n of one head.
static void kalma_rows(const dk_rule_shape *shape, const dk_kalma_operands *o, int64_t head, int64_t t, int64_t n,
                       kalma_tile *tile) {
    int64_t D = shape->headDim, width = padded(D);
    const float *q = o->q + head * D, *k = o->k + head / (shape->heads / shape->kHeads) * D;
    const float *v = o->v + head / (shape->heads / shape->vHeads) * D;
    for (int64_t i = 0; i < n; i++) tile->decay[i] = tile->alpha[i] = tile->beta[i] = 1;
    if (o->beta) {
        gates_of(o->beta, o->ldbeta, head, t, n, tile->beta);
        for (int64_t i = 0; i < n; i++) tile->beta[i] += 1e-6f;
    }
    if (o->alpha) gates_of(o->alpha, o->ldalpha, head, t, n, tile->alpha);
    if (o->decay)
        decays_of(o->decay, o->lddecay, o->rates[head], o->dtBias[head], head, t, n, tile->decay,
                  o->logDecaySum ? o->logDecaySum + head : 0);
    for (int64_t i = 0; i < n; i++) {
        const float *qi = q + (t + i) * o->ldq, *ki = k + (t + i) * o->ldk;
        scale_row(qi, 1.0f / (__builtin_sqrtf(squares_of(qi, D)) + 1e-6f), D, tile->q + i * width);
        scale_row(ki, tile->beta[i] / (__builtin_sqrtf(squares_of(ki, D)) + 1e-6f), D, tile->k + i * width);
        scale_row(v + (t + i) * o->ldv, tile->beta[i], D, tile->v + i * width);
    }
}

NEVER_INLINE static void kalma_heads(const dk_rule_shape *shape, float *grams, float *memories,
                                     const dk_kalma_operands *o, int64_t headBegin, int64_t headEnd, void *workspace) {
    int64_t D = shape->headDim, width = padded(D), rows = RULE_TOKENS * width;
    float *next = workspace;
    memset(next, 0, (size_t)(3 * rows + 4 * width) * 4);  // what lies beyond D stays zero
    kalma_tile tile = {.q = next, .k = next + rows, .v = next + 2 * rows};
    tile.x = next + 3 * rows;
    tile.before = tile.x + width;
    tile.product = tile.before + width;
    tile.y = tile.product + width;
    for (int64_t head = headBegin; head < headEnd; head++) {
        float *gram = grams + head * D * width, *memory = memories + head * D * width;
        for (int64_t t = 0, n; t < o->tokens; t += n) {
            n = least(RULE_TOKENS, o->tokens - t);
            kalma_rows(shape, o, head, t, n, &tile);
            for (int64_t i = 0; i < n; i++)
                kalma_token(o, &tile, D, i, gram, memory, o->o + (t + i) * o->ldo + head * D);
        }
    }
}

static void kalma_extend(const dk_rule_shape *shape, float *grams, float *memories, const dk_kalma_operands *operands,
                         int64_t headBegin, int64_t headEnd, void *workspace) {
    WITHOUT_SUBNORMALS(kalma_heads(shape, grams, memories, operands, headBegin, headEnd, workspace));
}
