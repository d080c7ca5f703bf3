//  Weights in four bits whose errors are made up for by the columns that follow.
//
//      target[m][k] = w[m][k] + sum over j < k of error[m][j] feedback[j][k]
//      error[m][k]  = w[m][k] - q[m][k],     q[m][k] the nearest stored value to target[m][k]
//
//  `feedback` says how an error in input j is best mended through input k, given how the inputs go
//  together (Sources/Quant/Calibration/Feedback.swift). A call rounds one group of columns for the
//  rows of a panel; the caller has added what earlier groups contribute to the targets.

/// The code that is nearest to x.
INLINE int32_t nearest_code_of(float x) {
    int32_t code = 0;
    for (int i = 1; i < 16; i++) code += x > 0.5f * (float)(int4Alphabet[i - 1] + int4Alphabet[i]);
    return code;
}

static void int4_compensate(const float *weights, int64_t ldw, float *targets, int64_t rows, int64_t columns,
                            int64_t group, const float *importance, const float *feedback, int64_t ldf, float *errors,
                            int64_t lde, int64_t first, uint8_t *codes, uint8_t *scales) {
    for (int64_t m = 0; m < rows; m++) {
        int4_group numbers;
        uint8_t found[INT4_GROUP] = {0};
        float unit, *target = targets + m * group;
        memcpy(&unit, scales + 4 * m, 4);
        load_group(target, importance, group, columns, &numbers);
        int32_t q = integer_scale(&numbers, scale_of_group(&numbers), unit);
        float scale = (float)q * unit, inverse = scale == 0 ? 0.0f : 1.0f / scale;
        for (int64_t i = 0; i < columns; i++) {
            int32_t code = nearest_code_of(target[i] * inverse);
            float error = weights[m * ldw + i] - (float)int4Alphabet[code] * scale;
            found[i] = (uint8_t)code;
            errors[m * lde + i] = error;
            for (int64_t j = i + 1; j < columns; j++) target[j] += error * feedback[i * ldf + j];
        }
        scales[INT4_ROW_SCALES + first / group * DK_PANEL_ROWS + m] = (uint8_t)(int8_t)q;
        store_codes(found, first, group, m, codes);
    }
    // Rows of padding keep scales of zero, and their codes: int4_pack made them.
    for (int64_t m = rows; m < DK_PANEL_ROWS; m++) {
        uint8_t none[INT4_GROUP] = {0};
        store_codes(none, first, group, m, codes);
    }
}
