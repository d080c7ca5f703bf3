//  The recurrent form: one token after another.
//
//      1. decay and update   S_t = a_t S_{t-1} + x̄_t B_tᵀ
//      2. read out           y_t = S_t C_t                        (the state after the update)
//
//  Source: Mamba-2 (arXiv 2405.21060) equation 2; state-spaces/mamba,
//  ops/triton/selective_state_update.py, `selective_state_update_ref`.

import DualityCore

extension HeadSequence {
    /// The recurrent form. O(L P N) time, O(P N) memory besides the result; nothing but the state
    /// is carried.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    package func recurrent() -> HeadResult<Scalar> {
        var state = initialState
        var result = HeadResult<Scalar>(y: [Scalar](repeating: .zero, count: length * headDim), states: [])
        var first = 0
        for checkpoint in checkpoints {
            step(&state, over: first..<checkpoint, y: &result.y)
            result.states.append(state)
            first = checkpoint
        }
        return result
    }

    /// The recurrence over the tokens of `range`.
    func step(_ state: inout [Scalar], over range: Range<Int>, y: inout [Scalar]) {
        state.withUnsafeMutableBufferPointer { state in
            b.withUnsafeBufferPointer { b in
                c.withUnsafeBufferPointer { c in
                    guard let state = state.baseAddress, let b = b.baseAddress, let c = c.baseAddress else { return }
                    for t in range {
                        let decay = Scalar.exp(logDecay[t])
                        for p in 0..<headDim {
                            y[t * headDim + p] = updateAndRead(
                                state + p * stateDim, decay: decay, input: x[t * headDim + p], b: b + t * stateDim,
                                c: c + t * stateDim, count: stateDim)
                        }
                    }
                }
            }
        }
    }
}

/// Both steps for one row of the state: `s[n] = decay s[n] + input b[n]`, then the sum over n of
/// `s[n] c[n]`.
@inline(__always)
func updateAndRead<Scalar: RealNumber>(
    _ s: UnsafeMutablePointer<Scalar>, decay: Scalar, input: Scalar, b: UnsafePointer<Scalar>,
    c: UnsafePointer<Scalar>, count: Int
) -> Scalar {
    for n in 0..<count { s[n] = decay * s[n] + input * b[n] }
    return dot(s, c, count)
}
