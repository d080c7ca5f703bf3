//  The chunked form backwards: the chunks from the last to the first, each step of the forward pass
//  transposed.
//
//      Φ = ∂ℒ/∂(state that leaves the chunk), at first Ĝ; H the state that enters it
//      3, 4. leaving state     H' = exp(seg(end, 0)) H + sum of exp(seg(end, s)) x̄_s B_sᵀ
//      2.    readout           Y_t += exp(seg(t, 0)) H C_t
//      1.    attention         Y_t += sum over s <= t of exp(seg(t, s)) (C_t · B_s) x̄_s
//
//  Steps 3 and 4 and step 2 make of Φ the gradient of H, which is what leaves the chunk before.
//  Entering states are wanted in reverse: one pass forward keeps one for each chunk.
//
//  Every step is a sum of terms exp(seg(t, s)) (...) of which ln a_k is part for s < k <= t. So λ_k
//  is the sum of all terms that reach across token k. Taking these sums directly, and not as
//  differences of row and column sums of all terms, keeps the diagonal out (which has no decay, and
//  outweighs everything where the decay is strong).
//
//  Source: Mamba-2 (arXiv 2405.21060) section 6, differentiated; state-spaces/mamba,
//  ops/triton/ssd_chunk_scan.py, `_chunk_scan_bwd_ddAcs_stable`.

import DualityCore

extension HeadSequence {
    /// The gradients of the chunked form. O(L (Q (P + N) + P N)) time, O((L / Q) P N + Q (P + N))
    /// memory.
    func chunkedGradients(size: Int, y g: [Scalar], finalState: [Scalar]) -> HeadGradients<Scalar> {
        var (chunks, entering): ([Range<Int>], [[Scalar]]) = ([], [])
        var (first, state) = (0, initialState)
        while first < length {
            let chunk = first..<first + min(size - (start + first) % size, length - first)
            chunks.append(chunk)
            entering.append(state)
            state = advanced(state, over: chunk)
            first = chunk.upperBound
        }

        var result = HeadGradients(of: self, finalState: finalState)
        for (chunk, state) in zip(chunks, entering).reversed() {
            advanceBack(from: state, over: chunk, to: &result)  // 3 and 4
            addReadoutBack(of: state, over: chunk, g, to: &result)  // 2
            addAttentionBack(over: chunk, g, to: &result)  // 1
        }
        return result
    }

    /// Steps 3 and 4: `advanced(_:over:)` transposed. Φ is in `result.initialState`, and becomes
    /// its part of ∂H.
    ///
    ///     ∂x̄_s += exp(seg(end, s)) Φ B_s          ∂B_s += exp(seg(end, s)) Φᵀ x̄_s          ∂H =
    ///     exp(seg(end, 0)) Φ
    private func advanceBack(from state: [Scalar], over range: Range<Int>, to result: inout HeadGradients<Scalar>) {
        let (xs, bs) = (range.lowerBound * headDim, range.lowerBound * stateDim)
        var decayedX = Array(x[xs..<range.upperBound * headDim])  // exp(seg) x̄
        var decayedB = Array(b[bs..<range.upperBound * stateDim])  // exp(seg) B
        var sum = Scalar.zero  // from s + 1 to the end, growing backwards
        for (i, s) in range.enumerated().reversed() {
            let decay = Scalar.exp(sum)
            for p in 0..<headDim { decayedX[i * headDim + p] *= decay }
            for n in 0..<stateDim { decayedB[i * stateDim + n] *= decay }
            sum += logDecay[s]
        }
        let decay = Scalar.exp(sum)

        let columns = transposed(result.initialState)
        var xGradient = [Scalar](repeating: .zero, count: range.count * headDim)
        addProduct(
            decayedB, as: .rows(width: stateDim), times: columns, as: .rows(width: headDim),
            to: &xGradient, as: .rows(width: headDim), rows: range.count, depth: stateDim, columns: headDim)
        addProduct(
            decayedX, as: .rows(width: headDim), times: result.initialState, as: .rows(width: stateDim),
            to: &result.b, as: .rows(from: range.lowerBound, width: stateDim),
            rows: range.count, depth: headDim, columns: stateDim)

        // λ: H reaches across every token, the input of s across those after s
        var reach = decay * dot(result.initialState, state, state.count)
        for (i, s) in range.enumerated() {
            result.logDecay[s] += reach
            var term = Scalar.zero
            for p in 0..<headDim {
                let gradient = xGradient[i * headDim + p]
                term += x[s * headDim + p] * gradient
                result.x[s * headDim + p] += gradient
            }
            reach += term
        }
        for i in result.initialState.indices { result.initialState[i] *= decay }
    }

    /// Step 2: `addReadout(of:over:to:)` transposed, added to ∂C and ∂H.
    ///
    ///     ∂C_t += exp(seg(t, 0)) Hᵀ g_t          ∂H += exp(seg(t, 0)) g_t C_tᵀ
    private func addReadoutBack(
        of state: [Scalar], over range: Range<Int>, _ g: [Scalar], to result: inout HeadGradients<Scalar>
    ) {
        var decayed = Array(g[range.lowerBound * headDim..<range.upperBound * headDim])  // exp(seg) g
        var sum = Scalar.zero
        for (i, t) in range.enumerated() {
            sum += logDecay[t]
            let decay = Scalar.exp(sum)
            for p in 0..<headDim { decayed[i * headDim + p] *= decay }
        }
        var cGradient = [Scalar](repeating: .zero, count: range.count * stateDim)
        addProduct(
            decayed, as: .rows(width: headDim), times: state, as: .rows(width: stateDim),
            to: &cGradient, as: .rows(width: stateDim), rows: range.count, depth: headDim, columns: stateDim)
        addProduct(
            decayed, as: .rows(width: headDim).transposed, times: c, as: .rows(from: range.lowerBound, width: stateDim),
            to: &result.initialState, as: .rows(width: stateDim), rows: headDim, depth: range.count, columns: stateDim)

        // λ: what is read at t reaches across every token up to t
        var reach = Scalar.zero
        for (i, t) in range.enumerated().reversed() {
            var term = Scalar.zero
            for n in 0..<stateDim {
                let gradient = cGradient[i * stateDim + n]
                term += c[t * stateDim + n] * gradient
                result.c[t * stateDim + n] += gradient
            }
            reach += term
            result.logDecay[t] += reach
        }
    }

    /// A `[P, N]` state as `[N, P]`.
    private func transposed(_ state: [Scalar]) -> [Scalar] {
        var columns = [Scalar](repeating: .zero, count: state.count)
        for p in 0..<headDim {
            for n in 0..<stateDim { columns[n * headDim + p] = state[p * stateDim + n] }
        }
        return columns
    }
}
