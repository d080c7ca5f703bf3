//  The gated delta rule, token by token.
//
//      q̂ = q / sqrt(|q|² + 1e-6) / sqrt(D),    k̂ = k / sqrt(|k|² + 1e-6),    g = decay,    β = reach gate
//
//      δ = β (v - g Sᵀ k̂)          S <- g S + k̂ δᵀ          o = Sᵀ q̂
//
//  S lies in panels of 16 columns, [D'/16][D][16]: a few panels of a head stay in L1 while the
//  tokens of a tile pass, and only in the first token are they walked twice. A walk through the
//  panels does three products for each number that it loads and stores:
//
//      s <- g s + k̂_i δ            o += s q̂_i            p += s k̂'_i,    k̂' of the token that follows
//
//  so that p = Sᵀ k̂' is there when the next token begins. Sums run over i in order, in lanes of
//  their own. What a token reads is the state and itself, whatever came with it.
//
//  Source: Yang, Kautz, Hatamizadeh (arXiv 2412.06464).

enum { DELTA_PANELS = VECTORS > 1 ? 2 : 1 };  ///< panels that are walked together: 16 KiB at D = 128

/// One head's rows and gates of a tile of tokens.
typedef struct {
    float *q, *k;  ///< [RULE_TOKENS][D'], scaled
    float decay[RULE_TOKENS], beta[RULE_TOKENS];
} delta_tile;

/// p = Sᵀ k.
INLINE void delta_recall(const int P, const float *state, int64_t D, const float *k, lanes *p) {
    lanes sums[2];
    UNROLL for (int j = 0; j < P; j++) sums[j] = 0.0f;
    for (int64_t i = 0; i < D; i++) {
        UNROLL for (int j = 0; j < P; j++) sums[j] = fma16((lanes)k[i], load16(state + (j * D + i) * 16), sums[j]);
    }
    UNROLL for (int j = 0; j < P; j++) p[j] = sums[j];
}

/// Moves the state by one token; o, and p for the token that follows, whose key is `next`.
INLINE void delta_move(const int P, const bool NEXT, float *state, int64_t D, float decay, const lanes *delta,
                       const float *q, const float *k, const float *next, lanes *o, lanes *p) {
    lanes out[2], recalled[2], change[2], fade = decay;
    UNROLL for (int j = 0; j < P; j++) {
        out[j] = recalled[j] = 0.0f;
        change[j] = delta[j];
    }
    for (int64_t i = 0; i < D; i++) {
        lanes key = k[i], query = q[i], following = NEXT ? next[i] : 0.0f;
        // Read before either is written: at D = 128 panels lie 8 KiB apart, and a load waits for a
        // store to the same place of another page.
        lanes s[2];
        UNROLL for (int j = 0; j < P; j++) s[j] = load16(state + (j * D + i) * 16);
        UNROLL for (int j = 0; j < P; j++) {
            s[j] = fma16(key, change[j], s[j] * fade);
            store16(state + (j * D + i) * 16, s[j]);
            out[j] = fma16(query, s[j], out[j]);
            if (NEXT) recalled[j] = fma16(following, s[j], recalled[j]);
        }
    }
    UNROLL for (int j = 0; j < P; j++) {
        o[j] = out[j];
        if (NEXT) p[j] = recalled[j];
    }
}

/// Tokens t ..< t + n of one head through P panels of its state, from column c on.
INLINE void delta_panels(const int P, const dk_delta_operands *o, const delta_tile *tile, int64_t D, int64_t t,
                         int64_t n, int64_t c, const float *v, float *out, float *state) {
    int64_t width = padded(D);
    lanes p[2], delta[2], sums[2];
    delta_recall(P, state, D, tile->k, p);
    for (int64_t i = 0; i < n; i++) {
        UNROLL for (int j = 0; j < P; j++) {
            int64_t part = least(16, D - c - 16 * j);
            lanes value = v ? load_lanes(v + (t + i) * o->ldv + c + 16 * j, part, 0) : (lanes)0.0f;
            delta[j] = tile->beta[i] * fma16((lanes)-tile->decay[i], p[j], value);
        }
        const float *q = tile->q + i * width, *k = tile->k + i * width;
        if (i + 1 < n) delta_move(P, true, state, D, tile->decay[i], delta, q, k, k + width, sums, p);
        else delta_move(P, false, state, D, tile->decay[i], delta, q, k, k, sums, p);
        if (!out) continue;
        UNROLL for (int j = 0; j < P; j++)
            store_lanes(out + (t + i) * o->ldo + c + 16 * j, sums[j], least(16, D - c - 16 * j));
    }
}

NEVER_INLINE static void delta_heads(const dk_rule_shape *shape, float *states, const dk_delta_operands *o,
                                     int64_t headBegin, int64_t headEnd, void *workspace) {
    int64_t D = shape->headDim, width = padded(D), panels = width / 16;
    float scale = 1.0f / __builtin_sqrtf((float)D);
    delta_tile tile = {.q = workspace, .k = (float *)workspace + RULE_TOKENS * width};
    for (int64_t head = headBegin; head < headEnd; head++) {
        const float *q = o->q + head * D, *k = o->k + head / (shape->heads / shape->kHeads) * D;
        const float *v = o->v ? o->v + head / (shape->heads / shape->vHeads) * D : 0;
        float *state = states + head * D * width, *out = o->o ? o->o + head * D : 0;
        for (int64_t t = 0, n; t < o->tokens; t += n) {
            n = least(RULE_TOKENS, o->tokens - t);
            gates_of(o->beta, o->ldbeta, head, t, n, tile.beta);
            for (int64_t i = 0; i < n; i++) tile.beta[i] *= o->reach;
            decays_of(o->decay, o->lddecay, o->rates[head], o->dtBias[head], head, t, n, tile.decay, 0);
            for (int64_t i = 0; i < n; i++) {
                const float *qi = q + (t + i) * o->ldq, *ki = k + (t + i) * o->ldk;
                scale_row(qi, scale / __builtin_sqrtf(squares_of(qi, D) + 1e-6f), D, tile.q + i * width);
                scale_row(ki, 1.0f / __builtin_sqrtf(squares_of(ki, D) + 1e-6f), D, tile.k + i * width);
            }
            int64_t panel = 0;
            for (; panel + DELTA_PANELS <= panels; panel += DELTA_PANELS)
                delta_panels(DELTA_PANELS, o, &tile, D, t, n, 16 * panel, v, out, state + panel * D * 16);
            for (; panel < panels; panel++)
                delta_panels(1, o, &tile, D, t, n, 16 * panel, v, out, state + panel * D * 16);
        }
    }
}

static void delta_extend(const dk_rule_shape *shape, float *states, const dk_delta_operands *operands,
                         int64_t headBegin, int64_t headEnd, void *workspace) {
    WITHOUT_SUBNORMALS(delta_heads(shape, states, operands, headBegin, headEnd, workspace));
}
