//  Literals of the source: numbers, the escapes of strings, and which characters names and white
//  space are made of.

extension JinjaLexer {
    /// Scans `12`, `1_000`, `0x1f`, `0o17`, `0b101`, `1.5`, `1e3` or `1.5e-3`.
    mutating func scanNumber() throws {
        let start = position
        let radices: [Unicode.Scalar: Int] = ["x": 16, "X": 16, "o": 8, "O": 8, "b": 2, "B": 2]
        if at(position) == "0", let radix = at(position + 1).flatMap({ radices[$0] }) {
            position += 2
            let digits = take { $0.isHexDigit || $0 == "_" }
            guard let value = Int(digits.filter { $0 != "_" }, radix: radix) else { throw badNumber(start) }
            return add(.integer(value))
        }
        var literal = take { $0.isDigit || $0 == "_" }
        var isFloat = false
        if at(position) == ".", at(position + 1)?.isDigit == true {
            position += 1
            literal += "." + take { $0.isDigit || $0 == "_" }
            isFloat = true
        }
        let sign = at(position + 1) == "+" || at(position + 1) == "-" ? 1 : 0
        if at(position) == "e" || at(position) == "E", at(position + 1 + sign)?.isDigit == true {
            literal += "e" + (sign == 1 ? text(position + 1..<position + 2) : "")
            position += 1 + sign
            literal += take { $0.isDigit || $0 == "_" }
            isFloat = true
        }
        literal.removeAll { $0 == "_" }
        if isFloat {
            guard let value = Double(literal) else { throw badNumber(start) }
            add(.float(value))
        } else {
            guard let value = Int(literal) else { throw badNumber(start) }
            add(.integer(value))
        }
    }

    private func badNumber(_ start: Int) -> JinjaFailure {
        fail("the number \(text(start..<position)), which is not read here")
    }

    private mutating func take(while isPart: (Unicode.Scalar) -> Bool) -> String {
        let start = position
        while let scalar = at(position), isPart(scalar) { position += 1 }
        return text(start..<position)
    }
}

/// The escapes of Python's string literals.
enum JinjaEscapes {
    private static let simple: [Unicode.Scalar: Unicode.Scalar] = [
        "n": "\n", "t": "\t", "r": "\r", "a": "\u{07}", "b": "\u{08}", "f": "\u{0C}", "v": "\u{0B}", "\\": "\\",
        "'": "'", "\"": "\"",
    ]

    /// The string that a literal stands for; nil for an escape that Python refuses.
    static func value(of raw: [Unicode.Scalar]) -> String? {
        var value = String.UnicodeScalarView()
        var position = 0
        while position < raw.count {
            let scalar = raw[position]
            position += 1
            guard scalar == "\\", position < raw.count else {
                value.append(scalar)
                continue
            }
            let escape = raw[position]
            position += 1
            if let plain = simple[escape] {
                value.append(plain)
            } else if escape == "\n" {
                continue  // a line that goes on
            } else if let digits = ["x": 2, "u": 4, "U": 8][escape] {
                guard let code = code(raw, at: position, digits: digits) else { return nil }
                position += digits
                var scalar = Unicode.Scalar(code)
                // A pair of surrogates is one character.
                if 0xD800...0xDBFF ~= code, position + 5 < raw.count, raw[position] == "\\", raw[position + 1] == "u",
                    let low = self.code(raw, at: position + 2, digits: 4), 0xDC00...0xDFFF ~= low
                {
                    scalar = Unicode.Scalar(0x10000 + (code - 0xD800) << 10 + (low - 0xDC00))
                    position += 6
                }
                guard let scalar else { return nil }
                value.append(scalar)
            } else if "0"..."7" ~= escape {
                var code = escape.value - 48
                var digits = 1
                while digits < 3, position < raw.count, "0"..."7" ~= raw[position] {
                    code = code * 8 + raw[position].value - 48
                    position += 1
                    digits += 1
                }
                value.append(Unicode.Scalar(code) ?? "\u{FFFD}")
            } else {
                // Python keeps an escape that it does not know.
                value.append("\\")
                value.append(escape)
            }
        }
        return String(value)
    }

    private static func code(_ raw: [Unicode.Scalar], at position: Int, digits: Int) -> UInt32? {
        guard position + digits <= raw.count else { return nil }
        let text = String(String.UnicodeScalarView(raw[position..<position + digits]))
        return text.unicodeScalars.allSatisfy(\.isHexDigit) ? UInt32(text, radix: 16) : nil
    }
}

extension Unicode.Scalar {
    /// Whether Python's `str.isspace` holds for the character.
    var isPythonSpace: Bool {
        switch value {
        case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000:
            true
        default: false
        }
    }

    var isDigit: Bool { "0"..."9" ~= self }

    var isHexDigit: Bool { isDigit || "a"..."f" ~= self || "A"..."F" ~= self }

    /// Whether a name may have the character.
    var isNamePart: Bool {
        if isASCII { return isDigit || self == "_" || "a"..."z" ~= self || "A"..."Z" ~= self }
        return properties.isXIDContinue
    }
}
