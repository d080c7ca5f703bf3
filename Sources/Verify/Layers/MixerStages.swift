//  The stages of a Mamba-2 mixer in float64, each of which can be moved by noise or done wrongly.
//
//      1  z | x | B | C | dt = W_in u          2  B, C = rms(B), rms(C)          3  x | B | C = silu(conv(x | B | C))
//      4  y = SSD(x, dt, -e^A_log, B, C, D)    5  v = gatednorm(y, z)            6  out = W_out v
//
//  The layers are the reference's own. Source: Reference/Mamba2Mixer.swift.

import DualityCore
import DualityReference

struct MixerStages: Sendable {
    /// `[B, L, Dm]`
    let hidden: Tensor<Double>
    let heads: Int
    let sharedHeads: Int
    let headDim: Int
    let width: Int
    private let inputProjection: Linear<Double>
    private let outputProjection: Linear<Double>
    private let convolutionWeight: Tensor<Double>
    private let convolutionBias: Tensor<Double>?
    private let rates: Tensor<Double>
    private let dtBias: Tensor<Double>
    private let d: Tensor<Double>
    private let normWeight: Tensor<Double>
    private let bNorm: RMSNorm<Double>?
    private let cNorm: RMSNorm<Double>?
    private let epsilon: Double
    /// θ, where B and C are rotated.
    private let ropeTheta: Double?

    /// Channels of the convolution: x, B and C.
    var convolved: Int { (2 * sharedHeads + heads) * headDim }

    init(_ call: CallDescription, _ source: any TensorSource) throws {
        func read(_ name: String) throws -> Tensor<Double> {
            try finite(source, source.contains(name) ? name : source.contains("w.\(name)") ? "w.\(name)" : name)
        }
        func has(_ name: String) -> Bool { source.contains(name) || source.contains("w.\(name)") }
        hidden = try read("hidden_states")
        guard hidden.shape.count == 3 else {
            throw InputError(
                .shape, in: "\(source.place): hidden_states", expected: "[B, L, Dm]", found: "\(hidden.shape)")
        }
        rates = try read("A_log").map { -Double.exp($0) }
        heads = rates.count
        normWeight = try read("norm.weight")
        guard heads > 0, normWeight.count % heads == 0, normWeight.count > 0 else {
            throw InputError(
                .shape, in: "\(source.place): norm.weight", expected: "a multiple of the \(heads) heads of A_log",
                found: "\(normWeight.shape)")
        }
        headDim = normWeight.count / heads
        let weight = try read("conv1d.weight")
        let shared = ((weight.shape.first ?? 0) - heads * headDim) / (2 * headDim)
        guard weight.shape.count == 3, weight.shape[1] == 1, shared > 0, heads % shared == 0,
            weight.shape[0] == (2 * shared + heads) * headDim
        else {
            throw InputError(
                .shape, in: "\(source.place): conv1d.weight",
                expected: "[2 Hkv P + H P, 1, W] with H = \(heads), P = \(headDim)",
                found: "\(weight.shape)")
        }
        sharedHeads = shared
        width = weight.shape[2]
        convolutionWeight = weight
        convolutionBias = has("conv1d.bias") ? try read("conv1d.bias") : nil
        dtBias = try read("dt_bias")
        d = try read("D")
        inputProjection = try Linear(weight: read("in_proj.weight"))
        outputProjection = try Linear(weight: read("out_proj.weight"))
        try Self.checkProjections(
            inputProjection, outputProjection, rows: 2 * heads * headDim + 2 * shared * headDim + heads,
            [hidden.shape[2], heads * headDim], source.place)
        try dtBias.requireShape([heads], "\(source.place): dt_bias")
        try d.requireShape([heads], "\(source.place): D")
        let bcEpsilon = try call.number("bc_epsilon", default: 1e-6)
        let dim = headDim
        func norm(_ name: String) throws -> RMSNorm<Double>? {
            guard has(name) else { return nil }
            let weight = try read(name)
            try weight.requireShape([dim], "\(source.place): \(name)")
            return RMSNorm(weight: weight, epsilon: bcEpsilon)
        }
        bNorm = try norm("B_norm.weight")
        cNorm = try norm("C_norm.weight")
        epsilon = try call.number("epsilon", default: 1e-5)
        ropeTheta = call.options["rope_theta"] == nil ? nil : try call.number("rope_theta", default: 0)
        guard ropeTheta.map({ $0 > 0 && headDim % 2 == 0 }) ?? true else {
            throw InputError(
                .value, in: "\(call.name): rope_theta", expected: "a positive number, and heads of even width",
                found: "\(call.options["rope_theta"] ?? ""), heads of \(headDim)")
        }
    }

