//  Campaigns whose cases differ in length: rank 0 hands them out one by one, to its own workers
//  too.
//
//  A rank has a case for each of its workers, and one more while there are many left, so that none
//  of them waits for a word. Results are taken in the order in which cases were handed out, whoever
//  had them: nothing depends on how many ranks there are.

import DualityCore
import Foundation

/// Hands out cases to the workers of all ranks.
package struct CaseDesk {
    private let exchange: (any RankExchange)?
    private let workers: Int
    private let timeout: Double
    private let isCut: @Sendable () -> Bool

    /// - Parameters:
    ///   - exchange: the other ranks; nil for none.
    ///   - workers: cases that this rank works on at a time.
    ///   - timeout: seconds without a word after which a rank is taken for lost.
    ///   - isCut: whether rank 0 was told to end at once.
    package init(
        _ exchange: (any RankExchange)? = nil, workers: Int, timeout: Double = 60,
        isCut: @escaping @Sendable () -> Bool = { false }
    ) {
        // What is longer than anybody waits cannot be counted in a clock's units.
        (self.exchange, self.workers, self.timeout) = (exchange, max(workers, 1), min(timeout, 1e9))
        self.isCut = isCut
    }

    /// Carries out cases. All ranks call it, and those beyond 0 do what they are handed.
    ///
    /// - Parameters:
    ///   - list: the cases in the order in which they are handed out. On rank 0; others need none.
    ///   - item: what the number of a case stands for; called on this thread, in the order of the
    ///     cases that this rank has.
    ///   - work: done on any thread.
    ///   - isEnded: whether no more cases are to begin; asked on rank 0.
    ///   - take: what becomes of the result of a number, on rank 0, in the order of `list`.
    /// - Throws: what `work` threw of the first case that failed, `InputError` for words that
    ///   cannot be understood, `BrokenCampaign` for a rank that does not say anything.
    package func run<Item: Sendable, Value: Portable & Sendable>(
        _ list: CaseList, item: (Int) -> Item, work: @escaping @Sendable (Item) throws -> Value,
        isEnded: () -> Bool = { false }, take: (Int, Value) throws -> Void
    ) throws {
        let bench = CaseBench(workers: workers, work)
        exchange?.enter(.campaign)
        defer { exchange?.enter(.outside) }
        do {
            if let exchange, exchange.rank > 0 {
                var follower = CaseFollower(exchange, bench, timeout: timeout)
                try follower.run(workers: workers, item)
            } else {
                try lead(bench, list, item, isEnded: isEnded, take: take)
            }
        } catch let broken as BrokenCampaign {
            // Who says so has no time for cases that are under way.
            bench.close(waits: false)
            throw broken
        } catch {
            bench.close()
            throw error
        }
        bench.close()
    }

    private func lead<Item: Sendable, Value: Portable & Sendable>(
        _ bench: CaseBench<Item, Value>, _ list: CaseList, _ item: (Int) -> Item, isEnded: () -> Bool,
        take: (Int, Value) throws -> Void
    ) throws {
        var leader = CaseLeader(exchange, bench, workers: workers, timeout: timeout, isCut: isCut)
        do {
            try leader.run(list, item, isEnded: isEnded, take: take)
        } catch {
            // Nobody is left waiting for more, and nobody waits for who has fallen silent.
            for _ in 0..<2 { leader.end(except: (error as? BrokenCampaign)?.lost) }
            throw error
        }
        leader.end()
        try leader.hearTheLast()
        leader.end()
    }
}

/// Cases by their numbers.
package struct CaseList: Sendable {
    /// How many; `Int.max` for no end.
    let count: Int
    let number: @Sendable (Int) -> Int

    /// The first `count` numbers; all where that is nil.
    package init(first count: Int?) { (self.count, number) = (count ?? .max, { $0 }) }

    package init(_ numbers: [Int]) { (count, number) = (numbers.count, { numbers[$0] }) }
}

/// A campaign that cannot go on.
package struct BrokenCampaign: Error, Equatable {
    /// The rank that has not said a word for too long; nil where this rank was told to end.
    package let lost: Int?
    /// How many results have been taken.
    package let done: Int
    /// The numbers of the cases that each rank has been handed; empty beyond rank 0.
    package let underWay: [[Int]]
}

/// How long ago the other side of a conversation said something, and this one.
struct WordClock {
    private let timeout: Double
    private var heard = ContinuousClock.now
    private var said = ContinuousClock.now

    init(_ timeout: Double) { self.timeout = timeout }

    mutating func hear() { heard = .now }

    /// Whether it is time for a word.
    mutating func isToSpeak() -> Bool {
        guard ContinuousClock.now - said > .seconds(min(5, timeout / 4)) else { return false }
        said = .now
        return true
    }

    var isLost: Bool { ContinuousClock.now - heard > .seconds(timeout) }
}

/// Seconds until words are looked for again; a worker that is done is noticed at once.
let pauseBetweenWords = 0.001
