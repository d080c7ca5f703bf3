//  The gated delta rule backwards, one token after another, from the last.
//
//      S̃ = e^g S_{t-1},  r = v - S̃ᵀ k,  δ = β r,  S_t = S̃ + k δᵀ           R_t = ∂ℒ/∂S_t  [K, V]
//
//      1. ∂q   = S_t ∂o                R_t += q ∂oᵀ
//      2. ∂δ   = R_tᵀ k
//      3. ∂v   = β ∂δ                  ∂β = ∂δ · r
//      4. ∂k   = R_t δ - β S̃ ∂δ        R̃ = R_t - β k ∂δᵀ
//      5. ∂g   = ⟨R̃, S̃⟩                R_{t-1} = e^g R̃
//
//  The states are wanted in reverse. A sequence is cut into about √L segments: one pass forward
//  keeps the state at the start of each, and the way back makes the states of one segment at a time
//  anew, 2 √L states in memory for any L.
//
//  Source: backpropagation through time of the definition in DeltaOperands.swift; checkpoints as in
//  Chen et al. (arXiv 1604.06174).

import DualityCore

extension DeltaHead {
    /// - Complexity: O(T K V) time, O(√T K V) memory.
    func addRecurrentGradients(
        _ tokens: Range<Int>, state entering: [Scalar], pull: [Scalar], adjoint: inout [Scalar],
        to gradients: inout DeltaHeadGradients<Scalar>
    ) {
        let span = max(1, Int(Double(tokens.count).squareRoot()))
        let segments = stride(from: tokens.lowerBound, to: tokens.upperBound, by: span).map {
            $0..<min($0 + span, tokens.upperBound)
        }
        var checkpoints: [[Scalar]] = []
        var state = entering
        for segment in segments {
            checkpoints.append(state)
            for t in segment { advance(&state, with: t) }
        }
        for (segment, checkpoint) in zip(segments, checkpoints).reversed() {
            // S_{t-1} for each token of the segment
            var states = [checkpoint]
            for t in segment.dropLast() {
                var next = states[states.count - 1]
                advance(&next, with: t)
                states.append(next)
            }
            for (before, t) in zip(states, segment).reversed() {
                stepBack(t, before: before, pull: pull, adjoint: &adjoint, to: &gradients)
            }
        }
    }

    /// S_{t-1} becomes S_t.
    private func advance(_ state: inout [Scalar], with t: Int) {
        let decay = Scalar.exp(logDecay[t])
        var delta = Array(v[t * valueDim..<(t + 1) * valueDim])
        for i in 0..<keyDim {
            let key = k[t * keyDim + i]
            for j in 0..<valueDim {
                state[i * valueDim + j] *= decay
                delta[j] -= key * state[i * valueDim + j]
            }
        }
        for i in 0..<keyDim {
            let key = k[t * keyDim + i] * beta[t]
            for j in 0..<valueDim { state[i * valueDim + j] += key * delta[j] }
        }
    }

    /// Steps 1 to 5 for token t.
    ///
    /// - Parameters:
    ///   - before: S_{t-1}, `[K, V]`.
    ///   - adjoint: R of the state behind the token, becomes that of the state before it.
    private func stepBack(
        _ t: Int, before: [Scalar], pull: [Scalar], adjoint: inout [Scalar],
        to gradients: inout DeltaHeadGradients<Scalar>
    ) {
        let (decay, step) = (Scalar.exp(logDecay[t]), beta[t])
        let (keys, values) = (t * keyDim, t * valueDim)
        var faded = before
        var residual = Array(v[values..<values + valueDim])
        for i in 0..<keyDim {
            for j in 0..<valueDim {
                faded[i * valueDim + j] *= decay
                residual[j] -= k[keys + i] * faded[i * valueDim + j]
            }
        }
        var ofDelta = [Scalar](repeating: .zero, count: valueDim)
        for i in 0..<keyDim {
            let (key, query) = (k[keys + i], q[keys + i])
            for j in 0..<valueDim {
                let place = i * valueDim + j
                let after = faded[place] + key * (step * residual[j])
                gradients.q[keys + i] += after * pull[values + j]  // 1
                adjoint[place] += query * pull[values + j]
                ofDelta[j] += key * adjoint[place]  // 2
            }
        }
        for j in 0..<valueDim {
            gradients.v[values + j] += step * ofDelta[j]  // 3
            gradients.beta[t] += ofDelta[j] * residual[j]
        }
        for i in 0..<keyDim {
            for j in 0..<valueDim {
                let place = i * valueDim + j
                gradients.k[keys + i] += step * (adjoint[place] * residual[j] - faded[place] * ofDelta[j])  // 4
                adjoint[place] -= k[keys + i] * (step * ofDelta[j])
                gradients.logDecay[t] += adjoint[place] * faded[place]  // 5
                adjoint[place] *= decay
            }
        }
    }
}
