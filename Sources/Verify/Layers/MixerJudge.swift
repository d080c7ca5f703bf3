//  A whole Mamba-2 mixer, from the residual stream to the residual stream.
//
//  | tensor                        | shape                     | meaning                                                |
//  |-------------------------------|---------------------------|--------------------------------------------------------|
//  | hidden_states                 | [B, L, Dm]                |                                                        |
//  | in_proj.weight                | [2 H P + 2 Hkv P + H, Dm] | rows in the order z, x, B, C, dt                       |
//  | conv1d.weight, conv1d.bias    | [2 Hkv P + H P, 1, W]     | over x, B and C together                               |
//  | A_log, dt_bias, D             | [H]                       |                                                        |
//  | B_norm.weight, C_norm.weight  | [P]                       | optional: B and C of each head are normalised first    |
//  | norm.weight, out_proj.weight  | [H P], [Dm, H P]          | the gated norm has a group for each head               |
//  | out, ssm_state, conv_state    | [B, L, Dm], [B, H, P, P], [B, C, W] | outputs                                      |
//
//  With the option `rope_theta` B and C are rotated by their positions after their norms.
//
//  A mixer is too long for a bound that says anything. Its sigma is sampled: the mixer runs a dozen
//  times in float64 with the result of every stage moved at random by what storing it, and summing
//  it in float32, may change; the spread of what comes out is sigma.

import DualityCore
import DualityNumerics
import DualityReference

struct MixerJudge: KindJudge {
    let mixer: MixerStages
    let chunkSize: Int?
    let inputFormat: NumberFormat
    /// Whether the step may be log(1 + exp(u)) in float32.
    private let allowsNaiveSoftplus: Bool

    init(_ call: CallDescription, inputs source: any TensorSource, precision: DeclaredPrecision) throws {
        mixer = try MixerStages(call, source)
        chunkSize = try call.count("chunk_size")
        let stored = try source.info("hidden_states").dtype.numberFormat
        inputFormat = precision.declared?.inputs ?? stored
        allowsNaiveSoftplus = precision.declared?.softplus == .naive
    }

    var outputs: [OutputShape] {
        let (rows, heads, dim) = (mixer.hidden.shape[0], mixer.heads, mixer.headDim)
        return [
            OutputShape(name: "out", shape: mixer.hidden.shape, axes: [.batch, .token, .channel]),
            OutputShape(name: "ssm_state", shape: [rows, heads, dim, dim], axes: [.batch, .head, .channel, .state]),
            OutputShape(
                name: "conv_state", shape: [rows, mixer.convolved, mixer.width], axes: [.batch, .channel, .state]),
        ]
    }

    func expect(_ found: [String: Tensor<Double>], formats: [String: NumberFormat]) throws -> Expectations {
        let exact = try mixer.run(nil)
        let storage = inputFormat.holds(.f32) ? NumberFormat.f32 : inputFormat
        let count = 12
        let samples = try parallelMap(count) { i in
            Result {
                try mixer.run(
                    nil, noise: MixerNoise(storage: storage, seed: UInt64(i) + 1, isNaive: allowsNaiveSoftplus))
            }
        }.map { try $0.get() }
        let expectations = outputs.filter { found[$0.name] != nil }.compactMap { output -> Expectation? in
            guard let values = exact[output.name] else { return nil }
            let format = formats[output.name] ?? storage
            let width = output.shape.last ?? 1
            var variances = values.elements.indices.map { i in
                samples.reduce(0.0) { sum, sample in
                    let difference = (sample[output.name]?.elements[i] ?? 0) - values.elements[i]
                    return sum + difference * difference
                } / Double(count)
            }
            // A dozen samples say little of one number and enough of a row.
            for first in stride(from: 0, to: variances.count, by: width) {
                let mean = variances[first..<first + width].reduce(0, +) / Double(width)
                for i in first..<first + width { variances[i] = 2 * (variances[i] + mean) }
            }
            let sizes = variances.indices.map { i in
                LayerError(bound: .nan, variance: variances[i]).stored(values.elements[i], as: format)
            }
            var expectation = Expectation(
                output.name, axes: output.axes, exact: values, errors: sizes, magnitudes: nil, format: format)
            expectation.bound = nil
            return expectation
        }
        return Expectations(
            outputs: expectations, precision: "a mixer whose stages are stored in \(storage), sums in float32",
            remarks: ["a whole mixer has no bound here: it is judged by sigma alone, which is sampled"])
    }

    /// What goes wrong between the parts; the faults of the parts keep their names.
    static let faults: [LayerFault] = [
        LayerFault(name: "mixer-bc-norm-missing", summary: "B and C are not normalised"),
        LayerFault(name: "mixer-rope-missing", summary: "B and C are not rotated by their positions"),
        LayerFault(name: "mixer-bc-norm-after-conv", summary: "B and C are normalised after the convolution"),
        LayerFault(
            name: "mixer-b-and-c-rows-swapped", summary: "the rows of B and C in in_proj are taken for each other"),
        LayerFault(
            name: "mixer-conv-on-x-only",
            summary: "the convolution and its activation are applied to x and not to B and C"),
        LayerFault(
            name: "mixer-conv-state-after-conv", summary: "the convolution's window is stored after the convolution"),
    ]

    private static let parts: [(LayerFault, ScanFault?)] =
        faults.map { ($0, nil) }
        + (ConvolutionJudge.faults + GatedNormJudge.faults).filter {
            [
                "conv-taps-reversed", "conv-bias-missing", "conv-activation-missing", "gate-after-norm",
                "norm-over-one-group",
                "norm-weight-missing", "norm-gate-missing", "norm-gate-sigmoid",
            ].contains($0.name)
        }.map { ($0, nil) }
        + ScanFault.allCases.filter { !$0.isOfPrecision || $0 == .softplusNaive || $0 == .stateBFloat16 }
        .map { (LayerFault(name: $0.rawValue, summary: $0.summary, isOfPrecision: $0.isOfPrecision), $0) }

    func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], seeksPairs: Bool
    ) -> Diagnosis {
        let results = parallelMap(Self.parts.count) { i in
            let (fault, scan) = Self.parts[i]
            return try? mixer.run(fault.name, scanFault: scan, chunkSize: chunkSize ?? 64)
        }
        let byName = Dictionary(
            zip(Self.parts.map(\.0.name), results), uniquingKeysWith: { first, _ in first })
        return LayerFault.diagnose(Self.parts.map(\.0), found, expectations) { byName[$0.name] ?? nil }
    }
}
