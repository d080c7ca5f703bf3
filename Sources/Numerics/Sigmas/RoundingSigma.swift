//  How far a correct kernel of a given arithmetic usually is from the exact answer: a standard
//  deviation, number by number.
//
//      |ŷ - y| / sigma     a few, whatever the operands, when the kernel is right; large, far below any tolerance, when not
//
//  The errors of all roundings are taken as random and independent, of the size the formats give
//  them (Spread.swift), and their variances carried along with the operator:
//  RecurrentSigma.swift and ChunkedSigma.swift have the forms, and here are the
//  skip, the gate and the output. Two roundings leave the kernel no choice: reading the operands,
//  and dt + dtBias. Their effect on the answer is computed exactly and added in quadrature.
//
//  Nothing is fitted to measurements. docs/numerics.md has the model and where it ends.

import DualityCore
import DualityReference

extension KernelArithmetic {
    /// The standard deviation of the difference between a correct kernel of this arithmetic and the
    /// float64 oracle, `SSDForm.recurrent.evaluate(inputs)`, in each number of its result.
    ///
    /// - Throws: `InputError` when dt, dtBias or A overflow their formats.
    /// - Complexity: a small multiple of the form's own time; O(L P) memory beside the result.
    public func roundingSigma(for inputs: SSDInputs<Double>) throws(InputError) -> SSDErrorSizes {
        // Which numbers round alike is a matter of those that the kernel has read.
        let read = try withSummedBias(rounded(inputs))
        var sizes = sigma(for: read)
        if accumulate == .f64 {
            // Then the oracle's own rounding is of the same size: that of its exponentials is
            // random, and what that of its sums is, is known.
            sizes = sizes.combined(with: KernelArithmetic(.f64, form: .recurrent).sigma(for: inputs), hypotenuse)
            let (plain, exact) = try (inputs.oracle(summation: .plain), inputs.oracle(summation: .compensated))
            sizes = sizes.combined(with: SSDErrorSizes(differenceOf: plain, exact), hypotenuse)
        }
        if !read.hasSameNumbers(as: inputs) {
            let (exact, found) = try (SSDForm.recurrent.evaluate(inputs), SSDForm.recurrent.evaluate(read))
            sizes = sizes.combined(with: SSDErrorSizes(differenceOf: exact, found), hypotenuse)
        }
        let ofTree = treeVariance(of: inputs.length)
        if ofTree > 0 {
            // The logarithms of a tree are sums of their own: as if all decays were of a slightly
            // different A.
            let change = 0x1p-20
            let other = try inputs.withRates(inputs.a.map { $0 * (1 + change) })
            let (exact, found) = try (SSDForm.recurrent.evaluate(inputs), SSDForm.recurrent.evaluate(other))
            let scale = ofTree.squareRoot() / change
            sizes = sizes.combined(with: SSDErrorSizes(differenceOf: exact, found)) { hypotenuse($0, scale * $1) }
        }
        if let factors = try asFactors(read) {
            // The skip and the gate read x and z themselves, not the factors of the products.
            let (exact, found) = try (
                SSDForm.recurrent.evaluate(read.withoutSkip()), SSDForm.recurrent.evaluate(factors)
            )
            sizes = sizes.combined(with: SSDErrorSizes(differenceOf: exact, found), hypotenuse)
        }
        // An exact output gets sigma 1e-150, so that an error of zero has the ratio 0.
        return sizes.combined(with: sizes) { a, _ in max(a, 1e-150) }
    }

    /// dt as what the kernel's dt + dtBias makes of it. No kernel has a choice in that sum, and its
    /// error is often the same for all tokens of a head: the last bits are those of dtBias alone.
    func withSummedBias(_ inputs: SSDInputs<Double>) throws(InputError) -> SSDInputs<Double> {
        guard let bias = inputs.dtBias, accumulate != .f64 else { return inputs }
        var dt = inputs.dt
        for i in dt.elements.indices {
            let bias = bias.elements[i % inputs.heads]
            dt.elements[i] = accumulate.round(dt.elements[i] + bias) - bias
        }
        return try SSDInputs(
            x: inputs.x, dt: dt, a: inputs.a, b: inputs.b, c: inputs.c, d: inputs.d, z: inputs.z, dtBias: bias,
            initialState: inputs.initialState, packing: inputs.packing, headMap: inputs.headMap,
            dtSoftplus: inputs.dtSoftplus, dtLimit: inputs.dtLimit)
    }

