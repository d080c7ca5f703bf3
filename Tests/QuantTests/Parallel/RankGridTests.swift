//  Ranges of layers that several ranks each compute by rows: the bits of one process, and whose
//  fault it is where they are not.

import DualityCore
import Synchronization
import TestSupport
import Testing

@testable import DualityQuant

@Suite struct RankGridTests {
    @Test(arguments: OddModel.all) func everyLayerHasTheBitsOfOneProcess(odd: OddModel) throws {
        let whole = try odd.fast()
        let script = RankScript(odd.tokens(150))
        let expected = try script.logits(whole)
        #expect(try onStages(whole, 4, stages: 2) { try script.logits($0) } == expected)
    }

    /// Stages of two and three ranks, uneven shares, more stages than layers, bytes and rows of the
    /// stream where products read bytes.
    @Test(arguments: [PrecisionPlan(.int8, group: 0), PrecisionPlan(.int8, group: 32), PrecisionPlan(.bf16, group: 0)])
    func everyFormatHasTheBitsOfOneProcess(plan: PrecisionPlan) throws {
        let odd = OddModel.deep
        let whole = try odd.fast(plan)
        let script = RankScript(odd.tokens(200))
        let expected = try script.logits(whole)
        let cuts: [(ranks: Int, stages: Int, shares: [Int]?)] = [
            (4, 2, [5, 3, 1, 2]), (6, 3, nil), (6, 2, nil), (16, 8, nil), (4, 2, [1, 1, 90, 90]),
        ]
        for cut in cuts {
            for form in [RankWire.Form.float32, .int8] {
                let found = try onStages(
                    whole, cut.ranks, stages: cut.stages, shares: cut.shares, wire: RankWire(form)
                ) { try script.logits($0) }
                #expect(found == expected, "\(cut), \(form) on the wire")
            }
        }
    }

    /// Every rank hands on its own rows, of which it has none where ranks are more than rows.
    @Test(arguments: [PrecisionPlan(.int8, group: 0), PrecisionPlan(.f32, group: 0)])
    func aDividedStreamHasTheBitsOfOneProcess(plan: PrecisionPlan) throws {
        let odd = OddModel.deep
        let whole = try odd.fast(plan)
        let script = RankScript(odd.tokens(150))
        let expected = try script.logits(whole)
        for dividesStream in [true, false] {
            var wire = RankWire(.int8)
            wire.dividesStream = dividesStream
            for (ranks, stages) in [(4, 2), (6, 2), (9, 3)] {
                let found = try onStages(whole, ranks, stages: stages, wire: wire) { try script.logits($0) }
                #expect(found == expected, "\(ranks) ranks, \(stages) stages, divided: \(dividesStream)")
            }
        }
    }

    /// What one rank makes of a network all do, in other stages too: their messages depend on it.
    @Test func aMeasuredNetworkIsThatOfAllStages() throws {
        let odd = OddModel.deep
        let whole = try odd.fast(PrecisionPlan(.int8, group: 0))
        let script = RankScript(odd.tokens(150))
        let expected = try script.logits(whole)
        let found = Mutex<[String]>([])
        @Sendable func part(_ exchange: any RankExchange) throws -> QuantModel {
            let wire = try RankWire(.auto, on: exchange, among: exchange.parts(ofStages: 2))
            found.withLock { $0.append(wire.measured.map { "\($0)" } ?? "nothing") }
            return try whole.cut(exchange, stages: 2, wire: wire)
        }
        let logits = try ThreadRanks.run(4) { exchange in
            let model = try part(exchange)
            defer { model.endRanks() }
            return try script.logits(model)
        } other: { exchange in
            do { try part(exchange).follow() } catch { Issue.record(error) }
        }
        #expect(logits == expected)
        #expect(found.withLock { Set($0).count == 1 && $0.count == 4 && $0[0] != "nothing" })
    }

