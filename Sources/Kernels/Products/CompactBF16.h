//  bfloat16 weights in twelve bits: sign and mantissa as they are, the exponent as one of the
//  sixteen that its panel has most of.
//
//      w[m][k] = (sign | mantissa)[m][k] | alphabet[index[m][k]]          but for the exceptions, which have an exponent of their own
//
//  Nothing is rounded, and products add in the order of FloatProducts.h, so that every bit is that
//  of the plain form. Layout and packing stand in CompactPacking.c. A unit of 4 columns of a panel
//  is 192 bytes: two lines of signs and mantissas, one of indices.
//
//  The instruction set's file may define one of
//      LOOK_UP(alphabet, indices)         words of a table of 16, by the lower four bits of each lane
//      SHUFFLE_BYTES(table, indices)      bytes of a table of 16, by each byte, which is below 16

#define SIGN_AND_MANTISSA 0x807f0000u
#define UNIT_WORDS 48

INLINE bit_lanes load_words(const uint32_t *p) {
    bit_lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

// alphabet_of(exponents) prepares a table; exponents_of(alphabet, indices, q) looks up bits 4 q ...
// 4 q + 3 of every lane.
#if defined(LOOK_UP)
typedef bit_lanes exponent_alphabet;

INLINE exponent_alphabet alphabet_of(const uint32_t *exponents) { return load_words(exponents); }

INLINE bit_lanes exponents_of(exponent_alphabet alphabet, bit_lanes indices, const int q) {
    return LOOK_UP(alphabet, indices >> (4 * q));
}
#elif defined(SHUFFLE_BYTES)
typedef uint8_t exponent_alphabet __attribute__((ext_vector_type(16)));

INLINE exponent_alphabet alphabet_of(const uint32_t *exponents) {
    return __builtin_convertvector(load_words(exponents) >> 23, exponent_alphabet);
}

/// All even places of a line are looked up together, and all odd ones: the compiler does it once
/// for four calls.
INLINE bit_lanes exponents_of(exponent_alphabet alphabet, bit_lanes indices, const int q) {
    bit_lanes bytes = SHUFFLE_BYTES(alphabet, (q % 2 ? indices >> 4 : indices) & 0x0f0f0f0fu);
    bit_lanes moved = q / 2 == 3 ? bytes >> 1 : bytes << (q / 2 == 3 ? 0 : 23 - 8 * (q / 2));
    return moved & 0x7f800000u;
}
#else
typedef const uint32_t *exponent_alphabet;

INLINE exponent_alphabet alphabet_of(const uint32_t *exponents) { return exponents; }

INLINE bit_lanes exponents_of(exponent_alphabet alphabet, bit_lanes indices, const int q) {
    uint32_t found[16];
    for (int lane = 0; lane < 16; lane++) found[lane] = alphabet[indices[lane] >> (4 * q) & 15];
    return load_words(found);
}
#endif

/// Weights of one column and half of a unit, as float32 bits. Byte j of a lane is spread so that
/// turning the lane left by 8 j bits brings its sign to bit 31 and its mantissa to bits 22 ... 16.
INLINE bit_lanes unit_weights(const uint32_t *unit, exponent_alphabet alphabet, const int column, const int half) {
    const int j = column % 2 + 2 * half;
    bit_lanes word = load_words(unit + column / 2 * 16);
    bit_lanes turned = j == 0 ? word : j == 3 ? word << 24 | word >> 8 : word << (8 * (j % 3));
    return (turned & SIGN_AND_MANTISSA) | exponents_of(alphabet, load_words(unit + 32), column / 2 * 4 + j);
}

/// The whole unit, [4][32] float32, with its exceptions: those of `exception` ..< `end` that have
/// its number are passed.
INLINE const uint32_t *decode_unit(const uint32_t *units, int64_t number, exponent_alphabet alphabet,
                                   const uint32_t *exception, const uint32_t *end, float *out) {
    UNROLL for (int column = 0; column < 4; column++) {
        UNROLL for (int half = 0; half < 2; half++)
            store16(out + column * 32 + half * 16,
                    from_bits(unit_weights(units + number * UNIT_WORDS, alphabet, column, half)));
    }
    for (; exception < end && *exception >> 15 == (uint32_t)number; exception++) {
        uint32_t bits, place = *exception >> 8 & 127;
        memcpy(&bits, out + place, 4);
        bits = (bits & SIGN_AND_MANTISSA) | (*exception & 255) << 23;
        memcpy(out + place, &bits, 4);
    }
    return exception;
}

/// A panel of a compact matrix.
typedef struct {
    const uint32_t *units, *exponents;
    const uint32_t *exception, *end;
} compact_panel;

INLINE int64_t compact_units(int64_t columns) { return (columns + 3) / 4; }

static compact_panel compact_panel_of(const dk_compact_matrix *matrix, int64_t panel) {
    return (compact_panel){matrix->units + panel * compact_units(matrix->columns) * UNIT_WORDS,
                           matrix->exponents + panel * 16, matrix->exceptions + matrix->starts[panel],
                           matrix->exceptions + matrix->starts[panel + 1]};
}

/// Asks for the tables of a panel that is read after the next, which no one else would.
INLINE void fetch_tables(const dk_compact_matrix *matrix, int64_t panel, int64_t end) {
    if (panel + 2 >= end) return;
    __builtin_prefetch(matrix->exponents + (panel + 2) * 16);
    __builtin_prefetch(matrix->exceptions + matrix->starts[panel + 2]);
    __builtin_prefetch(matrix->starts + panel + 18);
}

/// The first exception from unit `unit` on.
static const uint32_t *exception_from(const compact_panel *panel, int64_t unit) {
    const uint32_t *low = panel->exception, *high = panel->end;
    while (low < high) {
        const uint32_t *middle = low + (high - low) / 2;
        if ((int64_t)(*middle >> 15) < unit) low = middle + 1;
        else high = middle;
    }
    return low;
}

/// Columns first ..< first + count of a panel as float32, [count rounded up to 4][32]; `first` is a
/// multiple of 4.
static void compact_widen(const compact_panel *panel, int64_t first, int64_t count, float *out) {
    exponent_alphabet alphabet = alphabet_of(panel->exponents);
    const uint32_t *exception = exception_from(panel, first / 4);
    for (int64_t i = 0; i < compact_units(count); i++)
        exception = decode_unit(panel->units, first / 4 + i, alphabet, exception, panel->end, out + i * 128);
}

static void compact_row(const dk_compact_matrix *matrix, int64_t row, float *out) {
    compact_panel panel = compact_panel_of(matrix, row / DK_PANEL_ROWS);
    exponent_alphabet alphabet = alphabet_of(panel.exponents);
    for (int64_t k = 0; k < matrix->columns; k += 4) {
        float unit[128];
        panel.exception = decode_unit(panel.units, k / 4, alphabet, panel.exception, panel.end, unit);
        for (int64_t i = 0; i < 4 && k + i < matrix->columns; i++) out[k + i] = unit[i * 32 + row % DK_PANEL_ROWS];
    }
}

/// Asks for what is read later: far ahead into L2, which may wait for more lines of memory at once
/// than L1 may, and from there into L1. Measured: 1.31 times the weights per second of the plain
/// form with both, 1.24 with L2 alone, 1.17 with L1 alone.
INLINE void fetch_units(const uint32_t *words) {
    UNROLL for (int line = 0; line < 3; line++) {
        FETCH_L2(words, AHEAD_L2 + 64 * line);
        FETCH_L1(words, AHEAD_FROM_L2 + 64 * line);
    }
}

/// Column i of token r of a packed tile of R: float32 numbers, or one of a pair of bfloat16.
INLINE float stream_activation(const int R, const bool pairs, const void *a, int64_t i, const int r) {
    if (!pairs) return ((const float *)a)[i * R + r];
    uint32_t bits = ((const uint32_t *)a)[i / 2 * R + r];
    bits = i % 2 ? bits & 0xffff0000u : bits << 16;
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

/// The twin of `stream_tile`: adds the sums of columns first ..< first + k of a panel to c [R][32],
/// from memory. Up to the next unit that has an exception nothing branches; that one is written
/// out, mended and read again. With `pairs` activations are pairs of bfloat16 and columns are added
/// in the order of BF16Dot.h, odd before even.
INLINE void compact_stream_tile(const int R, const int V, const bool pairs, int64_t j, int64_t first, int64_t k,
                                const void *a, const compact_panel *panel, float *c) {
    lanes sums[TILE][2];
    UNROLL for (int r = 0; r < R; r++) { UNROLL for (int v = 0; v < V; v++) sums[r][v] = 0.0f; }
    exponent_alphabet alphabet = alphabet_of(panel->exponents);
    const uint32_t *exception = exception_from(panel, first / 4);
    int64_t unit = first / 4, whole = unit + k / 4, last = unit + compact_units(k);
    while (unit < last) {
        int64_t stop = exception < panel->end ? least(*exception >> 15, whole) : whole;
        for (; unit < stop; unit++) {
            const uint32_t *words = panel->units + unit * UNIT_WORDS;
            fetch_units(words);
            UNROLL for (int step = 0; step < 4; step++) {
                const int i = pairs ? step ^ 1 : step;
                lanes w[2];
                UNROLL for (int v = 0; v < V; v++) w[v] =
                    from_bits(V == 1 && j ? unit_weights(words, alphabet, i, 1) : unit_weights(words, alphabet, i, v));
                UNROLL for (int r = 0; r < R; r++) {
                    lanes x = stream_activation(R, pairs, a, 4 * (unit - first / 4) + i, r);
                    UNROLL for (int v = 0; v < V; v++) sums[r][v] = fma16(x, w[v], sums[r][v]);
                }
            }
        }
        if (unit == last) break;
        fetch_units(panel->units + unit * UNIT_WORDS);
        float mended[128];
        exception = decode_unit(panel->units, unit, alphabet, exception, panel->end, mended);
        int64_t columns = unit < whole ? 4 : k % 4;
        for (int64_t step = 0; step < 4; step++) {
            int64_t i = pairs ? step ^ 1 : step;
            if (i >= columns) continue;
            UNROLL for (int r = 0; r < R; r++) {
                lanes x = stream_activation(R, pairs, a, 4 * (unit - first / 4) + i, r);
                UNROLL for (int v = 0; v < V; v++) sums[r][v] =
                    fma16(x, load16(mended + i * 32 + (j + v) * 16), sums[r][v]);
            }
        }
        unit++;
    }
    UNROLL for (int r = 0; r < R; r++) {
        UNROLL for (int v = 0; v < V; v++) {
            float *out = c + r * 32 + (j + v) * 16;
            store16(out, load16(out) + sums[r][v]);
        }
    }
}

#define DEFINE_COMPACT_STREAM(R)                                                                                    \
    static void compact_stream_##R(int64_t first, int64_t k, const void *a, const compact_panel *panel, float *c) { \
        for (int64_t j = 0; j < 2; j += VECTORS) compact_stream_tile(R, VECTORS, false, j, first, k, a, panel, c);  \
    }                                                                                                               \
    static void compact_pairs_stream_##R(int64_t first, int64_t k, const void *a, const compact_panel *panel,       \
                                         float *c) {                                                                \
        for (int64_t j = 0; j < 2; j += VECTORS) compact_stream_tile(R, VECTORS, true, j, first, k, a, panel, c);   \
    }
FOR_EACH_TILE(DEFINE_COMPACT_STREAM)

typedef void compact_stream(int64_t first, int64_t k, const void *a, const compact_panel *panel, float *c);
#define COMPACT_STREAM_ENTRY(R) [R] = compact_stream_##R,
#define COMPACT_PAIRS_STREAM_ENTRY(R) [R] = compact_pairs_stream_##R,
static compact_stream *const compactStreams[TILE + 1] = {FOR_EACH_TILE(COMPACT_STREAM_ENTRY)};
static compact_stream *const compactPairsStreams[TILE + 1] = {FOR_EACH_TILE(COMPACT_PAIRS_STREAM_ENTRY)};
