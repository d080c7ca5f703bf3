//  Attention by blocks of keys, with the softmax kept up to date on the way.
//
//  For a row (one query head of one token) and each page of 128 keys that it sees, in order:
//
//      s_j = (scale q) · k_j                 m' = max(m, max s)          p_j = e^(s_j - m')
//      l  <- l e^(m - m') + sum p_j          o <- o e^(m - m') + sum over j of p_j v_j          m <- m'
//
//  and pages are joined to segments of eight, segments to the result: with two partial results (m, l, o) and (m₂, l₂, o₂)
//  weighed by e^(m - max) and e^(m₂ - max). Pages and segments count from position 0, so a row's arithmetic is the same
//  alone, among others, or split over threads by segments.
//
//  Rows of the query heads that share a key head go through a page together: it is read once for them. Keys lie
//  transposed in blocks of 16, so that scores come out as lanes.
//
//  Source: Milakov and Gimelshein (arXiv 1805.02867); Dao et al., FlashAttention (arXiv 2205.14135).

enum {
    PAGE = DK_KV_PAGE,
    ROWS = 128,      ///< rows that go through a page together
    SUBPAGE = 32,    ///< keys or values that are widened together, 16 KiB of float32 at D = 128
    SEGMENT_PAGES = DK_KV_SEGMENT / DK_KV_PAGE,
};

/// The score of what is not seen, below all scores, finite so that differences are.
#define UNSEEN -1e30f

// MARK: - Pages

/// One page, one key/value head.
typedef struct {
    dk_kv_format format;
    const char *keys, *values;
    const float *keyScales, *valueScales;
    int64_t width;  ///< D'
} head_page;

static head_page page_of(const dk_attention_shape *shape, const void *page, int64_t head) {
    int64_t width = padded(shape->headDim), size = shape->format == DK_KV_F32 ? 4 : shape->format == DK_KV_BF16 ? 2 : 1;
    int64_t part = PAGE * width * size;
    const char *keys = page, *values = keys + shape->kvHeads * part;
    const float *scales = (const float *)(const void *)(values + shape->kvHeads * part);
    return (head_page){shape->format, keys + head * part, values + head * part, scales + head * PAGE,
                       scales + (shape->kvHeads + head) * PAGE, width};
}

static void kv_store(const dk_attention_shape *shape, void *const *pages, int64_t position, int64_t tokens, const float *k,
                     int64_t ldk, const float *v, int64_t ldv, int64_t headBegin, int64_t headEnd) {
    int64_t D = shape->headDim, width = padded(D);
    for (int64_t t = 0; t < tokens; t++) {
        int64_t slot = (position + t) % PAGE;
        for (int64_t h = headBegin; h < headEnd; h++) {
            head_page page = page_of(shape, pages[(position + t) / PAGE], h);
            const float *key = k + t * ldk + h * D, *value = v + t * ldv + h * D;
            int64_t first = slot / 16 * 16 * width + slot % 16;
            if (shape->format == DK_KV_F32) {
                float *keys = (float *)page.keys + first;
                for (int64_t d = 0; d < D; d++) keys[d * 16] = key[d];
                memcpy((float *)page.values + slot * width, value, (size_t)D * 4);
            } else if (shape->format == DK_KV_BF16) {
                uint16_t *keys = (uint16_t *)page.keys + first;
                for (int64_t d = 0; d < D; d += 256) {
                    uint16_t narrow[256];
                    int64_t count = least(256, D - d);
                    f32_to_bf16(key + d, narrow, count);
                    for (int64_t i = 0; i < count; i++) keys[(d + i) * 16] = narrow[i];
                }
                f32_to_bf16(value, (uint16_t *)page.values + slot * width, D);
            } else {
                int8_t *keys = (int8_t *)page.keys + first, *values = (int8_t *)page.values + slot * width;
                float byKey, byValue;
                ((float *)page.keyScales)[slot] = int8_scale(largest_magnitude(key, D), &byKey);
                ((float *)page.valueScales)[slot] = int8_scale(largest_magnitude(value, D), &byValue);
                for (int64_t d = 0; d < width; d += 256) {
                    int8_t narrow[256];
                    int64_t count = least(256, width - d);
                    round_row(key + d, D - d, count, byKey, narrow);
                    for (int64_t i = 0; i < count; i++) keys[(d + i) * 16] = narrow[i];
                }
                round_row(value, D, width, byValue, values);
            }
        }
    }
}

