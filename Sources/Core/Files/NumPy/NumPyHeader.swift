//  The header of a .npy file: a Python dictionary literal with three keys.
//
//      descr            byte order (< > = |), kind (f i u b) and bytes of an element: '<f4'
//      fortran_order    whether the first axis is the contiguous one
//      shape            a tuple: (), (3,), (2, 3); Python 2 wrote (2L, 3L)

struct NumPyHeader: Sendable {
    private(set) var dtype = DType.f64
    private(set) var shape: [Int] = []
    private(set) var isFortranOrder = false
    private(set) var isBigEndian = false
    private(set) var dataRange = 0..<0

    init(_ bytes: UnsafeRawBufferPointer, place: String) throws(InputError) {
        let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
        guard bytes.count >= 10, bytes[..<6].elementsEqual(magic) else {
            throw InputError(
                bytes.count < 10 && magic.starts(with: bytes.prefix(6)) ? .truncated : .malformed, in: place,
                expected: "a .npy file, which begins with \\x93NUMPY", found: "\(bytes.count) bytes that do not")
        }
        let version = bytes[6]
        guard 1...3 ~= version, bytes[7] == 0 else {
            throw InputError(
                .unsupported, in: place, expected: "version 1.0, 2.0 or 3.0 of the format",
                found: "\(version).\(bytes[7])")
        }
        let start = version == 1 ? 10 : 12
        guard bytes.count >= start else {
            throw InputError(.truncated, in: place, expected: "\(start) bytes or more", found: "\(bytes.count)")
        }
        let length =
            version == 1
            ? Int(UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt16.self)))
            : Int(UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))
        guard length <= bytes.count - start else {
            throw InputError(
                .truncated, in: place, expected: "a header of \(length) bytes", found: "\(bytes.count - start) bytes")
        }
        var literal = PythonLiteral(bytes[start..<start + length], place: "\(place): header")
        try read(&literal, place: place)

        guard let size = checkedCount(of: shape).flatMap(dtype.byteCount) else {
            throw InputError(.shape, in: place, expected: "a number of elements that fits 63 bits", found: "\(shape)")
        }
        let found = bytes.count - start - length
        guard size == found else {
            throw InputError(
                found < size ? .truncated : .malformed, in: place,
                expected: "\(size) bytes for \(dtype.rawValue) \(shape)",
                found: "\(found)")
        }
        dataRange = start + length..<bytes.count
    }

    private mutating func read(_ literal: inout PythonLiteral, place: String) throws(InputError) {
        var keys: Set<String> = []
        try literal.expect("{")
        while !literal.take("}") {
            let key = try literal.string()
            keys.insert(key)
            try literal.expect(":")
            switch key {
            case "descr": try readFormat(&literal, place: place)
            case "fortran_order": isFortranOrder = try literal.bool()
            case "shape": shape = try literal.tuple()
            default:
                throw InputError(
                    .malformed, in: "\(place): header", expected: "descr, fortran_order and shape", found: "'\(key)'")
            }
            if !literal.take(",") {
                try literal.expect("}")
                break
            }
        }
        guard keys.count == 3 else {
            throw InputError(
                .malformed, in: "\(place): header", expected: "descr, fortran_order and shape",
                found: keys.isEmpty ? "nothing" : keys.sorted().joined(separator: ", "))
        }
    }

    private static let formats: [String: DType] = [
        "f2": .f16, "f4": .f32, "f8": .f64, "b1": .bool, "i1": .i8, "i2": .i16, "i4": .i32, "i8": .i64, "u1": .u8,
        "u2": .u16,
        "u4": .u32, "u8": .u64,
    ]

    private mutating func readFormat(_ literal: inout PythonLiteral, place: String) throws(InputError) {
        let expected = "an array of real numbers, such as '<f4'"
        guard literal.isAtString else {
            throw InputError(.unsupported, in: "\(place): descr", expected: expected, found: "a record type")
        }
        let descr = try literal.string()
        guard let order = descr.first, "<>=|".contains(order), let dtype = Self.formats[String(descr.dropFirst())]
        else {
            throw InputError(
                .unsupported, in: "\(place): descr", expected: expected, found: "'\(descr)'",
                remedy: descr.hasSuffix("V2") ? "If these are bfloat16 numbers, save them as float32." : "")
        }
        self.dtype = dtype
        isBigEndian = order == ">"
    }

    /// A header of version 1.0 for a row-major array, padded as NumPy does it so that the elements
    /// are aligned to 64 bytes.
    static func encoded(descr: String, shape: [Int]) -> [UInt8] {
        let lengths = shape.count == 1 ? "\(shape[0])," : shape.map(String.init).joined(separator: ", ")
        let text = "{'descr': '\(descr)', 'fortran_order': False, 'shape': (\(lengths)), }"
        let padding = 63 - (10 + text.utf8.count) % 64
        let length = text.utf8.count + padding + 1
        precondition(length <= UInt16.max, "a shape of thousands of axes")
        return [0x93] + Array("NUMPY".utf8) + [1, 0, UInt8(length & 0xff), UInt8(length >> 8)] + Array(text.utf8)
            + [UInt8](repeating: UInt8(ascii: " "), count: padding) + [UInt8(ascii: "\n")]
    }
}

