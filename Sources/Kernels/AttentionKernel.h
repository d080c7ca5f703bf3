//  Attention by blocks of keys, with the softmax kept up to date on the way.
//
//  For a row (one query head of one token) and each page of 128 keys that it sees, in order:
//
//      s_j = (scale q) · k_j                 m' = max(m, max s)          p_j = e^(s_j - m')
//      l  <- l e^(m - m') + sum p_j          o <- o e^(m - m') + sum over j of p_j v_j          m <- m'
//
//  and pages are joined to segments of eight, segments to the result: with two partial results (m,
//  l, o) and (m₂, l₂, o₂) weighed by e^(m - max) and e^(m₂ - max). Pages and segments count from
//  position 0, so a row's arithmetic is the same alone, among others, or split over threads by
//  segments.
//
//  Rows of the query heads that share a key head go through a page together: it is read once for
//  them. Keys lie transposed in blocks of 16, so that scores come out as lanes.
//
//  Source: Milakov and Gimelshein (arXiv 1805.02867); Dao et al., FlashAttention (arXiv
//  2205.14135).

enum {
    PAGE = DK_KV_PAGE,
    ROWS = 128,      ///< rows that go through a page together
    SUBPAGE = 32,    ///< keys that are widened together, 16 KiB of float32 at D = 128
    SEGMENT_PAGES = DK_KV_SEGMENT / DK_KV_PAGE,
};

/// The score of what is not seen, below all scores, finite so that differences are.
#define UNSEEN -1e30f

#include "AttentionPages.h"

