//  Ranks as threads of one process: the bits of several ranks without a network, for tests.
//
//  An exchange is two meetings of all ranks. Between them everyone reads what the others have laid
//  out in their own memory.

import Foundation
import Synchronization

/// Several ranks in one process.
package final class ThreadRanks: @unchecked Sendable {
    private let count: Int
    private let condition = NSCondition()
    // All guarded by `condition`, but for the bytes behind the addresses, which nobody changes
    // between two meetings.
    private var arrived = 0
    private var meeting = 0
    private var addresses: [UnsafeRawPointer?]
    /// What each rank deals to each, in bytes.
    private var dealt: [[Int]]
    private var message: [UInt8] = []
    /// What each rank has been told and has not heard yet.
    private var words: [[(rank: Int, bytes: [UInt8])]]
    /// What each rank has been posted and has not taken yet.
    private var posted: [[(rank: Int, bytes: [UInt8])]]

    /// - Parameter count: R, at least 1.
    package init(count: Int) {
        self.count = max(count, 1)
        addresses = Array(repeating: nil, count: self.count)
        dealt = Array(repeating: [], count: self.count)
        words = Array(repeating: [], count: self.count)
        posted = words
    }

    /// Runs `first` as rank 0 on this thread and `other` as every other rank on one of its own, and
    /// returns what `first` does when all have ended.
    package static func run<Result>(
        _ count: Int, first: (any RankExchange) throws -> Result,
        other: @escaping @Sendable (any RankExchange) -> Void
    ) rethrows -> Result {
        let ranks = ThreadRanks(count: count)
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
        defer { finished.wait() }
        return try first(ranks[0])
    }

    package subscript(rank: Int) -> any RankExchange { Member(self, rank) }

    private func meet() {
        condition.lock()
        defer { condition.unlock() }
        arrived += 1
        guard arrived < count else {
            arrived = 0
            meeting += 1
            return condition.broadcast()
        }
        let current = meeting
        while meeting == current { condition.wait() }
    }

    private final class Member: RankExchange {
        let rank: Int
        private let ranks: ThreadRanks

        init(_ ranks: ThreadRanks, _ rank: Int) {
            (self.ranks, self.rank) = (ranks, rank)
        }

        var count: Int { ranks.count }

        func gather(_ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer) {
            exchange(own, sizes, into: all, reads: true)
        }

        func toFirst(_ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer) {
            exchange(own, sizes, into: all, reads: rank == 0)
        }

        func deal(
            _ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer, receiving: [Int]
        ) {
            ranks.condition.withLock { (ranks.addresses[rank], ranks.dealt[rank]) = (own, sizes) }
            ranks.meet()
            let (addresses, dealt) = ranks.condition.withLock { (ranks.addresses, ranks.dealt) }
            var place = all
            for (peer, size) in receiving.enumerated() {
                let first = dealt[peer][..<rank].reduce(0, +)
                precondition(dealt[peer][rank] == size, "rank \(peer) deals other sizes")
                if size > 0, let address = addresses[peer] { memcpy(place, address + first, size) }
                place += size
            }
            ranks.meet()
        }

        private func exchange(
            _ own: UnsafeRawPointer, _ sizes: [Int], into all: UnsafeMutableRawPointer, reads: Bool
        ) {
            ranks.condition.withLock { ranks.addresses[rank] = own }
            ranks.meet()
            if reads {
                let addresses = ranks.condition.withLock { ranks.addresses }
                var place = all
                for (address, size) in zip(addresses, sizes) {
                    if size > 0, let address { memcpy(place, address, size) }
                    place += size
                }
            }
            ranks.meet()
        }

        func fromFirst(_ bytes: [UInt8]) -> [UInt8] {
            if rank == 0 { ranks.condition.withLock { ranks.message = bytes } }
            ranks.meet()
            let message = ranks.condition.withLock { ranks.message }
            ranks.meet()
            return message
        }

        func post(_ bytes: UnsafeRawPointer, _ count: Int, to rank: Int) {
            let bytes = Array(UnsafeRawBufferPointer(start: bytes, count: count))
            ranks.condition.withLock {
                while ranks.posted.contains(where: { $0.contains { $0.rank == self.rank } }) { ranks.condition.wait() }
                ranks.posted[rank].append((self.rank, bytes))
                ranks.condition.broadcast()
            }
        }

        func take(_ bytes: UnsafeMutableRawPointer, _ count: Int, from rank: Int) {
            ranks.condition.withLock {
                while true {
                    guard let index = ranks.posted[self.rank].firstIndex(where: { $0.rank == rank }) else {
                        ranks.condition.wait()
                        continue
                    }
                    let found = ranks.posted[self.rank].remove(at: index).bytes
                    ranks.condition.broadcast()
                    precondition(found.count == count, "rank \(rank) posts other sizes")
                    return found.withUnsafeBytes {
                        UnsafeMutableRawBufferPointer(start: bytes, count: count).copyMemory(from: $0)
                    }
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
