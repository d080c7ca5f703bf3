//  The operator backwards: grad_x, grad_dt, grad_A, grad_B, grad_C, grad_D, grad_z, grad_dt_bias,
//  grad_initial_states of sum(y dout) + sum(final_states dfinal_states).
//
//  Every gradient is a sum of products. Its sum of magnitudes M is the gradient of the same call
//  with the magnitudes of all operands, taken head by head; dt has two parts, which are kept apart
//  because the second is negative.
//
//      bound   n u M,  n = L + N + P + 2 max |ℓ| + 32: no term has more roundings behind it
//      sigma   κ u M, with κ for each tensor and head from what the package's own float32 backward passes, recurrent and
//              chunked, really make of the call
//
//  Unless it is declared to sum segments a kernel may work with differences of running sums. That
//  adds to both, and takes for M of dt, A and dt_bias the magnitudes of longer sums
//  (DifferencedDecays.swift).
//
//  For narrow operands of the products u is theirs and κ comes from perturbing each operand by it.

import DualityCore
import DualityNumerics
import DualityReference

struct GradientJudge: KindJudge {
    let inputs: SSDInputs<Double>
    let upstream: SSDUpstream<Double>
    let inputFormat: NumberFormat
    let chunkSize: Int?
    let precision: DeclaredPrecision

    init(_ call: CallDescription, inputs source: any TensorSource, precision: DeclaredPrecision) throws {
        var mapped = MappedSource(source)
        _ = try mapped.renumberSequences()
        inputs = try SSDInputs(
            readingFrom: mapped, dtSoftplus: call.flag("dt_softplus", default: true), dtLimit: call.limits())
        upstream = try SSDUpstream(readingFrom: mapped)
        try upstream.y?.requireShape(
            [inputs.batch, inputs.length, inputs.heads, inputs.headDim], "\(mapped.place): dout")
        try upstream.finalState?.requireShape(
            [inputs.batch, inputs.heads, inputs.headDim, inputs.stateDim], "\(mapped.place): dfinal_states")
        try upstream.sequenceStates?.requireShape(
            [inputs.packing?.count ?? inputs.batch, inputs.heads, inputs.headDim, inputs.stateDim],
            "\(mapped.place): dvarlen_states")
        inputFormat = try mapped.info("x").dtype.numberFormat
        chunkSize = try call.count("chunk_size")
        self.precision = precision
    }

    var outputs: [OutputShape] {
        let state: [Axis] = [.batch, .head, .channel, .state]
        var shapes = [
            OutputShape(name: "grad_x", shape: inputs.x.shape, axes: [.batch, .token, .head, .channel]),
            OutputShape(name: "grad_dt", shape: inputs.dt.shape, axes: [.batch, .token, .head]),
            OutputShape(name: "grad_A", shape: inputs.a.shape, axes: [.head]),
            OutputShape(name: "grad_B", shape: inputs.b.shape, axes: [.batch, .token, .head, .state]),
            OutputShape(name: "grad_C", shape: inputs.c.shape, axes: [.batch, .token, .head, .state]),
        ]
        if let d = inputs.d {
            shapes.append(
                OutputShape(name: "grad_D", shape: d.shape, axes: d.shape.count == 2 ? [.head, .channel] : [.head]))
        }
        if let z = inputs.z {
            shapes.append(OutputShape(name: "grad_z", shape: z.shape, axes: [.batch, .token, .head, .channel]))
        }
        if let bias = inputs.dtBias {
            shapes.append(OutputShape(name: "grad_dt_bias", shape: bias.shape, axes: [.head]))
        }
        if let states = inputs.initialState {
            shapes.append(OutputShape(name: "grad_initial_states", shape: states.shape, axes: state))
        }
        return shapes
    }

    func expect(_ found: [String: Tensor<Double>], formats: [String: NumberFormat]) throws -> Expectations {
        let exact = try GradientParts(inputs, upstream).assembled(nil)
        // A kernel chooses its own chunks, whatever the case proposes.
        let magnitudes = try GradientParts.magnitudes(
            of: inputs, upstream,
            longestChunk: precision.declaresSegments ? nil : max(chunkSize ?? 0, Calibration.longestChunk))
        var products = precision.declared?.products ?? inputFormat
        if products.holds(.f32) { products = .f32 }
        let isNarrow = products != .f32
        let unit = products.unitRoundoff
        let samples = try isNarrow ? perturbed(by: unit) : singlePrecision()
        let (n, decay) = (
            Double(inputs.length + inputs.stateDim + inputs.headDim + Calibration.operations), longestDecay
        )
        let operations =
            isNarrow ? Calibration.narrowRoundings + (n + 2 * decay) * LayerError.unit / unit : n + 2 * decay
        let expectations = outputs.filter { found[$0.name] != nil }.compactMap { output -> Expectation? in
            guard let values = exact[output.name], let sums = magnitudes.sums[output.name] else { return nil }
            let wide = magnitudes.differenced?.sums[output.name] ?? sums
            let exponents = magnitudes.differenced?.exponents[output.name]
            let deviations = magnitudes.differenced?.deviations[output.name]
            let format = formats[output.name] ?? .f32
            let share = calibration(output, values, sums, samples.compactMap { $0[output.name] }, unit: unit)
            let sizes = values.elements.indices.map { i -> LayerError in
                let sigma = share[i] * unit * sums.elements[i]
                let ofDifferences = LayerError.unit * (deviations?.elements[i] ?? 0)
                let bound = operations * unit * wide.elements[i] + (exponents?.elements[i] ?? 0)
                return LayerError(
                    bound: bound + NumberFormat.f32.smallestNormal,
                    variance: sigma * sigma + ofDifferences * ofDifferences
                ).stored(values.elements[i], as: format)
            }
            return Expectation(
                output.name, axes: output.axes, exact: values, errors: sizes, magnitudes: sums, format: format)
        }
        return Expectations(
            outputs: expectations, precision: "gradients with products in \(products), sums in float32",
            remarks: [
                "sigma of gradients is scaled by what float32 backward passes of this package make of the same call"
            ])
    }

