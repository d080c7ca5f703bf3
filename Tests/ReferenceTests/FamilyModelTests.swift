//  Layers that no official output pins down, held against their equations: B'MOJO-F with each
//  mixer, sliding windows at their borders, head expansion; and models of every kind in pieces.

import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityReference

/// A small model of given layers; everything about it is odd on purpose.
private func configuration(
    _ layers: [LayerKind], window: Int = 5, mixer: LayerKind = .mamba2, tied: Bool = true
) -> HybridConfiguration {
    var made = HybridConfiguration(
        vocabularySize: 40, hiddenSize: 20, intermediateSize: 12, layers: layers, headCount: 4, keyValueHeadCount: 2,
        headDim: 6, maxPositions: 512, rope: RopeParameters(theta: 100))
    made.slidingWindow = window
    made.bmojo.window = window
    made.bmojo.mixer = mixer
    made.bmojo.tiesAttention = tied
    made.gatedKalmaNet.iterations = 12
    return made
}

private func model(_ configuration: HybridConfiguration, seed: UInt64 = 1) throws -> HybridModel<Double> {
    try HybridModel<Double>(RandomCheckpoint(configuration, seed: seed), configuration: configuration)
}

private let tokens = (0..<29).map { ($0 * 7 + $0 / 3) % 40 }

@Suite struct FamilyModelTests {
    /// Every kind, every mixer, and the options that change the equations.
    static var kinds: [(String, HybridConfiguration)] {
        var expanded = configuration([.gatedDeltaNet, .gatedKalmaNet])
        expanded.gatedDeltaNet.expansion.rank = 3
        expanded.gatedKalmaNet.expansion.rank = 2
        expanded.gatedKalmaNet.expansion.learnsResidual = true
        var bare = configuration([.gatedDeltaNet, .gatedKalmaNet])
        bare.gatedDeltaNet.usesGate = false
        bare.gatedDeltaNet.usesConvolution = false
        bare.gatedDeltaNet.allowsNegativeEigenvalues = true
        bare.gatedKalmaNet.usesGate = false
        bare.gatedKalmaNet.usesAlpha = false
        bare.gatedKalmaNet.usesBeta = false
        bare.gatedKalmaNet.convolvesValues = false
        bare.gatedKalmaNet.rescales = false
        bare.gatedKalmaNet.decaysGram = false
        var still = configuration([.gatedKalmaNet])
        still.gatedKalmaNet.decays = false
        var linear = configuration([.gatedKalmaNet])
        linear.gatedKalmaNet.iterations = 0
        return [
            ("SWA", configuration([.slidingWindowAttention, .attention])),
            ("SWA of one token", configuration([.slidingWindowAttention], window: 1)),
            ("GDN", configuration([.gatedDeltaNet])), ("GKA", configuration([.gatedKalmaNet])),
            ("expanded", expanded), ("bare", bare), ("no decay", still), ("no iterations", linear),
            ("BMF of M2", configuration([.bmojo])), ("BMF of GDN", configuration([.bmojo], mixer: .gatedDeltaNet)),
            ("BMF of GKA, untied", configuration([.bmojo, .attention], mixer: .gatedKalmaNet, tied: false)),
            ("BMF of one token", configuration([.bmojo], window: 1)),
        ]
    }

    @Test func piecesGiveWhatTheWholeGives() throws {
        for (name, configuration) in Self.kinds {
            var model = try model(configuration)
            try model.useForm(.recurrent)
            var whole = model.makeCache()
            let expected = try model.extend(&whole, by: tokens)
            for size in [1, 2, 3, 4, 5, 6, 9, 11, 28] {
                var (cache, logits) = (model.makeCache(), [Double]())
                for first in stride(from: 0, to: tokens.count, by: size) {
                    logits += try model.extend(&cache, by: Array(tokens[first..<min(first + size, tokens.count)]))
                        .elements
                }
                // Bit for bit: the recurrent forms do the same operations in the same order.
                #expect(logits == expected.elements, "\(name) in pieces of \(size)")
                #expect(isSame(cache, whole), "\(name) in pieces of \(size): the memory")
            }
            #expect(whole.fits(configuration))
            try model.useRecurrenceForm(.chunked(size: 7))
            try model.useForm(.chunked(size: 7))
            var cache = model.makeCache()
            let first = try model.extend(&cache, by: Array(tokens[..<10])).elements
            let error = maximumDifference(
                first + (try model.extend(&cache, by: Array(tokens[10...])).elements), expected.elements)
            #expect(error < 1e-11, "\(name) in chunks: \(error)")
        }
    }

