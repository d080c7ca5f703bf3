//  Decompresses gzip (RFC 1952) and the deflate format inside it (RFC 1951).
//
//  For one purpose, Qwen's compressed rank file of 1 MB: written out, it needs neither a system
//  library nor another program. Huffman codes are decoded bit by bit in canonical order, which is
//  enough: 2 MB take some 50 ms.

import DualityCore

package enum Gzip {
    /// The contents of a gzip file, of all its members.
    ///
    /// - Throws: `InputError`: `.truncated` when the file ends early, `.malformed` when it breaks
    ///   the format or its checksum.
    package static func decompress(_ bytes: [UInt8], place: String) throws(InputError) -> [UInt8] {
        var inflater = Inflater(bytes: bytes, place: place)
        repeat { try inflater.member() } while !inflater.isAtEnd
        return inflater.output
    }
}

private struct Inflater {
    let bytes: [UInt8]
    let place: String
    var output: [UInt8] = []
    private var position = 0
    private var bitBuffer: UInt32 = 0
    private var bitCount = 0

    init(bytes: [UInt8], place: String) {
        self.bytes = bytes
        self.place = place
    }

    var isAtEnd: Bool { position >= bytes.count }

    /// Reads one gzip member: header, compressed blocks, checksum and length.
    mutating func member() throws(InputError) {
        guard try byte() == 0x1f, try byte() == 0x8b, try byte() == 8 else { throw malformed("a gzip header") }
        let flags = try byte()
        for _ in 0..<6 { _ = try byte() }  // time, level, system
        if flags & 4 != 0 {
            let count = Int(try byte()) | Int(try byte()) << 8
            for _ in 0..<count { _ = try byte() }
        }
        for flag: UInt8 in [8, 16] where flags & flag != 0 {  // name, comment
            while try byte() != 0 {}
        }
        if flags & 2 != 0 { for _ in 0..<2 { _ = try byte() } }

        let start = output.count
        try blocks(from: start)
        bitCount = 0
        bitBuffer = 0
        var trailer: [UInt32] = []
        for _ in 0..<2 {
            var word: UInt32 = 0
            for shift in 0..<4 { word |= UInt32(try byte()) << UInt32(8 * shift) }
            trailer.append(word)
        }
        guard trailer[0] == checksum(output[start...]), trailer[1] == UInt32(truncatingIfNeeded: output.count - start)
        else { throw malformed("contents that match their checksum") }
    }

    private mutating func blocks(from start: Int) throws(InputError) {
        while true {
            let isLast = try bits(1) == 1
            switch try bits(2) {
            case 0:
                bitCount = 0
                bitBuffer = 0
                let count = UInt16(try byte()) | UInt16(try byte()) << 8
                guard ~count == UInt16(try byte()) | UInt16(try byte()) << 8 else {
                    throw malformed("a stored block")
                }
                for _ in 0..<count { output.append(try byte()) }
            case 1:
                let lengths = (0..<288).map { $0 < 144 ? 8 : $0 < 256 ? 9 : $0 < 280 ? 7 : 8 }
                try symbols(HuffmanCode(lengths), HuffmanCode(Array(repeating: 5, count: 30)), from: start)
            case 2:
                let (literals, distances) = try codes()
                try symbols(literals, distances, from: start)
            default:
                throw malformed("a block of kind 0, 1 or 2")
            }
            if isLast { return }
        }
    }

    /// The two codes at the head of a dynamic block, themselves compressed.
    private mutating func codes() throws(InputError) -> (HuffmanCode, HuffmanCode) {
        let literalCount = try bits(5) + 257
        let distanceCount = try bits(5) + 1
        let lengthCount = try bits(4) + 4
        let order = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15]
        var lengths = [Int](repeating: 0, count: 19)
        for index in 0..<lengthCount { lengths[order[index]] = try bits(3) }
        let lengthCode = HuffmanCode(lengths)

