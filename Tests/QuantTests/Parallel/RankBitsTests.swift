//  The same bits on any number of ranks, for every kind of layer, format and cut.

import DualityCore
import TestSupport
import Testing

@testable import DualityQuant

@Suite struct RankBitsTests {
    /// More ranks than key/value heads (2) and heads (4), and ranks that have no panel of a matrix.
    private static let counts = [1, 2, 3, 5, 8]

    @Test(arguments: OddModel.all) func everyLayerHasTheBitsOfOneRank(odd: OddModel) throws {
        let whole = try odd.fast()
        let expected = try RankScript(odd.tokens(150)).logits(whole)
        for count in Self.counts {
            let found = try onRanks(whole, count) { try RankScript(odd.tokens(150)).logits($0) }
            #expect(found == expected, "\(count) ranks")
        }
    }

    /// Heads of 32 and more, panels that no head ends in, biases; in every format.
    @Test(arguments: [EnginePrecision.int8, .bf16, .f32, .int4]) func everyFormatHasTheBitsOfOneRank(
        precision: EnginePrecision
    ) throws {
        let odd = OddModel.wide
        let whole = try odd.fast(precision)
        let script = RankScript(odd.tokens(90))
        let expected = try script.logits(whole)
        for (count, shares) in [(2, nil), (3, nil), (2, [5, 3]), (3, [1, 6, 2])] as [(Int, [Int]?)] {
            let found = try onRanks(whole, count, shares: shares) { try script.logits($0) }
            #expect(found == expected, "\(count) ranks, shares \(shares ?? [])")
        }
    }

    @Test func aRanksCacheHasItsHeadsOnly() throws {
        let odd = OddModel("M2", [.attention, .mamba2])
        let whole = try odd.fast()
        var cache = whole.makeCache()
        _ = try whole.extend(&cache, by: odd.tokens(70), logits: .none)
        let (keys, values) = try #require(try cache.keysAndValues(ofLayer: 0))
        let state = try #require(try cache.state(ofLayer: 1))
        try onRanks(whole, 2) { model in
            var cache = model.makeCache()
            _ = try model.extend(&cache, by: odd.tokens(70), logits: .none)
            let own = try #require(try cache.keysAndValues(ofLayer: 0))
            #expect(own.keys.elements == Array(keys.elements.prefix(keys.elements.count / 2)))
            #expect(own.values.elements == Array(values.elements.prefix(values.elements.count / 2)))
            let ownState = try #require(try cache.state(ofLayer: 1))
            #expect(ownState.elements == Array(state.elements.prefix(state.elements.count / 2)))
        }
    }

    @Test func ranksThatComputeOtherNumbersAreNoticed() throws {
        let odd = OddModel("M2", [.mamba2])
        let whole = try odd.fast()
        let other = try QuantModel(
            odd.checkpoint(seed: 2), configuration: odd.configuration, options: QuantOptions(.f32))
        let error = try ThreadRanks.run(3) { exchange in
            let model = try whole.cut(exchange)
            defer { model.endRanks() }
            return #expect(throws: InputError.self) {
                var cache = model.makeCache()
                _ = try model.extend(&cache, by: [1, 2, 3], logits: .last)
            }
        } other: { exchange in
            // Rank 2 has other weights, and an embedding of its own.
            try? (exchange.rank == 2 ? other : whole).cut(exchange).follow()
        }
        #expect(error?.place.contains("rank 2") == true)
    }
}

/// A sequence read in pieces, with a batch, a snapshot and a rollback on the way.
struct RankScript {
    let tokens: [Int]

    init(_ tokens: [Int]) { self.tokens = tokens }

    func logits(_ model: QuantModel) throws -> [UInt32] {
        var rows: [Float] = []
        var (cache, other) = (model.makeCache(), model.makeCache())
        let cuts = [0, tokens.count / 2 - 3, tokens.count / 2 - 2, tokens.count - 8]
        for (first, end) in zip(cuts, cuts.dropFirst()) {
            rows += try model.extend(&cache, by: Array(tokens[first..<end])).elements
        }
        let snapshot = cache
        _ = try model.extend(&cache, by: [3, 1, 2], logits: .none)
        cache = snapshot
        for token in tokens.suffix(8).prefix(3) {
            var caches = [cache, other]
            (cache, other) = (QuantCache.none, QuantCache.none)
            let both = try model.extend(&caches, by: [[token], [token, 5]], logits: .ending(1))
            (cache, other) = (caches[0], caches[1])
            rows += both[0].elements + both[1].elements
        }
        rows += try model.extend(&cache, by: Array(tokens.suffix(5)), logits: .last).elements
        return rows.map(\.bitPattern)
    }
}

/// Runs `body` with rank 0's part of a model, the other ranks following.
@discardableResult
func onRanks<Result>(
    _ whole: QuantModel, _ count: Int, shares: [Int]? = nil, _ body: (QuantModel) throws -> Result
) throws -> Result {
    try ThreadRanks.run(count) { exchange in
        let model = try whole.on(ThreadPool(threads: 1)).cut(exchange, shares: shares)
        defer { model.endRanks() }
        return try body(model)
    } other: { exchange in
        do {
            try whole.on(ThreadPool(threads: 2)).cut(exchange, shares: shares).follow()
        } catch {
            Issue.record(error)
        }
    }
}

extension OddModel {
    /// Heads of 40: no multiple of a panel, and cuts that go through panels.
    static let wide = OddModel("wide", [.mamba2, .attention, .gatedDeltaNet]) {
        $0.hiddenSize = 160
        $0.intermediateSize = 300
        $0.headDim = 40
        $0.headCount = 6
        $0.keyValueHeadCount = 3
        $0.vocabularySize = 300
        $0.attentionBias = true
        $0.mamba2.projectionBias = true
    }
}
