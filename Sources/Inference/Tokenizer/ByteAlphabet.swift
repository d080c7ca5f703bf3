//  The alphabet in which byte-level tokenizers write bytes as printable characters.
//
//  Printable Latin-1 stands for itself, the other 68 bytes are U+0100, U+0101, ... in their order,
//  so that a space is "Ġ" and a line feed "Ċ". Source: GPT-2, encoder.py, `bytes_to_unicode`.

enum ByteAlphabet {
    /// The scalar that stands for each byte.
    static let scalars: [Unicode.Scalar] = {
        var next: UInt32 = 0x100
        return (UInt32(0)..<256).map { byte in
            let printable = (0x21...0x7e).contains(byte) || (0xa1...0xac).contains(byte) || (0xae...0xff).contains(byte)
            defer { if !printable { next += 1 } }
            // Both branches are below U+0144, far from the surrogates.
            return Unicode.Scalar(printable ? byte : next) ?? "?"
        }
    }()

    /// The byte a scalar value stands for, or -1; values from the end of the table on stand for
    /// none.
    static let bytes: [Int16] = {
        var bytes = [Int16](repeating: -1, count: 0x144)
        for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar.value)] = Int16(byte) }
        return bytes
    }()

    /// Appends the bytes that `text` stands for to `output`.
    ///
    /// - Parameter text: valid UTF-8.
    /// - Returns: whether every character belongs to the alphabet; if not, `output` holds the text
    ///   as it is.
    static func decode(_ text: UnsafeBufferPointer<UInt8>, into output: inout [UInt8]) -> Bool {
        let start = output.count
        var position = 0
        while position < text.count {
            let (length, value) = text.scalar(at: position)
            guard value < bytes.count, bytes[value] >= 0 else {
                output.removeSubrange(start...)
                output.append(contentsOf: text)
                return false
            }
            output.append(UInt8(truncatingIfNeeded: bytes[value]))
            position += length
        }
        return true
    }
}
