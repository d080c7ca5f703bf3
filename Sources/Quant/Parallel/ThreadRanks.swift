//  Ranks as threads of one process: the bits of several ranks without a network, for tests.
//
//  An exchange is two meetings of all ranks. Between them everyone reads what the others have laid
//  out in their own memory. A rank that waits for too long for what does not come says so; all
//  exchanges are over then, and return at once.

import DualityCore
import Foundation
import Synchronization

/// Several ranks in one process.
package final class ThreadRanks: @unchecked Sendable {
    private let count: Int
    /// How often a wait may end in vain, each time after `pause` seconds: a process that is stopped
    /// for a while has lost one of them.
    private let vainWaits: Int
    private static let pause = 0.1
    private let condition = NSCondition()
    // All guarded by `condition`, but for the bytes behind the addresses, which nobody changes
    // between two meetings.
    private var arrived: Set<Int> = []
    private var meeting = 0
    private var addresses: [UnsafeRawPointer?]
    /// What each rank deals to each, in bytes.
    private var dealt: [[Int]]
    private var message: [UInt8] = []
    /// What each rank has been told and has not heard yet.
    private var words: [[(rank: Int, bytes: [UInt8])]]
    /// What each rank has been posted and has not taken yet.
    private var posted: [[(rank: Int, bytes: [UInt8])]]
    /// Whether rank 0 has done what it was to do.
    private var hasEnded = false
    /// Neighbours that exchange parts by themselves.
    private var groups: [Range<Int>: ThreadRanks] = [:]
    /// What the first that waited in vain has waited for.
    private let stall: Stall

    /// Shared by all groups of a process.
    private final class Stall: Sendable {
        private let text = Mutex<String?>(nil)
        var found: String? { text.withLock { $0 } }
        func note(_ words: String) { text.withLock { $0 = $0 ?? words } }
    }

    /// - Parameters:
    ///   - count: R, at least 1.
    ///   - patience: seconds that a rank waits for others.
    package convenience init(count: Int, patience: Double = 60) {
        self.init(count, vainWaits: max(Int(patience / Self.pause), 1), Stall())
    }

    private init(_ count: Int, vainWaits: Int, _ stall: Stall) {
        (self.count, self.vainWaits, self.stall) = (max(count, 1), vainWaits, stall)
        addresses = Array(repeating: nil, count: self.count)
        dealt = Array(repeating: [], count: self.count)
        words = Array(repeating: [], count: self.count)
        posted = words
    }

    /// Runs `first` as rank 0 on this thread and `other` as every other rank on one of its own, and
    /// returns what `first` does when all have ended.
    ///
    /// - Throws: what `first` throws; `InputError` (`.missing`) where a rank has waited in vain.
    package static func run<Result>(
        _ count: Int, patience: Double = 60, first: (any RankExchange) throws -> Result,
        other: @escaping @Sendable (any RankExchange) -> Void
    ) throws -> Result {
        let ranks = ThreadRanks(count: count, patience: patience)
        let finished = DispatchGroup()
        for rank in 1..<max(count, 1) {
            finished.enter()
            let thread = Thread {
                other(ranks[rank])
                finished.leave()
            }
            thread.stackSize = 4 << 20
            thread.start()
        }
        let result = Swift.Result { try first(ranks[0]) }
        ranks.condition.withLock { ranks.hasEnded = true }
        finished.wait()
        // What came of it afterwards says less.
        try ranks.requireNoStall()
        return try result.get()
    }

    private func requireNoStall() throws(InputError) {
        guard let words = stall.found else { return }
        throw InputError(.missing, in: "ranks as threads", expected: "what every rank waits for", found: words)
    }

    package subscript(rank: Int) -> any RankExchange { Member(self, rank) }

    /// Waits, with `condition` held, until `isThere`; returns whether it is.
    ///
    /// - Parameter forWork: whether rank 0 may take its time, until it ends.
    private func wait(_ rank: Int, forWork: Bool = false, for what: () -> String, until isThere: () -> Bool) -> Bool {
        var vain = 0
        while !isThere() {
            if stall.found != nil { return false }
            if condition.wait(until: Date(timeIntervalSinceNow: Self.pause)) || forWork && !hasEnded { continue }
            vain += 1
            if vain >= vainWaits { stall.note("rank \(rank) of \(count) still waits for \(what())") }
        }
        return true
    }

    /// Returns whether all have come. Those who met once, so that others read their memory, meet a
    /// second time, whatever has happened elsewhere.
    private func meet(_ rank: Int, in what: String, forWork: Bool = false) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        if stall.found != nil { return false }
        let current = meeting
        return arrive(rank)
            || wait(rank, forWork: forWork, for: { missing(in: what) }, until: { meeting != current })
    }

    private func meetAgain(_ rank: Int) {
        condition.lock()
        defer { condition.unlock() }
        let current = meeting
        if arrive(rank) { return }
        while meeting == current { condition.wait() }
    }

    /// With `condition` held; returns whether this rank was the last.
    private func arrive(_ rank: Int) -> Bool {
        arrived.insert(rank)
        guard arrived.count == count else { return false }
        arrived = []
        meeting += 1
        condition.broadcast()
        return true
    }

    private func missing(in what: String) -> String {
        "\((0..<count).filter { !arrived.contains($0) }.map { "rank \($0)" }.joined(separator: ", ")) in \(what)"
    }

    /// One rank as the others see it.
    private final class Member: RankExchange {
        let rank: Int
        private let ranks: ThreadRanks

        init(_ ranks: ThreadRanks, _ rank: Int) {
            (self.ranks, self.rank) = (ranks, rank)
        }

        var count: Int { ranks.count }

        func neighbours(_ members: Range<Int>) -> any PartExchange {
            ranks.condition.withLock {
                let group =
                    ranks.groups[members]
                    ?? ThreadRanks(members.count, vainWaits: ranks.vainWaits, ranks.stall)
                ranks.groups[members] = group
                return group[rank - members.lowerBound]
            }
        }

        func gather(_ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer) {
            exchange(own, sizes, into: all, "gather", reads: true)
        }

        func toFirst(_ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer) {
            exchange(own, sizes, into: all, "toFirst", reads: rank == 0)
        }

        func deal(
            _ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer, receiving: [Int]
        ) {
            ranks.condition.withLock { (ranks.addresses[rank], ranks.dealt[rank]) = (own, sizes) }
            guard ranks.meet(rank, in: "deal") else { return }
            let (addresses, dealt) = ranks.condition.withLock { (ranks.addresses, ranks.dealt) }
            var place = all
            for (peer, size) in receiving.enumerated() {
                let first = dealt[peer][..<rank].reduce(0, +)
                precondition(dealt[peer][rank] == size, "rank \(peer) deals other sizes")
                if size > 0, let address = addresses[peer] { memcpy(place, address + first, size) }
                place += size
            }
            ranks.meetAgain(rank)
        }

        private func exchange(
            _ own: UnsafeRawPointer, _ sizes: [Int], into all: UnsafeMutableRawPointer, _ what: String, reads: Bool
        ) {
            ranks.condition.withLock { ranks.addresses[rank] = own }
            guard ranks.meet(rank, in: what) else { return }
            if reads {
                let addresses = ranks.condition.withLock { ranks.addresses }
                var place = all
                for (address, size) in zip(addresses, sizes) {
                    if size > 0, let address { memcpy(place, address, size) }
                    place += size
                }
            }
            ranks.meetAgain(rank)
        }

        func fromFirst(_ bytes: [UInt8]) -> [UInt8] {
            if rank == 0 { ranks.condition.withLock { ranks.message = bytes } }
            // Nothing that a rank 0 would say.
            guard ranks.meet(rank, in: "fromFirst", forWork: rank > 0) else { return [] }
            let message = ranks.condition.withLock { ranks.message }
            ranks.meetAgain(rank)
            return message
        }

        func post(_ bytes: UnsafeRawPointer, _ count: Int, to rank: Int) {
            let bytes = Array(UnsafeRawBufferPointer(start: bytes, count: count))
            ranks.condition.withLock {
                func untaken() -> Int? {
                    ranks.posted.firstIndex { $0.contains { $0.rank == self.rank } }
                }
                func what() -> String { "rank \(untaken() ?? rank), which has not taken what was posted" }
                guard ranks.wait(self.rank, for: what, until: { untaken() == nil }) else { return }
                ranks.posted[rank].append((self.rank, bytes))
                ranks.condition.broadcast()
            }
        }

        func take(_ bytes: UnsafeMutableRawPointer, _ count: Int, from rank: Int) {
            ranks.condition.withLock {
                func index() -> Int? { ranks.posted[self.rank].firstIndex { $0.rank == rank } }
                func what() -> String { "rank \(rank), which has not posted \(count) bytes" }
                guard ranks.wait(self.rank, for: what, until: { index() != nil }), let index = index() else { return }
                let found = ranks.posted[self.rank].remove(at: index).bytes
                ranks.condition.broadcast()
                precondition(found.count == count, "rank \(rank) posts other sizes")
                found.withUnsafeBytes {
                    UnsafeMutableRawBufferPointer(start: bytes, count: count).copyMemory(from: $0)
                }
            }
        }

        func tell(_ bytes: [UInt8], to rank: Int) {
            ranks.condition.withLock { ranks.words[rank].append((self.rank, bytes)) }
        }

        func heard() -> (rank: Int, bytes: [UInt8])? {
            ranks.condition.withLock { ranks.words[rank].isEmpty ? nil : ranks.words[rank].removeFirst() }
        }
    }
}