        lengths = []
        while lengths.count < literalCount + distanceCount {
            let symbol = try symbol(lengthCode)
            switch symbol {
            case 16:
                guard let last = lengths.last else { throw malformed("a length to repeat") }
                lengths += Array(repeating: last, count: try bits(2) + 3)
            case 17: lengths += Array(repeating: 0, count: try bits(3) + 3)
            case 18: lengths += Array(repeating: 0, count: try bits(7) + 11)
            default: lengths.append(symbol)
            }
        }
        guard lengths.count == literalCount + distanceCount else { throw malformed("as many lengths as announced") }
        return (HuffmanCode(Array(lengths[..<literalCount])), HuffmanCode(Array(lengths[literalCount...])))
    }

    /// Literals and copies of earlier output, up to the end of the block.
    private mutating func symbols(
        _ literals: HuffmanCode, _ distances: HuffmanCode, from start: Int
    ) throws(InputError) {
        while true {
            let symbol = try symbol(literals)
            if symbol < 256 {
                output.append(UInt8(symbol))
                continue
            }
            if symbol == 256 { return }
            guard symbol < 286 else { throw malformed("a length symbol") }
            let length: Int
            if symbol < 265 {
                length = symbol - 254
            } else if symbol == 285 {
                length = 258
            } else {
                let extra = (symbol - 261) / 4
                length = (4 + (symbol - 265) % 4) << extra + 3 + (try bits(extra))
            }
            let code = try self.symbol(distances)
            guard code < 30 else { throw malformed("a distance symbol") }
            let extra = max(0, code / 2 - 1)
            let distance = code < 2 ? code + 1 : (2 + code % 2) << extra + 1 + (try bits(extra))
            guard distance <= output.count - start else { throw malformed("a distance within the output") }
            for _ in 0..<length { output.append(output[output.count - distance]) }
        }
    }

    private mutating func symbol(_ code: HuffmanCode) throws(InputError) -> Int {
        var value = 0
        var first = 0
        var index = 0
        for length in 1...15 {
            value |= try bits(1)
            let count = code.counts[length]
            if value - first < count { return code.symbols[index + value - first] }
            index += count
            first = (first + count) << 1
            value <<= 1
        }
        throw malformed("a symbol of the code")
    }

    private mutating func bits(_ count: Int) throws(InputError) -> Int {
        while bitCount < count {
            bitBuffer |= UInt32(try byte()) << UInt32(bitCount)
            bitCount += 8
        }
        let value = bitBuffer & (1 << UInt32(count) - 1)
        bitBuffer >>= UInt32(count)
        bitCount -= count
        return Int(value)
    }

    private mutating func byte() throws(InputError) -> UInt8 {
        guard position < bytes.count else {
            throw InputError(
                .truncated, in: place, expected: "more compressed data", found: "the end at byte \(bytes.count)",
                remedy: "Fetch the file again.")
        }
        defer { position += 1 }
        return bytes[position]
    }

    private func malformed(_ expected: String) -> InputError {
        InputError(
            .malformed, in: place, expected: expected, found: "something else before byte \(position)",
            remedy: "Fetch the file again.")
    }

    /// CRC-32 of ISO 3309.
    private func checksum(_ contents: ArraySlice<UInt8>) -> UInt32 {
        let table = (UInt32(0)..<256).map { byte in
            var value = byte
            for _ in 0..<8 { value = value & 1 == 0 ? value >> 1 : (value >> 1) ^ 0xedb8_8320 }
            return value
        }
        var checksum = ~UInt32(0)
        for byte in contents { checksum = table[Int(UInt8(truncatingIfNeeded: checksum) ^ byte)] ^ (checksum >> 8) }
        return ~checksum
    }
}

/// A canonical Huffman code: how many codes have each length, and their symbols in order.
private struct HuffmanCode {
    private(set) var counts = [Int](repeating: 0, count: 16)
    private(set) var symbols: [Int] = []

    init(_ lengths: [Int]) {
        for length in lengths { counts[length] += 1 }
        counts[0] = 0
        for length in 1...15 { symbols += lengths.indices.filter { lengths[$0] == length } }
    }
}