    /// - Parameter outer: `[Dm, H P]`.
    private static func checkProjections(
        _ input: Linear<Double>, _ output: Linear<Double>, rows: Int, _ outer: [Int], _ place: String
    ) throws(InputError) {
        guard input.weight.shape == [rows, outer[0]] else {
            throw InputError(
                .shape, in: "\(place): in_proj.weight", expected: "[\(rows), \(outer[0])]",
                found: "\(input.weight.shape)")
        }
        guard output.weight.shape == outer else {
            throw InputError(
                .shape, in: "\(place): out_proj.weight", expected: "[\(outer[0]), \(outer[1])]",
                found: "\(output.weight.shape)")
        }
    }

    /// Runs the mixer.
    ///
    /// - Parameters:
    ///   - fault: the name of a fault of the mixer, its convolution or its norm.
    ///   - scanFault: a fault of the scan.
    ///   - noise: moves the result of every stage.
    func run(
        _ fault: String?, scanFault: ScanFault? = nil, chunkSize: Int = 64, noise: MixerNoise? = nil
    ) throws -> [String: Tensor<Double>] {
        let (rows, length, model) = (hidden.shape[0], hidden.shape[1], hidden.shape[2])
        var noise = noise
        var out: [Double] = []
        var (states, windows) = ([Double](), [Double]())
        for row in 0..<rows {
            let u = try Tensor(
                shape: [length, model],
                elements: Array(hidden.elements[row * length * model..<(row + 1) * length * model]))
            let (inner, part) = (heads * headDim, sharedHeads * headDim)
            var projected = inputProjection(u)
            noise?.move(&projected.elements, rowsOf: projected.shape[1])
            let (entering, dt) = try operands(projected, fault, &noise)
            let (convolved, window) = try convolve(joined(entering), fault)
            var mixed = convolved
            noise?.move(&mixed.elements, rowsOf: headDim)
            windows += window
            var xbc = [
                mixed.columns(0..<part), mixed.columns(part..<2 * part), mixed.columns(2 * part..<2 * part + inner),
            ]
            if fault == "mixer-bc-norm-after-conv" {
                (xbc[1], xbc[2]) = (normed(xbc[1], bNorm, &noise), normed(xbc[2], cNorm, &noise))
            }
            var result = try scan(xbc, dt, scanFault, chunkSize: chunkSize)
            noise?.move(&result.y.elements, rowsOf: headDim)
            noise?.move(&result.finalState.elements, rowsOf: headDim)
            states += result.finalState.elements
            var normal = try gatedNorm(result.y.reshaped([length, inner]), projected.columns(0..<inner), fault)
            noise?.move(&normal.elements, rowsOf: headDim)
            var projectedOut = outputProjection(normal)
            noise?.move(&projectedOut.elements, rowsOf: model)
            out += projectedOut.elements
        }
        return [
            "out": try Tensor(shape: hidden.shape, elements: out),
            "ssm_state": try Tensor(shape: [rows, heads, headDim, headDim], elements: states),
            "conv_state": try Tensor(shape: [rows, convolved, width], elements: windows),
        ]
    }

    /// x, B and C as they enter the convolution, and the raw steps.
    private func operands(
        _ projected: Tensor<Double>, _ fault: String?, _ noise: inout MixerNoise?
    ) throws -> ([Tensor<Double>], Tensor<Double>) {
        let (inner, part) = (heads * headDim, sharedHeads * headDim)
        let x = projected.columns(inner..<inner + part)
        var b = projected.columns(inner + part..<inner + 2 * part)
        var c = projected.columns(inner + 2 * part..<2 * inner + 2 * part)
        var dt = projected.columns(2 * inner + 2 * part..<2 * inner + 2 * part + heads)
        noise?.moveSteps(&dt, bias: dtBias)
        if fault == "mixer-b-and-c-rows-swapped" {
            c = projected.columns(inner + part..<2 * inner + part)
            b = projected.columns(2 * inner + part..<2 * inner + 2 * part)
        }
        let isOfNorms = fault == "mixer-bc-norm-after-conv" || fault == "mixer-bc-norm-missing"
        if isOfNorms && bNorm == nil { throw unsuited }
        if !isOfNorms { (b, c) = (normed(b, bNorm, &noise), normed(c, cNorm, &noise)) }
        if fault == "mixer-rope-missing" && ropeTheta == nil { throw unsuited }
        if let ropeTheta, fault != "mixer-rope-missing" {
            rotate(&b, theta: ropeTheta, &noise)
            rotate(&c, theta: ropeTheta, &noise)
        }
        return ([x, b, c], dt)
    }

