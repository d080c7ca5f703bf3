//  Weights in four bits: packing, with the scale of the smallest error for each group.

/// The largest group; groups are multiples of 32.
#define INT4_GROUP 128

// MARK: - The scale of a group

/// Numbers of a group over the largest of them, and what an error in each counts for.
typedef struct {
    lanes x[INT4_GROUP / 16], importance[INT4_GROUP / 16], weighted[INT4_GROUP / 16];
    int64_t vectors;
    float largest;  ///< with its sign; 0 for a group of zeros
} int4_group;

/// The value of the alphabet that is nearest.
INLINE lanes nearest_value(lanes x) {
    lanes value = (float)int4Alphabet[0];
    UNROLL for (int i = 1; i < 16; i++) {
        float middle = 0.5f * (float)(int4Alphabet[i - 1] + int4Alphabet[i]);
        value += x > middle ? (lanes)(float)(int4Alphabet[i] - int4Alphabet[i - 1]) : (lanes)0.0f;
    }
    return value;
}

INLINE int_lanes nearest_code(lanes x) {
    int_lanes code = 0;
    UNROLL for (int i = 1; i < 16; i++) {
        float middle = 0.5f * (float)(int4Alphabet[i - 1] + int4Alphabet[i]);
        code -= x > middle;
    }
    return code;
}

/// A group of `group` numbers of which `given` are there. Null importance counts all alike.
INLINE void load_group(const float *x, const float *importance, int64_t group, int64_t given, int4_group *out) {
    lanes top = 0.0f, low = 0.0f, total = 0.0f;
    out->vectors = group / 16;
    for (int64_t i = 0; i < out->vectors; i++) {
        int64_t width = given - 16 * i < 0 ? 0 : least(given - 16 * i, 16);
        lanes v = load_lanes(x + (width > 0 ? 16 * i : 0), width, 0);
        out->x[i] = v;
        top = v > top ? v : top;
        low = v < low ? v : low;
        out->importance[i] = importance ? load_lanes(importance + (width > 0 ? 16 * i : 0), width, 0) : (lanes)1.0f;
        total += out->importance[i];
    }
    float largest = 0, smallest = 0, sum = sum_of(total);
    for (int i = 0; i < 16; i++) {
        largest = top[i] > largest ? top[i] : largest;
        smallest = low[i] < smallest ? low[i] : smallest;
    }
    largest = largest >= -smallest ? largest : smallest;
    out->largest = largest < SMALLEST_SCALED && largest > -SMALLEST_SCALED ? 0.0f : largest;
    // Inputs that are always zero say nothing.
    bool counts = sum > 0 && sum < __builtin_inff();
    for (int64_t i = 0; i < out->vectors; i++) {
        out->x[i] = out->largest == 0 ? (lanes)0.0f : out->x[i] / out->largest;
        if (!counts) out->importance[i] = (lanes)1.0f;
        out->weighted[i] = out->importance[i] * out->x[i];
    }
}

/// Sums over the group of importance x v and of importance v v, v the values nearest to x
/// `inverse`.
INLINE void fit_group(const int4_group *group, float inverse, float *xv, float *vv) {
    lanes cross = 0.0f, square = 0.0f;
    for (int64_t i = 0; i < group->vectors; i++) {
        lanes v = nearest_value(group->x[i] * inverse);
        cross = fma16(group->weighted[i], v, cross);
        square = fma16(group->importance[i] * v, v, square);
    }
    *xv = sum_of(cross);
    *vv = sum_of(square);
}

/// The scale with the smallest weighted error: the largest number goes to either end of the
/// alphabet or somewhat beside it, codes follow, and the scale that suits them best is xv / vv.
INLINE float scale_of_group(const int4_group *group) {
    if (group->largest == 0) return 0;
    float best = -1, scale = 0;
    for (int side = 0; side < 2; side++) {
        for (int step = 0; step < 16; step++) {
            float xv, vv, end = (float)int4Alphabet[side * 15];
            fit_group(group, end * (0.8f + 0.03f * (float)step), &xv, &vv);
            float gain = xv * xv / vv;
            if (gain > best) {
                best = gain;
                scale = xv / vv;
            }
        }
    }
    return group->largest * scale;
}

/// The integer of a group's scale, in units of its row's: the nearest to `scale` or a neighbour.
INLINE int32_t integer_scale(const int4_group *group, float scale, float unit) {
    if (group->largest == 0 || unit == 0) return 0;
    float ratio = scale / unit;
    int32_t nearest = ratio >= 127    ? 127
                      : ratio <= -127 ? -127
                                      : (int32_t)(ratio + (ratio < 0 ? -0.5f : 0.5f)),
            found = 0;
    float smallest = __builtin_inff();
    for (int32_t q = nearest - 1; q <= nearest + 1; q++) {
        if (q == 0 || q > 127 || q < -127) continue;
        float xv, vv, r = (float)q * unit / group->largest;
        fit_group(group, 1.0f / r, &xv, &vv);
        float error = r * (r * vv - 2.0f * xv);
        if (error < smallest || found == 0) {
            smallest = error;
            found = q;
        }
    }
    return found;
}

