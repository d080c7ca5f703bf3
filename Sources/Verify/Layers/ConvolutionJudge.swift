//  The depthwise causal convolution before the scan.
//
//      pre_activation_t = bias + Σ_j w_j x_{t-W+1+j}          out = silu(pre_activation)
//
//  | tensor         | shape                | meaning                                                      |
//  |----------------|----------------------|--------------------------------------------------------------|
//  | x              | [B, L, C]            |                                                              |
//  | weight, bias   | [C, 1, W] or [C, W], [C] | the last tap meets the current token                     |
//  | initial_window | [B, C, W-1]          | what came before the first token, oldest first; zeros if absent |
//  | seq_idx        | [B, L]               | packed: no tap reaches across a boundary                     |
//  | conv_state     | [B, C, W]            | output: the last W columns of what was convolved             |

import DualityCore
import DualityNumerics
import DualityReference

struct ConvolutionJudge: KindJudge {
    let x: Tensor<Double>
    /// `[C, W]`
    let weight: Tensor<Double>
    let bias: Tensor<Double>?
    let window: Tensor<Double>?
    /// The number of the run of each token, `[B, L]`.
    let runs: Tensor<Int>?
    let activates: Bool
    let inputFormat: NumberFormat
    let chunkSize: Int? = nil

    init(_ call: CallDescription, inputs source: any TensorSource) throws {
        var mapped = MappedSource(source)
        x = try finite(mapped, "x")
        guard x.shape.count == 3 else {
            throw InputError(.shape, in: "\(mapped.place): x", expected: "[B, L, C]", found: "\(x.shape)")
        }
        let channels = x.shape[2]
        let taps = try finite(mapped, "weight")
        guard taps.shape.first == channels, taps.shape.count == 2 || taps.shape.count == 3 && taps.shape[1] == 1,
            let width = taps.shape.last, width > 0
        else {
            throw InputError(
                .shape, in: "\(mapped.place): weight", expected: "[\(channels), 1, W]", found: "\(taps.shape)")
        }
        weight = try taps.reshaped([channels, width])
        bias = mapped.contains("bias") ? try finite(mapped, "bias") : nil
        try bias?.requireShape([channels], "\(mapped.place): bias")
        window = mapped.contains("initial_window") ? try finite(mapped, "initial_window") : nil
        try window?.requireShape([x.shape[0], channels, width - 1], "\(mapped.place): initial_window")
        if try mapped.renumberSequences() != nil {
            let numbers = try mapped.integers("seq_idx")
            try numbers.requireShape([x.shape[0], x.shape[1]], "\(mapped.place): seq_idx")
            runs = numbers
        } else {
            runs = nil
        }
        activates = try call.flag("activation", default: true)
        inputFormat = try mapped.info("x").dtype.numberFormat
    }

    var width: Int { weight.shape[1] }

    var outputs: [OutputShape] {
        let axes: [Axis] = [.batch, .token, .channel]
        return [
            OutputShape(name: "out", shape: x.shape, axes: axes),
            OutputShape(name: "pre_activation", shape: x.shape, axes: axes),
            OutputShape(
                name: "conv_state", shape: [x.shape[0], x.shape[2], width], axes: [.batch, .channel, .state]),
        ]
    }

    func expect(_ found: [String: Tensor<Double>], formats: [String: NumberFormat]) throws -> Expectations {
        let exact = run(nil)
        var errors: [LayerError] = []
        var magnitudes = x
        for i in x.elements.indices {
            let terms = terms(i, nil)
            errors.append(LayerError(sumOf: terms))
            magnitudes.elements[i] = terms.reduce(0) { $0 + $1.magnitude }
        }
        var expectations: [Expectation] = []
        for output in outputs where found[output.name] != nil {
            let format = formats[output.name] ?? inputFormat
            guard let values = exact[output.name] else { continue }
            let sizes = values.elements.indices.map { i -> LayerError in
                switch output.name {
                case "conv_state":
                    return LayerError(bound: NumberFormat.f32.smallestNormal, variance: 0).stored(
                        values.elements[i], as: format)
                case "out" where activates:
                    let pre = exact["pre_activation"]?.elements[i] ?? 0
                    return errors[i].silu(of: pre).stored(values.elements[i], as: format)
                default:
                    return errors[i].stored(values.elements[i], as: format)
                }
            }
            expectations.append(
                Expectation(
                    output.name, axes: output.axes, exact: values, errors: sizes,
                    magnitudes: output.name == "pre_activation" ? magnitudes : nil, format: format))
        }
        return Expectations(outputs: expectations, precision: "inputs=\(inputFormat), sums in float32")
    }
}

/// A tensor of a source, all of whose numbers are finite.
func finite(_ source: some TensorSource, _ name: String) throws -> Tensor<Double> {
    let tensor: Tensor<Double> = try source.tensor(name)
    do { try tensor.requireFinite(name) } catch { throw error.within(source.place) }
    return tensor
}
