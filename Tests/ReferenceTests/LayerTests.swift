//  Every layer against the official implementation's tensors (Tests/Fixtures/layers).

import DualityCore
import TestSupport
import Testing

@testable import DualityReference

/// A fixture file, with the comparison its stored dtype allows.
struct Fixture {
    let file: SafetensorsFile

    init(_ name: String) throws {
        file = try SafetensorsFile(path: Fixtures.path(name))
    }

    func double(_ name: String) throws -> Tensor<Double> { try file.tensor(name) }

    /// Checks that `got` is the stored float64 answer: to 1e-11 where it is stored as F64, to 3e-7
    /// where it was rounded to float32.
    func expect(
        _ got: Tensor<Double>, is name: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let expected = try double(name)
        let limit = try file.info(name).dtype == .f64 ? 1e-11 : 3e-7
        let error = relativeL2(got.elements, expected.elements)
        #expect(error < limit, "\(name): relative L2 error \(error), limit \(limit)", sourceLocation: sourceLocation)
    }
}

extension Tensor where Element == Double {
    /// Without the leading axis of length one.
    func squeezed() throws -> Tensor { try reshaped(Array(shape.dropFirst())) }
}

@Suite struct LayerTests {
    @Test(arguments: ["conv_silu", "conv_silu_short"])
    func convolutionIsTheOfficialOne(name: String) throws {
        let fixture = try Fixture("layers/\(name).safetensors")
        let convolution = try CausalConvolution<Double>(
            weight: fixture.double("weight"), bias: fixture.double("bias"))
        let x = try fixture.double("x")
        let (batch, length, channels) = (x.shape[0], x.shape[1], x.shape[2])
        var outputs: [Double] = []
        for row in 0..<batch {
            var window = convolution.emptyWindow
            let size = length * channels
            let u = try Tensor(shape: [length, channels], elements: Array(x.elements[row * size..<(row + 1) * size]))
            outputs += convolution.extend(u, window: &window).elements
        }
        let whole = try Tensor(shape: x.shape, elements: outputs)
        try fixture.expect(whole, is: "pre_activation_f64")
        try fixture.expect(whole.map { Double.silu($0) }, is: "out_f64")
    }

    @Test func convolutionMatchesAHandComputedExample() throws {
        let weight = try Tensor(shape: [1, 4], elements: [0.1, 0.2, 0.3, 0.4])
        let convolution = try CausalConvolution<Double>(weight: weight, bias: Tensor([0.05]))
        var window = convolution.emptyWindow
        let y = convolution.extend(try Tensor(shape: [3, 1], elements: [1, 2, 3]), window: &window)
        #expect(maximumDifference(y.elements, [0.45, 1.15, 2.05]) < 1e-15, "got \(y.elements)")
        #expect(window.elements == [1, 2, 3])
    }

    /// The property that makes a window a window: any split gives the bits of the whole.
    @Test(arguments: 0...10) func convolutionSplitsAnywhere(cut: Int) throws {
        var random = RandomSource(seed: 5)
        func matrix(_ shape: [Int]) -> Tensor<Double> {
            Tensor(repeating: 0, shape: shape).map { _ in random.normal() }
        }
        let convolution = try CausalConvolution(weight: matrix([3, 4]), bias: matrix([3]))
        let u = matrix([10, 3])
        var (whole, pieces) = (convolution.emptyWindow, convolution.emptyWindow)
        let expected = convolution.extend(u, window: &whole)
        let first = convolution.extend(u.rows(0..<cut), window: &pieces)
        let second = convolution.extend(u.rows(cut..<10), window: &pieces)
        #expect(first.elements + second.elements == expected.elements)
        #expect(pieces == whole)
    }

