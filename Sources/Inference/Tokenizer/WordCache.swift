//  The tokens of words seen before. Text repeats its words, and finding one is several times faster
//  than merging it.

/// A bounded map from the bytes of a short piece of text to its tokens.
struct WordCache {
    /// Longer pieces are rare and do not repeat.
    static let longestPiece = 48

    private struct Slot {
        var hash = 0
        var key: UInt32 = 0
        var tokens: UInt32 = 0
        var keyCount: UInt16 = 0
        /// 0 in a free slot.
        var tokenCount: UInt16 = 0
    }

    private static let slotCount = 1 << 15
    private var slots: [Slot] = []
    private var keys: [UInt8] = []
    private var tokens: [UInt32] = []
    private var count = 0

    /// Appends the tokens of `piece` to `output` when it is known.
    func find(_ piece: UnsafeBufferPointer<UInt8>, hash: Int, into output: inout [UInt32]) -> Bool {
        if slots.isEmpty { return false }
        let place = place(of: piece, hash: hash)
        let slot = slots[place]
        if slot.tokenCount == 0 { return false }
        if slot.tokenCount == 1 {
            output.append(tokens[Int(slot.tokens)])
        } else {
            output.append(contentsOf: tokens[Int(slot.tokens)..<Int(slot.tokens) + Int(slot.tokenCount)])
        }
        return true
    }

    /// Remembers the tokens of a piece that `find` did not know. A full cache starts anew.
    mutating func insert(_ piece: UnsafeBufferPointer<UInt8>, hash: Int, tokens found: ArraySlice<UInt32>) {
        if found.isEmpty { return }
        if slots.isEmpty || count * 2 > slots.count {
            slots = [Slot](repeating: Slot(), count: Self.slotCount)
            keys.removeAll(keepingCapacity: true)
            tokens.removeAll(keepingCapacity: true)
            count = 0
        }
        slots[place(of: piece, hash: hash)] = Slot(
            hash: hash, key: UInt32(keys.count), tokens: UInt32(tokens.count), keyCount: UInt16(piece.count),
            tokenCount: UInt16(found.count))
        keys.append(contentsOf: piece)
        tokens.append(contentsOf: found)
        count += 1
    }

    /// Where a piece is, or the free slot where it would be.
    @inline(__always)
    private func place(of piece: UnsafeBufferPointer<UInt8>, hash: Int) -> Int {
        var place = hash & (slots.count - 1)
        while slots[place].tokenCount != 0 {
            let slot = slots[place]
            if slot.hash == hash, Int(slot.keyCount) == piece.count, isEqual(Int(slot.key), piece) { break }
            place = (place + 1) & (slots.count - 1)
        }
        return place
    }

    @inline(__always)
    private func isEqual(_ key: Int, _ piece: UnsafeBufferPointer<UInt8>) -> Bool {
        for index in 0..<piece.count where keys[key + index] != piece[index] { return false }
        return true
    }
}