// MARK: - Rows

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
    r.output = r.q + ROWS * width;
    r.allOutput = r.output + ROWS * width;
    r.scores = r.allOutput + ROWS * width;
    r.wide = r.scores + ROWS * PAGE;
    r.maximum = r.wide + PAGE * width;
    r.sum = r.maximum + ROWS;
    r.allMaximum = r.sum + ROWS;
    r.allSum = r.allMaximum + ROWS;
    r.seenFrom = (int32_t *)(void *)(r.allSum + ROWS);
    r.seenTo = r.seenFrom + ROWS;
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
INLINE lanes seen_lanes(const bool all, const attention_rows *r, int64_t i, int64_t from, int64_t v, lanes x, float unseen) {
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
        store16(scores + 16 * v, scaled ? p * load16(page.valueScales + 16 * v) : p);
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

#include "AttentionStream.h"

/// All rows through one page, whose first key is at position `from`. `next` is where the keys lie
/// that are wanted after it.
static void pass_page(attention_rows *r, head_page page, int64_t from, const char *next) {
    int64_t width = page.width, last = 0;
    for (int64_t i = 0; i < r->rows; i++) last = r->seenTo[i] > last ? r->seenTo[i] : last;
    int64_t count = least(PAGE, last + 1 - from), vectors = padded(count) / 16;
    if (r->rows <= FEW_ROWS) {
        for (int64_t i = 0; i < r->rows; i += STREAM_ROWS)
            streamKeys[least(STREAM_ROWS, r->rows - i)](page, vectors, r->q + i * width, r->scores + i * PAGE);
        for (int64_t i = 0; i < r->rows; i++) weigh(r, i, page, from, vectors);
        for (int64_t i = 0; i < r->rows; i += STREAM_ROWS)
            streamValues[least(STREAM_ROWS, r->rows - i)](page, count, r->scores + i * PAGE, r->output + i * width, next);
        return;
    }
    for (int64_t first = 0; first < 16 * vectors; first += SUBPAGE) {
        int64_t part = least(SUBPAGE, 16 * vectors - first);
        const float *keys = keys_of(page, first, part, r->wide);
        multiply_rows(r->rows, part / 16, width, r->q, width, (tile_operand){keys, 16, 16 * width, 0, 0},
                      (tile_result){r->scores + first, PAGE, FROM_ZERO, 0, 0, 0});
    }
    for (int64_t i = 0; i < r->rows; i++) weigh(r, i, page, from, vectors);
    const float *values = values_of(page, count, r->wide);
    multiply_rows(r->rows, width / 16, count, r->scores, PAGE, (tile_operand){values, width, 16, 0, 0},
                  (tile_result){r->output, width, FROM_C, 0, 0, 0});
}

/// All rows through pages first ..< end, a segment or the seen part of one.
static void pass_segment(attention_rows *r, const dk_attention_shape *shape, void *const *pages, int64_t head,
                         int64_t first, int64_t end, int64_t lastPage) {
    begin_segment(r, padded(shape->headDim));
    for (int64_t page = first; page < end; page++) {
        const void *next = pages[page < lastPage ? page + 1 : page];
        pass_page(r, page_of(shape, pages[page], head), page * PAGE, page_of(shape, next, head).keys);
    }
}

/// Joins (m, l, o) of a segment to those of the segments before it.
static void join_segment(float *allMaximum, float *allSum, float *allOutput, float maximum, float sum,
                         const float *output, int64_t width) {
    float highest = maximum > *allMaximum ? maximum : *allMaximum;
    lanes before = exp16((lanes)(*allMaximum - highest)), now = exp16((lanes)(maximum - highest));
    for (int64_t d = 0; d < width; d += 16)
        store16(allOutput + d, fma16(load16(output + d), now, load16(allOutput + d) * before));
    lanes total = fma16((lanes)sum, now, (lanes)*allSum * before);
    *allSum = total[0];
    *allMaximum = highest;
}

static void divide_row(const float *output, float sum, int64_t D, float *out) {
    float scale = 1.0f / sum;
    FOR_LANES(d, part, D) store_lanes(out + d, load16(output + d) * scale, part);
}

NEVER_INLINE static void attend(const dk_attention_shape *shape, void *const *pages, int64_t position, const float *q,
                                int64_t ldq, float *out, int64_t ldo, int64_t tokenBegin, int64_t tokenEnd,
                                int64_t headBegin, int64_t headEnd, void *workspace) {
    int64_t D = shape->headDim, width = padded(D), sharing = shape->heads / shape->kvHeads;
    int64_t together = sharing < ROWS ? ROWS / sharing : 1;
    attention_rows r = rows_in(workspace, width);
    for (int64_t head = headBegin; head < headEnd; head++) {
        for (int64_t query = head * sharing; query < (head + 1) * sharing; query += ROWS) {
            int64_t queryEnd = least(query + ROWS, (head + 1) * sharing);
            for (int64_t t = tokenBegin; t < tokenEnd; t += together) {
                int64_t end = least(t + together, tokenEnd);
                take_rows(&r, shape, position, q, ldq, t, end, query, queryEnd);
                int64_t page = r.seenFrom[0] / PAGE, lastPage = (position + end - 1) / PAGE;
                // Joining a segment to nothing gives the segment itself.
                bool joins = page / SEGMENT_PAGES != lastPage / SEGMENT_PAGES;
                if (joins) begin_joining(&r, width);
                while (page <= lastPage) {
                    int64_t segmentEnd = least(lastPage + 1, (page / SEGMENT_PAGES + 1) * SEGMENT_PAGES);
                    pass_segment(&r, shape, pages, head, page, segmentEnd, lastPage);
                    page = segmentEnd;
                    for (int64_t i = 0; joins && i < r.rows; i++)
                        join_segment(r.allMaximum + i, r.allSum + i, r.allOutput + i * width, r.maximum[i], r.sum[i],
                                     r.output + i * width, width);
                }
                for (int64_t i = 0; i < r.rows; i++) {
                    int64_t token = t + i / (queryEnd - query), queryHead = query + i % (queryEnd - query);
                    divide_row((joins ? r.allOutput : r.output) + i * width, joins ? r.allSum[i] : r.sum[i], D,
                               out + token * ldo + queryHead * D);
                }
            }
        }
    }
}

static void attention(const dk_attention_shape *shape, void *const *pages, int64_t position, const float *q, int64_t ldq,
                      float *out, int64_t ldo, int64_t tokenBegin, int64_t tokenEnd, int64_t headBegin, int64_t headEnd,
                      void *workspace) {
    WITHOUT_SUBNORMALS(
        attend(shape, pages, position, q, ldq, out, ldo, tokenBegin, tokenEnd, headBegin, headEnd, workspace));
}

// MARK: - Split over segments

NEVER_INLINE static void attend_segment(const dk_attention_shape *shape, void *const *pages, int64_t position,
                                        const float *q, int64_t segment, int64_t headBegin, int64_t headEnd,
                                        float *partial, void *workspace) {
    int64_t width = padded(shape->headDim), sharing = shape->heads / shape->kvHeads;
    attention_rows r = rows_in(workspace, width);
    for (int64_t head = headBegin; head < headEnd; head++) {
        for (int64_t query = head * sharing; query < (head + 1) * sharing; query += ROWS) {
            int64_t queryEnd = least(query + ROWS, (head + 1) * sharing);
            take_rows(&r, shape, position, q, 0, 0, 1, query, queryEnd);
            int64_t firstPage = segment * SEGMENT_PAGES, seen = r.seenFrom[0] / PAGE, lastPage = position / PAGE;
            pass_segment(&r, shape, pages, head, firstPage > seen ? firstPage : seen,
                         least(lastPage + 1, firstPage + SEGMENT_PAGES), lastPage);
            for (int64_t i = 0; i < r.rows; i++) {
                float *out = partial + (segment * shape->heads + query + i) * (2 + width);
                out[0] = r.maximum[i];
                out[1] = r.sum[i];
                memcpy(out + 2, r.output + i * width, (size_t)width * 4);
            }
        }
    }
}

static void attention_partial(const dk_attention_shape *shape, void *const *pages, int64_t position, const float *q,
                              int64_t segment, int64_t headBegin, int64_t headEnd, float *partial, void *workspace) {
    WITHOUT_SUBNORMALS(attend_segment(shape, pages, position, q, segment, headBegin, headEnd, partial, workspace));
}

NEVER_INLINE static void merge_segments(const dk_attention_shape *shape, int64_t segments, const float *partial,
                                        float *out, int64_t headBegin, int64_t headEnd) {
    int64_t D = shape->headDim, width = padded(D);
    for (int64_t head = headBegin; head < headEnd; head++) {
        float maximum = UNSEEN, sum = 0, output[1024] = {0};
        for (int64_t s = 0; s < segments; s++) {
            const float *part = partial + (s * shape->heads + head) * (2 + width);
            join_segment(&maximum, &sum, output, part[0], part[1], part + 2, width);
        }
        divide_row(output, sum, D, out + head * D);
    }
}

static void attention_merge(const dk_attention_shape *shape, int64_t segments, const float *partial, float *out,
                            int64_t headBegin, int64_t headEnd) {
    WITHOUT_SUBNORMALS(merge_segments(shape, segments, partial, out, headBegin, headEnd));
}
