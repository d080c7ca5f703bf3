//  RFC 8259, with the position of a mistake as line and column.
//
//  Strict, but for the three number words that Python's json module writes and reads by default
//  (NaN, Infinity, -Infinity): older checkpoints carry them. A name that occurs twice in one object
//  is a mistake: which one counts differs from reader to reader.

extension JSON {
    /// Parses a whole JSON text.
    ///
    /// - Parameter place: what the text is called in messages, usually a path.
    /// - Throws: `InputError` (`.json`) with `place:line:column`.
    /// - Complexity: O(n).
    public init(parsing bytes: UnsafeRawBufferPointer, place: String) throws(InputError) {
        var parser = JSONParser(bytes: bytes, place: place)
        self = try parser.document()
    }

    /// Parses a whole JSON text.
    public init(parsing text: String, place: String = "JSON") throws(InputError) {
        var text = text
        let result = text.withUTF8 { utf8 in
            Result { () throws(InputError) in try JSON(parsing: UnsafeRawBufferPointer(utf8), place: place) }
        }
        self = try result.get()
    }

    /// Reads and parses a file.
    ///
    /// - Throws: `InputError` when the file is not there, cannot be read or does not parse.
    public init(contentsOf path: String) throws(InputError) {
        let file = try MappedFile(path: path)
        let result = withExtendedLifetime(file) {
            Result { () throws(InputError) in try JSON(parsing: file.bytes, place: path) }
        }
        self = try result.get()
    }
}

struct JSONParser {
    /// Deep enough for any file of this field, shallow enough for the stack of any thread.
    static let depthLimit = 200

    private let bytes: UnsafeRawBufferPointer
    private let place: String
    private var position = 0

    init(bytes: UnsafeRawBufferPointer, place: String) {
        self.bytes = bytes
        self.place = place
    }

    mutating func document() throws(InputError) -> JSON {
        let value = try value(depth: 0)
        skipSpace()
        if position < bytes.count { throw error("the end of the text") }
        return value
    }