typedef uint16_t half_lanes __attribute__((ext_vector_type(16)));

INLINE lanes widen_bf16(const void *p) {
    half_lanes narrow;
    memcpy(&narrow, p, sizeof narrow);
    return from_bits(__builtin_convertvector(narrow, bit_lanes) << 16);
}

INLINE lanes widen_int8(const void *p) {
    byte_lanes narrow;
    memcpy(&narrow, p, sizeof narrow);
    return __builtin_convertvector(narrow, lanes);
}

/// Keys first ..< first + count (a multiple of 16) as float32, [count/16][D'][16]; where the page has them so, they stay.
static const float *keys_of(head_page page, int64_t first, int64_t count, float *wide) {
    if (page.format == DK_KV_F32) return (const float *)(const void *)page.keys + first * page.width;
    for (int64_t block = 0; block < count; block += 16) {
        float *out = wide + block * page.width;
        int64_t from = (first + block) * page.width;
        if (page.format == DK_KV_BF16) {
            for (int64_t d = 0; d < page.width; d++) {
                const char *p = page.keys + (from + d * 16) * 2;
                __builtin_prefetch(p + 4096);
                store16(out + d * 16, widen_bf16(p));
            }
        } else {
            lanes scales = load16(page.keyScales + first + block);
            for (int64_t d = 0; d < page.width; d++) {
                const char *p = page.keys + from + d * 16;
                __builtin_prefetch(p + 2048);
                store16(out + d * 16, widen_int8(p) * scales);
            }
        }
    }
    return wide;
}

/// Values first ..< first + count as float32, [count][D'].
static const float *values_of(head_page page, int64_t first, int64_t count, float *wide) {
    if (page.format == DK_KV_F32) return (const float *)(const void *)page.values + first * page.width;
    for (int64_t s = 0; s < count; s++) {
        int64_t from = (first + s) * page.width;
        for (int64_t d = 0; d < page.width; d += 16) {
            const char *p = page.values + (from + d) * (page.format == DK_KV_BF16 ? 2 : 1);
            __builtin_prefetch(p + 4096);
            store16(wide + s * page.width + d,
                    page.format == DK_KV_BF16 ? widen_bf16(p) : widen_int8(p) * page.valueScales[first + s]);
        }
    }
    return wide;
}

// MARK: - Rows

/// Rows on their way through the pages, and the memory for it.
typedef struct {
    int64_t rows;
    float *q;                                ///< [rows][D'], times the scale
    float *scores;                           ///< [rows][PAGE]
    float *wide;                             ///< [SUBPAGE][D']
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
    r.maximum = r.wide + SUBPAGE * width;
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
            r->allMaximum[r->rows] = UNSEEN;
            r->allSum[r->rows] = 0;
            memset(r->allOutput + r->rows * width, 0, (size_t)width * 4);
            r->rows++;
        }
    }
}

static void begin_segment(attention_rows *r, int64_t width) {
    for (int64_t i = 0; i < r->rows; i++) {
        r->maximum[i] = UNSEEN;
        r->sum[i] = 0;
    }
    memset(r->output, 0, (size_t)(r->rows * width) * 4);
}

/// Turns a row's scores of `vectors` vectors from position `from` on into weights, and moves its maximum, sum and output.
static void weigh(attention_rows *r, int64_t i, int64_t from, int64_t vectors, int64_t width) {
    const int_lanes counting = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    float *scores = r->scores + i * PAGE;
    int_lanes low = r->seenFrom[i] - (int32_t)from, high = r->seenTo[i] - (int32_t)from;
    lanes top = UNSEEN;
    for (int64_t v = 0; v < vectors; v++) {
        int_lanes j = counting + (int32_t)(16 * v);
        lanes s = load16(scores + 16 * v);
        s = ((j >= low) & (j <= high)) ? s : (lanes)UNSEEN;
        store16(scores + 16 * v, s);
        top = larger(s, top);
    }
    float highest = largest_of(top), before = r->maximum[i];
    float maximum = highest > before ? highest : before;
    lanes total = 0.0f;
    for (int64_t v = 0; v < vectors; v++) {
        int_lanes j = counting + (int32_t)(16 * v);
        lanes p = exp16(load16(scores + 16 * v) - maximum);
        p = ((j >= low) & (j <= high)) ? p : (lanes)0.0f;
        store16(scores + 16 * v, p);
        total += p;
    }
    r->maximum[i] = maximum;
    if (maximum > before) {
        lanes factor = exp16((lanes)(before - maximum));
        r->sum[i] *= factor[0];
        for (int64_t d = 0; d < width; d += 16)
            store16(r->output + i * width + d, load16(r->output + i * width + d) * factor);
    }
    r->sum[i] += sum_of(total);
}

