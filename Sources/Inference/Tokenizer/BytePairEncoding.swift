//  Byte pair encoding of one piece of text.
//
//  A piece starts as its bytes, each a token. Of all adjacent pairs that have a rule, the one of
//  the lowest rank merges, the leftmost of them first, until none has one. Source: Sennrich,
//  Haddow, Birch (arXiv 1508.07909), section 3.2, on bytes as in GPT-2.
//
//  A short piece looks for the lowest rank by going through all pairs: O(n^2), and the fastest
//  there is for a word. A long one keeps the pairs in a heap, and a linked list of tokens: O(n log
//  n), so that 100 KB of letters without a space take milliseconds and not minutes.

/// Merges the tokens of one piece after the other; the arrays are kept from piece to piece.
struct BytePairEncoding {
    /// From this many bytes on a heap pays.
    private static let longPiece = 96

    private var tokens: [UInt32] = []
    /// The merge value of each token and the one after it.
    private var values: [UInt64] = []
    private var next: [Int32] = []
    private var previous: [Int32] = []
    /// `rank << 32 | position`; entries whose pair has changed since are skipped when they surface.
    private var heap = MinimumHeap()

    /// Appends the tokens of `piece` to `output`.
    ///
    /// - Parameters:
    ///   - byteTokens: the token of each byte, `Vocabulary.none` for a byte that has none and is
    ///     left out.
    ///   - merges: the rules.
    mutating func encode(
        _ piece: UnsafeBufferPointer<UInt8>, byteTokens: [UInt32], merges: borrowing MergeTable,
        into output: inout [UInt32]
    ) {
        tokens.removeAll(keepingCapacity: true)
        for byte in piece where byteTokens[Int(byte)] != Vocabulary.none { tokens.append(byteTokens[Int(byte)]) }
        values.removeAll(keepingCapacity: true)
        for index in tokens.indices.dropLast() { values.append(merges[tokens[index], tokens[index + 1]]) }
        if tokens.count < Self.longPiece {
            mergeShort(merges)
            output.append(contentsOf: tokens)
        } else {
            mergeLong(merges)
            var position: Int32 = 0
            while position >= 0 {
                output.append(tokens[Int(position)])
                position = next[Int(position)]
            }
        }
    }

    private mutating func mergeShort(_ merges: borrowing MergeTable) {
        while true {
            var lowest = MergeTable.none
            var place = 0
            for index in values.indices where values[index] < lowest {
                lowest = values[index]
                place = index
            }
            if lowest == MergeTable.none { return }
            tokens[place] = UInt32(truncatingIfNeeded: lowest)
            tokens.remove(at: place + 1)
            values.remove(at: place)
            if place > 0 { values[place - 1] = merges[tokens[place - 1], tokens[place]] }
            if place < values.count { values[place] = merges[tokens[place], tokens[place + 1]] }
        }
    }

    private mutating func mergeLong(_ merges: borrowing MergeTable) {
        let count = tokens.count
        next = (1...Int32(count)).map { $0 }
        next[count - 1] = -1
        previous = (-1..<Int32(count) - 1).map { $0 }
        values.append(MergeTable.none)
        heap.removeAll()
        for position in 0..<count { push(position) }
        while let entry = heap.first {
            heap.removeFirst()
            let place = Int(entry & 0xffff_ffff)
            guard values[place] != MergeTable.none, values[place] >> 32 == entry >> 32 else { continue }
            let right = Int(next[place])
            tokens[place] = UInt32(truncatingIfNeeded: values[place])
            values[right] = MergeTable.none
            next[place] = next[right]
            if next[right] >= 0 { previous[Int(next[right])] = Int32(place) }
            update(place, merges)
            if previous[place] >= 0 { update(Int(previous[place]), merges) }
        }
    }

    /// Looks up the pair that starts at `place` again and puts it on the heap.
    private mutating func update(_ place: Int, _ merges: borrowing MergeTable) {
        let right = next[place]
        values[place] = right < 0 ? MergeTable.none : merges[tokens[place], tokens[Int(right)]]
        push(place)
    }

    private mutating func push(_ place: Int) {
        if values[place] != MergeTable.none { heap.insert(values[place] & ~0xffff_ffff | UInt64(place)) }
    }
}