    private mutating func value(depth: Int) throws(InputError) -> JSON {
        skipSpace()
        if depth > Self.depthLimit { throw error("at most \(Self.depthLimit) levels of nesting") }
        switch peek {
        case UInt8(ascii: "{"): return .object(try object(depth: depth))
        case UInt8(ascii: "["): return .array(try array(depth: depth))
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "N"): return try word("NaN", .number("NaN"))
        case UInt8(ascii: "I"): return try word("Infinity", .number("Infinity"))
        default: return .number(try number())
        }
    }

    private mutating func object(depth: Int) throws(InputError) -> JSON.Object {
        var object = JSON.Object()
        position += 1
        skipSpace()
        if take("}") { return object }
        while true {
            skipSpace()
            let start = position
            guard peek == UInt8(ascii: "\"") else { throw error("a name in double quotes") }
            let name = try string()
            skipSpace()
            guard take(":") else { throw error("':' after the name \"\(name)\"") }
            let value = try value(depth: depth + 1)
            guard object.append(name, value) else {
                throw error("each name once", found: "\"\(name)\" a second time", at: start)
            }
            skipSpace()
            if take(",") { continue }
            guard take("}") else { throw error("',' or '}'") }
            return object
        }
    }

    private mutating func array(depth: Int) throws(InputError) -> [JSON] {
        var values: [JSON] = []
        position += 1
        skipSpace()
        if take("]") { return values }
        while true {
            values.append(try value(depth: depth + 1))
            skipSpace()
            if take(",") { continue }
            guard take("]") else { throw error("',' or ']'") }
            return values
        }
    }

    private mutating func word(_ word: StaticString, _ value: JSON) throws(InputError) -> JSON {
        let length = word.utf8CodeUnitCount
        let matches =
            position + length <= bytes.count
            && (0..<length).allSatisfy { bytes[position + $0] == word.utf8Start[$0] }
        guard matches else { throw error("a value") }
        position += length
        return value
    }

    // MARK: Numbers

    private mutating func number() throws(InputError) -> String {
        let start = position
        _ = take("-")
        if peek == UInt8(ascii: "I") {
            _ = try word("Infinity", .null)
            return "-Infinity"
        }
        guard let first = peek, isDigit(first) else {
            throw error(position == start ? "a value" : "a digit")
        }
        position += 1
        if first != UInt8(ascii: "0") {
            skipDigits()
        } else if let next = peek, isDigit(next) {
            throw error("a number without leading zeros")
        }
        if take(".") { try digits() }
        if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
            position += 1
            if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { position += 1 }
            try digits()
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func digits() throws(InputError) {
        guard let first = peek, isDigit(first) else { throw error("a digit") }
        skipDigits()
    }

    private mutating func skipDigits() {
        while let byte = peek, isDigit(byte) { position += 1 }
    }

    private func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }

    // MARK: Strings

    /// Reads a string whose opening quote is at `position`.
    private mutating func string() throws(InputError) -> String {
        position += 1
        let start = position
        while let byte = peek, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { position += 1 }
        if peek == UInt8(ascii: "\"") {  // the usual case: no escapes, one copy
            let text = try text(UnsafeRawBufferPointer(rebasing: bytes[start..<position]), at: start)
            position += 1
            return text
        }
        var unescaped = Array(bytes[start..<position])
        while true {
            switch peek {
            case UInt8(ascii: "\""):
                position += 1
                let result = unescaped.withUnsafeBytes { buffer in
                    Result { () throws(InputError) in try text(buffer, at: start) }
                }
                return try result.get()
            case UInt8(ascii: "\\"):
                try escape(into: &unescaped)
            case let byte? where byte >= 0x20:
                unescaped.append(byte)
                position += 1
            case nil:
                throw error("'\"' at the end of the string")
            default:
                throw error("control characters in a string to be escaped")
            }
        }
    }

    private func text(_ utf8: UnsafeRawBufferPointer, at start: Int) throws(InputError) -> String {
        guard let text = String(validating: utf8, as: UTF8.self) else {
            throw error("UTF-8", found: "a string with other bytes", at: start)
        }
        return text
    }

    /// Reads an escape whose backslash is at `position`.
    private mutating func escape(into text: inout [UInt8]) throws(InputError) {
        position += 1
        switch peek {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(bytes[position])
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0c)
        case UInt8(ascii: "n"): text.append(0x0a)
        case UInt8(ascii: "r"): text.append(0x0d)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            text.append(contentsOf: Array(String(try unicodeEscape()).utf8))
            return
        default:
            throw error("an escape: one of \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u")
        }
        position += 1
    }

    /// Reads `u` and four hexadecimal digits, or a surrogate pair of two such escapes, with the
    /// first `u` at `position`.
    private mutating func unicodeEscape() throws(InputError) -> Character {
        let start = position - 1
        var code = try hexadecimal()
        if code & 0xfc00 == 0xd800, take("\\"), peek == UInt8(ascii: "u") {
            let low = try hexadecimal()
            if low & 0xfc00 == 0xdc00 { code = 0x10000 + (code & 0x3ff) << 10 + low & 0x3ff }
        }
        guard let scalar = Unicode.Scalar(code) else {
            throw error("a pair of surrogates", found: "half of one", at: start)
        }
        return Character(scalar)
    }

    private mutating func hexadecimal() throws(InputError) -> UInt32 {
        position += 1
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw error("four hexadecimal digits")
            }
            code = code << 4 | UInt32(digit)
            position += 1
        }
        return code
    }

    // MARK: Reading bytes

    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
    }

    /// The complaint about what stands at a position, with its line and column counted from 1.
    private func error(_ expected: String, found: String? = nil, at offset: Int? = nil) -> InputError {
        let offset = offset ?? position
        var line = 1
        var column = 1
        for byte in bytes[..<offset] {
            if byte == 0x0a {
                line += 1
                column = 1
            } else if byte & 0xc0 != 0x80 {  // a character, not the continuation of one
                column += 1
            }
        }
        var seen = found ?? "the end of the text"
        if found == nil, offset < bytes.count {
            let byte = bytes[offset]
            seen =
                0x20..<0x7f ~= byte
                ? "'\(Unicode.Scalar(byte))'" : "the byte 0x\(String(byte, radix: 16))"
        }
        return InputError(.json, in: "\(place):\(line):\(column)", expected: expected, found: seen)
    }
}
