//  Layers shared out among ranks: the bits of one process, for every kind of layer, format and
//  number of ranks, and how pieces of a prompt follow each other.

import DualityCore
import Synchronization
import TestSupport
import Testing

@testable import DualityQuant

@Suite struct PipelineTests {
    @Test(arguments: OddModel.all) func everyLayerHasTheBitsOfOneProcess(odd: OddModel) throws {
        let whole = try odd.fast()
        let script = RankScript(odd.tokens(150))
        let expected = try script.logits(whole)
        for count in [2, 3] {
            #expect(try onStages(whole, count) { try script.logits($0) } == expected, "\(count) ranks")
        }
    }

    /// One rank, as many as layers or less, and more; several pieces in every stage.
    @Test(arguments: [
        PrecisionPlan(.int8, group: 0), PrecisionPlan(.int8, group: 32), PrecisionPlan(.bf16, group: 0),
        PrecisionPlan(.f32, group: 0), PrecisionPlan(.int4, group: 32),
    ]) func everyFormatHasTheBitsOfOneProcess(plan: PrecisionPlan) throws {
        let odd = OddModel.deep
        let whole = try odd.fast(plan)
        let script = RankScript(odd.tokens(450))
        let expected = try script.logits(whole)
        for (count, shares) in [(1, nil), (2, nil), (3, [1, 9, 2]), (5, nil), (8, nil), (3, [1, 1, 90])]
            as [(Int, [Int]?)]
        {
            let found = try onStages(whole, count, shares: shares) { try script.logits($0) }
            #expect(found == expected, "\(count) ranks, shares \(shares ?? [])")
        }
    }

    /// Several tiles of rows in every pass: each waits to be taken by rank 0, which has passes of
    /// its own to hand on.
    @Test func logitsOfEveryRowArriveAsTheyWouldBe() throws {
        let odd = OddModel.deep
        let whole = try odd.fast()
        let tokens = odd.tokens(1100)
        func rows(_ model: QuantModel) throws -> [Int: [UInt32]] {
            let found = Mutex<[Int: [UInt32]]>([:])
            var caches = [model.makeCache()]
            try model.extend(&caches, by: [tokens], wanting: [tokens.count]) { _, row, logits in
                let bits = logits.map(\.bitPattern)
                found.withLock { $0[row] = bits }
            }
            return found.withLock { $0 }
        }
        let expected = try rows(whole)
        #expect(expected.count == tokens.count)
        for count in [2, 3, 7] {
            #expect(try onStages(whole, count) { try rows($0) } == expected, "\(count) ranks")
        }
    }

    /// Rank 0 computes as many pieces as there are stages before it waits for any logits.
    @Test(arguments: [2, 3]) func piecesFollowEachOther(count: Int) throws {
        let odd = OddModel.deep
        let whole = try odd.fast()
        let posts = try onStages(whole, count) { model in
            var cache = model.makeCache()
            _ = try model.extend(&cache, by: odd.tokens(64 * 4 * count), logits: .all)
            return (model.ranks?.exchange as? CountedRank)?.posts ?? []
        }
        let taken = CountedRank.Handed.taken(from: count - 1)
        #expect(posts.count { $0 == .posted(to: 1) } == 4 * count && posts.count { $0 == taken } == 4 * count)
        #expect(posts.firstIndex(of: taken) == count)
    }

    @Test func aStagesCacheHasItsLayersOnly() throws {
        let odd = OddModel.deep
        let whole = try odd.fast()
        var cache = whole.makeCache()
        _ = try whole.extend(&cache, by: odd.tokens(70), logits: .none)
        try onStages(whole, 2) { model in
            var own = model.makeCache()
            _ = try model.extend(&own, by: odd.tokens(70), logits: .none)
            let layers = try #require(model.stage?.layers)
            #expect(!layers.isEmpty && layers.count < whole.layers.count)
            for i in whole.layers.indices {
                let (own, expected) = (own.layers[i], cache.layers[i])
                #expect(own.byteCount == (layers.contains(i) ? expected.byteCount : 0), "layer \(i)")
                if layers.contains(i), let scan = own.scan, let other = expected.scan {
                    #expect(scan.bytes.elementsEqual(other.bytes))
                }
            }
        }
    }

