//  The norm with a gate at the end of a Mamba-2 mixer.
//
//      v = x silu(z)          out = weight v / sqrt(mean over a group of v² + epsilon)
//
//  and with norm_before_gate the gate after the norm. Tensors: x, z `[rows, C]` (z optional),
//  weight `[C]`; options group_size, epsilon (1e-5), norm_before_gate (false). Outputs: out, and
//  out_no_gate, the norm of x itself.
//
//  All factors of a number are multiplied, so that its error is relative: that of the mean of
//  squares, half of whose n roundings remain under the root, and a dozen more.

import DualityCore
import DualityNumerics
import DualityReference

struct GatedNormJudge: KindJudge {
    let x: Tensor<Double>
    let z: Tensor<Double>?
    let weight: Tensor<Double>
    let groupSize: Int
    let epsilon: Double
    let normBeforeGate: Bool
    let inputFormat: NumberFormat
    let chunkSize: Int? = nil

    init(_ call: CallDescription, inputs source: any TensorSource) throws {
        x = try finite(source, "x")
        weight = try finite(source, "weight")
        z = source.contains("z") ? try finite(source, "z") : nil
        guard let channels = x.shape.last, weight.shape == [channels] else {
            throw InputError(
                .shape, in: "\(source.place): weight", expected: "[\(x.shape.last ?? 0)]", found: "\(weight.shape)")
        }
        try z?.requireShape(x.shape, "\(source.place): z")
        groupSize = try call.count("group_size") ?? channels
        guard channels % groupSize == 0 else {
            throw InputError(
                .value, in: "\(call.name): group_size", expected: "a divisor of \(channels)", found: "\(groupSize)")
        }
        epsilon = try call.number("epsilon", default: 1e-5)
        normBeforeGate = try call.flag("norm_before_gate", default: false)
        inputFormat = try source.info("x").dtype.numberFormat
    }

    var outputs: [OutputShape] {
        let axes: [Axis] = x.shape.count == 3 ? [.batch, .token, .channel] : [.token, .channel]
        let shapes = [OutputShape(name: "out", shape: x.shape, axes: axes)]
        return z == nil ? shapes : shapes + [OutputShape(name: "out_no_gate", shape: x.shape, axes: axes)]
    }

    func expect(_ found: [String: Tensor<Double>], formats: [String: NumberFormat]) throws -> Expectations {
        let exact = run(nil, storage: nil)
        let expectations = outputs.filter { found[$0.name] != nil }.compactMap { output -> Expectation? in
            let format = formats[output.name] ?? inputFormat
            guard let values = exact[output.name] else { return nil }
            let gates = output.name == "out" ? z : nil
            let n = Double(groupSize)
            let sizes = values.elements.indices.map { i -> LayerError in
                let value = values.elements[i]
                let gate = gates?.elements[i].magnitude ?? 0
                let exp = gates == nil ? 0 : 8 + 2 * gate
                // The gates of the whole group enter the mean.
                let relative = LayerError.growth(Int(n / 2) + 14 + Int(2 * exp))
                let variance = LayerError.relativeVariance * (n / 12 + 8 + exp * exp / 4)
                let size = LayerError(
                    bound: value.magnitude * relative + NumberFormat.f32.smallestNormal,
                    variance: value * value * variance)
                return size.stored(value, as: format)
            }
            return Expectation(
                output.name, axes: output.axes, exact: values, errors: sizes, magnitudes: nil, format: format)
        }
        return Expectations(
            outputs: expectations, precision: "inputs=\(inputFormat), norm in float32, one rounding at the end")
    }

    static let faults: [LayerFault] = [
        LayerFault(
            name: "gate-after-norm",
            summary: "the gate multiplies the normalised value, or is normalised where it should multiply"),
        LayerFault(name: "norm-over-one-group", summary: "the norm spans all channels in place of each group"),
        LayerFault(name: "norm-over-half-groups", summary: "the groups of the norm have half the channels"),
        LayerFault(
            name: "norm-weight-cast-late",
            summary: "the normalised value is rounded to the model's format before the weight", isOfPrecision: true),
        LayerFault(name: "norm-weight-missing", summary: "the norm's weight is not applied"),
        LayerFault(name: "norm-weight-plus-one", summary: "the norm multiplies by 1 + weight"),
        LayerFault(name: "norm-gate-missing", summary: "the norm's gate is not applied"),
        LayerFault(name: "norm-gate-sigmoid", summary: "the norm's gate is sigmoid(z) in place of silu(z)"),
        LayerFault(name: "norm-epsilon-1e-6", summary: "epsilon is 1e-6"),
        LayerFault(name: "norm-epsilon-outside-root", summary: "epsilon is added to the root instead of under it"),
        LayerFault(name: "norm-of-sum", summary: "the sum of squares in place of the mean"),
        LayerFault(name: "norm-subtracts-mean", summary: "the mean is subtracted, as in a layer norm"),
    ]

    func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], seeksPairs: Bool
    ) -> Diagnosis {
        let storage = expectations.first?.format
        return LayerFault.diagnose(Self.faults, found, expectations) { fault in
            if fault.name == "norm-weight-cast-late", storage == .f32 || storage == .f64 { return nil }
            return run(fault.name, storage: storage)
        }
    }

    private func run(_ fault: String?, storage: NumberFormat?) -> [String: Tensor<Double>] {
        let gated = normalised(x, gate: fault == "norm-gate-missing" ? nil : z, fault, storage)
        return ["out": gated, "out_no_gate": normalised(x, gate: nil, fault, storage)]
    }

    private func normalised(
        _ x: Tensor<Double>, gate z: Tensor<Double>?, _ fault: String?, _ storage: NumberFormat?
    ) -> Tensor<Double> {
        let channels = weight.count
        let size =
            fault == "norm-over-one-group"
            ? channels : fault == "norm-over-half-groups" ? max(groupSize / 2, 1) : groupSize
        let isLate = normBeforeGate != (fault == "gate-after-norm")
        func gate(_ i: Int) -> Double {
            guard let z else { return 1 }
            return fault == "norm-gate-sigmoid" ? Double.sigmoid(z.elements[i]) : Double.silu(z.elements[i])
        }
        let epsilon = fault == "norm-epsilon-1e-6" ? 1e-6 : self.epsilon
        var out = x
        for first in stride(from: 0, to: x.count, by: size) {
            var group = (first..<min(first + size, x.count)).map { isLate ? x.elements[$0] : x.elements[$0] * gate($0) }
            if fault == "norm-subtracts-mean" {
                let mean = group.reduce(0, +) / Double(group.count)
                group = group.map { $0 - mean }
            }
            let squares = group.map { $0 * $0 }.compensatedSum()
            let mean = fault == "norm-of-sum" ? squares : squares / Double(group.count)
            let root =
                fault == "norm-epsilon-outside-root" ? mean.squareRoot() + epsilon : (mean + epsilon).squareRoot()
            for (j, value) in group.enumerated() {
                let i = first + j
                var scaled = value / root
                if fault == "norm-weight-cast-late", let storage { scaled = storage.round(scaled) }
                let w = weight.elements[i % channels]
                scaled *= fault == "norm-weight-missing" ? 1 : fault == "norm-weight-plus-one" ? 1 + w : w
                if fault == "norm-weight-cast-late", let storage { scaled = storage.round(scaled) }
                out.elements[i] = isLate ? scaled * gate(i) : scaled
            }
        }
        return out
    }
}
