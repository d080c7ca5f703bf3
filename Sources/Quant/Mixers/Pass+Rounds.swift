//  Copies of a sequence's memory from between the tokens of a pass.
//
//      pass        rows of one sequence, cut where a copy is wanted        products: all rows together
//      round 1     the first piece of every sequence                       mixer; then the layer's memory is copied
//      round 2     the second piece of those that have one                 and so on
//
//  The weights are read once however many copies are wanted. No bit depends on how a sequence is
//  cut, and the copy of a layer is made while the layer is computed: the next layer's comes with
//  it.

import DualityCore

extension Pass {
    /// Runs `body` on the segments, one of each sequence at a time, and copies what it has made of
    /// a layer's memory where somebody wants it.
    ///
    /// - Parameters:
    ///   - part: what of the layer's memory `body` advances.
    ///   - body: is given a pass of some of the segments.
    func inRounds(
        _ caches: inout [QuantCache], layer: Int, of part: LayerMemory, _ body: (Pass, inout [QuantCache]) -> Void
    ) {
        guard segments.contains(where: { $0.keptAs != nil }) else { return body(self, &caches) }
        var (left, round) = (segments, self)
        while !left.isEmpty {
            var sequences: Set<Int> = []
            round.segments = left.filter { sequences.insert($0.sequence).inserted }
            sequences = []
            left = left.filter { !sequences.insert($0.sequence).inserted }
            body(round, &caches)
            for segment in round.segments {
                guard let place = segment.keptAs else { continue }
                caches[place].layers[layer].take(part, from: caches[segment.sequence].layers[layer])
            }
        }
    }
}

/// Parts of a layer's memory that are advanced together.
enum LayerMemory {
    /// Keys and values, fading ones among them.
    case keysAndValues
    case scan
}

extension QuantLayerCache {
    /// Becomes a copy of a part of another memory, and stays as it is in the others.
    fileprivate mutating func take(_ part: LayerMemory, from other: QuantLayerCache) {
        switch part {
        case .keysAndValues: (keyValues, fading) = (other.keyValues, other.fading)
        case .scan: scan = other.scan
        }
    }
}

/// Which copies of its caches a call makes on the way.
struct CacheKeeper {
    /// Rows of one sequence in a pass.
    struct Piece {
        let sequence: Int
        var count: Int
        /// Which cache is a copy of the sequence's behind these rows.
        var keptAs: Int?
    }

    /// Of every sequence, the wanted copies: behind how many of its tokens, and which cache it is.
    private let wanted: [[(tokens: Int, cache: Int)]]
    /// The copies before anything is copied, to stand behind the caches of the sequences.
    let places: [QuantCache]

    /// - Throws: `InputError` (`.value`) for places that are not between the tokens, in order;
    ///   `.unsupported` for any where none is possible.
    init(_ kept: [[Int]], _ tokens: [[Int]], _ caches: [QuantCache], isPossible: Bool) throws(InputError) {
        var (wanted, places) = ([[(tokens: Int, cache: Int)]](), [QuantCache]())
        for (sequence, counts) in kept.enumerated() {
            guard counts.isEmpty || isPossible else {
                throw InputError(
                    .unsupported, in: "copies of the cache", expected: "none between the tokens of one call",
                    found: "\(counts.count)", remedy: "Read the tokens in several calls.")
            }
            var (own, last) = ([(tokens: Int, cache: Int)](), 0)
            for count in counts {
                guard count > last, count < tokens[sequence].count else {
                    throw InputError(
                        .value, in: "copies of the cache",
                        expected: "numbers of tokens from 1 to \(tokens[sequence].count - 1), in order",
                        found: "\(counts.prefix(10))")
                }
                own.append((count, caches.count + places.count))
                places.append(QuantCache(empty: caches[sequence], tokenCount: caches[sequence].tokenCount + count))
                last = count
            }
            wanted.append(own)
        }
        (self.wanted, self.places) = (wanted, places)
    }

    /// Cuts pieces where copies are wanted.
    ///
    /// - Parameter read: tokens of each sequence that have been read before the pass.
    func cut(_ pieces: [Piece], behind read: [Int]) -> [Piece] {
        guard !places.isEmpty else { return pieces }
        return pieces.flatMap { piece in
            var (cut, begin) = ([Piece](), read[piece.sequence])
            let end = begin + piece.count
            for (tokens, cache) in wanted[piece.sequence] where tokens > begin && tokens <= end {
                cut.append(Piece(sequence: piece.sequence, count: tokens - begin, keptAs: cache))
                begin = tokens
            }
            return begin < end ? cut + [Piece(sequence: piece.sequence, count: end - begin)] : cut
        }
    }

    /// Takes the copies from behind the caches of the sequences.
    func takeCopies(from caches: inout [QuantCache]) -> [[QuantCache]] {
        defer { caches.removeLast(places.count) }
        return wanted.map { $0.map { caches[$0.cache] } }
    }
}