    /// Bit for bit, but for the logs of decays: they are sums over pieces.
    private func isSame(_ a: HybridCache<Double>, _ b: HybridCache<Double>) -> Bool {
        zip(a.layers, b.layers).allSatisfy { a, b in
            a.keyValues == b.keyValues && a.fadingKeyValues == b.fadingKeyValues
                && a.fixedTensors.map(\.tensor) == b.fixedTensors.map(\.tensor)
                && maximumDifference(a.scan?.logDecay ?? [], b.scan?.logDecay ?? []) < 1e-12
                && maximumDifference(a.kalmaNet?.logDecay ?? [], b.kalmaNet?.logDecay ?? []) < 1e-12
        }
    }

    @Test func aWindowOverEverythingIsPlainAttention() throws {
        let dense = configuration([.attention, .attention])
        let checkpoint = try RandomCheckpoint(dense)
        let expected = try logits(HybridModel<Double>(checkpoint, configuration: dense))
        var renamed = checkpoint
        for name in checkpoint.names {
            renamed.rename(name, to: name.replacingOccurrences(of: ".self_attn.", with: ".swa."))
        }
        let wide = configuration([.slidingWindowAttention, .slidingWindowAttention], window: tokens.count)
        #expect(try logits(HybridModel<Double>(renamed, configuration: wide)) == expected)
        let narrow = configuration([.slidingWindowAttention, .slidingWindowAttention], window: tokens.count - 1)
        let other = try logits(HybridModel<Double>(renamed, configuration: narrow))
        #expect(other.prefix(28 * 40) == expected.prefix(28 * 40) && other != expected, "only the last token sees less")
        // The same tensors under attention's own name, as converted checkpoints have them.
        #expect(try logits(HybridModel<Double>(checkpoint, configuration: wide)) == expected)

        for mixer in [LayerKind.mamba2, .gatedDeltaNet, .gatedKalmaNet] {
            let fading = configuration([.bmojo, .bmojo], window: tokens.count, mixer: mixer)
            var merged = try RandomCheckpoint(fading)
            for name in checkpoint.names {
                let info = try checkpoint.info(name)
                let elements: Tensor<Float> = try checkpoint.tensor(name)
                merged.set(
                    name.replacingOccurrences(of: ".self_attn.", with: ".bmojo_f.bmojo_attn."), info.shape,
                    elements.elements)
            }
            // The mixer has no influence before the window is full.
            #expect(try logits(HybridModel<Double>(merged, configuration: fading)) == expected, "\(mixer)")
        }
    }

    /// One layer evaluated from its definition: all scores, one exponential each, no cache and no
    /// shared code beyond the projections.
    @Test func fadingAttentionIsItsDefinition() throws {
        for (mixer, tied) in [(LayerKind.mamba2, true), (.gatedDeltaNet, false), (.gatedKalmaNet, true)] {
            let configuration = configuration([.bmojo], window: 4, mixer: mixer, tied: tied)
            let model = try model(configuration, seed: 5)
            guard case .bmojo(let layer) = model.layers[0].mixer else {
                Issue.record("no B'MOJO-F layer")
                return
            }
            var source = RandomSource(seed: 8)
            let u = Tensor<Double>(repeating: 0, shape: [19, 20]).map { _ in source.normal() }
            var cache = LayerCache<Double>(.bmojo, configuration)
            let got = try layer.extend(u, rotation: model.rope.table(positions: 0..<19), cache: &cache)
            let expected = try quadratic(layer, u, configuration)
            let error = maximumDifference(got.elements, expected.elements)
            #expect(error < 1e-13, "\(mixer): \(error)")
        }
    }

