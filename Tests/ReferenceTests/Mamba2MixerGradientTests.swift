import DualityCore
import TestSupport
import Testing

@testable import DualityReference

/// A small mixer as a plain list of its parameters, so that each can be moved on its own.
struct MixerParameters {
    var inputWeight: Tensor<Double>
    var inputBias: Tensor<Double>?
    var bNorm: Tensor<Double>?
    var cNorm: Tensor<Double>?
    var convolutionWeight: Tensor<Double>
    var convolutionBias: Tensor<Double>
    var aLogarithm: Tensor<Double>
    var dtBias: Tensor<Double>
    var d: Tensor<Double>
    var gatedNorm: Tensor<Double>
    var outputWeight: Tensor<Double>
    var outputBias: Tensor<Double>?
    var input: Tensor<Double>
    var state: Tensor<Double>
    var window: Tensor<Double>

    /// Two heads of four channels, one key/value head, width 3, three taps, five tokens.
    init(options: MixerOptions) {
        var noise = TensorSourceOfNoise(random: RandomSource(seed: 11))
        let (width, heads, headDim, length, taps) = (3, 2, 4, 5, 3)
        let (inner, shared) = (heads * headDim, headDim)
        let channels = inner + 2 * shared
        inputWeight = noise.normal([2 * inner + 2 * shared + heads, width], scale: 0.7)
        inputBias = options.bias ? noise.normal([2 * inner + 2 * shared + heads]) : nil
        bNorm = options.normalizes ? noise.normal([headDim]) : nil
        cNorm = options.normalizes ? noise.normal([headDim]) : nil
        convolutionWeight = noise.normal([channels, taps], scale: 0.7)
        convolutionBias = noise.normal([channels], scale: 0.3)
        aLogarithm = noise.normal([heads], scale: 0.5)
        dtBias = noise.normal([heads])
        d = noise.normal([heads])
        gatedNorm = noise.normal([inner])
        outputWeight = noise.normal([width, inner])
        outputBias = options.bias ? noise.normal([width]) : nil
        input = noise.normal([length, width])
        state = noise.normal([heads, headDim, headDim])
        window = noise.normal([taps - 1, channels])
    }

    func mixer(options: MixerOptions) throws -> Mamba2Mixer<Double> {
        Mamba2Mixer(
            inputProjection: try Linear(weight: inputWeight, bias: inputBias),
            bNorm: bNorm.map { RMSNorm(weight: $0, epsilon: 1e-2) },
            cNorm: cNorm.map { RMSNorm(weight: $0, epsilon: 1e-2) }, rotatesBC: options.rotates,
            convolution: try CausalConvolution(weight: convolutionWeight, bias: convolutionBias),
            a: Mamba2Mixer.decayRates(logarithms: aLogarithm), dtBias: dtBias, d: d,
            gatedNorm: try GatedGroupNorm(weight: gatedNorm, groupSize: 4, epsilon: 1e-2),
            outputProjection: try Linear(weight: outputWeight, bias: outputBias), headCount: 2, keyValueHeadCount: 1,
            headDim: 4, form: options.form)
    }

    var cache: ScanCache<Double> { ScanCache(window: window, state: state, logDecay: [0, 0]) }
}

struct MixerOptions: Sendable, CustomTestStringConvertible {
    var normalizes = true
    var rotates = false
    var bias = false
    var form = SSDForm.chunked(size: 2)

    var testDescription: String { "norms: \(normalizes), rope: \(rotates), bias: \(bias), \(form)" }
}