    /// The largest |sum of z| of a chunk: what an exponent loses when it is a difference of sums.
    private var longestDecay: Double {
        let steps = inputs.effectiveSteps()
        let size = max(chunkSize ?? Calibration.longestChunk, 1)
        var worst = 0.0
        for h in 0..<inputs.heads {
            for row in 0..<inputs.batch {
                var sum = 0.0
                for t in 0..<inputs.length {
                    if t % size == 0 { sum = 0 }
                    sum -= inputs.a.elements[h] * steps.elements[(row * inputs.length + t) * inputs.heads + h]
                    worst = max(worst, sum)
                }
            }
        }
        return min(worst, Calibration.largestDecay)
    }

    /// What float32 makes of the call, recurrent and chunked.
    private func singlePrecision() throws -> [[String: Tensor<Double>]] {
        let (narrow, pull) = try (inputs.converted(to: Float.self), upstream.converted(to: Float.self))
        return try [SSDForm.recurrent, .chunked(size: chunkSize ?? 64)].map { form in
            let gradients = try form.gradients(of: narrow, upstream: pull)
            return Dictionary(
                uniqueKeysWithValues: gradients.named.map { ("grad_\($0.name)", $0.gradient.converted()) })
        }
    }

    /// The gradients of the call with its operands moved by up to half a spacing of the narrow
    /// format, each by itself.
    private func perturbed(by unit: Double) throws -> [[String: Tensor<Double>]] {
        try (0..<Calibration.samples).map { sample in
            var random = RandomSource(seed: UInt64(sample) + 17)
            func moved(_ tensor: Tensor<Double>) -> Tensor<Double> {
                tensor.map { $0 * (1 + random.uniform(in: -unit...unit)) }
            }
            let other = try SSDInputs(
                x: moved(inputs.x), dt: inputs.dt, a: inputs.a, b: moved(inputs.b), c: moved(inputs.c), d: inputs.d,
                z: inputs.z, dtBias: inputs.dtBias, initialState: inputs.initialState.map(moved),
                packing: inputs.packing,
                headMap: inputs.headMap, dtSoftplus: inputs.dtSoftplus, dtLimit: inputs.dtLimit)
            let pull = SSDUpstream(
                y: upstream.y.map(moved), finalState: upstream.finalState.map(moved),
                sequenceStates: upstream.sequenceStates.map(moved))
            let gradients = try SSDForm.recurrent.gradients(of: other, upstream: pull)
            return Dictionary(uniqueKeysWithValues: gradients.named.map { ("grad_\($0.name)", $0.gradient) })
        }
    }

    /// κ of every element: the root mean square of error / (u M) over its head, of the worse
    /// sample.
    private func calibration(
        _ output: OutputShape, _ exact: Tensor<Double>, _ sums: Tensor<Double>, _ samples: [Tensor<Double>],
        unit: Double
    ) -> [Double] {
        let head = output.axes.firstIndex(of: .head) ?? 0
        let reader = AxisReader(inner: output.shape[(head + 1)...].reduce(1, *), length: output.shape[head])
        var squares = [[Double]](repeating: [Double](repeating: 0, count: reader.length), count: samples.count)
        var counts = [Double](repeating: 0, count: reader.length)
        for i in exact.elements.indices where sums.elements[i] > 0 {
            let h = reader(i)
            counts[h] += 1
            for (s, sample) in samples.enumerated() {
                let ratio = (sample.elements[i] - exact.elements[i]) / (unit * sums.elements[i])
                if ratio.isFinite { squares[s][h] += ratio * ratio }
            }
        }
        // Tensors of one number per head (A, dt_bias, D) are too few samples to estimate kappa per
        // head: they take at least the mean over all heads.
        if exact.count == reader.length {
            let all = max(counts.reduce(0, +), 1)
            for s in squares.indices {
                let mean = squares[s].reduce(0, +) / all
                squares[s] = squares[s].indices.map { max(squares[s][$0], mean) }
            }
        }
        let share = (0..<reader.length).map { h in
            let worst = squares.map { $0[h] / max(counts[h], 1) }.max() ?? 0
            // The spread within a head is uneven, and another order of sums may be less lucky than
            // these two.
            return max(Calibration.margin * worst.squareRoot(), Calibration.least)
        }
        return exact.elements.indices.map { share[reader($0)] }
    }
}

/// The constants of the two scales, measured on what the package's own float32 backward passes make
/// of the gradients of the standard suite (docs/verify.md).
private enum Calibration {
    /// By how much κ exceeds the root mean square of a sample: the spread within a head is uneven,
    /// and another order of sums may be less lucky than those two.
    static let margin = 2.5
    /// The least κ: where every sample is exact, a kernel's sums still round.
    static let least = 0.4
    /// Roundings of a term besides those of its sums over L, N and P: softplus, exponentials, gate.
    static let operations = 32
    /// Roundings of a term to the narrow format of products.
    static let narrowRoundings = 8.0
    /// Exponents below -104 are zero in float32, and lose nothing more.
    static let largestDecay = 104.0
    /// The longest chunk of the public kernels.
    static let longestChunk = 256
    /// Random moves of narrow operands.
    static let samples = 3
}

extension SSDUpstream<Double> {
    fileprivate func converted<Other: RealNumber>(to type: Other.Type) -> SSDUpstream<Other> {
        SSDUpstream<Other>(
            y: y?.converted(), finalState: finalState?.converted(), sequenceStates: sequenceStates?.converted())
    }
}