    @Test func aRanksCacheHasItsHeadsOfItsLayersOnly() throws {
        let odd = OddModel("M2", [.attention, .attention])
        let whole = try odd.fast()
        var cache = whole.makeCache()
        _ = try whole.extend(&cache, by: odd.tokens(70), logits: .none)
        let keys = try #require(try cache.keysAndValues(ofLayer: 0)).keys.elements
        try onStages(whole, 4, stages: 2) { model in
            var cache = model.makeCache()
            _ = try model.extend(&cache, by: odd.tokens(70), logits: .none)
            #expect(try cache.keysAndValues(ofLayer: 0)?.keys.elements == Array(keys.prefix(keys.count / 2)))
            #expect(cache.layers[1].byteCount == 0 && cache.layers[0].byteCount > 0)
        }
    }

    /// A rank that has another embedding than the first of its stage, or whose rows do not arrive
    /// as it has sent them: named, be it in the first stage or the last.
    @Test(arguments: [(1, true), (2, true), (3, true), (1, false), (5, false)])
    func theRankThatComputesOtherNumbersIsNamed(odd: Int, bends: Bool) throws {
        let whole = try OddModel.deep.fast()
        let other = try QuantModel(
            OddModel.deep.checkpoint(seed: 2), configuration: OddModel.deep.configuration, options: QuantOptions(.f32))
        // Nobody hands on the rows of the last stage.
        @Sendable func part(_ exchange: any RankExchange) throws -> QuantModel {
            let isOdd = exchange.rank == odd
            if bends { return try whole.cut(CountedRank(exchange, bends: isOdd), stages: 3) }
            return try (isOdd ? other : whole).cut(exchange, stages: 3)
        }
        let error = try ThreadRanks.run(6) { exchange in
            let model = try part(exchange)
            defer { model.endRanks() }
            return #expect(throws: InputError.self) {
                var cache = model.makeCache()
                _ = try model.extend(&cache, by: [1, 2, 3], logits: .last)
            }
        } other: { exchange in
            try? part(exchange).follow()
        }
        #expect(error?.place == "rank \(odd)")
    }

    @Test func ranksThatStagesCannotShareOutAreRefused() throws {
        let whole = try OddModel.deep.fast()
        let error = #expect(throws: InputError.self) { try whole.cut(ThreadRanks(count: 5)[0], stages: 2) }
        #expect(error?.kind == .shape && error?.found == "5")
    }

    /// What never comes is missed, and said.
    @Test func aRankThatWaitsInVainSaysForWhat() throws {
        func words(_ first: (any RankExchange) -> Void, other: @escaping @Sendable (any RankExchange) -> Void) -> String
        {
            let error = #expect(throws: InputError.self) {
                try ThreadRanks.run(3, patience: 0.2, first: first, other: other)
            }
            return error?.found ?? ""
        }
        let room = UnsafeMutableRawPointer.allocate(byteCount: 64, alignment: 8)
        defer { room.deallocate() }
        nonisolated(unsafe) let bytes = room
        #expect(
            words {
                $0.take(bytes, 8, from: 2)
            } other: { _ in
            } == "rank 0 of 3 still waits for rank 2, which has not posted 8 bytes")
        let gather = words {
            $0.gather(bytes, sizes: [1, 1, 1], into: bytes + 8)
        } other: { exchange in
            if exchange.rank == 1 { exchange.gather(bytes + 32, sizes: [1, 1, 1], into: bytes + 40) }
        }
        #expect(gather.hasSuffix("still waits for rank 2 in gather"))
        #expect(
            words { _ in
            } other: {
                if $0.rank == 2 { _ = $0.fromFirst([]) }
            }.contains("rank 0, rank 1 in fromFirst"))
        let posted = words { _ in
        } other: { exchange in
            guard exchange.rank == 1 else { return }
            exchange.post(bytes, 8, to: 2)
            exchange.post(bytes, 8, to: 0)
        }
        #expect(posted == "rank 1 of 3 still waits for rank 2, which has not taken what was posted")
    }
}
