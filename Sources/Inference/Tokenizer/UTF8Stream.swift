//  Bytes that arrive in pieces, turned into text that never changes afterwards.
//
//  A token may end in the middle of a character. The bytes of a character are held back until it is
//  complete; bytes that can no longer become one are replaced by U+FFFD, one for each maximal
//  subpart of an ill-formed sequence (The Unicode Standard, section 3.9, table 3-8), as Python's
//  errors="replace" and the WHATWG decoder do. Cutting the bytes differently gives the same text.

/// A UTF-8 decoder that can be fed piece by piece.
struct UTF8Stream {
    private static let replacement: [UInt8] = [0xef, 0xbf, 0xbd]

    /// The beginning of a character whose end has not arrived; at most three bytes.
    private var pending: [UInt8] = []
    private var missing = 0

    /// Appends to `output` the UTF-8 that is certain after `bytes`.
    mutating func push(_ bytes: some Sequence<UInt8>, into output: inout [UInt8]) {
        for byte in bytes {
            if missing > 0 {
                if isContinuation(byte) {
                    pending.append(byte)
                    missing -= 1
                    if missing == 0 {
                        output.append(contentsOf: pending)
                        pending.removeAll(keepingCapacity: true)
                    }
                    continue
                }
                finish(into: &output)
            }
            switch byte {
            case 0..<0x80: output.append(byte)
            case 0xc2...0xdf: begin(byte, missing: 1)
            case 0xe0...0xef: begin(byte, missing: 2)
            case 0xf0...0xf4: begin(byte, missing: 3)
            default: output.append(contentsOf: Self.replacement)
            }
        }
    }

    /// Nothing follows: a character that is not complete becomes U+FFFD.
    mutating func finish(into output: inout [UInt8]) {
        if missing > 0 { output.append(contentsOf: Self.replacement) }
        pending.removeAll(keepingCapacity: true)
        missing = 0
    }

    private mutating func begin(_ lead: UInt8, missing count: Int) {
        pending.append(lead)
        missing = count
    }

    /// Whether `byte` can follow the pending ones: four leads narrow the byte behind them, so that
    /// no character has two spellings, none is a surrogate and none is beyond U+10FFFF.
    private func isContinuation(_ byte: UInt8) -> Bool {
        guard pending.count == 1 else { return 0x80...0xbf ~= byte }
        switch pending[0] {
        case 0xe0: return 0xa0...0xbf ~= byte
        case 0xed: return 0x80...0x9f ~= byte
        case 0xf0: return 0x90...0xbf ~= byte
        case 0xf4: return 0x80...0x8f ~= byte
        default: return 0x80...0xbf ~= byte
        }
    }

    /// The text of all `bytes` at once.
    static func decode(_ bytes: [UInt8]) -> String {
        if let text = String(validating: bytes, as: UTF8.self) { return text }
        var stream = UTF8Stream()
        var output: [UInt8] = []
        output.reserveCapacity(bytes.count)
        stream.push(bytes, into: &output)
        stream.finish(into: &output)
        return String(decoding: output, as: UTF8.self)
    }
}
