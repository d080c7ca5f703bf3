//  Packs bfloat16 weights in twelve bits: what needs no vector unit.
//
//  A unit is 4 columns of a panel, 3 x 16 words of 32 bits; lane r is row r and row r + 16 of the
//  panel.
//
//      word 0 16 ... 0 16 + 15    columns 0, 1     four of (sign, mantissa): byte j = column % 2 + 2 half, turned right by 8 j bits from
//      word 1 16 ... 1 16 + 15    columns 2, 3     where float32 has them, {31, 22 ... 16}: those sets tile the word
//      word 2 16 ... 2 16 + 15    eight indices of 4 bits: place q = 4 (column / 2) + j at bits 4 q ... 4 q + 3

#include <string.h>

#include "DualityKernels.h"

static int64_t compact_units(int64_t columns) { return (columns + 3) / 4; }

int64_t dk_compact_unit_bytes(int64_t rows, int64_t columns) { return dk_panels(rows) * compact_units(columns) * 192; }

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

void dk_compact_survey(const uint16_t *source, int64_t lds, int64_t columns, int64_t count, uint32_t *exponents,
                       uint32_t *exceptions) {
    for (int64_t panel = 0; panel < dk_panels(count); panel++) {
        // Two histograms: neighbours often have one exponent, and a counter is not raised twice at
        // once.
        uint32_t seen[2][256] = {{0}};
        for (int64_t m = panel * DK_PANEL_ROWS; m < least(count, (panel + 1) * DK_PANEL_ROWS); m++) {
            for (int64_t k = 0; k < columns; k++) seen[k % 2][source[m * lds + k] >> 7 & 255]++;
        }
        uint32_t total = 0;
        for (int e = 0; e < 256; e++) total += seen[0][e] += seen[1][e];
        bool chosen[256] = {false};
        for (int i = 0; i < 16; i++) {
            int best = -1;
            for (int e = 0; e < 256; e++) {
                if (!chosen[e] && (best < 0 || seen[0][e] > seen[0][best])) best = e;
            }
            chosen[best] = true;
            total -= seen[0][best];
        }
        for (uint32_t e = 0, i = 0; e < 256; e++) {
            if (chosen[e]) exponents[panel * 16 + i++] = e << 23;
        }
        exceptions[panel] = total;
    }
}

void dk_compact_pack(const uint16_t *source, int64_t lds, int64_t columns, int64_t first, int64_t count,
                     const uint32_t *exponents, const uint32_t *starts, uint32_t *units, uint32_t *exceptions) {
    for (int64_t p = 0; p < dk_panels(count); p++) {
        int64_t panel = first / DK_PANEL_ROWS + p;
        uint8_t index[256];
        memset(index, 255, sizeof index);
        for (uint8_t i = 0; i < 16; i++) index[exponents[panel * 16 + i] >> 23] = i;
        uint32_t *words = units + panel * compact_units(columns) * 48, *exception = exceptions + starts[panel];
        int64_t rows = least(DK_PANEL_ROWS, count - p * DK_PANEL_ROWS);
        for (int64_t unit = 0; unit < compact_units(columns); unit++, words += 48) {
            memset(words, 0, 192);
            for (int64_t column = 0; column < least(4, columns - 4 * unit); column++) {
                uint32_t *line = words + column / 2 * 16;
                for (int64_t row = 0; row < rows; row++) {
                    uint32_t bits = (uint32_t)source[(p * DK_PANEL_ROWS + row) * lds + 4 * unit + column] << 16;
                    uint32_t j = (uint32_t)(column % 2 + row / 16 * 2), rest = bits & 0x807f0000u;
                    line[row % 16] |= j ? rest >> 8 * j | rest << (32 - 8 * j) : rest;
                    uint32_t exponent = bits >> 23 & 255, i = index[exponent];
                    if (i == 255) *exception++ = (uint32_t)(unit << 15 | column << 13 | row << 8) | exponent;
                    else words[32 + row % 16] |= i << 4 * ((uint32_t)column / 2 * 4 + j);
                }
            }
        }
    }
}
