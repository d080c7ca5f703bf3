//  The chunked form: attention inside chunks of Q tokens, a recurrence between them.
//
//      for each chunk, H the state that enters it:
//      1. inside the chunk    Y_i  = sum over j <= i of exp(seg(i, j)) (C_i · B_j) x̄_j
//      2. entering state      Y_i += exp(seg(i, 0)) H C_i
//      3. state of the chunk  U    = sum over j of exp(seg(end, j)) x̄_j B_jᵀ
//      4. between chunks      H   <- exp(seg(end, 0)) H + U
//
//  i and j count inside the chunk, so that no sum of logarithms is longer than Q, and what sums of
//  them and the state drop is carried along (SegmentSum.swift), so that the error of Float does not
//  depend on Q. Steps 1 and 2 are those of the quadratic form on the chunk alone, and 3 and 4
//  together are its last. Q = 1 is the recurrent form, Q >= L the quadratic one; the result is the
//  same up to rounding for every Q.
//
//  Chunks are counted from the start of the row. Where sequences are packed, one that begins inside
//  a chunk has a shorter first chunk, up to the next boundary: the cut is exact, and nothing is
//  masked.
//
//  Source: Mamba-2 (arXiv 2405.21060) section 6 and listing 1; state-spaces/mamba, ssd_minimal.py.

import DualityCore

extension HeadSequence {
    /// The chunked form. O(L (Q (P + N) + P N)) time, O(P N + Q (P + N)) memory besides the result.
    func chunked(size: Int) -> HeadResult<Scalar> {
        var result = HeadResult<Scalar>(y: [Scalar](repeating: .zero, count: length * headDim), states: [])
        var state = CarriedState(initialState)
        var first = 0
        repeat {
            let chunk = first..<first + min(size - (start + first) % size, length - first)
            addAttention(over: chunk, to: &result.y)  // 1
            addReadout(of: state.value, over: chunk, to: &result.y)  // 2
            for checkpoint in checkpoints where checkpoint > chunk.lowerBound && checkpoint < chunk.upperBound {
                result.states.append(advanced(state.value, over: chunk.lowerBound..<checkpoint))
            }
            advance(&state, over: chunk)  // 3 and 4
            if checkpoints.contains(chunk.upperBound) { result.states.append(state.value) }
            first = chunk.upperBound
        } while first < length
        return result
    }
}