    @Test func aConvolutionWeightOfTheWrongShapeIsNamed() {
        #expect(throws: InputError.self) {
            try CausalConvolution<Float>(
                weight: Tensor(shape: [3, 4], elements: Array(repeating: 0, count: 12)), bias: Tensor([0, 0]))
        }
    }

    @Test(arguments: [
        ("gated_norm_f32", 32, false), ("gated_norm_bf16", 32, false), ("gated_norm_before", 96, true),
    ])
    func gatedNormIsTheOfficialOne(name: String, groupSize: Int, normBeforeGate: Bool) throws {
        let fixture = try Fixture("layers/\(name).safetensors")
        let norm = try GatedGroupNorm<Double>(
            weight: fixture.double("weight"), groupSize: groupSize, epsilon: 1e-5, normBeforeGate: normBeforeGate)
        let x = try fixture.double("x")
        try fixture.expect(norm(x, gate: fixture.double("z")), is: "out_f64")
        try fixture.expect(norm(x, gate: nil), is: "out_no_gate_f64")
    }

    @Test(arguments: [32, 128]) func rotaryEmbeddingIsTheOfficialOne(headDim: Int) throws {
        let fixture = try Fixture("layers/rope_\(headDim).safetensors")
        let rope = try RotaryEmbedding<Double>(
            headDim: headDim, parameters: RopeParameters(theta: 5e6), maxPositions: 1 << 20)
        try fixture.expect(Tensor(rope.frequencies(length: 1)), is: "inv_freq_f64")
        let positions = try fixture.file.integers("position_ids").elements
        try expectRotation(fixture, rope, positions, suffix: "f64") { error, name in
            #expect(error < 1e-11, "\(name): relative L2 error \(error)")
        }
    }

    /// Float follows the official float32 tables, errors of large angles included.
    @Test(arguments: [32, 128]) func rotaryEmbeddingInFloatFollowsTheOfficialTables(headDim: Int) throws {
        let fixture = try Fixture("layers/rope_\(headDim).safetensors")
        let rope = try RotaryEmbedding<Float>(
            headDim: headDim, parameters: RopeParameters(theta: 5e6), maxPositions: 1 << 20)
        let positions = try fixture.file.integers("position_ids").elements
        try expectRotation(fixture, rope, positions, suffix: "official") { error, name in
            // The official powers were taken on a GPU; an ulp there moves an angle of 131071 by
            // 8e-3.
            #expect(error < 3e-4, "\(name): relative L2 error \(error)")
        }
    }

    private func expectRotation<Scalar: RealNumber>(
        _ fixture: Fixture, _ rope: RotaryEmbedding<Scalar>, _ positions: [Int], suffix: String,
        check: (Double, String) -> Void
    ) throws {
        let headDim = rope.headDim
        for name in ["q", "k"] {
            let input: Tensor<Scalar> = try fixture.file.tensor(name)
            let expected: Tensor<Scalar> = try fixture.file.tensor("\(name)_out_\(suffix)")
            var rotated = input
            for head in 0..<input.shape[1] {
                for (t, position) in positions.enumerated() {
                    let offset = (head * positions.count + t) * headDim
                    var row = try Tensor(
                        shape: [1, headDim], elements: Array(input.elements[offset..<offset + headDim]))
                    rope.table(positions: position..<position + 1).rotate(&row)
                    rotated.elements.replaceSubrange(offset..<offset + headDim, with: row.elements)
                }
            }
            check(relativeL2(rotated.elements, expected.elements), "\(name)_out_\(suffix)")
        }
    }

    @Test(arguments: ["norm_mlp_f32", "norm_mlp_bf16"]) func normAndFeedForwardAreTheOfficialOnes(name: String) throws {
        let fixture = try Fixture("layers/\(name).safetensors")
        let x = try fixture.double("x").squeezed()
        let norm = RMSNorm<Double>(weight: try fixture.double("norm_weight"), epsilon: 1e-6)
        try fixture.expect(norm(x), is: "norm_out_f64")
        let weights = Weights<Double>(source: fixture.file, prefix: "w.")
        let mlp = FeedForward(
            gate: try weights.linear("gate_proj"), up: try weights.linear("up_proj"),
            down: try weights.linear("down_proj"))
        try fixture.expect(mlp(x.map { 0.3 * $0 }), is: "mlp_out_f64")
    }

    /// A prefill, then the next tokens one at a time, through the cache.
    @Test(arguments: ["attention_gqa", "attention_mqa"]) func attentionIsTheOfficialOne(name: String) throws {
        let fixture = try Fixture("layers/\(name).safetensors")
        let headDim = try fixture.file.info("w.q_norm.weight").shape[0]
        let configuration = HybridConfiguration.ofOneLayer(.attention, headDim: headDim)
        let attention = try Weights<Double>(source: fixture.file, prefix: "w.").attention(configuration)
        let rope = try RotaryEmbedding<Double>(
            headDim: headDim, parameters: RopeParameters(theta: 5e6), maxPositions: 2048)
        let hidden = try fixture.double("hidden_states").squeezed()
        let prefill = try fixture.file.info("prefill.out_f64").shape[1]

        var cache = KeyValueCache<Double>(heads: attention.keyValueHeadCount, headDim: headDim)
        let out = attention.extend(
            hidden.rows(0..<prefill), rotation: rope.table(positions: 0..<prefill), cache: &cache)
        try fixture.expect(out, is: "prefill.out_f64")
        try fixture.expect(Tensor(cache.keys.flatMap(\.elements)), is: "prefill.keys_f64")
        try fixture.expect(Tensor(cache.values.flatMap(\.elements)), is: "prefill.values_f64")

        var steps: [Double] = []
        for t in prefill..<hidden.shape[0] {
            steps +=
                attention.extend(
                    hidden.rows(t..<t + 1), rotation: rope.table(positions: t..<t + 1), cache: &cache
                ).elements
        }
        try fixture.expect(Tensor(steps), is: "steps.out_f64")
    }

    /// A prefill, then the next tokens one at a time, then everything at once, for every form of
    /// SSD.
    @Test(
        arguments: [
            "mamba2_default", "mamba2_no_qk_norm", "mamba2_prefill1", "mamba2_rope_batch2", "mamba2_short_prefill2",
        ], [SSDForm.recurrent, .chunked(size: 8), .chunked(size: 64), .quadratic])
    func mamba2MixerIsTheOfficialOne(name: String, form: SSDForm) throws {
        let fixture = try Fixture("layers/\(name).safetensors")
        let shape = try fixture.file.info("after_steps.ssm_state_f64").shape
        let (batch, heads, headDim) = (shape[0], shape[1], shape[2])
        let channels = try fixture.file.info("w.conv1d.bias").shape[0]
        var configuration = HybridConfiguration.ofOneLayer(.mamba2, headDim: headDim)
        configuration.headCount = heads
        configuration.keyValueHeadCount = (channels / headDim - heads) / 2
        configuration.mamba2.normalizesBC = fixture.file.contains("w.B_norm.weight")
        configuration.mamba2.rotatesBC = name.contains("rope")
        var mixer = try Weights<Double>(source: fixture.file, prefix: "w.").mamba2(configuration)
        mixer.form = form
        let rope = try RotaryEmbedding<Double>(
            headDim: headDim, parameters: RopeParameters(theta: 5e6), maxPositions: 2048)
        let prefill = try fixture.file.info("prefill.out_f64").shape[1]
        let hidden = try fixture.double("hidden_states")
        let (length, width) = (hidden.shape[1], hidden.shape[2])

        var (prefillOut, stepsOut, wholeOut): ([Double], [Double], [Double]) = ([], [], [])
        var (prefillCaches, endCaches): ([ScanCache<Double>], [ScanCache<Double>]) = ([], [])
        for row in 0..<batch {
            let size = length * width
            let u = try Tensor(shape: [length, width], elements: Array(hidden.elements[row * size..<(row + 1) * size]))
            func extend(_ tokens: Range<Int>, _ cache: inout ScanCache<Double>) throws -> [Double] {
                try mixer.extend(u.rows(tokens), rotation: rope.table(positions: tokens), cache: &cache).elements
            }
            var cache = ScanCache<Double>(configuration)
            prefillOut += try extend(0..<prefill, &cache)
            prefillCaches.append(cache)
            for t in prefill..<length { stepsOut += try extend(t..<t + 1, &cache) }
            endCaches.append(cache)
            var fresh = ScanCache<Double>(configuration)
            wholeOut += try extend(0..<length, &fresh)
        }
        try fixture.expect(Tensor(prefillOut), is: "prefill.out_f64")
        try fixture.expect(Tensor(stepsOut), is: "steps.out_f64")
        try fixture.expect(Tensor(wholeOut), is: "whole.out_f64")
        for (caches, prefix) in [(prefillCaches, "prefill_cached"), (endCaches, "after_steps")] {
            try fixture.expect(Tensor(caches.flatMap(\.state.elements)), is: "\(prefix).ssm_state_f64")
            try fixture.expect(Tensor(caches.flatMap(\.logDecay)), is: "\(prefix).log_aprods_f64")
            let windows = try officialWindows(fixture.double("\(prefix).conv_state_f64"))
            let error = relativeL2(caches.flatMap(\.window.elements), windows)
            #expect(error < 1e-11, "\(prefix) window: relative L2 error \(error)")
        }
    }
}

/// The last W-1 columns of an official `[B, C, W]` convolution state, as `[B, W-1, C]`.
func officialWindows(_ state: Tensor<Double>) -> [Double] {
    let (batch, channels, taps) = (state.shape[0], state.shape[1], state.shape[2])
    var windows: [Double] = []
    for row in 0..<batch {
        for j in 1..<taps {
            for c in 0..<channels { windows.append(state.elements[(row * channels + c) * taps + j]) }
        }
    }
    return windows
}

extension HybridConfiguration {
    /// A configuration of one layer, for testing the layer; sizes that the layer takes from its
    /// weights are nominal.
    static func ofOneLayer(_ kind: LayerKind, headDim: Int) -> HybridConfiguration {
        HybridConfiguration(
            vocabularySize: 1, hiddenSize: headDim, intermediateSize: headDim, layers: [kind], headCount: 1,
            keyValueHeadCount: 1, headDim: headDim)
    }
}
