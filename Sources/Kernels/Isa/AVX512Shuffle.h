//  Bytes of a table of 16 by an instruction of AVX-512.

INLINE bit_lanes shuffle_bytes(__m128i table, bit_lanes indices) {
    return (bit_lanes)_mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), (__m512i)indices);
}

#define SHUFFLE_BYTES(table, indices) shuffle_bytes((__m128i)(table), indices)
