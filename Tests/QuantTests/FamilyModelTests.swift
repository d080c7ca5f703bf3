//  Every kind of layer on the fast engine: against the reference in float64, in pieces, on several
//  threads and in batches, and what it forgets.

import DualityCore
import DualityKernels
import Foundation
import TestSupport
import Testing

@testable import DualityQuant
@testable import DualityReference

@Suite struct FamilyModelTests {
    @Test(arguments: OddModel.all) func float32IsNearTheReference(odd: OddModel) throws {
        let (model, tokens) = (try odd.fast(), odd.tokens(300))
        let reference = try HybridModel<Double>(odd.checkpoint(), configuration: odd.configuration)
        let float = try HybridModel<Float>(odd.checkpoint(), configuration: odd.configuration)
        var (cache, exact, single) = (model.makeCache(), reference.makeCache(), float.makeCache())
        let expected = try reference.extend(&exact, by: tokens).elements
        let error = relativeL2(try model.extend(&cache, by: tokens).elements, expected)
        // The reference in float32 rounds as often, in another order.
        let limit = 3 * relativeL2(try float.extend(&single, by: tokens).elements, expected)
        #expect(error < limit, "\(error), limit \(limit)")
        for (i, layer) in exact.layers.enumerated() {
            for (name, tensor) in try cache.tensors(ofLayer: i) {
                let wanted = try #require(layer.named(name), "layer \(i) has no \(name)")
                #expect(tensor.shape == wanted.shape, "layer \(i), \(name)")
                let off = relativeL2(tensor.elements, wanted.elements)
                #expect(off < max(2 * limit, 1e-5), "layer \(i), \(name): off by \(off), logits may be by \(limit)")
            }
            let decays = layer.scan?.logDecay ?? layer.kalmaNet?.logDecay
            #expect(maximumDifference(try cache.logDecay(ofLayer: i) ?? [], decays ?? []) < 1e-3)
        }
    }

    @Test(arguments: OddModel.all, EnginePrecision.allCases) func piecesThreadsAndBatchesChangeNoBit(
        odd: OddModel, precision: EnginePrecision
    ) throws {
        let tokens = odd.tokens(300)
        let other = Array(tokens[100..<160].reversed())
        var random = RandomSource(seed: 3).stream("\(odd.name) \(precision)")
        var expected: Tensor<Float>?
        for threads in [1, 2, 3] {
            let model = try odd.fast(precision, threads: threads)
            for longest in [300, 80, 6] {
                let whole = longest == 300
                let pieces = whole ? [0..<300] : randomPieces(of: 300, upTo: longest, &random)
                // The second sequence is there from the third piece on.
                var (caches, elements, read) = ([model.makeCache(), model.makeCache()], [Float](), 0)
                for (i, piece) in pieces.enumerated() {
                    let part = Array(tokens[piece])
                    if i < 2 || read >= other.count {
                        elements += try model.extend(&caches[0], by: part).elements
                    } else {
                        let next = Array(other[read..<min(read + 1 + i % 9, other.count)])
                        elements += try model.extend(&caches, by: [part, next])[0].elements
                        read += next.count
                    }
                }
                if let expected {
                    let off = zip(elements, expected.elements).enumerated().first { $1.0.bitPattern != $1.1.bitPattern }
                    #expect(
                        off == nil, "\(threads) threads, pieces up to \(longest): token \((off?.offset ?? 0) / 40)")
                } else {
                    expected = try Tensor(shape: [300, 40], elements: elements)
                }
            }
        }
    }

    /// Tokens of a sequence whose window reaches back to its beginning see plain attention.
    @Test func aFadingLayerWithAWideWindowIsPlainAttention() throws {
        for mixer in [LayerKind.mamba2, .gatedDeltaNet, .gatedKalmaNet] {
            let fading = OddModel("BMF", [.bmojo], window: 200) { $0.bmojo.mixer = mixer }
            let dense = OddModel("dense", [.attention])
            let source = try fading.checkpoint()
            var checkpoint = try dense.checkpoint()
            for name in checkpoint.names {
                let theirs = name.replacingOccurrences(of: ".self_attn.", with: ".bmojo_f.bmojo_attn.")
                let tensor = try source.tensor(theirs, as: Float.self)
                checkpoint.set(name, tensor.shape, tensor.elements)
            }
            let plain = try QuantModel(
                checkpoint, configuration: dense.configuration, options: QuantOptions(.f32))
            let model = try fading.fast()
            var (a, b) = (model.makeCache(), plain.makeCache())
            #expect(
                try model.extend(&a, by: fading.tokens(200)) == plain.extend(&b, by: fading.tokens(200)), "\(mixer)")
        }
    }

    @Test func pagesBehindAWindowAreLetGo() throws {
        let odd = OddModel("SWA", [.slidingWindowAttention], window: 100)
        let model = try odd.fast()
        var cache = model.makeCache()
        _ = try model.extend(&cache, by: odd.tokens(100), logits: .none)
        var sizes: [Int] = []
        var copies: [QuantCache] = []
        for _ in 0..<8 {
            _ = try model.extend(&cache, by: odd.tokens(130), logits: .none)
            sizes.append(cache.byteCount)
            copies.append(cache)
        }
        let page = KeyValuePages(dk_attention_shape(odd.configuration, .f32, window: 100)).pageBytes
        #expect(sizes.allSatisfy { $0 <= 3 * page }, "pages: \(sizes.map { $0 / page })")
        #expect(
            cache.byteCount
                <= MemoryNeed.cache(odd.configuration, .f32, tokens: 4000), "no more than what is foretold")
        // Copies share pages, and go on each for itself.
        let next = try model.extend(&cache, by: [7])
        #expect(try model.extend(&copies[7], by: [7]) == next)
        _ = try model.extend(&copies[6], by: odd.tokens(130), logits: .none)
        #expect(try model.extend(&copies[6], by: [7]) == next)
    }
}

extension LayerCache {
    /// The tensor that a cache's file has under this name.
    fileprivate func named(_ name: String) -> Tensor<Scalar>? {
        func stacked(_ heads: [Tensor<Scalar>]?) -> Tensor<Scalar>? {
            heads.map { heads in
                var whole = Tensor<Scalar>(repeating: 0, shape: [heads.count] + heads[0].shape)
                whole.elements = heads.flatMap(\.elements)
                return whole
            }
        }
        switch name {
        case "keys": return stacked(keyValues?.keys)
        case "values": return stacked(keyValues?.values)
        case "fading_keys": return stacked(fadingKeyValues?.keys)
        case "fading_values": return stacked(fadingKeyValues?.values)
        default: return fixedTensors.first { $0.name == name }?.tensor
        }
    }
}
