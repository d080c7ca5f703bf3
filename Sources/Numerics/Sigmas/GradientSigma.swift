//  The sigma of the gradients: three walks of the operator's own sigma a head
//  (GradientErrors.swift).
//
//  Backwards in time the decay of a token is that of the next, and the errors of its Δ are in the
//  decay alone; Δ as a factor of ∂x comes after the walk, and what its error does to ∂B. Forwards,
//  for ∂C, x̄ and B change places.

import DualityCore
import DualityReference

extension KernelArithmetic {
    /// The standard deviation of the difference between a correct kernel of this arithmetic and the
    /// float64 gradients, `SSDForm.recurrent.gradients(of:upstream:)`, in each number of ∂x, ∂B and
    /// ∂C.
    ///
    /// - Throws: as `gradientErrorBound(for:upstream:)`.
    /// - Complexity: about three times that of `roundingSigma(for:)`.
    public func gradientRoundingSigma(
        for inputs: SSDInputs<Double>, upstream: SSDUpstream<Double>
    ) throws(InputError) -> SSDGradientErrorSizes {
        try upstream.check(inputs)
        let read = try withSummedBias(rounded(inputs))
        let readUpstream = rounded(upstream)
        let sums = gradientVariances(for: read, upstream: readUpstream)
        // Beside float64 the oracle's own rounding is of the same size.
        let oracle =
            accumulate == .f64
            ? KernelArithmetic(.f64, form: .recurrent).gradientVariances(for: inputs, upstream: upstream) : nil
        // What reading the operands does is known.
        let exact = try SSDForm.recurrent.gradients(of: inputs, upstream: upstream)
        let known = try SSDForm.recurrent.gradients(of: read, upstream: readUpstream)
        func finish(
            _ sum: GradientSum, _ oracle: GradientSum?, _ exact: Tensor<Double>, _ known: Tensor<Double>
        ) throws(InputError) -> Tensor<Double> {
            let storage = storageVariance(self.inputs)
            let sizes = sum.values.indices.map { i in
                let difference = exact.elements[i] - known.elements[i]
                let variance =
                    sum.errors[i] + (oracle?.errors[i] ?? 0) + storage.variance(at: exact.elements[i])
                    + difference * difference
                return max(variance.squareRoot(), 1e-150)
            }
            return try Tensor(shape: sum.shape, elements: sizes)
        }
        return try SSDGradientErrorSizes(
            x: finish(sums.x, oracle?.x, exact.x, known.x), b: finish(sums.b, oracle?.b, exact.b, known.b),
            c: finish(sums.c, oracle?.c, exact.c, known.c))
    }

    private func rounded(_ upstream: SSDUpstream<Double>) -> SSDUpstream<Double> {
        SSDUpstream(
            y: upstream.y?.map { inputs.round($0) }, finalState: upstream.finalState?.map { state.round($0) },
            sequenceStates: upstream.sequenceStates?.map { state.round($0) })
    }

    private func gradientVariances(
        for inputs: SSDInputs<Double>, upstream: SSDUpstream<Double>
    ) -> (x: GradientSum, b: GradientSum, c: GradientSum) {
        let steps = stepSpreads(of: inputs)
        let finalStates = upstream.finalStates(in: inputs)
        let (headDim, stateDim, operation) = (inputs.headDim, inputs.stateDim, operationVariance)
        let size = headDim * stateDim
        let (ofGradients, ofSum) = (self.ofGradients, operation.relative)
        var (x, b, c) = (GradientSum(inputs.x.shape), GradientSum(inputs.b.shape), GradientSum(inputs.c.shape))
        for run in inputs.runs {
            for head in 0..<inputs.heads {
                let sequence = SpreadSequence(inputs, steps: steps, run: run, head: head, arithmetic: self)
                let place = run.sequence * inputs.heads + head
                let walks = BackwardSigma(
                    sequence: sequence, arithmetic: ofGradients, ofForward: self,
                    pull: pull(of: inputs, upstream, run: run, head: head),
                    finalState: Array(finalStates.elements[place * size..<(place + 1) * size]))
                let (ofX, ofB, ofC) = (walks.ofX(), walks.ofB(), walks.ofC())
                // Gating g is a product, of a sigmoid that is two operations and an exp.
                let ofGate = inputs.z == nil ? 0 : 4 * ofSum
                for (i, t) in run.tokens.enumerated() {
                    let step = steps.elements[(run.row * inputs.length + t) * inputs.heads + head]
                    func scaled(_ value: Double, _ deviation: Double) -> Spread {
                        (Spread(value, variance: deviation * deviation + ofGate * value * value) * step)
                            .rounded(operation)
                    }
                    let xPlace = x.place(row: run.row, token: t, head: inputs.headMap.x[head])
                    for p in 0..<headDim {
                        let j = i * headDim + p
                        if let d = inputs.d {
                            let weight = d.elements[d.shape.count == 2 ? head * headDim + p : head]
                            let skip = Spread(weight * walks.pull[j])
                            x.add(skip.rounded(operation), at: xPlace + p, ofSum, gate: ofGate)
                        }
                        x.add(scaled(ofX.y[j], ofX.yErrors[j]), at: xPlace + p, ofSum)
                    }
                    let bPlace = b.place(row: run.row, token: t, head: inputs.headMap.b[head])
                    let cPlace = c.place(row: run.row, token: t, head: inputs.headMap.c[head])
                    for n in 0..<stateDim {
                        let j = i * stateDim + n
                        let ofB = Spread(ofB.y[j], variance: ofB.yErrors[j] * ofB.yErrors[j])
                        b.add(ofB, at: bPlace + n, ofSum, gate: ofGate + step.relative)
                        let gradient = Spread(ofC.y[j], variance: ofC.yErrors[j] * ofC.yErrors[j])
                        c.add(gradient, at: cPlace + n, ofSum, gate: ofGate)
                    }
                }
            }
        }
        return (x, b, c)
    }

