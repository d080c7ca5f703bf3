//  Attention to the last W tokens and, in the same softmax, to another set of keys for the W tokens
//  before them.
//
//      in context    q,  keys and values of t - W < s <= t
//      fading        q', keys and values of t - 2 W < s <= t - W
//      o = ( sum e^(q · k) v + sum e^(q' · k') v' ) / ( sum e^(q · k) + sum e^(q' · k') )
//
//  Each set runs as attention of its own, the fading one as if its queries stood W tokens earlier,
//  and the two partial results are joined as segments are. Where a token has no fading keys its
//  second part has no weight.
//
//  Source: Zancato et al. (arXiv 2407.06324).

/// The rows of one set through its pages as if they stood `behind` tokens earlier, with (m, l, o)
/// in the rows' joined fields. Nothing is seen where the last row stands before position 0.
static void attend_set(attention_rows *r, const dk_attention_shape *shape, const dk_attention_set *set, int64_t behind,
                       int64_t t, int64_t end, int64_t query, int64_t queryEnd, int64_t head) {
    int64_t width = padded(shape->headDim), position = set->position - behind, last = position + end - 1;
    take_rows(r, shape, position, set->q, set->ldq, t, end, query, queryEnd);
    begin_joining(r, width);
    if (last < 0) return;
    for (int64_t page = r->seenFrom[0] / PAGE, lastPage = last / PAGE; page <= lastPage;) {
        int64_t segmentEnd = least(lastPage + 1, (page / SEGMENT_PAGES + 1) * SEGMENT_PAGES);
        pass_segment(r, shape, set->pages, head, page, segmentEnd, lastPage);
        page = segmentEnd;
        for (int64_t i = 0; i < r->rows; i++)
            join_segment(r->allMaximum + i, r->allSum + i, r->allOutput + i * width, r->maximum[i], r->sum[i],
                         r->output + i * width, width);
    }
}

NEVER_INLINE static void attend_to_both(const dk_attention_shape *shape, const dk_attention_set *context,
                                        const dk_attention_set *fading, int64_t tokens, float *out, int64_t ldo,
                                        int64_t headBegin, int64_t headEnd, void *workspace) {
    int64_t D = shape->headDim, width = padded(D), sharing = shape->heads / shape->kvHeads;
    int64_t together = sharing < ATTENTION_ROWS ? ATTENTION_ROWS / sharing : 1;
    attention_rows r = rows_in(workspace, width);
    float *maximum = (float *)(void *)(r.seenTo + ATTENTION_ROWS), *sum = maximum + ATTENTION_ROWS,
          *output = sum + ATTENTION_ROWS;
    for (int64_t head = headBegin; head < headEnd; head++) {
        for (int64_t query = head * sharing; query < (head + 1) * sharing; query += ATTENTION_ROWS) {
            int64_t queryEnd = least(query + ATTENTION_ROWS, (head + 1) * sharing);
            for (int64_t t = 0; t < tokens; t += together) {
                int64_t end = least(t + together, tokens);
                attend_set(&r, shape, context, 0, t, end, query, queryEnd, head);
                memcpy(maximum, r.allMaximum, (size_t)r.rows * 4);
                memcpy(sum, r.allSum, (size_t)r.rows * 4);
                memcpy(output, r.allOutput, (size_t)(r.rows * width) * 4);
                attend_set(&r, shape, fading, shape->window, t, end, query, queryEnd, head);
                for (int64_t i = 0; i < r.rows; i++) {
                    int64_t token = t + i / (queryEnd - query), queryHead = query + i % (queryEnd - query);
                    if (r.allSum[i] != 0)
                        join_segment(maximum + i, sum + i, output + i * width, r.allMaximum[i], r.allSum[i],
                                     r.allOutput + i * width, width);
                    divide_row(output + i * width, sum[i], D, out + token * ldo + queryHead * D);
                }
            }
        }
    }
}

static void fading_attention(const dk_attention_shape *shape, const dk_attention_set *context,
                             const dk_attention_set *fading, int64_t tokens, float *out, int64_t ldo, int64_t headBegin,
                             int64_t headEnd, void *workspace) {
    WITHOUT_SUBNORMALS(attend_to_both(shape, context, fading, tokens, out, ldo, headBegin, headEnd, workspace));
}
