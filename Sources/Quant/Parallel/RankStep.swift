//  What rank 0 tells the others before a step: little-endian numbers of 64 bits.
//
//      0                                                                                end
//      1, rows together, D, dropped numbers [D], S, then for each of S sequences        extend
//         source, is kept, target, position, wanted rows, T, tokens [T]

/// One step of all ranks.
enum RankStep: Equatable {
    case end
    /// - Parameter rowsTogether: how many rows of logits go through the head at a time.
    case extend([Sequence], dropped: [Int64], rowsTogether: Int)

    /// A sequence that is extended.
    struct Sequence: Equatable {
        /// The number of its cache; 0 for an empty one.
        let source: Int64
        /// Whether the cache is needed as it was, too.
        let isKept: Bool
        /// Its number afterwards.
        let target: Int64
        let position, wanted: Int
        let tokens: [Int]
    }

    var bytes: [UInt8] {
        var numbers: [Int64] = [0]
        if case .extend(let sequences, let dropped, let rowsTogether) = self {
            numbers = [1, Int64(rowsTogether), Int64(dropped.count)] + dropped + [Int64(sequences.count)]
            for sequence in sequences {
                numbers += [
                    sequence.source, sequence.isKept ? 1 : 0, sequence.target, Int64(sequence.position),
                    Int64(sequence.wanted), Int64(sequence.tokens.count),
                ]
                numbers += sequence.tokens.map(Int64.init)
            }
        }
        return numbers.flatMap { number in withUnsafeBytes(of: number.littleEndian) { Array($0) } }
    }

    /// Nil for what no rank 0 of this version sends.
    init?(_ bytes: [UInt8]) {
        var numbers = bytes.withUnsafeBytes { raw in
            (0..<raw.count / 8).map {
                Int64(littleEndian: raw.loadUnaligned(fromByteOffset: 8 * $0, as: Int64.self))
            }[...]
        }
        func next() -> Int64? { numbers.popFirst() }
        func next(_ count: Int64) -> [Int64]? {
            guard count >= 0, count <= numbers.count else { return nil }
            defer { numbers = numbers.dropFirst(Int(count)) }
            return Array(numbers.prefix(Int(count)))
        }
        switch next() {
        case 0: self = .end
        case 1:
            guard let together = next(), let dropCount = next(), let dropped = next(dropCount),
                let sequenceCount = next(), sequenceCount >= 0
            else { return nil }
            var sequences: [Sequence] = []
            for _ in 0..<sequenceCount {
                guard let head = next(6), let tokens = next(head[5]) else { return nil }
                sequences.append(
                    Sequence(
                        source: head[0], isKept: head[1] != 0, target: head[2], position: Int(head[3]),
                        wanted: Int(head[4]), tokens: tokens.map(Int.init)))
            }
            self = .extend(sequences, dropped: dropped, rowsTogether: Int(together))
        default: return nil
        }
    }
}
