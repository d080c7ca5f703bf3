//  Pages of keys and values: how tokens are put into them and how many at once are read out. The
//  layout stands in DualityKernels.h.
//
//  Keys lie transposed in blocks of 16 tokens, values row by row. Numbers in int8 have a scale for
//  each head and token.

enum {
    PAGE = DK_KV_PAGE,
    SEGMENT_PAGES = DK_KV_SEGMENT / DK_KV_PAGE,
};

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
    return (head_page){shape->format,
                       keys + head * part,
                       values + head * part,
                       scales + head * PAGE,
                       scales + (shape->kvHeads + head) * PAGE,
                       width};
}

/// The scales of a token's key and value in int8.
static void store_scales(head_page page, int64_t slot, const float *key, const float *value, int64_t D, float *byKey,
                         float *byValue) {
    ((float *)page.keyScales)[slot] = int8_scale(largest_magnitude(key, D), byKey);
    ((float *)page.valueScales)[slot] = int8_scale(largest_magnitude(value, D), byValue);
}

/// Sixteen numbers of sixteen tokens' keys, in the format of the page.
INLINE void store_column(head_page page, int64_t place, lanes column, lanes reciprocals) {
    if (page.format == DK_KV_F32) {
        store16((float *)page.keys + place, column);
    } else if (page.format == DK_KV_BF16) {
        half_lanes narrow = narrow_bf16(column);
        memcpy((uint16_t *)page.keys + place, &narrow, sizeof narrow);
    } else {
        byte_lanes narrow = __builtin_convertvector(round_to_int8(column, reciprocals), byte_lanes);
        memcpy((int8_t *)page.keys + place, &narrow, sizeof narrow);
    }
}

/// The keys of a whole block of 16 tokens, whose first is `slot`: transposed in registers.
static void store_key_block(head_page page, int64_t slot, const float *k, int64_t ldk, int64_t D, lanes reciprocals) {
    for (int64_t d = 0; d < D; d += 16) {
        lanes block[16];
        UNROLL for (int i = 0; i < 16; i++) block[i] = load16(k + i * ldk + d);
        transpose16(block);
        UNROLL for (int i = 0; i < 16; i++) store_column(page, slot * page.width + (d + i) * 16, block[i], reciprocals);
    }
}

/// One token's key, a number in every column of its block.
static void store_key(head_page page, int64_t slot, const float *key, int64_t D, float reciprocal) {
    int64_t first = slot / 16 * 16 * page.width + slot % 16;
    for (int64_t d = 0; d < D; d += 256) {
        int64_t count = least(256, D - d);
        if (page.format == DK_KV_F32) {
            for (int64_t i = 0; i < count; i++) ((float *)page.keys)[first + (d + i) * 16] = key[d + i];
        } else if (page.format == DK_KV_BF16) {
            uint16_t narrow[256];
            f32_to_bf16(key + d, narrow, count);
            for (int64_t i = 0; i < count; i++) ((uint16_t *)page.keys)[first + (d + i) * 16] = narrow[i];
        } else {
            int8_t narrow[256];
            round_row(key + d, count, padded(count), reciprocal, narrow);
            for (int64_t i = 0; i < count; i++) ((int8_t *)page.keys)[first + (d + i) * 16] = narrow[i];
        }
    }
}

static void store_value(head_page page, int64_t slot, const float *value, int64_t D, float reciprocal) {
    int64_t first = slot * page.width;
    if (page.format == DK_KV_F32) memcpy((float *)page.values + first, value, (size_t)D * 4);
    else if (page.format == DK_KV_BF16) f32_to_bf16(value, (uint16_t *)page.values + first, D);
    else round_row(value, D, page.width, reciprocal, (int8_t *)page.values + first);
}

static void kv_store(const dk_attention_shape *shape, void *const *pages, int64_t position, int64_t tokens,
                     const float *k, int64_t ldk, const float *v, int64_t ldv, int64_t headBegin, int64_t headEnd) {
    int64_t D = shape->headDim;
    for (int64_t h = headBegin; h < headEnd; h++) {
        for (int64_t t = 0, count; t < tokens; t += count) {
            int64_t slot = (position + t) % PAGE;
            bool whole = slot % 16 == 0 && tokens - t >= 16 && D % 16 == 0;
            count = whole ? 16 : 1;
            head_page page = page_of(shape, pages[(position + t) / PAGE], h);
            lanes reciprocals = 0.0f;
            for (int64_t i = 0; i < count; i++) {
                const float *key = k + (t + i) * ldk + h * D, *value = v + (t + i) * ldv + h * D;
                float byKey = 0, byValue = 0;
                if (shape->format == DK_KV_INT8) store_scales(page, slot + i, key, value, D, &byKey, &byValue);
                reciprocals[i] = byKey;
                store_value(page, slot + i, value, D, byValue);
                if (!whole) store_key(page, slot, key, D, byKey);
            }
            if (whole) store_key_block(page, slot, k + t * ldk + h * D, ldk, D, reciprocals);
        }
    }
}

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

/// Keys first ..< first + count (a multiple of 16) as float32, [count/16][D'][16]; where the page
/// has them so, they stay. Scales of int8 are left to `weigh`.
static const float *keys_of(head_page page, int64_t first, int64_t count, float *wide) {
    if (page.format == DK_KV_F32) return (const float *)(const void *)page.keys + first * page.width;
    for (int64_t block = 0; block < count; block += 16) {
        float *out = wide + block * page.width;
        int64_t from = (first + block) * page.width;
        if (page.format == DK_KV_BF16) {
            for (int64_t d = 0; d < page.width; d++) {
                const char *p = page.keys + (from + d * 16) * 2;
                FETCH_L1(p, AHEAD_L1);
                store16(out + d * 16, widen_bf16(p));
            }
        } else {
            for (int64_t d = 0; d < page.width; d++) {
                const char *p = page.keys + from + d * 16;
                FETCH_L1(p, AHEAD_NARROW);
                store16(out + d * 16, widen_int8(p));
            }
        }
    }
    return wide;
}

/// The first `count` values as float32, [count][D'].
static const float *values_of(head_page page, int64_t count, float *wide) {
    if (page.format == DK_KV_F32) return (const float *)(const void *)page.values;
    for (int64_t i = 0; i < count * page.width; i += 16) {
        const char *p = page.values + i * (page.format == DK_KV_BF16 ? 2 : 1);
        FETCH_L1(p, AHEAD_L1);
        store16(wide + i, page.format == DK_KV_BF16 ? widen_bf16(p) : widen_int8(p));
    }
    return wide;
}
