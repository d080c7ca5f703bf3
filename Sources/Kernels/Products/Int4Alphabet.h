//  Weights in four bits: the alphabet, and the way from codes to int8 weights.
//
//      w[m][k] = alphabet[code[m][k]] f[m][g],     f[m][g] = (float)scale[m][g] rowScale[m],     g = k / group
//
//  The alphabet is not evenly spaced. Its sixteen values make the squared error of normal numbers
//  in groups of 32 smallest, when each group takes the scale that suits it best, with either sign
//  (Lloyd's iteration on 20,000 groups; then rounded to integers): 0.0053 of the numbers' square,
//  where sixteen even steps with the same search leave 0.0065, and the largest number as the last
//  step 0.0074. They are int8 values, so that a group in four bits is a group in int8 after one
//  look-up in registers.
//
//  A row's groups have integer scales in -127...127 and share one float32: 4.25 bits per weight
//  with groups of 32. A scale that is off by a percent costs nothing, because the codes are chosen
//  for the scale that is stored.

static const int8_t int4Alphabet[16] = {-127, -99, -78, -61, -47, -33, -21, -9, 3, 15, 27, 41, 55, 72, 92, 121};

/// Bytes of the row scales in front of a panel's scales.
#define INT4_ROW_SCALES 128

// MARK: - Codes to bytes

#if defined(SHUFFLE_BYTES)
typedef uint8_t int4_bytes __attribute__((ext_vector_type(16)));

INLINE int4_bytes int4_alphabet(void) {
    int4_bytes bytes;
    memcpy(&bytes, int4Alphabet, 16);
    return bytes ^ 0x80;
}

/// Codes of `units` times 4 columns of a panel to int8 weights, value + 128, as
/// Int8Packing.h has them.
INLINE void unpack_int4(const uint8_t *codes, int64_t units, uint8_t *bytes) {
    int4_bytes alphabet = int4_alphabet();
    for (int64_t u = 0; u < units; u++) {
        bit_lanes both;
        memcpy(&both, codes + u * 64, 64);
        FETCH_L1(codes + u * 64, AHEAD_L1);
        bit_lanes low = SHUFFLE_BYTES(alphabet, both & 0x0f0f0f0fu);
        bit_lanes high = SHUFFLE_BYTES(alphabet, both >> 4 & 0x0f0f0f0fu);
        memcpy(bytes + u * 128, &low, 64);
        memcpy(bytes + u * 128 + 64, &high, 64);
    }
}
#else
INLINE void unpack_int4(const uint8_t *codes, int64_t units, uint8_t *bytes) {
    for (int64_t u = 0; u < units; u++) {
        for (int64_t i = 0; i < 64; i++) {
            bytes[u * 128 + i] = (uint8_t)(int4Alphabet[codes[u * 64 + i] & 15] + 128);
            bytes[u * 128 + 64 + i] = (uint8_t)(int4Alphabet[codes[u * 64 + i] >> 4] + 128);
        }
    }
}
#endif

/// The scales of groups g ..< g + count of a panel as float32, [count][32].
INLINE void unpack_int4_scales(const uint8_t *scales, int64_t g, int64_t count, float *out) {
    for (int half = 0; half < 2; half++) {
        lanes unit;
        memcpy(&unit, scales + half * 64, 64);
        for (int64_t i = 0; i < count; i++) {
            typedef int8_t signed_bytes __attribute__((ext_vector_type(16)));
            signed_bytes q;
            memcpy(&q, scales + INT4_ROW_SCALES + (g + i) * DK_PANEL_ROWS + half * 16, 16);
            store16(out + i * DK_PANEL_ROWS + half * 16, __builtin_convertvector(q, lanes) * unit);
        }
    }
}