    @Test func layersAreSharedOutByTheirBytes() {
        func ranges(_ bytes: [Int], _ shares: [Int]) -> [Range<Int>] {
            PipelineStage(rank: 0, layerBytes: bytes, shares: shares).ranges
        }
        #expect(ranges([1, 1, 1, 1], [1, 1]) == [0..<2, 2..<4])
        #expect(ranges([1, 1, 1, 1], [1, 3]) == [0..<1, 1..<4])
        #expect(ranges([3, 1, 1, 1], [1, 1]) == [0..<1, 1..<4])
        #expect(ranges([5], [1, 1, 1]) == [0..<0, 0..<1, 1..<1])
        #expect(ranges([], [1, 1]) == [0..<0, 0..<0])
        // Bytes of which a product with the shares is beyond 64 bits.
        #expect(ranges([1 << 50, 1 << 50], [1_000_000, 1_000_000]) == [0..<1, 1..<2])
        for count in 1...9 {
            for layers in 1...12 {
                let parts = ranges(Array(repeating: 7, count: layers), Array(repeating: 1, count: count))
                #expect(parts.flatMap(Array.init) == Array(0..<layers))
                #expect(
                    parts.allSatisfy { $0.count <= (layers + count - 1) / count }, "\(layers) on \(count): \(parts)")
            }
        }
    }

    /// Ranks without layers are left out, wherever they are.
    @Test func stagesAreTheRanksWithLayers() {
        func stages(_ bytes: [Int], _ count: Int) -> [PipelineStage] {
            (0..<count).map {
                PipelineStage(rank: $0, layerBytes: bytes, shares: Array(repeating: 1, count: count))
            }
        }
        let few = stages([5, 5], 5)
        #expect(few[0].text == "layers none, 0, none, 1, none")
        #expect(
            few.map(\.isFirst) == [false, true, false, false, false] && few.map(\.next) == [nil, 3, nil, nil, nil])
        #expect(
            few.map(\.isLast) == [false, false, false, true, false] && few.map(\.previous) == [nil, nil, nil, 1, nil])
        #expect(few.map(\.delay) == [2, 0, 0, 0, 0])
        #expect(stages([5], 1).map(\.delay) == [0])
        // Nothing to share out: rank 0 has embedding and head.
        #expect(stages([], 2).map(\.takesPart) == [true, false] && stages([], 2)[0].isLast)
    }

    @Test(arguments: [(1, 3, 64), (700, 1, 512), (700, 2, 128), (4096, 2, 512), (512, 2, 64), (1 << 40, 5, 512)])
    func aPromptIsCutIntoPieces(tokens: Int, stages: Int, rows: Int) {
        #expect(PipelineStage.rows(of: tokens, stages: stages) == rows)
    }

    /// A bit that turns on the way from any stage is noticed, and whose rows it was in.
    @Test(arguments: 0..<3) func rowsThatArriveOtherwiseAreNoticed(bent: Int) throws {
        let whole = try OddModel.deep.fast()
        let error = try ThreadRanks.run(3) { exchange in
            let model = try whole.cut(CountedRank(exchange, bends: bent == 0), stages: 3)
            defer { model.endRanks() }
            return #expect(throws: InputError.self) {
                var cache = model.makeCache()
                _ = try model.extend(&cache, by: [1, 2, 3], logits: .last)
            }
        } other: { exchange in
            try? whole.cut(CountedRank(exchange, bends: bent == exchange.rank), stages: 3).follow()
        }
        #expect(error?.place == "rank \(bent)")
    }

    @Test func otherNumbersOfSharesAreRefused() throws {
        let whole = try OddModel.deep.fast()
        let error = #expect(throws: InputError.self) {
            try whole.cut(ThreadRanks(count: 2)[0], stages: 2, shares: [1, 2, 3])
        }
        #expect(error?.kind == .shape)
    }
}

/// Runs `body` with rank 0's layers of a model, the other ranks following.
///
/// - Parameter stages: nil for as many as ranks.
@discardableResult
func onStages<Result>(
    _ whole: QuantModel, _ count: Int, stages: Int? = nil, shares: [Int]? = nil, wire: RankWire = RankWire(.int8),
    _ body: (QuantModel) throws -> Result
) throws -> Result {
    try ThreadRanks.run(count) { exchange in
        let model = try whole.on(ThreadPool(threads: 1)).cut(
            CountedRank(exchange), stages: stages ?? exchange.count, shares: shares, wire: wire)
        defer { model.endRanks() }
        return try body(model)
    } other: { exchange in
        do {
            try whole.on(ThreadPool(threads: 2)).cut(
                exchange, stages: stages ?? exchange.count, shares: shares, wire: wire
            ).follow()
        } catch {
            Issue.record(error)
        }
    }
}

extension OddModel {
    /// A layer of every kind.
    static let deep = OddModel(
        "deep", [.mamba2, .attention, .gatedDeltaNet, .slidingWindowAttention, .gatedKalmaNet, .bmojo])
}
