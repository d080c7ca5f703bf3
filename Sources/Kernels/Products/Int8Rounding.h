//  Groups of int8: how columns are dealt to them, and how float32 numbers are rounded to bytes.

/// Below it the largest number of a group counts as zero, because its reciprocal would not be
/// finite.
#define SMALLEST_SCALED 0x1p-100f

typedef struct {
    int64_t columns;  ///< K'
    int64_t group;    ///< columns of a group; K' for one scale per row
    int64_t groups;
} int8_layout;

INLINE int8_layout layout_of(int64_t columns, int64_t group) {
    int64_t unit = group > 0 ? group : 32;
    int64_t width = (columns + unit - 1) / unit * unit;
    return (int8_layout){width, group > 0 ? group : width, group > 0 ? width / group : 1};
}

// MARK: - Rounding to int8

/// The largest magnitude of `count` numbers; a NaN if there is one, because as integers NaNs are
/// the largest.
INLINE float largest_magnitude(const float *x, int64_t count) {
    int_lanes top = 0;
    FOR_LANES(i, width, count) {
        int_lanes magnitude = (int_lanes)(bits_of(load_lanes(x + i, width, 0)) & 0x7fffffffu);
        top = magnitude > top ? magnitude : top;
    }
    int32_t largest = 0;
    for (int i = 0; i < 16; i++) largest = top[i] > largest ? top[i] : largest;
    float result;
    memcpy(&result, &largest, 4);
    return result;
}

typedef int8_t byte_lanes __attribute__((ext_vector_type(16)));

/// x / scale to nearest even in -127...127, by the reciprocal of scale; 0 where that is 0.
INLINE int_lanes round_to_int8(lanes x, lanes reciprocal) {
    int_lanes q = (int_lanes)(bits_of(x * reciprocal + ROUNDING) - bits_of((lanes)ROUNDING));
    q = q > 127 ? (int_lanes)127 : q;
    q = q < -127 ? (int_lanes)-127 : q;
    return reciprocal == 0.0f ? (int_lanes)0 : q;
}

/// 127 / largest and largest / 127; both 0 for a group of zeros. A group with a number that is not
/// finite is all zeros with the scale NaN, so that whatever is made of it is NaN.
INLINE float int8_scale(float largest, float *reciprocal) {
    bool zero = largest < SMALLEST_SCALED, finite = largest < __builtin_inff();
    *reciprocal = zero || !finite ? 0.0f : 127.0f / largest;
    return zero ? 0.0f : finite ? largest / 127.0f : __builtin_nanf("");
}

/// `count` numbers, padded with zeros to `padded` (a multiple of 16), to bytes. Returns their sum.
INLINE int32_t round_row(const float *x, int64_t count, int64_t padded, float reciprocal, int8_t *out) {
    int_lanes sums = 0;
    for (int64_t i = 0; i < padded; i += 16) {
        int64_t width = count - i < 0 ? 0 : count - i < 16 ? count - i : 16;
        int_lanes q = round_to_int8(load_lanes(x + (width > 0 ? i : 0), width, 0), reciprocal);
        sums += q;
        byte_lanes bytes = __builtin_convertvector(q, byte_lanes);
        memcpy(out + i, &bytes, 16);
    }
    int32_t sum = 0;
    for (int i = 0; i < 16; i++) sum += sums[i];
    return sum;
}
