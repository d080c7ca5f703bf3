//  Every kind of layer on the fast engine: against the reference in float64, in pieces, on several
//  threads and in batches, and what it forgets.

import DualityCore
import DualityKernels
import DualityReference
import TestSupport
import Testing

@testable import DualityQuant

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
