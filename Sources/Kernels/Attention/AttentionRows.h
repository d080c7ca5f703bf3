//  Rows of attention on their way through the pages: what they see, and how a page's scores become
//  weights.

/// The score of what is not seen, below all scores, finite so that differences are.
#define UNSEEN -1e30f

/// Rows on their way through the pages, and the memory for it.
typedef struct {
    int64_t rows;
    float *q;                                ///< [rows][D'], times the scale
    float *scores;                           ///< [rows][PAGE]
    float *wide;                             ///< [PAGE][D']
    float *maximum, *sum, *output;           ///< of the segment: [rows], [rows], [rows][D']
    float *allMaximum, *allSum, *allOutput;  ///< of the segments before
    int32_t *seenFrom, *seenTo;              ///< which positions a row sees
} attention_rows;

static attention_rows rows_in(void *workspace, int64_t width) {
    float *next = workspace;
    attention_rows r = {.rows = 0};
    r.q = next;
    r.output = r.q + ATTENTION_ROWS * width;
    r.allOutput = r.output + ATTENTION_ROWS * width;
    r.scores = r.allOutput + ATTENTION_ROWS * width;
    r.wide = r.scores + ATTENTION_ROWS * PAGE;
    r.maximum = r.wide + PAGE * width;
    r.sum = r.maximum + ATTENTION_ROWS;
    r.allMaximum = r.sum + ATTENTION_ROWS;
    r.allSum = r.allMaximum + ATTENTION_ROWS;
    r.seenFrom = (int32_t *)(void *)(r.allSum + ATTENTION_ROWS);
    r.seenTo = r.seenFrom + ATTENTION_ROWS;
    return r;
}

/// Query heads queryBegin ..< queryEnd of tokens tokenBegin ..< tokenEnd become the rows.
static void take_rows(attention_rows *r, const dk_attention_shape *shape, int64_t position, const float *q, int64_t ldq,
                      int64_t tokenBegin, int64_t tokenEnd, int64_t queryBegin, int64_t queryEnd) {
    int64_t D = shape->headDim, width = padded(D);
    r->rows = 0;
    for (int64_t t = tokenBegin; t < tokenEnd; t++) {
        for (int64_t head = queryBegin; head < queryEnd; head++) {
            float *row = r->q + r->rows * width;
            for (int64_t d = 0; d < width; d += 16) {
                int64_t part = D - d < 16 ? D - d : 16;
                store16(row + d, load_lanes(q + t * ldq + head * D + d, part, 0) * shape->scale);
            }
            r->seenTo[r->rows] = (int32_t)(position + t);
            r->seenFrom[r->rows] =
                shape->window > 0 && position + t >= shape->window ? (int32_t)(position + t - shape->window + 1) : 0;
            r->rows++;
        }
    }
}

/// Nothing is joined yet.
static void begin_joining(attention_rows *r, int64_t width) {
    for (int64_t i = 0; i < r->rows; i++) {
        r->allMaximum[i] = UNSEEN;
        r->allSum[i] = 0;
    }
    memset(r->allOutput, 0, (size_t)(r->rows * width) * 4);
}

static void begin_segment(attention_rows *r, int64_t width) {
    for (int64_t i = 0; i < r->rows; i++) {
        r->maximum[i] = UNSEEN;
        r->sum[i] = 0;
    }
    memset(r->output, 0, (size_t)(r->rows * width) * 4);
}

/// The two walks over a row's scores: the largest of them, and their weights e^(s - maximum) with
/// their sum. Most rows see a whole page (`all`) and need no mask. The scales of keys and values in
/// int8 are applied here, once for a key and not for each number.
INLINE lanes seen_lanes(const bool all, const attention_rows *r, int64_t i, int64_t from, int64_t v, lanes x,
                        float unseen) {
    if (all) return x;
    const int_lanes counting = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    int_lanes j = counting + (int32_t)(16 * v);
    return ((j >= r->seenFrom[i] - (int32_t)from) & (j <= r->seenTo[i] - (int32_t)from)) ? x : (lanes)unseen;
}

INLINE lanes largest_scores(const bool all, const bool scaled, const attention_rows *r, int64_t i, head_page page,
                            int64_t from, int64_t vectors, float *scores) {
    lanes top = UNSEEN;
    for (int64_t v = 0; v < vectors; v++) {
        lanes s = load16(scores + 16 * v);
        if (scaled) s *= load16(page.keyScales + 16 * v);
        s = seen_lanes(all, r, i, from, v, s, UNSEEN);
        if (scaled || !all) store16(scores + 16 * v, s);
        top = larger(s, top);
    }
    return top;
}

INLINE lanes weights_of_scores(const bool all, const bool scaled, const attention_rows *r, int64_t i, head_page page,
                               int64_t from, int64_t vectors, float maximum, float *scores) {
    lanes total = 0.0f;
    for (int64_t v = 0; v < vectors; v++) {
        lanes p = seen_lanes(all, r, i, from, v, exp16(load16(scores + 16 * v) - maximum), 0);
        lanes weight = scaled ? seen_lanes(all, r, i, from, v, p * load16(page.valueScales + 16 * v), 0) : p;
        store16(scores + 16 * v, weight);
        total += p;
    }
    return total;
}

/// Turns a row's scores of `vectors` vectors from position `from` on into weights, and moves its
/// maximum, sum and output.
static void weigh(attention_rows *r, int64_t i, head_page page, int64_t from, int64_t vectors) {
    float *scores = r->scores + i * PAGE;
    bool all = r->seenFrom[i] <= from && r->seenTo[i] >= from + 16 * vectors - 1, scaled = page.format == DK_KV_INT8;
    lanes top = scaled ? largest_scores(false, true, r, i, page, from, vectors, scores)
                : all  ? largest_scores(true, false, r, i, page, from, vectors, scores)
                       : largest_scores(false, false, r, i, page, from, vectors, scores);
    float highest = largest_of(top), before = r->maximum[i];
    float maximum = highest > before ? highest : before;
    lanes total = scaled ? weights_of_scores(false, true, r, i, page, from, vectors, maximum, scores)
                  : all  ? weights_of_scores(true, false, r, i, page, from, vectors, maximum, scores)
                         : weights_of_scores(false, false, r, i, page, from, vectors, maximum, scores);
    r->maximum[i] = maximum;
    if (maximum > before) {
        lanes factor = exp16((lanes)(before - maximum));
        float *output = r->output + i * page.width;
        r->sum[i] *= factor[0];
        for (int64_t d = 0; d < page.width; d += 16) store16(output + d, load16(output + d) * factor);
    }
    r->sum[i] += sum_of(total);
}
