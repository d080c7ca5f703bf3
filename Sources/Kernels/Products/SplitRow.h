//  float32 numbers as two bfloat16 numbers each; what they are for stands in BF16Split.h.

enum { SPLIT_STEP = 32 };  ///< columns that are summed from zero

/// `count` numbers, at most 256, as high and low parts; an odd count is filled up with a zero.
INLINE void split_row(const float *x, int64_t count, uint16_t *high, uint16_t *low) {
    float rest[256];
    f32_to_bf16(x, high, count);
    FOR_LANES(i, width, count) {
        uint16_t part[16] = {0};
        memcpy(part, high + i, (size_t)width * 2);
        bit_lanes wide;
        UNROLL for (int j = 0; j < 16; j++) wide[j] = (uint32_t)part[j] << 16;
        lanes left = load_lanes(x + i, width, 0) - from_bits(wide);
        left = (wide & 0x7f800000u) == 0x7f800000u ? (lanes)0.0f : left;
        store_lanes(rest + i, left, width);
    }
    f32_to_bf16(rest, low, count);
    if (count % 2) high[count] = low[count] = 0;
}