/// Codes of a group for the scale that is stored.
INLINE void codes_of_group(const int4_group *group, int32_t q, float unit, uint8_t *codes) {
    float inverse = q == 0 ? 0.0f : 1.0f / ((float)q * unit / group->largest);
    for (int64_t i = 0; i < group->vectors; i++) {
        int_lanes found = nearest_code(group->x[i] * inverse);
        for (int lane = 0; lane < 16; lane++) codes[16 * i + lane] = (uint8_t)found[lane];
    }
}

// MARK: - Packing

/// Writes codes of columns k ..< k + count of row m of a panel. Rows come in ascending order: row m
/// clears the place of row m + 16.
INLINE void store_codes(const uint8_t *found, int64_t k, int64_t count, int64_t m, uint8_t *panel) {
    for (int64_t i = 0; i < count; i++) {
        uint8_t *byte = panel + (k + i) / 4 * 64 + m % 16 * 4 + (k + i) % 4;
        *byte = m < 16 ? found[i] : (uint8_t)(*byte | found[i] << 4);
    }
}

static void int4_pack(const float *source, int64_t lds, int64_t rows, int64_t columns, int64_t group, int64_t first,
                      int64_t count, const float *importance, uint8_t *codes, uint8_t *scales) {
    (void)rows;
    int8_layout layout = layout_of(columns, group);
    int64_t scaleBytes = INT4_ROW_SCALES + layout.groups * DK_PANEL_ROWS;
    for (int64_t panel = 0; panel < dk_panels(count); panel++) {
        int64_t place = first / DK_PANEL_ROWS + panel;
        uint8_t *out = codes + place * layout.columns * DK_PANEL_ROWS / 2, *table = scales + place * scaleBytes;
        for (int64_t m = 0; m < DK_PANEL_ROWS; m++) {
            int64_t row = panel * DK_PANEL_ROWS + m;
            const float *x = source + (row < count ? row : 0) * lds;
            bool finite = row < count && largest_magnitude(x, columns) < __builtin_inff();  // not so for a NaN
            float top = 0;
            for (int64_t g = 0; g < layout.groups && finite; g++) {
                int4_group numbers;
                int64_t k = g * layout.group;
                load_group(x + k, importance ? importance + k : 0, layout.group, least(columns - k, layout.group),
                           &numbers);
                float scale = scale_of_group(&numbers);
                scale = scale < 0 ? -scale : scale;
                top = scale > top ? scale : top;
            }
            float unit = finite ? top / 127.0f : row < count ? __builtin_nanf("") : 0.0f;
            memcpy(table + 4 * m, &unit, 4);
            for (int64_t g = 0; g < layout.groups; g++) {
                int4_group numbers;
                uint8_t found[INT4_GROUP] = {0};
                int64_t k = g * layout.group;
                int32_t q = row < count && !finite ? 1 : 0;
                if (finite) {
                    load_group(x + k, importance ? importance + k : 0, layout.group, least(columns - k, layout.group),
                               &numbers);
                    q = integer_scale(&numbers, scale_of_group(&numbers), unit);
                    codes_of_group(&numbers, q, unit, found);
                }
                table[INT4_ROW_SCALES + g * DK_PANEL_ROWS + m] = (uint8_t)(int8_t)q;
                store_codes(found, k, layout.group, m, out);
            }
        }
    }
}

static void int4_row(const dk_int4_matrix *matrix, int64_t row, float *out) {
    int8_layout layout = layout_of(matrix->columns, matrix->group);
    int64_t panel = row / DK_PANEL_ROWS, m = row % DK_PANEL_ROWS;
    const uint8_t *codes = matrix->codes + panel * layout.columns * DK_PANEL_ROWS / 2;
    const uint8_t *scales = matrix->scales + panel * (INT4_ROW_SCALES + layout.groups * DK_PANEL_ROWS);
    float unit;
    memcpy(&unit, scales + 4 * m, 4);
    for (int64_t k = 0; k < matrix->columns; k++) {
        float scale = (float)(int8_t)scales[INT4_ROW_SCALES + k / layout.group * DK_PANEL_ROWS + m] * unit;
        uint8_t both = codes[k / 4 * 64 + m % 16 * 4 + k % 4];
        out[k] = (float)int4Alphabet[m < 16 ? both & 15 : both >> 4] * scale;
    }
}