/// The whole mixer backwards: all weights, the tokens, and the cache it started from.
@Suite struct Mamba2MixerGradientTests {
    @Test(arguments: [
        MixerOptions(), MixerOptions(rotates: true, form: .recurrent), MixerOptions(normalizes: false, bias: true),
        MixerOptions(normalizes: false, rotates: true, bias: true, form: .quadratic),
    ])
    func gradientsAreTheDifferencesOfTheForwardPass(options: MixerOptions) throws {
        let parameters = MixerParameters(options: options)
        var noise = TensorSourceOfNoise(random: RandomSource(seed: 12))
        let rope = try RotaryEmbedding<Double>(headDim: 4, parameters: RopeParameters(theta: 50), maxPositions: 64)
        let table = rope.table(positions: 6..<11)
        let upstream = Mamba2Mixer<Double>.Upstream(
            output: noise.normal([5, 3]), state: noise.normal([2, 4, 4]), window: noise.normal([2, 16]))
        let weights = [upstream.output, upstream.state, upstream.window].flatMap { $0?.elements ?? [] }
        func outputs(_ parameters: MixerParameters) throws -> [Double] {
            var cache = parameters.cache
            let out = try parameters.mixer(options: options).extend(parameters.input, rotation: table, cache: &cache)
            return out.elements + cache.state.elements + cache.window.elements
        }
        func expect(
            _ gradient: Tensor<Double>?, _ path: WritableKeyPath<MixerParameters, Tensor<Double>>, _ name: String
        ) throws {
            let expected = try differences(of: parameters[keyPath: path], step: 0.03, upstream: weights) {
                var moved = parameters
                moved[keyPath: path] = $0
                return try outputs(moved)
            }
            let error = relativeL2(gradient?.elements ?? [], expected)
            #expect(error < 1e-8, "gradient of \(name): \(error)")
            #expect(expected.contains { $0 != 0 }, "\(name) matters")
        }
        func expect(
            _ gradient: Tensor<Double>?, _ path: WritableKeyPath<MixerParameters, Tensor<Double>?>, _ name: String
        ) throws {
            guard let value = parameters[keyPath: path] else { return #expect(gradient == nil, "\(name)") }
            let expected = try differences(of: value, step: 0.03, upstream: weights) {
                var moved = parameters
                moved[keyPath: path] = $0
                return try outputs(moved)
            }
            let error = relativeL2(gradient?.elements ?? [], expected)
            #expect(error < 1e-8, "gradient of \(name): \(error)")
        }

        let gradients = try parameters.mixer(options: options).gradients(
            of: parameters.input, rotation: table, cache: parameters.cache, upstream: upstream)
        try expect(gradients.input, \.input, "input")
        try expect(gradients.state, \.state, "state")
        try expect(gradients.window, \.window, "window")
        try expect(gradients.inputProjectionWeight, \.inputWeight, "in_proj.weight")
        try expect(gradients.inputProjectionBias, \.inputBias, "in_proj.bias")
        try expect(gradients.bNormWeight, \.bNorm, "B_norm.weight")
        try expect(gradients.cNormWeight, \.cNorm, "C_norm.weight")
        try expect(gradients.convolutionWeight, \.convolutionWeight, "conv1d.weight")
        try expect(gradients.convolutionBias, \.convolutionBias, "conv1d.bias")
        try expect(gradients.aLogarithm, \.aLogarithm, "A_log")
        try expect(gradients.dtBias, \.dtBias, "dt_bias")
        try expect(gradients.d, \.d, "D")
        try expect(gradients.gatedNormWeight, \.gatedNorm, "norm.weight")
        try expect(gradients.outputProjectionWeight, \.outputWeight, "out_proj.weight")
        try expect(gradients.outputProjectionBias, \.outputBias, "out_proj.bias")
    }

    /// Truncated nowhere: with the cache's gradient handed back, segments give the gradient of the
    /// whole sequence.
    @Test(arguments: 0...5) func theGradientsOfTwoSegmentsAreThoseOfTheWhole(cut: Int) throws {
        let options = MixerOptions(rotates: true, bias: true)
        let parameters = MixerParameters(options: options)
        let mixer = try parameters.mixer(options: options)
        let rope = try RotaryEmbedding<Double>(headDim: 4, parameters: RopeParameters(theta: 50), maxPositions: 64)
        var noise = TensorSourceOfNoise(random: RandomSource(seed: 13))
        let output = noise.normal([5, 3])
        let whole = try mixer.gradients(
            of: parameters.input, rotation: rope.table(positions: 0..<5), cache: parameters.cache,
            upstream: .init(output: output))

        let (first, second) = (parameters.input.rows(0..<cut), parameters.input.rows(cut..<5))
        var cache = parameters.cache
        _ = try mixer.extend(first, rotation: rope.table(positions: 0..<cut), cache: &cache)
        let late = try mixer.gradients(
            of: second, rotation: rope.table(positions: cut..<5), cache: cache,
            upstream: .init(output: output.rows(cut..<5)))
        let early = try mixer.gradients(
            of: first, rotation: rope.table(positions: 0..<cut), cache: parameters.cache,
            upstream: .init(output: output.rows(0..<cut), state: late.state, window: late.window))
        let errors = [
            relativeL2(early.input.elements + late.input.elements, whole.input.elements),
            relativeL2(
                zip(early.inputProjectionWeight.elements, late.inputProjectionWeight.elements).map { $0 + $1 },
                whole.inputProjectionWeight.elements),
            relativeL2(
                zip(early.aLogarithm.elements, late.aLogarithm.elements).map { $0 + $1 }, whole.aLogarithm.elements),
            relativeL2(early.state.elements, whole.state.elements),
            relativeL2(early.window.elements, whole.window.elements),
        ]
        #expect((errors.max() ?? 1) < 1e-13, "cut at \(cut): \(errors)")
    }

    @Test func anUpstreamThatDoesNotFitIsTurnedAway() throws {
        let options = MixerOptions()
        let parameters = MixerParameters(options: options)
        let mixer = try parameters.mixer(options: options)
        let rope = try RotaryEmbedding<Double>(headDim: 4, parameters: RopeParameters(theta: 50), maxPositions: 64)
        let wrong = Tensor(repeating: 0.0, shape: [5, 2])
        for upstream in [
            Mamba2Mixer<Double>.Upstream(output: wrong), .init(state: wrong), .init(window: wrong),
        ] {
            #expect(throws: InputError.self) {
                try mixer.gradients(
                    of: parameters.input, rotation: rope.table(positions: 0..<5), cache: parameters.cache,
                    upstream: upstream)
            }
        }
    }
}
