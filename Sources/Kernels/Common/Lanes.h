//  Sixteen float32 numbers at a time, in the vectors of whatever instruction set includes this
//  file.
//
//  clang splits the type into the registers there are: one of AVX-512, two of AVX2, four of NEON or
//  SSE. Every operation below rounds once and alike in all of them, and sums run in an order
//  written here, so the kernels above give the same bits everywhere. Contraction of a * b + c is
//  off for that reason: where one rounding is meant, `fma16` says so.
//
//  Included by each instruction set's file, inside its target attribute.

#ifndef DUALITY_KERNELS_LANES_H
#define DUALITY_KERNELS_LANES_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

// Vectors wider than the machine's never cross a real call: everything that takes them is inlined.
#pragma clang diagnostic ignored "-Wpsabi"
#pragma clang fp contract(off)

typedef float lanes __attribute__((ext_vector_type(16)));
typedef int32_t int_lanes __attribute__((ext_vector_type(16)));
typedef uint32_t bit_lanes __attribute__((ext_vector_type(16)));

#define INLINE static inline __attribute__((always_inline))
/// Keeps the compiler from seeing through a value.
#define OPAQUE_VECTOR(value) __asm__ volatile("" : "+m"(value))
#define UNROLL _Pragma("clang loop unroll(full)")

