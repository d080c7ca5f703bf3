//  Values as bytes, for a process of the same build: no names and no versions, every bit kept.
//
//      UInt64, Int, Double    8 bytes, little-endian; a NaN with its bits
//      Bool, nil or not       as a number, 0 or 1
//      String, [T]            the count of bytes or elements, then these

/// A value that another process of this build can be handed.
package protocol Portable {
    func write(to bytes: inout PortableWriter)
    /// - Throws: `InputError` (`.malformed`) for bytes that `write` did not make.
    init(from bytes: inout PortableReader) throws(InputError)
}

/// Bytes under construction.
package struct PortableWriter {
    package private(set) var bytes: [UInt8] = []

    package init() {}

    package mutating func add(_ value: some Portable) { value.write(to: &self) }

    /// One after the other.
    package mutating func add(each values: any Portable...) {
        for value in values { value.write(to: &self) }
    }

    fileprivate mutating func add(bits: UInt64) {
        withUnsafeBytes(of: bits.littleEndian) { bytes.append(contentsOf: $0) }
    }

    fileprivate mutating func add(text: some Collection<UInt8>) {
        add(bits: UInt64(text.count))
        bytes.append(contentsOf: text)
    }
}

/// Bytes and how far they have been read.
package struct PortableReader {
    private let bytes: [UInt8]
    private var position = 0

    package init(_ bytes: [UInt8]) { self.bytes = bytes }

    package mutating func next<Value: Portable>() throws(InputError) -> Value { try Value(from: &self) }

    /// - Throws: `InputError` (`.malformed`) when something is left.
    package func requireEnd() throws(InputError) {
        if position < bytes.count { throw malformed("the end", "\(bytes.count - position) bytes more") }
    }

    package func malformed(_ expected: String, _ found: String) -> InputError {
        InputError(
            .malformed, in: "message of a rank", expected: expected, found: found,
            remedy: "Run the same build on every rank.")
    }

    fileprivate mutating func bits() throws(InputError) -> UInt64 {
        guard bytes.count - position >= 8 else { throw malformed("a number of 8 bytes", "the end") }
        defer { position += 8 }
        return (0..<8).reduce(0) { $0 | UInt64(bytes[position + $1]) << UInt64(8 * $1) }
    }

    /// A count of things that follow, of at least `size` bytes each.
    fileprivate mutating func count(of size: Int) throws(InputError) -> Int {
        let count = try bits()
        guard count <= UInt64((bytes.count - position) / size) else {
            throw malformed("at most \((bytes.count - position) / size) things", "\(count)")
        }
        return Int(count)
    }

    fileprivate mutating func text() throws(InputError) -> ArraySlice<UInt8> {
        let count = try count(of: 1)
        defer { position += count }
        return bytes[position..<position + count]
    }
}

extension Portable {
    /// The bytes of the value alone.
    package var portableBytes: [UInt8] {
        var writer = PortableWriter()
        writer.add(self)
        return writer.bytes
    }

    /// - Throws: `InputError` (`.malformed`) for bytes that are not those of one value.
    package init(portableBytes bytes: [UInt8]) throws(InputError) {
        var reader = PortableReader(bytes)
        self = try reader.next()
        try reader.requireEnd()
    }
}

extension UInt64: Portable {
    package func write(to bytes: inout PortableWriter) { bytes.add(bits: self) }
    package init(from bytes: inout PortableReader) throws(InputError) { self = try bytes.bits() }
}

extension Int: Portable {
    package func write(to bytes: inout PortableWriter) { bytes.add(bits: UInt64(bitPattern: Int64(self))) }
    package init(from bytes: inout PortableReader) throws(InputError) {
        self = Int(truncatingIfNeeded: Int64(bitPattern: try bytes.bits()))
    }
}

extension Double: Portable {
    package func write(to bytes: inout PortableWriter) { bytes.add(bits: bitPattern) }
    package init(from bytes: inout PortableReader) throws(InputError) { self.init(bitPattern: try bytes.bits()) }
}

extension Bool: Portable {
    package func write(to bytes: inout PortableWriter) { bytes.add(bits: self ? 1 : 0) }
    package init(from bytes: inout PortableReader) throws(InputError) {
        let bits = try bytes.bits()
        guard bits < 2 else { throw bytes.malformed("0 or 1", "\(bits)") }
        self = bits == 1
    }
}

extension String: Portable {
    package func write(to bytes: inout PortableWriter) { bytes.add(text: utf8) }
    package init(from bytes: inout PortableReader) throws(InputError) {
        self.init(decoding: try bytes.text(), as: UTF8.self)
    }
}

extension Array: Portable where Element: Portable {
    package func write(to bytes: inout PortableWriter) {
        bytes.add(bits: UInt64(count))
        for element in self { bytes.add(element) }
    }

    package init(from bytes: inout PortableReader) throws(InputError) {
        // Whatever can be sent has 8 bytes at least.
        let count = try bytes.count(of: 8)
        self = []
        reserveCapacity(count)
        for _ in 0..<count { append(try bytes.next()) }
    }
}

extension Optional: Portable where Wrapped: Portable {
    package func write(to bytes: inout PortableWriter) {
        bytes.add(self != nil)
        if let value = self { bytes.add(value) }
    }

    package init(from bytes: inout PortableReader) throws(InputError) {
        let isThere: Bool = try bytes.next()
        guard isThere else {
            self = nil
            return
        }
        let value: Wrapped = try bytes.next()
        self = value
    }
}

extension Portable where Self: RawRepresentable, RawValue == String {
    package func write(to bytes: inout PortableWriter) { bytes.add(rawValue) }
    package init(from bytes: inout PortableReader) throws(InputError) {
        let name: String = try bytes.next()
        guard let value = Self(rawValue: name) else { throw bytes.malformed("a \(Self.self)", name) }
        self = value
    }
}

extension InputError.Kind: Portable {}

extension InputError: Portable {
    package func write(to bytes: inout PortableWriter) {
        bytes.add(each: kind, place, expected, found, remedy)
    }

    package init(from bytes: inout PortableReader) throws(InputError) {
        self.init(
            try bytes.next(), in: try bytes.next(), expected: try bytes.next(), found: try bytes.next(),
            remedy: try bytes.next())
    }
}
