//  The recurrent and the chunked form as a kernel runs them, with its roundings. fl is a rounding
//  to the named format.
//
//      recurrent   S_t = exp(z_t) S_{t-1} + x̄_t B_tᵀ,   y_t = S_t C_t,   then S_t <- fl_state(S_t)
//      chunked     KernelArithmetic.swift has the equations; step for step they are those of Chunked.swift
//
//  Source: state-spaces/mamba, ops/triton/selective_state_update.py,
//  `_selective_scan_update_kernel`; ssd_chunk_scan.py, `_chunk_scan_fwd_kernel`;
//  ssd_chunk_state.py, `_chunk_state_fwd_kernel`; ssd_state_passing.py,
//  `_state_passing_fwd_kernel`.

import DualityCore
import DualityReference

/// One head of one sequence, as a kernel of `arithmetic` holds it.
struct EmulatedSequence<Scalar: RealNumber> {
    let arithmetic: KernelArithmetic
    let length: Int
    let headDim: Int
    let stateDim: Int
    /// Where in its row the sequence begins; chunks are counted from the start of the row.
    let start: Int
    /// Sum of z over the tokens of the row between the beginning of the chunk and that of the
    /// sequence.
    let lead: Scalar
    /// z = fl_steps(Δ A), `[L]`.
    let logDecay: [Scalar]
    /// The factor of the weights: Δ, or 1 where x̄ is stored, `[L]`.
    let factor: [Scalar]
    /// The factor of the outer products: x, or x̄ where that is stored, `[L, P]`.
    let x: [Scalar]
    /// `[L, N]`
    let b: [Scalar]
    /// `[L, N]`
    let c: [Scalar]
    /// `[P, N]`
    let initialState: [Scalar]

    init(
        _ inputs: SSDInputs<Scalar>, steps: Tensor<Scalar>, run: SSDRun, head: Int, arithmetic: KernelArithmetic
    ) {
        self.arithmetic = arithmetic
        length = run.tokens.count
        headDim = inputs.headDim
        stateDim = inputs.stateDim
        let start = run.tokens.lowerBound
        self.start = start
        let rate = inputs.a.elements[head]
        let z = columns(of: steps, row: run.row, tokens: 0..<run.tokens.upperBound, head: head, width: 1)
            .map { arithmetic.round($0 * rate, to: arithmetic.steps) }
        logDecay = Array(z[start...])
        let chunkStart = arithmetic.chunkSize.map { start - start % $0 } ?? start
        lead = z[chunkStart..<start].reduce(.zero, +)

        let step = columns(of: steps, row: run.row, tokens: run.tokens, head: head, width: 1)
        var x = columns(of: inputs.x, row: run.row, tokens: run.tokens, head: inputs.headMap.x[head], width: headDim)
        if let format = arithmetic.scaledInput {
            for i in x.indices { x[i] = arithmetic.round(x[i] * step[i / headDim], to: format) }
        }
        self.x = x
        factor = arithmetic.scaledInput == nil ? step : [Scalar](repeating: 1, count: length)
        b = columns(of: inputs.b, row: run.row, tokens: run.tokens, head: inputs.headMap.b[head], width: stateDim)
        c = columns(of: inputs.c, row: run.row, tokens: run.tokens, head: inputs.headMap.c[head], width: stateDim)
        initialState = run.initialState(of: head, in: inputs)
    }

    func recurrent() -> HeadResult<Scalar> {
        var state = initialState
        var y = [Scalar](repeating: .zero, count: length * headDim)
        for t in 0..<length {
            let decay = Scalar.exp(logDecay[t])
            for p in 0..<headDim {
                let input = factor[t] * x[t * headDim + p]
                var sum = Scalar.zero
                for n in 0..<stateDim {
                    let i = p * stateDim + n
                    let next = decay * state[i] + input * b[t * stateDim + n]
                    sum += next * c[t * stateDim + n]
                    state[i] = arithmetic.round(next, to: arithmetic.state)
                }
                y[t * headDim + p] = sum
            }
        }
        return HeadResult(y: y, states: [state])
    }