INLINE lanes load16(const float *p) {
    lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

INLINE void store16(float *p, lanes v) { memcpy(p, &v, sizeof v); }

/// The first `count` of 16 numbers, `rest` for the others.
INLINE lanes load_part(const float *p, int64_t count, float rest) {
    float part[16];
    for (int i = 0; i < 16; i++) part[i] = i < count ? p[i] : rest;
    return load16(part);
}

INLINE void store_part(float *p, lanes v, int64_t count) {
    float part[16];
    store16(part, v);
    for (int64_t i = 0; i < count; i++) p[i] = part[i];
}

INLINE bit_lanes bits_of(lanes v) {
    bit_lanes b;
    memcpy(&b, &v, sizeof b);
    return b;
}

INLINE lanes from_bits(bit_lanes b) {
    lanes v;
    memcpy(&v, &b, sizeof v);
    return v;
}

/// Whether `count` numbers, a multiple of 16, are all finite: neither infinite nor NaN.
INLINE bool all_finite(const float *p, int64_t count) {
    bit_lanes top = 0;
    for (int64_t i = 0; i < count; i += 16) {
        bit_lanes magnitude = bits_of(load16(p + i)) & 0x7fffffffu;
        top = magnitude > top ? magnitude : top;
    }
    bit_lanes bad = (bit_lanes)(top >= 0x7f800000u);
    uint32_t any = 0;
    UNROLL for (int i = 0; i < 16; i++) any |= bad[i];
    return any == 0;
}

INLINE lanes fma16(lanes a, lanes b, lanes c) { return __builtin_elementwise_fma(a, b, c); }

INLINE lanes larger(lanes a, lanes b) { return a > b ? a : b; }

/// Transposes 16 x 16 numbers: blocks of 8, 4, 2 and 1 change places across the diagonal.
INLINE void transpose16(lanes rows[16]) {
#define CROSS(S, LOW, HIGH)                                \
    UNROLL for (int i = 0; i < 16; i++) {                  \
        if (i & S) continue;                               \
        lanes a = rows[i], b = rows[i + S];                \
        rows[i] = __builtin_shufflevector(a, b, LOW);      \
        rows[i + S] = __builtin_shufflevector(a, b, HIGH); \
    }
#define LIST(...) __VA_ARGS__
    CROSS(8, LIST(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23),
          LIST(8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31))
    CROSS(4, LIST(0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27),
          LIST(4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31))
    CROSS(2, LIST(0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29),
          LIST(2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31))
    CROSS(1, LIST(0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30),
          LIST(1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31))
#undef CROSS
#undef LIST
}

/// The sum of sixteen numbers: halves onto halves.
INLINE float sum_of(lanes v) {
    __typeof__(v.lo) eight = v.lo + v.hi;
    __typeof__(eight.lo) four = eight.lo + eight.hi;
    return (four.x + four.z) + (four.y + four.w);
}

/// Lane i is sum_of(v[i]), with its bits. v is overwritten.
INLINE lanes sums_of_lanes(lanes *v) {
    UNROLL for (int i = 0; i < 8; i++) {
        lanes a = v[i], b = v[i + 8];
        v[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
               __builtin_shufflevector(a, b, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        lanes a = v[i], b = v[i + 4];
        v[i] = __builtin_shufflevector(a, b, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
               __builtin_shufflevector(a, b, 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
    }
    UNROLL for (int i = 0; i < 2; i++) {
        lanes a = v[i], b = v[i + 2];
        v[i] = __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
               __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    }
    return __builtin_shufflevector(v[0], v[1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
           __builtin_shufflevector(v[0], v[1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
}

INLINE float largest_of(lanes v) {
    __typeof__(v.lo) eight = v.lo > v.hi ? v.lo : v.hi;
    __typeof__(eight.lo) four = eight.lo > eight.hi ? eight.lo : eight.hi;
    float a = four.x > four.z ? four.x : four.z, b = four.y > four.w ? four.y : four.w;
    return a > b ? a : b;
}

/// Runs `body` for i = 0, 16, 32 ... below `count`; `width` is 16, and less in the last turn if 16
/// does not divide `count`.
#define FOR_LANES(i, width, count) \
    for (int64_t i = 0, width; i < (count) && (width = (count)-i < 16 ? (count)-i : 16, 1); i += 16)

/// Loads and stores that a loop over lanes wants: whole where they can be.
INLINE lanes load_lanes(const float *p, int64_t width, float rest) {
    return width == 16 ? load16(p) : load_part(p, width, rest);
}

INLINE void store_lanes(float *p, lanes v, int64_t width) {
    if (width == 16) store16(p, v);
    else store_part(p, v, width);
}

// MARK: - Elementary functions

/// Adding and subtracting it rounds a number below 2^22 to an integer, ties to even, and leaves the
/// integer in the low bits.
#define ROUNDING 12582912.0f

#ifndef SCALE_BY_POWER  // an instruction of AVX-512
/// v 2^n, in two steps so that results below the normal range round once and those above become
/// infinite.
INLINE lanes scale_by_power(lanes v, int_lanes n) {
    int_lanes first = n >> 1, second = n - first;
    return v * from_bits((bit_lanes)((first + 127) << 23)) * from_bits((bit_lanes)((second + 127) << 23));
}
#define SCALE_BY_POWER(v, n, integer) scale_by_power(v, integer)
#endif

/// e^x: x = n ln 2 + r, |r| <= ln 2 / 2, e^r = 1 + r + r² p(r). At most 1 ulp.
INLINE lanes exp16(lanes x) {
    x = x > 89.0f ? (lanes)89.0f : x;  // e^89 overflows, e^-104 rounds to 0; a NaN passes both comparisons
    x = x < -104.0f ? (lanes)-104.0f : x;
    lanes shifted = fma16(x, (lanes)1.44269504f, (lanes)ROUNDING);
    lanes n = shifted - ROUNDING;
    lanes r = fma16(n, (lanes)-0.693145751953125f, x);  // ln 2 in two parts, the first exact in 16 bits
    r = fma16(n, (lanes)-1.42860682030941723e-6f, r);
    lanes p = fma16((lanes)0.00138144670593f, r, (lanes)0.00836878041118f);
    p = fma16(p, r, (lanes)0.0416683942109f);
    p = fma16(p, r, (lanes)0.166665201078f);
    p = fma16(p, r, (lanes)0.499999934125f);
    lanes e = fma16(r * r, p, r) + 1.0f;
    return SCALE_BY_POWER(e, n, (int_lanes)(bits_of(shifted) - bits_of((lanes)ROUNDING)));
}

/// ln(1 + t), 0 <= t <= 1: with s = t / (2 + t) it is 2 atanh(s) = t - (t²/2 - s (t²/2 + s²
/// q(s²))).
INLINE lanes log1p16(lanes t) {
    lanes s = t / (t + 2.0f), z = s * s;
    lanes half = t * t * 0.5f;
    lanes q = fma16((lanes)0.242965824883f, z, (lanes)0.214289155144f);
    q = fma16(q, z, (lanes)0.286167566848f);
    q = fma16(q, z, (lanes)0.399988830797f);
    q = fma16(q, z, (lanes)0.66666675548f);
    return t - fma16(-s, fma16(q, z, half), half);
}

/// ln(1 + e^u) = max(u, 0) + ln(1 + e^-|u|), u itself above 20. At most 2 ulp.
INLINE lanes softplus16(lanes u) {
    lanes tail = log1p16(exp16(u > 0.0f ? -u : u));
    return u > 20.0f ? u : (u > 0.0f ? u : (lanes)0.0f) + tail;
}

/// x / (1 + e^-x).
INLINE lanes silu16(lanes x) { return x / (exp16(-x) + 1.0f); }

#endif
