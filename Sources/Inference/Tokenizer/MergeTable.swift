//  Which two adjacent tokens merge, into which token, and how early: the rules of byte pair
//  encoding.

/// A map from a pair of tokens to the rank of their merge and the token it makes.
struct MergeTable {
    /// The value of a pair that does not merge; larger than every other.
    static let none = UInt64.max

    /// Open addressing with linear probing: pairs (left << 32 | right) and values (rank << 32 |
    /// token) side by side.
    private var slots: [(pair: UInt64, value: UInt64)]
    private(set) var count = 0

    /// - Parameter expectedCount: how many pairs will be added, about.
    init(expectedCount: Int) {
        slots = Array(repeating: (Self.none, Self.none), count: max(64, (expectedCount * 2).nextPowerOfTwo))
    }

    /// Adds a rule; a pair that has one already keeps the earlier of the two.
    mutating func insert(_ left: UInt32, _ right: UInt32, rank: Int, token: UInt32) {
        if (count + 1) * 2 > slots.count { grow() }
        let pair = UInt64(left) << 32 | UInt64(right)
        let value = UInt64(rank) << 32 | UInt64(token)
        let slot = slot(of: pair)
        if slots[slot].pair == Self.none {
            slots[slot] = (pair, value)
            count += 1
        } else if value < slots[slot].value {
            slots[slot].value = value
        }
    }

    /// `rank << 32 | token` of a pair, or `none`.
    @inline(__always)
    subscript(left: UInt32, right: UInt32) -> UInt64 {
        slots[slot(of: UInt64(left) << 32 | UInt64(right))].value
    }

    /// Where a pair is, or the free place where it would be.
    @inline(__always)
    private func slot(of pair: UInt64) -> Int {
        let mask = slots.count - 1
        var slot = Int(truncatingIfNeeded: fold(pair)) & mask
        while slots[slot].pair != pair && slots[slot].pair != Self.none { slot = (slot + 1) & mask }
        return slot
    }

    private mutating func grow() {
        let old = slots
        slots = Array(repeating: (Self.none, Self.none), count: old.count * 2)
        for entry in old where entry.pair != Self.none { slots[slot(of: entry.pair)] = entry }
    }
}
