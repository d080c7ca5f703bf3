//  The bound of the gradients: three walks of the operator's own bound a head
//  (GradientErrors.swift).
//
//  A chunked kernel decays what leaves a chunk backwards by exp(ℓ_i), the sum from the start of the
//  chunk; the walk takes the first of those decays one token later. What that sum may err by is
//  added to that decay.

import DualityCore
import DualityReference

extension KernelArithmetic {
    /// The most that a correct kernel of this arithmetic can differ from the float64 gradients,
    /// `SSDForm.recurrent.gradients(of:upstream:)`, in each number of ∂x, ∂B and ∂C.
    ///
    /// The operands and the upstream gradients are the exact ones; where the kernel rounds them on
    /// reading (dout as x, the states as `state`), that is part of the bound. The gradients are
    /// stored in the format of the operands, `inputs`.
    ///
    /// - Throws: `InputError` when dt, dtBias or A overflow their formats, or an upstream gradient
    ///   has the wrong shape.
    /// - Complexity: about three times that of `errorBound(for:)`.
    public func gradientErrorBound(
        for inputs: SSDInputs<Double>, upstream: SSDUpstream<Double>
    ) throws(InputError) -> SSDGradientErrorSizes {
        _ = try rounded(inputs)
        try upstream.check(inputs)
        let sums = gradientBoundSums(for: inputs, upstream: upstream)
        // Beside Float64 the oracle's own rounding is of the same size.
        let oracle =
            accumulate == .f64
            ? KernelArithmetic(.f64, form: .recurrent).gradientBoundSums(for: inputs, upstream: upstream) : nil
        func finish(_ sum: GradientSum, _ oracle: GradientSum?) throws(InputError) -> Tensor<Double> {
            let storage = storage(self.inputs)
            let sizes = sum.values.indices.map { i in
                let error =
                    Bounded(sum.values[i], error: sum.errors[i]).rounded(storage).error + (oracle?.errors[i] ?? 0)
                return error.isNaN ? .infinity : error * (1 + 0x1p-8)  // as for the operator, docs/numerics.md
            }
            return try Tensor(shape: sum.shape, elements: sizes)
        }
        return try SSDGradientErrorSizes(
            x: finish(sums.x, oracle?.x), b: finish(sums.b, oracle?.b), c: finish(sums.c, oracle?.c))
    }

    private func gradientBoundSums(
        for inputs: SSDInputs<Double>, upstream: SSDUpstream<Double>
    ) -> (x: GradientSum, b: GradientSum, c: GradientSum) {
        let steps = boundedSteps(of: inputs)
        let finalStates = upstream.finalStates(in: inputs)
        let (headDim, stateDim) = (inputs.headDim, inputs.stateDim)
        let size = headDim * stateDim
        var (x, b, c) = (GradientSum(inputs.x.shape), GradientSum(inputs.b.shape), GradientSum(inputs.c.shape))
        for run in inputs.runs {
            for head in 0..<inputs.heads {
                let sequence = BoundedSequence(inputs, steps: steps, run: run, head: head, arithmetic: self)
                let place = run.sequence * inputs.heads + head
                let walks = BackwardBound(
                    sequence, self, pull: pull(of: inputs, upstream, run: run, head: head),
                    finalState: BoundedRows(Array(finalStates.elements[place * size..<(place + 1) * size])) {
                        state.round($0)
                    })
                let (ofX, ofB, ofC) = (walks.ofX(), walks.ofB(), walks.ofC())
                for (i, t) in run.tokens.enumerated() {
                    let xPlace = x.place(row: run.row, token: t, head: inputs.headMap.x[head])
                    for p in 0..<headDim {
                        let gradient = Bounded(ofX.y[i * headDim + p], error: ofX.yErrors[i * headDim + p])
                        x.add((gradient * sequence.step[i]).rounded(operation), at: xPlace + p)
                        if let d = inputs.d {
                            let weight = d.elements[d.shape.count == 2 ? head * headDim + p : head]
                            let read = Bounded(weight, error: (weight - parameters.round(weight)).magnitude)
                            x.add((read * walks.pull(i, p)).rounded(operation), at: xPlace + p)
                        }
                    }
                    let bPlace = b.place(row: run.row, token: t, head: inputs.headMap.b[head])
                    let cPlace = c.place(row: run.row, token: t, head: inputs.headMap.c[head])
                    for n in 0..<stateDim {
                        let j = i * stateDim + n
                        b.add(Bounded(ofB.y[j], error: ofB.yErrors[j]), at: bPlace + n)
                        c.add(Bounded(ofC.y[j], error: ofC.yErrors[j]), at: cPlace + n)
                    }
                }
            }
        }
        for sum in [inputs.headMap.x, inputs.headMap.b, inputs.headMap.c].enumerated() {
            // As many terms as heads read it, twice as many with the skip.
            let readers = Dictionary(sum.element.map { ($0, 1) }, uniquingKeysWith: +)
            switch sum.offset {
            case 0: x.round(operation) { 2 * (readers[$0] ?? 0) }
            case 1: b.round(operation) { readers[$0] ?? 0 }
            default: c.round(operation) { readers[$0] ?? 0 }
            }
        }
        return (x, b, c)
    }