    /// x, B and C in the format of matrix products, without the skip; nil where that changes none.
    private func asFactors(_ inputs: SSDInputs<Double>) throws(InputError) -> SSDInputs<Double>? {
        guard chunkSize != nil, !products.holds(accumulate) else { return nil }
        func factor(_ tensor: Tensor<Double>) -> Tensor<Double> { tensor.map { products.round($0) } }
        let factors = try inputs.withoutSkip(x: factor(inputs.x), b: factor(inputs.b), c: factor(inputs.c))
        return try factors.hasSameNumbers(as: inputs.withoutSkip()) ? nil : factors
    }

    private func sigma(for inputs: SSDInputs<Double>) -> SSDErrorSizes {
        let steps = stepSpreads(of: inputs)
        return inputs.errorSizes { run, head in
            SpreadSequence(inputs, steps: steps, run: run, head: head, arithmetic: self).sigma(self)
        } finish: {
            finish(&$0, $1, inputs)
        }
    }

    /// The skip, the gate and the output's format.
    private func finish(_ errors: inout Tensor<Double>, _ y: Tensor<Double>, _ inputs: SSDInputs<Double>) {
        let (heads, headDim, xHeads) = (inputs.heads, inputs.headDim, inputs.x.shape[2])
        let operation = operationVariance
        let storage = storageVariance(output)
        let (beforeSkip, beforeGate) = (skippedOutput.map(storageVariance), gatedOutput.map(storageVariance))
        for i in errors.elements.indices {
            let (token, head, p) = (i / (heads * headDim), i / headDim % heads, i % headDim)
            var number = Spread(y.elements[i], variance: errors.elements[i] * errors.elements[i])
            if let d = inputs.d {
                if let beforeSkip { number = number.rounded(beforeSkip) }
                let x = inputs.x.elements[(token * xHeads + inputs.headMap.x[head]) * headDim + p]
                let weight = d.elements[d.shape.count == 2 ? head * headDim + p : head]
                let skip = Spread(weight * x).rounded(operation)
                number = (number + skip).rounded(operation)
            }
            if let z = inputs.z {
                if let beforeGate { number = number.rounded(beforeGate) }
                let gate = z.elements[i]
                let exp = relativeVarianceOfExp(-gate.magnitude)  // enters by at most its own size
                let silu = Double.silu(gate)
                number = (number * Spread(silu, variance: silu * silu * (exp + 3 * operation.relative))).rounded(
                    operation)
            }
            errors.elements[i] = number.rounded(storage).variance.squareRoot()
        }
    }
}

private func hypotenuse(_ a: Double, _ b: Double) -> Double { (a * a + b * b).squareRoot() }

extension SSDErrorSizes {
    fileprivate init(differenceOf a: SSDOutputs<Double>, _ b: SSDOutputs<Double>) {
        func difference(_ a: Tensor<Double>, _ b: Tensor<Double>) -> Tensor<Double> {
            var result = a
            for i in result.elements.indices { result.elements[i] = (a.elements[i] - b.elements[i]).magnitude }
            return result
        }
        self.init(
            y: difference(a.y, b.y), finalState: difference(a.finalState, b.finalState),
            sequenceStates: difference(a.sequenceStates, b.sequenceStates))
    }
}

extension SSDInputs<Double> {
    fileprivate func hasSameNumbers(as other: SSDInputs<Double>) -> Bool {
        x == other.x && dt == other.dt && b == other.b && c == other.c && d == other.d && z == other.z
            && dtBias == other.dtBias && initialState == other.initialState
    }

    fileprivate func withRates(_ rates: Tensor<Double>) throws(InputError) -> SSDInputs<Double> {
        try SSDInputs(
            x: x, dt: dt, a: rates, b: b, c: c, d: d, z: z, dtBias: dtBias, initialState: initialState,
            packing: packing, headMap: headMap, dtSoftplus: dtSoftplus, dtLimit: dtLimit)
    }

    /// The same call without D, and with other x, B and C.
    fileprivate func withoutSkip(
        x: Tensor<Double>? = nil, b: Tensor<Double>? = nil, c: Tensor<Double>? = nil
    ) throws(InputError) -> SSDInputs<Double> {
        try SSDInputs(
            x: x ?? self.x, dt: dt, a: a, b: b ?? self.b, c: c ?? self.c, z: z, dtBias: dtBias,
            initialState: initialState, packing: packing, headMap: headMap, dtSoftplus: dtSoftplus, dtLimit: dtLimit)
    }
}
