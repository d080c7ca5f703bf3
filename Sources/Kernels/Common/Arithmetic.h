//  Sizes: the smaller of two, and what is rounded up.

INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t even(int64_t n) { return (n + 1) / 2 * 2; }
/// Rounded up to whole vectors of 16.
INLINE int64_t padded(int64_t n) { return (n + 15) / 16 * 16; }
