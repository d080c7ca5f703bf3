//  What one rank of several needs of the others: the whole of what parallel execution asks of a
//  network.
//
//      gather      every rank gives bytes and gets everyone's, in the order of ranks
//      deal        every rank gives each rank other bytes
//      toFirst     every rank gives bytes, and rank 0 gets everyone's
//      fromFirst   rank 0 gives bytes that every other gets
//      neighbours  gather, deal and toFirst among some ranks only
//      post, take  one rank gives another bytes, which that asks for; nobody else takes part
//      tell        one rank gives another bytes, which that hears when it likes: a word outside of all exchanges
//
//  No number is computed on the way, so results do not depend on who carries them: ranks as threads
//  of one process (ThreadRanks.swift), or processes under MPI (module DualityParallel).

import DualityCore

/// The connection of one rank to those that compute parts of the same layers.
///
/// Calls come from one thread at a time, in the same order with the same sizes on every rank. An
/// exchange that cannot be completed ends the process, with a message: there is nothing that a rank
/// could do alone.
package protocol PartExchange: AnyObject, Sendable {
    /// 0 ..< `count`.
    var rank: Int { get }
    /// R.
    var count: Int { get }

    /// - Parameters:
    ///   - own: this rank's bytes, `sizes[rank]` of them.
    ///   - all: room for the sum of `sizes`; the bytes of rank 0 come first. Not the memory of
    ///     `own`.
    func gather(_ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer)

    /// - Parameters:
    ///   - own: what this rank gives, `sizes[r]` bytes for rank r; those for rank 0 come first.
    ///   - all: what it gets, `receiving[r]` bytes from rank r. Not the memory of `own`.
    func deal(_ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer, receiving: [Int])

    /// - Parameter all: as in `gather`, on rank 0; not written on the others.
    func toFirst(_ own: UnsafeRawPointer, sizes: [Int], into all: UnsafeMutableRawPointer)
}

/// The connection of one rank to all.
package protocol RankExchange: PartExchange {
    /// Says where the exchanges that follow belong. Within a pass a rank that waits too long gives
    /// up; outside of one others may take their time.
    func enter(_ place: RankPlace)

    /// Some ranks, this one among them, that exchange parts by themselves.
    func neighbours(_ ranks: Range<Int>) -> any PartExchange

    /// On rank 0 gives `bytes` to all others and returns them; on the others waits for them,
    /// however long it takes.
    func fromFirst(_ bytes: [UInt8]) -> [UInt8]

    /// Begins to give another rank bytes, which may be overwritten afterwards. It waits where the
    /// bytes before them have not been taken; all have been by the next `enter(.outside)`.
    func post(_ bytes: UnsafeRawPointer, _ count: Int, to rank: Int)

    /// Waits for the bytes that another rank posts: as many, in the order in which it posts them.
    func take(_ bytes: UnsafeMutableRawPointer, _ count: Int, from rank: Int)

    /// Gives a word of at least one byte to another rank.
    func tell(_ bytes: [UInt8], to rank: Int)

    /// The next word that has come, and whose it is; nil for none. What one rank has said is heard
    /// in the order in which it said it.
    func heard() -> (rank: Int, bytes: [UInt8])?

    /// Seconds between calls of `pulse` on rank 0 while it has no work for the others; nil where
    /// nobody waits for them.
    var pulseInterval: Double? { get }

    /// Outside of all exchanges: lets the others know that this rank is there, and ends all where
    /// one of them has been silent for too long. The others do so themselves where they wait in
    /// `fromFirst`.
    func pulse()
}

extension RankExchange {
    package func enter(_ place: RankPlace) {}
    package var pulseInterval: Double? { nil }
    package func pulse() {}
}

/// Where an exchange belongs.
package enum RankPlace: Sendable {
    case outside
    /// Rank 0 says what is to be computed.
    case step
    case layer(Int)
    /// A rank has whole layers, so that others may have to wait for all of them; nil for the head.
    case stage(Int?)
    case head
    /// Cases are shared out.
    case campaign
}
