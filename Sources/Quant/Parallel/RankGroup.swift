//  Rank 0 and those that follow it.
//
//      rank 0      announces a step (which sequences are extended by which tokens), then computes its part of it
//      others      wait for a step, compute their part, wait for the next
//
//  A cache is a value, and on rank 0 its copies come and go wherever its user keeps them. The other
//  ranks hold their part of it under a number: every step says which number a sequence has before
//  and after it, and whether somebody still has the one before. So a copy is a snapshot on all
//  ranks, and an assignment a rollback, without a word to the others.
//
//  Between steps ranks let each other know that they are there, so that one which is lost is missed
//  while nobody has work, too.

import DualityCore
import Foundation
import Synchronization

/// The connection of a model's rank to the others, and the numbers of caches.
final class RankGroup: Sendable {
    let exchange: any RankExchange
    /// Held by rank 0 for the length of a step: servers and benchmarks extend from several threads.
    private let turn = NSLock()
    private let state = Mutex(State())

    private struct State {
        var lastNumber: Int64 = 0
        /// Numbers that nobody on rank 0 has any more.
        var dropped: [Int64] = []
        /// A rank whose numbers were not those of rank 0.
        var divergent: Int?
        var isOver = false
    }

    init(_ exchange: any RankExchange) {
        self.exchange = exchange
        guard exchange.rank == 0, let interval = exchange.pulseInterval else { return }
        let thread = Thread { [weak self] in
            repeat { Thread.sleep(forTimeInterval: interval) } while self?.pulse() ?? false
        }
        thread.name = "duality ranks"
        thread.start()
    }

    /// Returns whether there may be another.
    private func pulse() -> Bool {
        // Whoever has the turn is heard anyway.
        guard turn.try() else { return true }
        defer { turn.unlock() }
        if isOver { return false }
        exchange.pulse()
        return true
    }

    var isFirst: Bool { exchange.rank == 0 }

    func withTurn<Result>(_ body: () throws -> Result) rethrows -> Result {
        turn.lock()
        defer { turn.unlock() }
        return try body()
    }

    func drop(_ number: Int64) { state.withLock { $0.dropped.append(number) } }

    /// Tells the others what comes and gives the caches their new numbers.
    func announce(_ caches: inout [QuantCache], _ tokens: [[Int]], _ wanted: [Int], rowsTogether: Int)
        throws(InputError)
    {
        guard !isOver else {
            throw InputError(
                .value, in: "ranks of the model", expected: "ranks that wait for work", found: "ranks that have ended",
                remedy: "Load the model again.")
        }
        for cache in caches where cache.mirror == nil && cache.tokenCount > 0 {
            throw InputError(
                .unsupported, in: "cache", expected: "one that the ranks of this model have made together",
                found: "one that was read or composed", remedy: "Read the tokens instead, or use one rank.")
        }
        var sequences: [RankStep.Sequence] = []
        for i in caches.indices {
            let isShared = caches[i].mirror != nil && !isKnownUniquelyReferenced(&caches[i].mirror)
            let number = state.withLock {
                $0.lastNumber += 1
                return $0.lastNumber
            }
            sequences.append(
                RankStep.Sequence(
                    source: caches[i].mirror?.number ?? 0, isKept: isShared, target: number,
                    position: caches[i].tokenCount, wanted: wanted[i], tokens: tokens[i]))
            caches[i].mirror = CacheMirror(number, self)
        }
        // After the sources have been named: those that were moved are gone on the other ranks too.
        let dropped = state.withLock { state in
            defer { state.dropped = [] }
            return state.dropped
        }
        exchange.enter(.step)
        _ = exchange.fromFirst(RankStep.extend(sequences, dropped: dropped, rowsTogether: rowsTogether).bytes)
    }

    /// Ends the others' waiting; further steps are refused.
    func end() {
        withTurn {
            let isFirstEnd = state.withLock { state in
                defer { state.isOver = true }
                return !state.isOver
            }
            if isFirst, isFirstEnd { _ = exchange.fromFirst(RankStep.end.bytes) }
        }
    }

    var isOver: Bool { state.withLock { $0.isOver } }

    func diverged(_ rank: Int) { state.withLock { $0.divergent = $0.divergent ?? rank } }

    var divergentRank: Int? { state.withLock { $0.divergent } }
}

/// The other ranks' parts of a cache, by number; copies of the cache share it.
final class CacheMirror: Sendable {
    let number: Int64
    private let group: RankGroup

    init(_ number: Int64, _ group: RankGroup) {
        (self.number, self.group) = (number, group)
    }

    deinit { group.drop(number) }
}