/// All rows through one page, whose first key is at position `from`.
static void pass_page(attention_rows *r, head_page page, int64_t from) {
    int64_t width = page.width, last = 0;
    for (int64_t i = 0; i < r->rows; i++) last = r->seenTo[i] > last ? r->seenTo[i] : last;
    int64_t count = least(PAGE, last + 1 - from), vectors = padded(count) / 16;
    for (int64_t first = 0; first < 16 * vectors; first += SUBPAGE) {
        int64_t part = least(SUBPAGE, 16 * vectors - first);
        const float *keys = keys_of(page, first, part, r->wide);
        multiply_rows(r->rows, part / 16, width, r->q, width, (tile_operand){keys, 16, 16 * width},
                      (tile_result){r->scores + first, PAGE, FROM_ZERO, 0});
    }
    for (int64_t i = 0; i < r->rows; i++) weigh(r, i, from, vectors, width);
    for (int64_t first = 0; first < count; first += SUBPAGE) {
        int64_t part = least(SUBPAGE, count - first);
        const float *values = values_of(page, first, part, r->wide);
        multiply_rows(r->rows, width / 16, part, r->scores + first, PAGE, (tile_operand){values, width, 16},
                      (tile_result){r->output, width, FROM_C, 0});
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

static void attention(const dk_attention_shape *shape, void *const *pages, int64_t position, const float *q, int64_t ldq,
                      float *out, int64_t ldo, int64_t tokenBegin, int64_t tokenEnd, int64_t headBegin, int64_t headEnd,
                      void *workspace) {
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
                while (page <= lastPage) {
                    int64_t segmentEnd = least(lastPage + 1, (page / SEGMENT_PAGES + 1) * SEGMENT_PAGES);
                    begin_segment(&r, width);
                    for (; page < segmentEnd; page++) pass_page(&r, page_of(shape, pages[page], head), page * PAGE);
                    for (int64_t i = 0; i < r.rows; i++)
                        join_segment(r.allMaximum + i, r.allSum + i, r.allOutput + i * width, r.maximum[i], r.sum[i],
                                     r.output + i * width, width);
                }
                for (int64_t i = 0; i < r.rows; i++) {
                    int64_t token = t + i / (queryEnd - query), queryHead = query + i % (queryEnd - query);
                    divide_row(r.allOutput + i * width, r.allSum[i], D, out + token * ldo + queryHead * D);
                }
            }
        }
    }
}

// MARK: - Split over segments

static void attention_partial(const dk_attention_shape *shape, void *const *pages, int64_t position, const float *q,
                              int64_t segment, int64_t headBegin, int64_t headEnd, float *partial, void *workspace) {
    int64_t width = padded(shape->headDim), sharing = shape->heads / shape->kvHeads;
    attention_rows r = rows_in(workspace, width);
    for (int64_t head = headBegin; head < headEnd; head++) {
        for (int64_t query = head * sharing; query < (head + 1) * sharing; query += ROWS) {
            int64_t queryEnd = least(query + ROWS, (head + 1) * sharing);
            take_rows(&r, shape, position, q, 0, 0, 1, query, queryEnd);
            begin_segment(&r, width);
            int64_t firstPage = segment * SEGMENT_PAGES, seen = r.seenFrom[0] / PAGE;
            int64_t end = least(position / PAGE + 1, firstPage + SEGMENT_PAGES);
            for (int64_t page = firstPage > seen ? firstPage : seen; page < end; page++)
                pass_page(&r, page_of(shape, pages[page], head), page * PAGE);
            for (int64_t i = 0; i < r.rows; i++) {
                float *out = partial + (segment * shape->heads + query + i) * (2 + width);
                out[0] = r.maximum[i];
                out[1] = r.sum[i];
                memcpy(out + 2, r.output + i * width, (size_t)width * 4);
            }
        }
    }
}

static void attention_merge(const dk_attention_shape *shape, int64_t segments, const float *partial, float *out,
                            int64_t headBegin, int64_t headEnd) {
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
