//  Where products go, and what is asked for before it is needed.

/// Asks for `lines` cache lines to be brought into L2. Where there is no memory nothing happens.
INLINE void fetch(const void *memory, int64_t lines) {
    for (int64_t i = 0; i < lines; i++) __builtin_prefetch((const char *)memory + i * 64, 0, 2);
}

/// Asks for the n rows of y that a tile will write for one panel.
INLINE void fetch_result(const float *y, int64_t ldy, int64_t n) {
    for (int64_t r = 0; r < n; r++) {
        __builtin_prefetch(y + r * ldy, 1, 2);
        __builtin_prefetch(y + r * ldy + 16, 1, 2);
    }
}

/// Copies sums [tokens][32] into y, only the `count` rows that the panel has.
static void store_rows(const float *sums, int64_t tokens, int64_t count, float *y, int64_t ldy) {
    for (int64_t t = 0; t < tokens; t++) {
        float *out = y + t * ldy;
        if (count >= DK_PANEL_ROWS) {
            store16(out, load16(sums + t * 32));
            store16(out + 16, load16(sums + t * 32 + 16));
        } else {
            for (int64_t m = 0; m < count; m++) out[m] = sums[t * 32 + m];
        }
    }
}

/// The same for panel `panel` of a matrix with `rows` rows.
static void store_panel(const float *sums, int64_t tokens, int64_t panel, int64_t rows, float *y, int64_t ldy) {
    store_rows(sums, tokens, rows - panel * DK_PANEL_ROWS, y + panel * DK_PANEL_ROWS, ldy);
}