    /// g of one head of one sequence, with the errors of reading and gating it, `[L, P]`.
    private func pull(
        of inputs: SSDInputs<Double>, _ upstream: SSDUpstream<Double>, run: SSDRun, head: Int
    ) -> BoundedRows {
        let width = inputs.headDim
        guard let dout = upstream.y else {
            return BoundedRows(values: [Double](repeating: 0, count: run.tokens.count * width), errors: nil)
        }
        let rows = BoundedRows(columns(of: dout, row: run.row, tokens: run.tokens, head: head, width: width)) {
            self.inputs.round($0)
        }
        guard let z = inputs.z else { return rows }
        let gates = columns(of: z, row: run.row, tokens: run.tokens, head: head, width: width)
        let gated = rows.values.indices.map { i in
            let gate = silu(Bounded(gates[i], error: (gates[i] - self.inputs.round(gates[i])).magnitude))
            return (Bounded(rows.values[i], error: rows.errors?[i] ?? 0) * gate).rounded(operation)
        }
        return BoundedRows(computed: gated)
    }
}

extension GradientSum {
    fileprivate mutating func add(_ term: Bounded, at place: Int) {
        values[place] += term.value
        errors[place] += term.error
        magnitudes[place] += term.magnitude
    }

    /// Adds the roundings of the sums themselves, in any order.
    fileprivate mutating func round(_ operation: Roundoff, terms: (_ head: Int) -> Int) {
        for i in errors.indices {
            let count = terms(i / shape[3] % shape[2])
            if count > 1 { errors[i] += operation.growth(count) * magnitudes[i] + operation.tiny }
            if !(magnitudes[i] <= operation.largest) { errors[i] = .infinity }
        }
    }
}

/// The three walks of one head of one sequence.
private struct BackwardBound {
    let sequence: BoundedSequence
    let arithmetic: KernelArithmetic
    let pull: BoundedRows
    let finalState: BoundedRows
    /// x̄ = Δ x with its roundings, `[L, P]`.
    let input: BoundedRows

    init(_ sequence: BoundedSequence, _ arithmetic: KernelArithmetic, pull: BoundedRows, finalState: BoundedRows) {
        self.sequence = sequence
        self.arithmetic = arithmetic.ofGradients
        self.pull = pull
        self.finalState = finalState
        input = BoundedRows(computed: sequence.scaledInputs(arithmetic, storedAs: arithmetic.scaledInput))
    }

    func pull(_ t: Int, _ p: Int) -> Bounded {
        let i = t * sequence.headDim + p
        return Bounded(pull.values[i], error: pull.errors?[i] ?? 0)
    }