    func chunked(size: Int) -> HeadResult<Scalar> {
        let factors = MatrixFactors(
            x: x.map(asFactor), b: b.map(asFactor), c: c.map(asFactor))
        var state = initialState
        var y = [Scalar](repeating: .zero, count: length * headDim)
        var first = 0
        while first < length {
            let chunk = first..<first + min(size - (start + first) % size, length - first)
            let sums = runningSums(over: chunk)
            let entering = state.map { asFactor(arithmetic.round($0, to: arithmetic.chunkStates)) }
            for t in chunk {
                readOut(t, of: chunk, sums, factors, entering, to: &y)
            }
            state = passed(state, over: chunk, sums, factors)
            first = chunk.upperBound
        }
        return HeadResult(y: y, states: [state])
    }

    /// Operands of matrix products.
    struct MatrixFactors {
        let x: [Scalar]
        let b: [Scalar]
        let c: [Scalar]
    }

    func asFactor(_ value: Scalar) -> Scalar { arithmetic.round(value, to: arithmetic.products) }

    /// ℓ over the chunk, from the chunk's own beginning.
    func runningSums(over chunk: Range<Int>) -> [Scalar] {
        var sum = chunk.lowerBound == 0 ? lead : .zero
        return logDecay[chunk].map { z in
            sum += z
            return sum
        }
    }

    /// ln of the decay between two tokens, by whichever sum the kernel takes.
    func logDecay(segment: Scalar, _ from: Scalar, _ to: Scalar) -> Scalar {
        switch arithmetic.decaySums {
        case .segments: segment
        case .differences: to - from < 0 ? to - from : 0
        }
    }

    /// y_t += sum over s of fl(exp(seg(t, s)) Δ_s (C_t · B_s)) x_s + exp(seg(t, first)) H C_t.
    private func readOut(
        _ t: Int, of chunk: Range<Int>, _ sums: [Scalar], _ factors: MatrixFactors, _ entering: [Scalar],
        to y: inout [Scalar]
    ) {
        var segment = Scalar.zero
        let now = sums[t - chunk.lowerBound]
        for s in stride(from: t, through: chunk.lowerBound, by: -1) {
            var gram = Scalar.zero
            for n in 0..<stateDim { gram += factors.c[t * stateDim + n] * factors.b[s * stateDim + n] }
            let decay = Scalar.exp(logDecay(segment: segment, sums[s - chunk.lowerBound], now))
            let weight = asFactor(gram * decay * factor[s])
            for p in 0..<headDim { y[t * headDim + p] += weight * factors.x[s * headDim + p] }
            segment += logDecay[s]
        }
        let decay = Scalar.exp(logDecay(segment: segment, chunk.lowerBound == 0 ? lead : .zero, now))
        for p in 0..<headDim {
            var sum = Scalar.zero
            for n in 0..<stateDim { sum += entering[p * stateDim + n] * factors.c[t * stateDim + n] }
            y[t * headDim + p] += decay * sum
        }
    }

    /// fl(exp(seg(end, first)) H + sum over s of fl(exp(seg(end, s)) Δ_s B_s) x_sᵀ).
    func passed(
        _ state: [Scalar], over chunk: Range<Int>, _ sums: [Scalar], _ factors: MatrixFactors
    ) -> [Scalar] {
        var update = [Scalar](repeating: .zero, count: state.count)
        var segment = Scalar.zero
        let end = sums[chunk.count - 1]
        for s in chunk.reversed() {
            let decay = Scalar.exp(logDecay(segment: segment, sums[s - chunk.lowerBound], end))
            for n in 0..<stateDim {
                let scaled = asFactor(factors.b[s * stateDim + n] * (decay * factor[s]))
                for p in 0..<headDim { update[p * stateDim + n] += factors.x[s * headDim + p] * scaled }
            }
            segment += logDecay[s]
        }
        let decay = Scalar.exp(logDecay(segment: segment, chunk.lowerBound == 0 ? lead : .zero, end))
        return zip(state, update).map { arithmetic.round(decay * $0 + $1, to: arithmetic.state) }
    }
}
