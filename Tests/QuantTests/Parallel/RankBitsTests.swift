//  The same bits on any number of ranks, for every kind of layer, format and cut.

import DualityCore
import Synchronization
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

    /// Heads of 40, panels that no head ends in, biases; in every format, with shares of which some
    /// are uneven, and with bytes on the way where products read bytes.
    @Test(arguments: [
        PrecisionPlan(.int8, group: 0), PrecisionPlan(.int8, group: 32), PrecisionPlan(.int8, group: 128),
        PrecisionPlan(.bf16, group: 0), PrecisionPlan(.f32, group: 0), PrecisionPlan(.int4, group: 32),
    ]) func everyFormatHasTheBitsOfOneRank(plan: PrecisionPlan) throws {
        let odd = OddModel.wide
        let whole = try odd.fast(plan)
        let script = RankScript(odd.tokens(50))
        let expected = try script.logits(whole)
        let cuts: [(Int, [Int]?)] = [(2, nil), (2, [5, 3]), (3, [1, 6, 2])]
        for (count, shares) in cuts {
            var bytes: [RankWire.Form: Int] = [:]
            for form in [RankWire.Form.float32, .int8] {
                let found = try onRanks(whole, count, shares: shares, wire: RankWire(form)) { model in
                    let logits = try script.logits(model)
                    bytes[form] = (model.ranks?.exchange as? CountedRank)?.byteCount
                    return logits
                }
                #expect(found == expected, "\(count) ranks, shares \(shares ?? []), \(form) on the wire")
            }
            let (float, int8) = (try #require(bytes[.float32]), try #require(bytes[.int8]))
            let saves = ![.float32, .compactBFloat16].contains(plan.base)
            #expect(saves ? int8 < float : int8 == float, "\(int8) bytes, \(float) in float32")
        }
    }

    /// Rows of the stream on one rank each: with fewer rows than ranks, rows as bytes and in
    /// float32, steps and decays beside them, and mixers inside of others.
    @Test(arguments: OddModel.all + [.wide]) func aDividedStreamHasTheBitsOfOneRank(odd: OddModel) throws {
        for plan in [PrecisionPlan(.int8, group: 0), PrecisionPlan(.f32, group: 0)] {
            let whole = try odd.fast(plan)
            let script = RankScript(odd.tokens(40))
            let expected = try script.logits(whole)
            for (count, form) in [(2, RankWire.Form.float32), (5, .int8)] {
                var wire = RankWire(form)
                wire.dividesStream = true
                let found = try onRanks(whole, count, wire: wire) { try script.logits($0) }
                #expect(found == expected, "\(count) ranks, \(plan.name), \(form)")
            }
        }
    }

    @Test func passesOfManyRowsAreDividedWhereThatSaves() throws {
        let int8 = try OddModel.wide.fast(PrecisionPlan(.int8, group: 0))
        let float = try OddModel.wide.fast()
        func shares(_ model: QuantModel, _ wire: RankWire, _ rows: Int) throws -> [Range<Int>]? {
            try onRanks(model, 2, wire: wire) { $0.rowShares(rows) }
        }
        #expect(try shares(int8, RankWire(.int8), 9) == [0..<4, 4..<9])
        #expect(try shares(int8, RankWire(.int8), 7) == nil)
        #expect(try shares(int8, RankWire(.float32), 9) == nil)
        #expect(try shares(float, RankWire(.int8), 9) == nil)
        #expect(int8.rowShares(100) == nil, "a whole model")
        // 160 columns a row: 80 bytes saved of R = 2.
        let network = RankWire(start: 1e-6, bytesPerSecond: 1e9)
        #expect(try shares(int8, network, 12) == nil && shares(int8, network, 13) != nil)
    }

    @Test func aNetworkDecidesWhatIsSent() throws {
        let slow = RankWire(start: 35e-6, bytesPerSecond: 117e6)
        let fast = RankWire(start: 3e-6, bytesPerSecond: 12e9)
        for (rows, saved) in [(1, 12288), (512, 512 * 12288)] {
            #expect(slow.sendsBytes(saved: saved, added: 1))
            #expect(fast.sendsBytes(saved: saved, added: 1) == (rows > 1))
            #expect(fast.sendsBytes(saved: saved, added: 0))
        }
        // What is measured is decided alike on all ranks, and gives the same bits.
        let odd = OddModel.wide
        let whole = try odd.fast(PrecisionPlan(.int8, group: 0))
        let script = RankScript(odd.tokens(60))
        let expected = try script.logits(whole)
        let logits = try ThreadRanks.run(2) { exchange in
            let model = try whole.cut(exchange, wire: RankWire(.auto, on: exchange))
            defer { model.endRanks() }
            return try script.logits(model)
        } other: { exchange in
            do {
                try whole.cut(exchange, wire: RankWire(.auto, on: exchange)).follow()
            } catch {
                Issue.record(error)
            }
        }
        #expect(logits == expected)
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
    _ whole: QuantModel, _ count: Int, shares: [Int]? = nil, wire: RankWire = RankWire(.int8),
    _ body: (QuantModel) throws -> Result
) throws -> Result {
    try ThreadRanks.run(count) { exchange in
        let model = try whole.on(ThreadPool(threads: 1)).cut(CountedRank(exchange), shares: shares, wire: wire)
        defer { model.endRanks() }
        return try body(model)
    } other: { exchange in
        do {
            try whole.on(ThreadPool(threads: 2)).cut(exchange, shares: shares, wire: wire).follow()
        } catch {
            Issue.record(error)
        }
    }
}

/// A rank that counts the bytes it gets or gives, and remembers what it posts and takes.
final class CountedRank: RankExchange {
    private let exchange: any RankExchange
    private let bytes = Mutex(0)
    private let handed = Mutex<[Handed]>([])
    /// Whether a bit of all that it posts is turned.
    private let bends: Bool

    enum Handed: Equatable {
        case posted(to: Int)
        case taken(from: Int)
    }

    init(_ exchange: any RankExchange, bends: Bool = false) { (self.exchange, self.bends) = (exchange, bends) }

    var posts: [Handed] { handed.withLock { $0 } }

    var rank: Int { exchange.rank }
    var count: Int { exchange.count }
    var byteCount: Int { bytes.withLock { $0 } }

    func gather(_ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer) {
        bytes.withLock { $0 += sizes.reduce(0, +) }
        exchange.gather(own, sizes: sizes, into: all)
    }

    func deal(_ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer, receiving: [Int]) {
        bytes.withLock { $0 += receiving.reduce(0, +) }
        exchange.deal(own, sizes: sizes, into: all, receiving: receiving)
    }

    func toFirst(_ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer) {
        bytes.withLock { $0 += sizes.reduce(0, +) }
        exchange.toFirst(own, sizes: sizes, into: all)
    }

    func neighbours(_ ranks: Range<Int>) -> any PartExchange { exchange.neighbours(ranks) }

    func fromFirst(_ bytes: [UInt8]) -> [UInt8] { exchange.fromFirst(bytes) }

    func post(_ bytes: UnsafeRawPointer, _ count: Int, to rank: Int) {
        self.bytes.withLock { $0 += count }
        handed.withLock { $0.append(.posted(to: rank)) }
        var own = Array(UnsafeRawBufferPointer(start: bytes, count: count))
        if bends { own[count - 1] ^= 1 }
        exchange.post(own, count, to: rank)
    }

    func take(_ bytes: UnsafeMutableRawPointer, _ count: Int, from rank: Int) {
        self.bytes.withLock { $0 += count }
        handed.withLock { $0.append(.taken(from: rank)) }
        exchange.take(bytes, count, from: rank)
    }

    func tell(_ bytes: [UInt8], to rank: Int) { exchange.tell(bytes, to: rank) }

    func heard() -> (rank: Int, bytes: [UInt8])? { exchange.heard() }
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