    /// ∂x̄, `[L, P]`.
    func ofX() -> HeadErrors { backwards(x: pull, sequence.headDim, b: sequence.c, c: sequence.b, finalState) }

    /// ∂B, `[L, N]`.
    func ofB() -> HeadErrors {
        backwards(x: sequence.c, sequence.stateDim, b: pull, c: input, finalState.transposed(rows: sequence.headDim))
    }

    /// ∂C, `[L, N]`.
    func ofC() -> HeadErrors {
        let walk = BoundedSequence(
            length: sequence.length, headDim: sequence.stateDim, stateDim: sequence.headDim, start: sequence.start,
            step: ones, logDecay: sequence.logDecay, lead: sequence.lead, x: sequence.b, b: input, c: pull,
            initialState: sequence.initialState.transposed(rows: sequence.headDim))
        return errors(of: walk)
    }

    private var ones: [Bounded] { [Bounded](repeating: Bounded(1), count: sequence.length) }

    private func backwards(
        x: BoundedRows, _ width: Int, b: BoundedRows, c: BoundedRows, _ state: BoundedRows
    ) -> HeadErrors {
        let columns = sequence.headDim + sequence.stateDim - width
        let end = sequence.start + sequence.length
        let walk = BoundedSequence(
            length: sequence.length, headDim: width, stateDim: columns,
            start: arithmetic.reversedStart(ofSequenceEndingAt: end), step: ones, logDecay: reversedDecays,
            lead: sequence.lead, isReversed: true, x: x.reversed(width: width), b: b.reversed(width: columns),
            c: c.reversed(width: columns), initialState: state)
        var result = errors(of: walk)
        result.y = reversedRows(result.y, width: width)
        result.yErrors = reversedRows(result.yErrors, width: width)
        return result
    }

    private func errors(of walk: BoundedSequence) -> HeadErrors {
        var result =
            arithmetic.chunkSize.map { walk.chunkedBound(arithmetic, size: $0) } ?? walk.recurrentBound(arithmetic)
        // Where a kernel groups its products otherwise, other factors underflow.
        let tiny = arithmetic.operation.tiny * Double(walk.stateDim + walk.length)
        let scales = [walk.x, walk.b, walk.c].map { 1 + ($0.magnitudes.max() ?? 0) }
        let lost = tiny * (scales[0] + scales[1]) * scales[2]
        for i in result.yErrors.indices { result.yErrors[i] += lost }
        return result
    }

    /// z_{t+1} for each token in reverse, 0 for the last.
    private var reversedDecays: [Bounded] {
        var decays = [Bounded(0)] + sequence.logDecay.dropFirst().reversed()
        if sequence.length == 0 { decays = [] }
        guard let size = arithmetic.chunkSize else { return decays }
        // A chunk's first decay: its kernel adds it to those of the rest of the chunk, over which
        // it may err.
        for t in 1..<max(sequence.length, 1) where (sequence.start + t) % size == 0 {
            let chunk = t..<min(sequence.length, t + min(size, sequence.length))
            let total = chunk.reduce(0) { $0 + sequence.logDecay[$1].magnitude }
            decays[sequence.length - t].error += arithmetic.operation.growth(chunk.count + 1) * total
        }
        return decays
    }
}

extension BoundedRows {
    /// Numbers that the kernel computed.
    init(computed numbers: [Bounded]) {
        self.init(values: numbers.map(\.value), errors: numbers.map(\.error), areComputed: true)
    }

    fileprivate func reversed(width: Int) -> BoundedRows {
        BoundedRows(
            values: reversedRows(values, width: width), errors: errors.map { reversedRows($0, width: width) },
            areComputed: areComputed)
    }

    fileprivate func transposed(rows: Int) -> BoundedRows {
        let columns = values.count / rows
        return BoundedRows(
            values: transposedState(values, rows: rows, columns: columns),
            errors: errors.map { transposedState($0, rows: rows, columns: columns) }, areComputed: areComputed)
    }
}