/// The few kinds of Python literals that occur in a header.
private struct PythonLiteral {
    private let bytes: Slice<UnsafeRawBufferPointer>
    private let place: String
    private var position: Int

    init(_ bytes: Slice<UnsafeRawBufferPointer>, place: String) {
        self.bytes = bytes
        self.place = place
        position = bytes.startIndex
    }

    private mutating func peek() -> UInt8? {
        while position < bytes.endIndex, [0x20, 0x0a, 0x0d, 0x09].contains(bytes[position]) { position += 1 }
        return position < bytes.endIndex ? bytes[position] : nil
    }

    var isAtString: Bool {
        mutating get {
            let byte = peek()
            return byte == UInt8(ascii: "'") || byte == UInt8(ascii: "\"")
        }
    }

    mutating func take(_ text: StaticString) -> Bool {
        _ = peek()
        let end = position + text.utf8CodeUnitCount
        guard end <= bytes.endIndex, (position..<end).allSatisfy({ bytes[$0] == text.utf8Start[$0 - position] }) else {
            return false
        }
        position = end
        return true
    }

    mutating func expect(_ text: StaticString) throws(InputError) {
        guard take(text) else { throw error("'\(text)'") }
    }

    mutating func string() throws(InputError) -> String {
        guard isAtString, let quote = peek() else { throw error("a string") }
        let start = position + 1
        guard let end = bytes[start...].firstIndex(of: quote) else { throw error("a string that ends") }
        position = end + 1
        return String(decoding: bytes[start..<end], as: UTF8.self)
    }

    mutating func bool() throws(InputError) -> Bool {
        if take("True") { return true }
        if take("False") { return false }
        throw error("True or False")
    }

    mutating func tuple() throws(InputError) -> [Int] {
        var values: [Int] = []
        try expect("(")
        while !take(")") {
            _ = peek()
            let start = position
            while position < bytes.endIndex, bytes[position] &- UInt8(ascii: "0") < 10 { position += 1 }
            guard let value = Int(String(decoding: bytes[start..<position], as: UTF8.self)) else {
                position = start
                throw error("a length")
            }
            values.append(value)
            _ = take("L")
            if !take(",") {
                try expect(")")
                break
            }
        }
        return values
    }

    private func error(_ expected: String) -> InputError {
        let offset = position - bytes.startIndex
        let found = position < bytes.endIndex ? "the byte 0x\(String(bytes[position], radix: 16))" : "its end"
        return InputError(.malformed, in: "\(place), byte \(offset)", expected: expected, found: found)
    }
}
