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

/// Whether the values that some of the rows see and others do not are all finite, and so may be
/// multiplied with weights that are zero. int8 always is: its scales went into the weights.
static bool masks_hold(const attention_rows *r, head_page page, int64_t from, int64_t count) {
    if (page.format == DK_KV_INT8) return true;
    int64_t first = count, end = 0;  // what all rows see is end ..< first
    for (int64_t i = 0; i < r->rows; i++) {
        first = least(first, r->seenTo[i] + 1 - from);
        end = r->seenFrom[i] - from > end ? r->seenFrom[i] - from : end;
    }
    int64_t width = page.width, before = least(end, count), behind = first > 0 ? first : 0;
    if (page.format == DK_KV_F32) {
        const float *values = (const float *)(const void *)page.values;
        return all_finite(values, before * width) && all_finite(values + behind * width, (count - behind) * width);
    }
    for (int64_t j = 0; j < count; j++) {
        if (j >= before && j < behind) continue;
        for (int64_t d = 0; d < width; d += 16) {
            float wide[16];
            store16(wide, widen_bf16(page.values + (j * width + d) * 2));
            if (!all_finite(wide, 16)) return false;
        }
    }
    return true;
}

/// Adds each row's own weighed values, row by row: what masks are for, where they do not hold.
static void add_own_values(attention_rows *r, head_page page, int64_t from, int64_t count) {
    int64_t width = page.width;
    const float *values = values_of(page, count, r->wide);
    for (int64_t i = 0; i < r->rows; i++) {
        int64_t first = r->seenFrom[i] - from > 0 ? r->seenFrom[i] - from : 0,
                end = least(count, r->seenTo[i] + 1 - from);
        if (first >= end) continue;
        multiply_rows(1, width / 16, end - first, r->scores + i * PAGE + first, PAGE,
                      (tile_operand){values + first * width, width, 16, 0, 0},
                      (tile_result){r->output + i * width, width, FROM_C, 0, 0, 0});
    }
}

/// All rows through one page, whose first key is at position `from`. `next` is where the keys lie
/// that are wanted after it.
static void pass_page(attention_rows *r, head_page page, int64_t from, const char *next) {
    int64_t width = page.width, last = 0;
    for (int64_t i = 0; i < r->rows; i++) last = r->seenTo[i] > last ? r->seenTo[i] : last;
    int64_t count = least(PAGE, last + 1 - from), vectors = padded(count) / 16;
    bool few = r->rows <= FEW_ROWS;
    if (few) {
        for (int64_t i = 0; i < r->rows; i += STREAM_ROWS)
            streamKeys[least(STREAM_ROWS, r->rows - i)](page, vectors, r->q + i * width, r->scores + i * PAGE);
    } else {
        for (int64_t first = 0; first < 16 * vectors; first += KEYS_WIDENED) {
            int64_t part = least(KEYS_WIDENED, 16 * vectors - first);
            const float *keys = keys_of(page, first, part, r->wide);
            multiply_rows(r->rows, part / 16, width, r->q, width, (tile_operand){keys, 16, 16 * width, 0, 0},
                          (tile_result){r->scores + first, PAGE, FROM_ZERO, 0, 0, 0});
        }
    }
    for (int64_t i = 0; i < r->rows; i++) weigh(r, i, page, from, vectors);
    if (!masks_hold(r, page, from, count)) {
        add_own_values(r, page, from, count);
    } else if (few) {
        for (int64_t i = 0; i < r->rows; i += STREAM_ROWS)
            streamValues[least(STREAM_ROWS, r->rows - i)](page, count, r->scores + i * PAGE, r->output + i * width,
                                                          next);
    } else {
        const float *values = values_of(page, count, r->wide);
        multiply_rows(r->rows, width / 16, count, r->scores, PAGE, (tile_operand){values, width, 16, 0, 0},
                      (tile_result){r->output, width, FROM_C, 0, 0, 0});
    }
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
    FOR_LANES(d, part, D) store_lanes(out + d, load16(output + d) * scale + 0.0f, part);
}

NEVER_INLINE static void attend(const dk_attention_shape *shape, void *const *pages, int64_t position, const float *q,
                                int64_t ldq, float *out, int64_t ldo, int64_t tokenBegin, int64_t tokenEnd,
                                int64_t headBegin, int64_t headEnd, void *workspace) {
    int64_t D = shape->headDim, width = padded(D), sharing = shape->heads / shape->kvHeads;
    int64_t together = sharing < ATTENTION_ROWS ? ATTENTION_ROWS / sharing : 1;
    attention_rows r = rows_in(workspace, width);
    for (int64_t head = headBegin; head < headEnd; head++) {
        for (int64_t query = head * sharing; query < (head + 1) * sharing; query += ATTENTION_ROWS) {
            int64_t queryEnd = least(query + ATTENTION_ROWS, (head + 1) * sharing);
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

static void attention(const dk_attention_shape *shape, void *const *pages, int64_t position, const float *q,
                      int64_t ldq, float *out, int64_t ldo, int64_t tokenBegin, int64_t tokenEnd, int64_t headBegin,
                      int64_t headEnd, void *workspace) {
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
        for (int64_t query = head * sharing; query < (head + 1) * sharing; query += ATTENTION_ROWS) {
            int64_t queryEnd = least(query + ATTENTION_ROWS, (head + 1) * sharing);
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
