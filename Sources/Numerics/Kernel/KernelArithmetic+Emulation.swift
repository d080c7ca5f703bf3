//  A correct kernel of a given arithmetic, imitated: the operator with every rounding where that
//  kernel has it.
//
//  The operands are rounded as the kernel reads them, each operation runs in the format it
//  accumulates in (Float or Double, so that the machine does the rounding), and intermediate
//  results are rounded where KernelArithmetic.swift says the kernel stores them. What comes out is
//  what an honest kernel gives, up to the order of its sums and the last bit of its elementary
//  functions.
//
//  EmulatedSequence.swift has the forms themselves. They are written out and not shared with the
//  oracle's, because a kernel multiplies in its own order: where Δ enters decides what is rounded.

import DualityCore
import DualityReference

extension KernelArithmetic {
    /// Runs the operator as a kernel of this arithmetic would. `exponential` and `subnormals` are
    /// not imitated.
    ///
    /// - Parameter inputs: the exact operands; they are rounded here, where the arithmetic says so.
    /// - Returns: the kernel's numbers, widened. Steps and log decays are those of the kernel too.
    /// - Throws: `InputError` when dt, dtBias or A overflow their formats.
    /// - Complexity: the form's own, without its tricks: about ten times slower than
    ///   `SSDForm.evaluate`.
    public func emulate(_ inputs: SSDInputs<Double>) throws(InputError) -> SSDOutputs<Double> {
        if accumulate == .f64 { return try emulate(inputs, in: Double.self) }
        return try emulate(inputs, in: Float.self)
    }

    private func emulate<Scalar: RealNumber>(
        _ exact: SSDInputs<Double>, in scalar: Scalar.Type
    ) throws(InputError) -> SSDOutputs<Double> {
        let inputs: SSDInputs<Scalar> = try rounded(exact).converted()
        var outputs = scanned(inputs, effectiveSteps(of: inputs))
        if inputs.z != nil, let format = gatedOutput { outputs.y = round(outputs.y, to: format) }
        applyGate(of: inputs, to: &outputs.y)
        outputs.y = round(outputs.y, to: output)
        return outputs.converted()
    }

    /// The operator before its gate, on operands as the kernel has them.
    func scanned<Scalar: RealNumber>(_ inputs: SSDInputs<Scalar>, _ steps: Tensor<Scalar>) -> SSDOutputs<Scalar> {
        var outputs = SSDOutputs(for: inputs, statesEvery: nil)
        for run in inputs.runs {
            for head in 0..<inputs.heads {
                let sequence = EmulatedSequence(inputs, steps: steps, run: run, head: head, arithmetic: self)
                let result = chunkSize.map { sequence.chunked(size: $0) } ?? sequence.recurrent()
                outputs.store(result, of: run, head: head, steps: steps, rate: inputs.a.elements[head])
            }
        }
        outputs.gatherFinalStates(of: inputs)
        if inputs.d != nil, let format = skippedOutput { outputs.y = round(outputs.y, to: format) }
        addSkip(of: inputs, to: &outputs.y)
        return outputs
    }

    /// Tokens a chunk has; nil for the recurrent form, more than any sequence has for the quadratic
    /// one.
    var chunkSize: Int? {
        switch form {
        case .recurrent: nil
        case .chunked(let size): max(size, 1)
        // A kernel that scans a tree is taken as chunks of its leaves, a convolution as one chunk.
        case .associative(_, let leaf): max(leaf, 1)
        case .quadratic, .convolution: .max / 2
        }
    }

    /// The operands as the kernel reads them.
    func rounded(_ inputs: SSDInputs<Double>) throws(InputError) -> SSDInputs<Double> {
        func read(_ tensor: Tensor<Double>) -> Tensor<Double> { tensor.map { self.inputs.round($0) } }
        return try SSDInputs(
            x: read(inputs.x), dt: read(inputs.dt), a: inputs.a, b: read(inputs.b), c: read(inputs.c),
            d: inputs.d?.map { parameters.round($0) }, z: inputs.z.map(read),
            dtBias: inputs.dtBias?.map { parameters.round($0) },
            initialState: inputs.initialState?.map { state.round($0) }, packing: inputs.packing,
            headMap: inputs.headMap, dtSoftplus: inputs.dtSoftplus, dtLimit: inputs.dtLimit)
    }

    /// Δ as the kernel forms it, `[B, L, H]`.
    func effectiveSteps<Scalar: RealNumber>(of inputs: SSDInputs<Scalar>) -> Tensor<Scalar> {
        let limit = (lower: Scalar(inputs.dtLimit.lowerBound), upper: Scalar(inputs.dtLimit.upperBound))
        var steps = inputs.dt
        for i in steps.elements.indices {
            var step = steps.elements[i]
            if let bias = inputs.dtBias { step += bias.elements[i % inputs.heads] }
            if inputs.dtSoftplus && step <= 20 {
                step = softplus == .accurate ? .softplus(step) : .log(1 + .exp(step))
            }
            if step < limit.lower { step = limit.lower }
            if step > limit.upper { step = limit.upper }
            steps.elements[i] = round(step, to: self.steps)
        }
        return steps
    }

    /// A number of the accumulate format rounded to `format`.
    @inline(__always)
    func round<Scalar: RealNumber>(_ value: Scalar, to format: NumberFormat) -> Scalar {
        format.holds(accumulate) ? value : Scalar(format.round(value.double))
    }

    func round<Scalar: RealNumber>(_ tensor: Tensor<Scalar>, to format: NumberFormat) -> Tensor<Scalar> {
        format.holds(accumulate) ? tensor : tensor.map { round($0, to: format) }
    }
}
