//  A fast 128-bit hash of bytes, to tell contents apart; not against somebody who wants two to be
//  the same.
//
//  Four 64-bit lanes take 8 bytes each in turn, lane = rotate(lane xor word) * odd constant, and
//  are mixed at the end; about as fast as memory is read. The length is part of the hash, and so is
//  the division into pieces.

/// A hash of a sequence of pieces.
package struct ContentHash: Sendable {
    private var lanes: (UInt64, UInt64, UInt64, UInt64) = (
        0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344, 0xa409_3822_299f_31d0, 0x082e_fa98_ec4e_6c89
    )

    package init() {}

    /// Adds a piece.
    package mutating func add(_ bytes: UnsafeRawBufferPointer) {
        var lanes = lanes
        var offset = 0
        while offset + 32 <= bytes.count {
            Self.mix(&lanes.0, UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
            Self.mix(&lanes.1, UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)))
            Self.mix(&lanes.2, UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 16, as: UInt64.self)))
            Self.mix(&lanes.3, UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 24, as: UInt64.self)))
            offset += 32
        }
        while offset < bytes.count {
            Self.mix(&lanes.0, UInt64(bytes[offset]))
            offset += 1
        }
        Self.mix(&lanes.1, UInt64(bytes.count))
        // What one lane has seen reaches the others, so that the order of pieces counts.
        let sum = lanes.0 ^ (lanes.1 &<< 1) ^ (lanes.2 &<< 2) ^ (lanes.3 &<< 3)
        Self.mix(&lanes.0, sum)
        Self.mix(&lanes.2, sum)
        self.lanes = lanes
    }

    /// Adds a piece of text, as UTF-8.
    package mutating func add(_ text: String) {
        var text = text
        text.withUTF8 { add(UnsafeRawBufferPointer($0)) }
    }

    /// Adds a piece of numbers.
    package mutating func add(_ numbers: [Int]) {
        numbers.map { Int64($0).littleEndian }.withUnsafeBytes { add($0) }
    }

    /// 32 hexadecimal digits.
    package var text: String {
        var (a, b) = (lanes.0, lanes.2)
        Self.mix(&a, lanes.1)
        Self.mix(&b, lanes.3)
        Self.mix(&a, b)
        Self.mix(&b, a)
        return [a, b].map { word in
            let digits = String(word ^ (word >> 29), radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }

    @inline(__always)
    private static func mix(_ lane: inout UInt64, _ word: UInt64) {
        let x = lane ^ word
        lane = ((x &<< 27) | (x &>> 37)) &* 0x9e37_79b9_7f4a_7c15 &+ 0x52dc_e729
    }
}

extension Checkpoint {
    /// A hash of the configuration and of every tensor: its name, its format, its shape and its
    /// bytes.
    ///
    /// - Complexity: reads all weights once.
    package func contentHash() throws -> String {
        var hash = ContentHash()
        hash.add(try JSON(contentsOf: ModelDirectory(place).path("config.json")).serialized())
        for name in names.sorted() {
            let info = try info(name)
            hash.add("\(name) \(info.dtype.rawValue)")
            hash.add(info.shape)
            try withBytes(of: name) { hash.add($0) }
        }
        return hash.text
    }
}
