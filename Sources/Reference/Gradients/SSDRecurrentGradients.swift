//  The recurrent form backwards: one token after another, from the last.
//
//      R_t = ∂ℒ/∂S_t
//      1. R_t  = g_t C_tᵀ + a_{t+1} R_{t+1}          (Ĝ in place of the second term at t = L)
//      2. ∂x̄_t = R_t B_t
//      3. ∂B_t = R_tᵀ x̄_t
//      4. ∂C_t = S_tᵀ g_t
//      5. λ_t  = a_t ⟨R_t, S_{t-1}⟩
//         ∂S_0 = a_1 R_1
//
//  λ could also be had without the states, as a running sum of g_t · y_t - x̄_t · R_t B_t. Its
//  terms are far larger than the sum where the decay is strong, and the sum loses what they lose;
//  the inner product cannot cancel that way.
//
//  The states S_t are wanted in reverse, and dividing by a_t would not bring them back where a_t is
//  small. So the sequence is cut into about √L segments: one pass forward keeps the state at the
//  start of each, and the way back makes the states of one segment at a time anew. That is 2 √L
//  states in memory and one more forward pass in time, for any L.
//
//  Source: backpropagation through time; checkpoints as in Chen et al. (arXiv 1604.06174).

import DualityCore

extension HeadSequence {
    /// The gradients of the recurrent form. O(L P N) time, O(√L P N) memory.
    func recurrentGradients(y g: [Scalar], finalState: [Scalar]) -> HeadGradients<Scalar> {
        let stateSize = headDim * stateDim
        let span = max(1, Int(Double(length).squareRoot()))
        let segments = stride(from: 0, to: length, by: span).map { $0..<min($0 + span, length) }
        var checkpoints: [[Scalar]] = []
        var state = initialState
        for segment in segments {
            checkpoints.append(state)
            for t in segment { advance(&state, from: 0, to: 0, with: t) }
        }

        var result = HeadGradients(of: self, finalState: finalState)
        var decayAfter = Scalar(1)  // a_{t+1}; Ĝ is not decayed
        var states = [Scalar](repeating: .zero, count: (span + 1) * stateSize)
        for (segment, checkpoint) in zip(segments, checkpoints).reversed() {
            // S_{t-1} for each token of the segment, then S_t of its last
            states.replaceSubrange(0..<stateSize, with: checkpoint)
            for (i, t) in segment.enumerated() {
                advance(&states, from: i * stateSize, to: (i + 1) * stateSize, with: t)
            }
            for (i, t) in segment.enumerated().reversed() {
                let decay = Scalar.exp(logDecay[t])
                let product = stepBack(
                    t, g: g, b: b, c: c, decayAfter: decayAfter, states: states, before: i * stateSize,
                    r: &result.initialState, xGradient: &result.x, bGradient: &result.b, cGradient: &result.c)
                result.logDecay[t] = decay * product
                decayAfter = decay
            }
        }
        for i in 0..<stateSize { result.initialState[i] *= decayAfter }
        return result
    }

    /// S_t from S_{t-1}, which lie in `states` from the indices `new` and `old` on; the two may be
    /// one.
    private func advance(_ states: UnsafeMutablePointer<Scalar>, from old: Int, to new: Int, with t: Int) {
        let decay = Scalar.exp(logDecay[t])
        b.withUnsafeBufferPointer { b in
            for p in 0..<headDim {
                let input = x[t * headDim + p]
                let (before, after) = (states + old + p * stateDim, states + new + p * stateDim)
                for n in 0..<stateDim { after[n] = decay * before[n] + input * b[t * stateDim + n] }
            }
        }
    }

    /// Steps 1 to 5 for token t, one row of the state after another. Returns ⟨R_t, S_{t-1}⟩.
    ///
    /// - Parameters:
    ///   - g, b, c: all rows, of which row t is read.
    ///   - decayAfter: a_{t+1}.
    ///   - states: S_{t-1} from index `before` on, S_t right after it.
    ///   - r: R_{t+1} or Ĝ, becomes R_t.
    ///   - xGradient, bGradient, cGradient: all rows, of which row t is added to.
    @inline(__always)
    private func stepBack(
        _ t: Int, g: UnsafePointer<Scalar>, b: UnsafePointer<Scalar>, c: UnsafePointer<Scalar>, decayAfter: Scalar,
        states: UnsafePointer<Scalar>, before: Int, r: UnsafeMutablePointer<Scalar>,
        xGradient: UnsafeMutablePointer<Scalar>, bGradient: UnsafeMutablePointer<Scalar>,
        cGradient: UnsafeMutablePointer<Scalar>
    ) -> Scalar {
        let (columns, channels) = (t * stateDim, t * headDim)
        var product = Scalar.zero
        for p in 0..<headDim {
            let row = r + p * stateDim
            let stateBefore = states + before + p * stateDim
            let stateAfter = stateBefore + headDim * stateDim
            let (pull, input) = (g[channels + p], x[channels + p])
            for n in 0..<stateDim { row[n] = decayAfter * row[n] + pull * c[columns + n] }  // 1
            xGradient[channels + p] += dot(row, b + columns, stateDim)  // 2
            addScaled(input, row, to: bGradient + columns, stateDim)  // 3
            addScaled(pull, stateAfter, to: cGradient + columns, stateDim)  // 4
            product += dot(row, stateBefore, stateDim)  // 5
        }
        return product
    }
}