    private func quadratic(
        _ layer: BMojo<Double>, _ u: Tensor<Double>, _ configuration: HybridConfiguration
    ) throws -> Tensor<Double> {
        let (length, width, window) = (u.shape[0], configuration.headDim, configuration.bmojo.window)
        var cache = LayerCache<Double>(.bmojo, configuration)
        let still = RotaryEmbedding<Double>.zero(width, length)
        let f: Tensor<Double> =
            switch layer.mixer {
            case .mamba2(let mixer): try mixer.extend(u, rotation: still, cache: &cache.scan!)
            case .gatedDeltaNet(let mixer): mixer.extend(u, cache: &cache.deltaNet!)
            case .gatedKalmaNet(let mixer): mixer.extend(u, cache: &cache.kalmaNet!)
            }
        /// Head `head` of a row, normalised and turned by its own position, pair by pair.
        func vector(
            _ linear: Linear<Double>, _ norm: RMSNorm<Double>?, _ x: Tensor<Double>, _ t: Int, _ head: Int
        ) -> [Double] {
            var v = (0..<width).map { i in
                (0..<x.shape[1]).reduce(0.0) { $0 + linear.weight[head * width + i, $1] * x[t, $1] }
            }
            guard let norm else { return v }
            let size = (v.reduce(0) { $0 + $1 * $1 } / Double(width) + 1e-6).squareRoot()
            for i in 0..<width { v[i] = v[i] / size * norm.weight[i] }
            for i in 0..<width / 2 {
                let angle = Double(t) * Double.pow(100, -Double(2 * i) / Double(width))
                let (a, b) = (v[i], v[i + width / 2])
                v[i] = a * Double.cos(angle) - b * Double.sin(angle)
                v[i + width / 2] = b * Double.cos(angle) + a * Double.sin(angle)
            }
            return v
        }
        var attended = Tensor<Double>(repeating: 0, shape: [length, 4 * width])
        for t in 0..<length {
            for head in 0..<4 {
                var (numerator, denominator) = ([Double](repeating: 0, count: width), 0.0)
                func see(_ attention: Attention<Double>, _ x: Tensor<Double>, _ s: Int) {
                    let q = vector(attention.query, attention.queryNorm, u, t, head)
                    let k = vector(attention.key, attention.keyNorm, x, s, head / 2)
                    let v = vector(attention.value, nil, x, s, head / 2)
                    let weight = Double.exp(zip(q, k).reduce(0) { $0 + $1.0 * $1.1 } / Double(width).squareRoot())
                    for i in 0..<width { numerator[i] += weight * v[i] }
                    denominator += weight
                }
                for s in max(0, t - window + 1)...t { see(layer.attention, u, s) }
                for s in 0..<length where s > t - 2 * window && s <= t - window { see(layer.fadingAttention, f, s) }
                for i in 0..<width { attended[t, head * width + i] = numerator[i] / denominator }
            }
        }
        return layer.attention.output(attended)
    }

    private func logits(_ model: HybridModel<Double>) throws -> [Double] {
        var cache = model.makeCache()
        return try model.extend(&cache, by: tokens).elements
    }

    @Test func memoriesOfEveryKindSurviveTheDisk() throws {
        let directory = try Fixtures.temporaryDirectory()
        for (name, configuration) in Self.kinds {
            let model = try model(configuration)
            var cache = model.makeCache()
            cache.trackTransitions()
            _ = try model.extend(&cache, by: tokens, logits: .none)
            let path = directory.appendingPathComponent("cache.safetensors").path
            try cache.write(to: path)
            #expect(try HybridCache<Double>(path: path, configuration: configuration) == cache, "\(name)")
            // Logs of decays and transitions are kept beside what a model needs.
            let size = configuration.cacheSize(tokens: tokens.count)
            let numbers = size.keysAndValues + size.state + size.convolutionWindow
            var plain = model.makeCache()
            _ = try model.extend(&plain, by: tokens, logits: .none)
            let logs = plain.layers.reduce(0) {
                $0 + ($1.scan?.logDecay.count ?? 0) + ($1.kalmaNet?.logDecay.count ?? 0)
            }
            #expect(plain.byteCount == 8 * (numbers + logs), "\(name): what the configuration promises")
        }
    }

    @Test func fewerIterationsAndTheDirectSolutionAreOneCallAway() throws {
        var model = try model(configuration([.gatedKalmaNet]))
        let twelve = try logits(model)
        try model.useSolver(.chebyshev(iterations: 400))
        let many = try logits(model)
        try model.useSolver(.cholesky)
        let exact = try logits(model)
        #expect(relativeL2(many, exact) < 1e-11 && relativeL2(twelve, exact) > 1e-6)
        #expect(throws: InputError.self) { try model.useSolver(.chebyshev(iterations: -1)) }
        #expect(throws: InputError.self) { try model.useRecurrenceForm(.chunked(size: 0)) }
    }
}

extension RotaryEmbedding<Double> {
    /// A table that turns nothing.
    fileprivate static func zero(_ width: Int, _ length: Int) -> RotaryTable<Double> {
        RotaryTable(
            cosines: Tensor(repeating: 1, shape: [length, width / 2]),
            sines: Tensor(repeating: 0, shape: [length, width / 2]))
    }
}