    /// g of one head of one sequence, `[L, P]`.
    private func pull(
        of inputs: SSDInputs<Double>, _ upstream: SSDUpstream<Double>, run: SSDRun, head: Int
    ) -> [Double] {
        let width = inputs.headDim
        guard let dout = upstream.y else { return [Double](repeating: 0, count: run.tokens.count * width) }
        let rows = columns(of: dout, row: run.row, tokens: run.tokens, head: head, width: width)
        guard let z = inputs.z else { return rows }
        let gates = columns(of: z, row: run.row, tokens: run.tokens, head: head, width: width)
        return zip(rows, gates).map { $0 * .silu($1) }
    }
}

extension GradientSum {
    /// Adds a term, and the rounding of the sum where it is not the first.
    fileprivate mutating func add(_ term: Spread, at place: Int, _ ofSum: Double, gate: Double = 0) {
        let before = values[place]
        values[place] += term.value
        errors[place] += term.variance + gate * term.value * term.value
        if before != 0 { errors[place] += ofSum * values[place] * values[place] }
    }
}

/// The three walks of one head of one sequence.
private struct BackwardSigma {
    let sequence: SpreadSequence
    let arithmetic: KernelArithmetic
    let ofForward: KernelArithmetic
    let pull: [Double]
    let finalState: [Double]

    /// ∂x̄, `[L, P]`.
    func ofX() -> HeadErrors { backwards(x: pull, sequence.headDim, b: sequence.c, c: sequence.b, finalState) }

    /// g as an operand of narrow products, `[L, P]`; nil where that is g.
    private var pullAsFactor: [Double]? {
        guard ofForward.chunkSize != nil, !ofForward.products.holds(ofForward.accumulate) else { return nil }
        let rounded = pull.map { ofForward.products.round($0) }
        return rounded == pull ? nil : rounded
    }

    /// ∂B, `[L, N]`.
    func ofB() -> HeadErrors {
        let state = transposedState(finalState, rows: sequence.headDim, columns: sequence.stateDim)
        return backwards(
            x: sequence.c, sequence.stateDim, b: pull, c: sequence.scaledInput, state,
            knownB: pullAsFactor, knownC: sequence.scaledInputAsKernels(ofForward))
    }

    /// ∂C, `[L, N]`.
    func ofC() -> HeadErrors {
        let (p, n) = (sequence.headDim, sequence.stateDim)
        var walk = SpreadSequence(
            like: sequence, headDim: n, stateDim: p, x: sequence.b, b: sequence.scaledInput, c: pull,
            initialState: transposedState(sequence.initialState, rows: p, columns: n))
        walk.known.b = sequence.scaledInputAsKernels(ofForward)
        walk.known.c = pullAsFactor
        var forward = ofForward
        forward.form = arithmetic.form
        return errors(of: walk, forward)
    }

    private func backwards(
        x: [Double], _ width: Int, b: [Double], c: [Double], _ state: [Double], knownB: [Double]? = nil,
        knownC: [Double]? = nil
    ) -> HeadErrors {
        let columns = sequence.headDim + sequence.stateDim - width
        var walk = SpreadSequence(
            like: sequence, headDim: width, stateDim: columns, x: reversedRows(x, width: width),
            b: reversedRows(b, width: columns), c: reversedRows(c, width: columns), initialState: state)
        walk.known.b = knownB.map { reversedRows($0, width: columns) }
        walk.known.c = knownC.map { reversedRows($0, width: columns) }
        walk.reverseDecays(start: arithmetic.reversedStart(ofSequenceEndingAt: sequence.start + sequence.length))
        var result = errors(of: walk, arithmetic)
        result.y = reversedRows(result.y, width: width)
        result.yErrors = reversedRows(result.yErrors, width: width)
        return result
    }

    private func errors(of walk: SpreadSequence, _ arithmetic: KernelArithmetic) -> HeadErrors {
        walk.sigma(arithmetic)
    }
}
