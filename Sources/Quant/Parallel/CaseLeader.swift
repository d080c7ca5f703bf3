//  The two sides of a campaign: rank 0, which hands out cases, and the ranks that carry them out.

import DualityCore
import Foundation

/// Rank 0.
struct CaseLeader<Item: Sendable, Value: Portable & Sendable> {
    private let exchange: (any RankExchange)?
    private let bench: CaseBench<Item, Value>
    private let isCut: @Sendable () -> Bool
    /// Of every rank; 0 until it has said how many it has.
    private var workers: [Int]
    /// The numbers of the cases that each rank has, by the turn in which they were handed out.
    private var inHand: [[Int: Int]]
    private var clocks: [WordClock]
    /// Ranks that have said their last word.
    private var gone: Set<Int> = []
    /// Results that have come before their turn.
    private var early: [Int: (number: Int, outcome: CaseOutcome<Value>)] = [:]
    private var (handed, taken) = (0, 0)

    init(
        _ exchange: (any RankExchange)?, _ bench: CaseBench<Item, Value>, workers: Int, timeout: Double,
        isCut: @escaping @Sendable () -> Bool
    ) {
        (self.exchange, self.bench, self.isCut) = (exchange, bench, isCut)
        let count = exchange?.count ?? 1
        self.workers = [workers] + Array(repeating: 0, count: count - 1)
        inHand = Array(repeating: [:], count: count)
        clocks = Array(repeating: WordClock(timeout), count: count)
    }

    mutating func run(
        _ list: CaseList, _ item: (Int) -> Item, isEnded: () -> Bool, take: (Int, Value) throws -> Void
    ) throws {
        var count = list.count
        while true {
            for (k, outcome) in bench.takeDone() { receive(k, of: 0, outcome) }
            while let (rank, bytes) = exchange?.heard() { try hear(bytes, of: rank) }
            while let (number, outcome) = early.removeValue(forKey: taken) {
                try take(number, outcome.get())
                taken += 1
            }
            if isEnded() { count = handed }
            while handed < count, let rank = rankToWork(left: count - handed) {
                let number = list.number(handed)
                inHand[rank][handed] = number
                if rank == 0 { bench.add(handed, item(number)) } else { tell(.work(handed, number: number), to: rank) }
                handed += 1
            }
            if handed == count, taken == handed { return }
            try keepInTouch()
            bench.wait(exchange == nil ? 0.1 : pauseBetweenWords)
        }
    }

    /// Lets the others say their last word; the second time, lets them end.
    func end(except lost: Int? = nil) {
        for rank in inHand.indices.dropFirst() where rank != lost { tell(.over, to: rank) }
    }

    private func tell(_ word: CaseWord<Value>, to rank: Int) { exchange?.tell(word.portableBytes, to: rank) }

    private mutating func receive(_ k: Int, of rank: Int, _ outcome: CaseOutcome<Value>) {
        guard let number = inHand[rank].removeValue(forKey: k) else { return }
        early[k] = (number, outcome)
    }

    private mutating func hear(_ bytes: [UInt8], of rank: Int) throws(InputError) {
        clocks[rank].hear()
        switch try CaseWord<Value>(portableBytes: bytes) {
        case .here(let count): workers[rank] = max(count, 1)
        case .result(let k, let outcome): receive(k, of: rank, outcome)
        case .gone: gone.insert(rank)
        case .alive, .work, .over: break
        }
    }

    /// Hears the others out, since a word that nobody hears would be left over.
    mutating func hearTheLast() throws {
        while gone.count < inHand.count - 1 {
            while let (rank, bytes) = exchange?.heard() { try hear(bytes, of: rank) }
            for rank in inHand.indices.dropFirst() where !gone.contains(rank) && clocks[rank].isLost {
                throw broken(rank)
            }
            if isCut() { throw broken(nil) }
            bench.wait(pauseBetweenWords)
        }
    }

    /// The rank that has least to do for its workers, where one may have another case: one for each
    /// worker, and one to follow while there are more than everybody needs for the next two.
    private func rankToWork(left: Int) -> Int? {
        let spare = left > 2 * workers.reduce(0, +) ? 1 : 0
        return inHand.indices.filter { workers[$0] > 0 && inHand[$0].count < workers[$0] + spare }
            .min { inHand[$0].count - workers[$0] < inHand[$1].count - workers[$1] }
    }

    private mutating func keepInTouch() throws(BrokenCampaign) {
        if isCut() { throw broken(nil) }
        for rank in inHand.indices.dropFirst() {
            if clocks[rank].isToSpeak() { tell(.alive, to: rank) }
            if clocks[rank].isLost { throw broken(rank) }
        }
    }

    private func broken(_ lost: Int?) -> BrokenCampaign {
        let numbers = inHand.map { cases in cases.sorted { $0.key < $1.key }.map(\.value) }
        return BrokenCampaign(lost: lost, done: taken, underWay: numbers)
    }
}

/// A rank beyond 0.
struct CaseFollower<Item: Sendable, Value: Portable & Sendable> {
    private let exchange: any RankExchange
    private let bench: CaseBench<Item, Value>
    private var clock: WordClock
    /// Whether it has said its last word.
    private var isGone = false

    init(_ exchange: any RankExchange, _ bench: CaseBench<Item, Value>, timeout: Double) {
        (self.exchange, self.bench) = (exchange, bench)
        clock = WordClock(timeout)
    }

    mutating func run(workers: Int, _ item: (Int) -> Item) throws {
        tell(.here(workers: workers))
        while true {
            for (k, outcome) in bench.takeDone() { tell(.result(k, outcome)) }
            while let (_, bytes) = exchange.heard() {
                clock.hear()
                switch try CaseWord<Value>(portableBytes: bytes) {
                case .work(let k, let number): bench.add(k, item(number))
                case .over where isGone: return
                case .over:
                    isGone = true
                    tell(.gone)
                case .alive, .here, .result, .gone: break
                }
            }
            if !isGone, clock.isToSpeak() { tell(.alive) }
            if clock.isLost { throw BrokenCampaign(lost: 0, done: 0, underWay: []) }
            bench.wait(pauseBetweenWords)
        }
    }

    private func tell(_ word: CaseWord<Value>) { exchange.tell(word.portableBytes, to: 0) }
}
