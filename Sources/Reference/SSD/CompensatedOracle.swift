//  The oracle with compensated sums: the recurrence carried in pairs, so that float64 can be held
//  against itself.
//
//      S_t + E_t = a S_{t-1} + x̄ Bᵀ + (a E_{t-1} + what rounding those two products and their sum dropped)
//
//  Steps, decays and inputs, of which there are few, are double-double; the state, of which there
//  is much, a Double S and a Double E that collects what S drops. y = (S + E) C is a compensated
//  sum, skip and gate are double-double again. Only the result is rounded to Double: its relative
//  error is 2^-53 plus about 1e-28 times the condition of the sum.
//
//  Source: Ogita, Rump, Oishi 2005; the double-double recurrence itself (SSDForm over DoubleDouble)
//  gives the same numbers, about ten times slower.

import DualityCore

extension SSDInputs<Double> {
    /// The recurrent form in float64, with plain or with compensated sums.
    ///
    /// - Throws: nothing that `SSDForm.recurrent.evaluate` does not.
    /// - Complexity: O(B H L P N); compensated about fifteen times slower than plain.
    public func oracle(summation: Summation) throws(InputError) -> SSDOutputs<Double> {
        switch summation {
        case .plain: try SSDForm.recurrent.evaluate(self)
        case .compensated: compensatedOracle()
        }
    }

    private func compensatedOracle() -> SSDOutputs<Double> {
        let steps = compensatedSteps()
        let rounded = steps.map(\.high)
        var outputs = SSDOutputs(for: self, statesEvery: nil)
        var rest = outputs.y  // what y drops
        for run in runs {
            for head in 0..<heads {
                let sequence = CompensatedSequence(self, steps: steps, run: run, head: head)
                let result = sequence.recurrent()
                outputs.store(result.rounded, of: run, head: head, steps: rounded, rate: a.elements[head])
                for (i, t) in run.tokens.enumerated() {
                    let first = ((run.row * length + t) * heads + head) * headDim
                    for p in 0..<headDim { rest.elements[first + p] = result.rest[i * headDim + p] }
                }
            }
        }
        outputs.gatherFinalStates(of: self)
        for i in outputs.y.elements.indices {
            outputs.y.elements[i] = finished(DoubleDouble(sumOf: outputs.y.elements[i], rest.elements[i]), at: i).high
        }
        return outputs
    }

    /// Δ, `[B, L, H]`.
    private func compensatedSteps() -> Tensor<DoubleDouble> {
        var i = 0
        return dt.map { dt in
            defer { i += 1 }
            var step = DoubleDouble(sumOf: dt, dtBias?.elements[i % heads] ?? 0)
            if dtSoftplus { step = .thresholdedSoftplus(step) }
            step = max(step, DoubleDouble(dtLimit.lowerBound))
            return min(step, DoubleDouble(dtLimit.upperBound))
        }
    }

    /// (y + D x) silu(z) for one element.
    private func finished(_ y: DoubleDouble, at i: Int) -> DoubleDouble {
        let (token, head, p) = (i / (heads * headDim), i / headDim % heads, i % headDim)
        var y = y
        if let d {
            let weight = d.elements[d.shape.count == 2 ? head * headDim + p : head]
            y += DoubleDouble(productOf: weight, x.elements[(token * x.shape[2] + headMap.x[head]) * headDim + p])
        }
        if let z { y *= .silu(DoubleDouble(z.elements[i])) }
        return y
    }
}

/// One head of one sequence with its scalars in double-double.
private struct CompensatedSequence {
    let length: Int
    let headDim: Int
    let stateDim: Int
    /// a = exp(Δ A), `[L]`.
    let decay: [DoubleDouble]
    /// x̄ = Δ x, `[L, P]`.
    let input: [DoubleDouble]
    /// `[L, N]`
    let b: [Double]
    /// `[L, N]`
    let c: [Double]
    /// `[P, N]`
    let initialState: [Double]

    init(_ inputs: SSDInputs<Double>, steps: Tensor<DoubleDouble>, run: SSDRun, head: Int) {
        length = run.tokens.count
        let headDim = inputs.headDim
        self.headDim = headDim
        stateDim = inputs.stateDim
        let step = columns(of: steps, row: run.row, tokens: run.tokens, head: head, width: 1)
        decay = step.map { .exp($0 * DoubleDouble(inputs.a.elements[head])) }
        let x = columns(of: inputs.x, row: run.row, tokens: run.tokens, head: inputs.headMap.x[head], width: headDim)
        input = x.enumerated().map { i, x in step[i / headDim] * DoubleDouble(x) }
        b = columns(of: inputs.b, row: run.row, tokens: run.tokens, head: inputs.headMap.b[head], width: stateDim)
        c = columns(of: inputs.c, row: run.row, tokens: run.tokens, head: inputs.headMap.c[head], width: stateDim)
        initialState = run.initialState(of: head, in: inputs)
    }

    /// S_t C_t and the final state, rounded, and what rounding y dropped, `[L, P]`.
    func recurrent() -> (rounded: HeadResult<Double>, rest: [Double]) {
        var state = initialState
        var dropped = [Double](repeating: 0, count: state.count)  // E
        var y = [Double](repeating: 0, count: length * headDim)
        var rest = y
        withPointers(to: &state, &dropped) { state, dropped in
            withPointers(b, c) { b, c in
                for t in 0..<length {
                    let (b, c) = (b + t * stateDim, c + t * stateDim)
                    for p in 0..<headDim {
                        let (s, e) = (state + p * stateDim, dropped + p * stateDim)
                        let x = input[t * headDim + p]
                        for n in 0..<stateDim {
                            let kept = DoubleDouble(productOf: decay[t].high, s[n])
                            let added = DoubleDouble(productOf: x.high, b[n])
                            let sum = DoubleDouble(sumOf: kept.high, added.high)
                            e[n] =
                                decay[t].high * e[n] + (decay[t].low * s[n] + x.low * b[n])
                                + ((kept.low + added.low) + sum.low)
                            s[n] = sum.high
                        }
                        var sum = CompensatedSum()
                        for n in 0..<stateDim {
                            sum.add(productOf: s[n], c[n])
                            sum.add(e[n] * c[n])
                        }
                        y[t * headDim + p] = sum.value
                        rest[t * headDim + p] = sum.rest
                    }
                }
            }
        }
        return (HeadResult(y: y, states: [zip(state, dropped).map { $0 + $1 }]), rest)
    }
}