    private func normed(
        _ values: Tensor<Double>, _ norm: RMSNorm<Double>?, _ noise: inout MixerNoise?
    ) -> Tensor<Double> {
        guard let norm else { return values }
        var result = norm(values)
        noise?.move(&result.elements, rowsOf: headDim)
        return result
    }

    /// The scan of x, B and C `[L, heads P]`.
    private func scan(
        _ xbc: [Tensor<Double>], _ dt: Tensor<Double>, _ fault: ScanFault?, chunkSize: Int
    ) throws -> ScanResult {
        let length = dt.shape[0]
        let inputs = try SSDInputs(
            x: xbc[0].reshaped([1, length, sharedHeads, headDim]), dt: dt.reshaped([1, length, heads]), a: rates,
            b: xbc[1].reshaped([1, length, sharedHeads, headDim]), c: xbc[2].reshaped([1, length, heads, headDim]),
            d: d, dtBias: dtBias)
        guard let fault else { return ScanResult(try SSDForm.recurrent.evaluate(inputs)) }
        guard let scan = FaultyScan(ScanCall(inputs), [fault], chunkSize: chunkSize) else { throw unsuited }
        return scan.run()
    }

    /// Turns the pairs (i, i + P / 2) of every head by t θ^(-2 i / P).
    private func rotate(_ values: inout Tensor<Double>, theta: Double, _ noise: inout MixerNoise?) {
        let (width, half) = (values.shape[1], headDim / 2)
        for t in 0..<values.shape[0] {
            for i in 0..<half {
                var angle = Double(t) / Double.pow(theta, Double(2 * i) / Double(headDim))
                noise?.move(angle: &angle)
                let (cosine, sine) = (Double.cos(angle), Double.sin(angle))
                for first in stride(from: t * width + i, to: (t + 1) * width, by: headDim) {
                    let (u, v) = (values.elements[first], values.elements[first + half])
                    values.elements[first] = u * cosine - v * sine
                    values.elements[first + half] = v * cosine + u * sine
                }
            }
        }
    }

    private var unsuited: InputError {
        InputError(.unsupported, in: "fault", expected: "a mixer it is about", found: "another")
    }

    /// The convolution with its activation, and the last W columns of its input.
    private func convolve(_ history: Tensor<Double>, _ fault: String?) throws -> (Tensor<Double>, [Double]) {
        let (length, channels) = (history.shape[0], history.shape[1])
        var weight = convolutionWeight
        if fault == "conv-taps-reversed" {
            for c in 0..<channels {
                for j in 0..<width {
                    weight.elements[c * width + j] = convolutionWeight.elements[c * width + width - 1 - j]
                }
            }
        }
        let convolution = try CausalConvolution(
            weight: weight, bias: fault == "conv-bias-missing" ? nil : convolutionBias)
        var window = convolution.emptyWindow
        var result = convolution.extend(history, window: &window)
        if fault != "conv-activation-missing" { result = result.map { Double.silu($0) } }
        if fault == "mixer-conv-on-x-only" {
            for i in result.elements.indices where i % channels >= sharedHeads * headDim {
                result.elements[i] = history.elements[i]
            }
        }
        var last = [Double](repeating: 0, count: channels * width)
        let source = fault == "mixer-conv-state-after-conv" ? result : history
        for c in 0..<channels {
            for j in 0..<width where length - width + j >= 0 {
                last[c * width + j] = source.elements[(length - width + j) * channels + c]
            }
        }
        return (result, last)
    }

    private func gatedNorm(_ y: Tensor<Double>, _ z: Tensor<Double>, _ fault: String?) throws -> Tensor<Double> {
        let weight = fault == "norm-weight-missing" ? normWeight.map { _ in 1.0 } : normWeight
        let norm = try GatedGroupNorm(
            weight: weight, groupSize: fault == "norm-over-one-group" ? heads * headDim : headDim, epsilon: epsilon,
            normBeforeGate: fault == "gate-after-norm")
        if fault == "norm-gate-missing" { return norm(y, gate: nil) }
        if fault == "norm-gate-sigmoid" {
            var gated = y
            for i in gated.elements.indices { gated.elements[i] *= Double.sigmoid(z.elements[i]) }
            return norm(gated, gate: nil)
        }
        return norm(y, gate: z)
    }

    /// Matrices with the same rows, side by side.
    private func joined(_ parts: [Tensor<Double>]) throws -> Tensor<Double> {
        let rows = parts[0].shape[0]
        var elements: [Double] = []
        for t in 0..<rows {
            for part in parts { elements += part.elements[t * part.shape[1]..<(t + 1) * part.shape[1]] }
        }
        return try Tensor(shape: [rows, parts.reduce(0) { $0 + $1.shape[1] }], elements: elements)
    }
}
