//  Deflate backwards: what numpy.savez_compressed packs its members with.
//
//      block     1 bit last, 2 bits kind: 0 stored, 1 fixed codes, 2 codes of its own
//      symbols   0 ... 255 a byte; 256 the end of the block; 257 ... 285 a length of 3 ... 258, then a
//                distance of 1 ... 32768 back, from where that many bytes are repeated
//
//  A code is canonical: the lengths of its words say all. Bits are read from the lowest of each
//  byte. Source: RFC 1951.

/// Unpacks one deflate stream.
struct Inflate {
    private let input: UnsafeRawBufferPointer
    private var position = 0
    private var bits: UInt64 = 0
    private var bitCount = 0
    private var output: [UInt8] = []
    private let place: String
    private let size: Int

    /// Unpacks `input`.
    ///
    /// - Parameters:
    ///   - size: the bytes that come out.
    ///   - place: the member, for messages.
    /// - Throws: `InputError` (`.malformed`, `.truncated`) for a stream that is none, or of another
    ///   size.
    /// - Complexity: O(size), some tens of megabytes per second.
    static func unpack(_ input: UnsafeRawBufferPointer, size: Int, place: String) throws(InputError) -> [UInt8] {
        // No code is shorter than a bit for 258 bytes and a bit for their distance.
        guard size >= 0, size / 1032 <= input.count else {
            throw InputError(
                .malformed, in: place, expected: "at most 1032 times \(input.count) bytes", found: "\(size)")
        }
        var inflate = Inflate(input: input, size: size, place: place)
        inflate.output.reserveCapacity(size)
        while try inflate.block() {}
        guard inflate.output.count == size else {
            throw InputError(
                .truncated, in: place, expected: "\(size) bytes when unpacked", found: "\(inflate.output.count)")
        }
        return inflate.output
    }

    private init(input: UnsafeRawBufferPointer, size: Int, place: String) {
        (self.input, self.size, self.place) = (input, size, place)
    }

    private func broken(_ found: String) -> InputError {
        InputError(.malformed, in: place, expected: "a deflate stream", found: found)
    }

    private mutating func take(_ count: Int) throws(InputError) -> Int {
        while bitCount < count {
            guard position < input.count else {
                throw InputError(.truncated, in: place, expected: "more packed bytes", found: "the end of them")
            }
            bits |= UInt64(input[position]) << UInt64(bitCount)
            position += 1
            bitCount += 8
        }
        let value = Int(bits & (1 << UInt64(count) - 1))
        bits >>= UInt64(count)
        bitCount -= count
        return value
    }

    /// One block.
    ///
    /// - Returns: whether another follows.
    private mutating func block() throws(InputError) -> Bool {
        let isLast = try take(1) == 1
        switch try take(2) {
        case 0: try stored()
        case 1: try symbols(.fixedLiterals, .fixedDistances)
        case 2:
            let (literals, distances) = try codes()
            try symbols(literals, distances)
        default: throw broken("a block of kind 3")
        }
        return !isLast
    }

    private mutating func stored() throws(InputError) {
        _ = try take(bitCount % 8)
        let (count, check) = (try take(16), try take(16))
        guard count == ~check & 0xffff else { throw broken("a stored block whose lengths disagree") }
        guard output.count + count <= size else { throw broken("more than \(size) bytes") }
        for _ in 0..<count { output.append(UInt8(truncatingIfNeeded: try take(8))) }
    }

    private mutating func symbol(_ code: HuffmanCode) throws(InputError) -> Int {
        var (word, first, index) = (0, 0, 0)
        for length in 1...HuffmanCode.longest {
            word |= try take(1)
            let count = code.counts[length]
            if word - count < first { return code.symbols[index + word - first] }
            index += count
            first = (first + count) << 1
            word <<= 1
        }
        throw broken("a word that is in no code")
    }

    private mutating func symbols(_ literals: HuffmanCode, _ distances: HuffmanCode) throws(InputError) {
        while true {
            let next = try symbol(literals)
            if next == 256 { return }
            if next < 256 {
                guard output.count < size else { throw broken("more than \(size) bytes") }
                output.append(UInt8(next))
                continue
            }
            guard next - 257 < Self.lengths.count else { throw broken("the length symbol \(next)") }
            let (length, lengthBits) = Self.lengths[next - 257]
            let count = length + (try take(lengthBits))
            let far = try symbol(distances)
            guard far < Self.distances.count else { throw broken("the distance symbol \(far)") }
            let (distance, distanceBits) = Self.distances[far]
            let back = distance + (try take(distanceBits))
            guard back <= output.count else { throw broken("a repetition from before the start") }
            guard output.count + count <= size else { throw broken("more than \(size) bytes") }
            for _ in 0..<count { output.append(output[output.count - back]) }
        }
    }

    /// The codes of a block that has its own.
    private mutating func codes() throws(InputError) -> (literals: HuffmanCode, distances: HuffmanCode) {
        let (literals, distances, words) = (try take(5) + 257, try take(5) + 1, try take(4) + 4)
        guard literals <= 286, distances <= 30 else { throw broken("codes of \(literals) and \(distances) symbols") }
        let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
        var lengths = [Int](repeating: 0, count: 19)
        for i in 0..<words { lengths[order[i]] = try take(3) }
        let code = try HuffmanCode(lengths, place: place)
        var all: [Int] = []
        while all.count < literals + distances {
            let next = try symbol(code)
            switch next {
            case 0...15: all.append(next)
            case 16:
                guard let last = all.last else { throw broken("a repetition before the first length") }
                all += [Int](repeating: last, count: 3 + (try take(2)))
            case 17: all += [Int](repeating: 0, count: 3 + (try take(3)))
            default: all += [Int](repeating: 0, count: 11 + (try take(7)))
            }
        }
        guard all.count == literals + distances, all[256] > 0 else { throw broken("lengths that do not fit") }
        return (
            try HuffmanCode(Array(all[..<literals]), place: place),
            try HuffmanCode(Array(all[literals...]), place: place)
        )
    }

    /// The least length of each symbol from 257 on, and its extra bits.
    private static let lengths: [(Int, Int)] = steps(from: 3, [8, 4, 4, 4, 4, 4]) + [(258, 0)]
    /// The least distance of each symbol, and its extra bits.
    private static let distances: [(Int, Int)] = steps(from: 1, [4] + [Int](repeating: 2, count: 13))

    private static func steps(from start: Int, _ counts: [Int]) -> [(Int, Int)] {
        var (next, steps) = (start, [(Int, Int)]())
        for (bits, count) in counts.enumerated() {
            for _ in 0..<count {
                steps.append((next, bits))
                next += 1 << bits
            }
        }
        return steps
    }
}

/// A canonical prefix code.
struct HuffmanCode {
    static let longest = 15
    /// How many words have each length.
    let counts: [Int]
    /// Symbols in the order of their words.
    let symbols: [Int]

    /// - Parameter lengths: of the word of each symbol; 0 for one without a word.
    /// - Throws: `InputError` for more words than there can be.
    init(_ lengths: [Int], place: String) throws(InputError) {
        var counts = [Int](repeating: 0, count: Self.longest + 1)
        for length in lengths where length > 0 { counts[length] += 1 }
        var free = 1
        for length in 1...Self.longest {
            free = free << 1 - counts[length]
            guard free >= 0 else {
                throw InputError(
                    .malformed, in: place, expected: "a deflate stream", found: "a code with too many words")
            }
        }
        self.counts = counts
        symbols = (1...Self.longest).flatMap { length in lengths.indices.filter { lengths[$0] == length } }
    }

    private init(complete lengths: [Int]) {
        var counts = [Int](repeating: 0, count: Self.longest + 1)
        for length in lengths { counts[length] += 1 }
        self.counts = counts
        symbols = (1...Self.longest).flatMap { length in lengths.indices.filter { lengths[$0] == length } }
    }

    static let fixedLiterals = HuffmanCode(
        complete: [Int](repeating: 8, count: 144) + [Int](repeating: 9, count: 112) + [Int](repeating: 7, count: 24)
            + [Int](repeating: 8, count: 8))
    static let fixedDistances = HuffmanCode(complete: [Int](repeating: 5, count: 30))
}
