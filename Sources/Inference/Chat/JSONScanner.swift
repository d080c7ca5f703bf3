//  Follows a JSON text byte by byte and knows when it is over, and when it has gone wrong.

/// Checks the syntax of one JSON value (RFC 8259) while it arrives.
struct JSONScanner: Sendable {
    private enum State: Sendable {
        case value
        /// Behind `[`: a value or the end.
        case firstItem
        /// Behind `{`: a name or the end.
        case firstName
        case name
        case colon
        case behindValue
        case string(isName: Bool)
        case escape(isName: Bool)
        case hexadecimal(left: Int, isName: Bool)
        case word([UInt8])
        case number(Number)
        case over
    }

    /// What stands before in a number.
    private enum Number: Sendable {
        case sign, zero, digits, point, fraction, exponent, exponentSign, exponentDigits
    }

    private var state = State.value
    /// `{` and `[` that are open.
    private var open: [UInt8] = []

    /// Whether the value is complete and the next byte is not its own. Only a value in brackets or
    /// quotes knows this by itself.
    var isOver: Bool { if case .over = state { true } else { false } }

    /// Takes the next byte; returns whether the text can still become valid.
    mutating func take(_ byte: UInt8) -> Bool {
        guard let next = next(byte) else { return false }
        state = next
        return true
    }

    private mutating func next(_ byte: UInt8) -> State? {
        let character = Character(UnicodeScalar(byte))
        switch state {
        case .string(let isName):
            if byte == UInt8(ascii: "\\") { return .escape(isName: isName) }
            if character == "\"" { return isName ? .colon : closed() }
            return byte >= 0x20 ? state : nil
        case .escape(let isName):
            if character == "u" { return .hexadecimal(left: 4, isName: isName) }
            return "\"\\/bfnrt".contains(character) ? .string(isName: isName) : nil
        case .hexadecimal(let left, let isName):
            guard character.isHexDigit, byte < 0x80 else { return nil }
            return left > 1 ? .hexadecimal(left: left - 1, isName: isName) : .string(isName: isName)
        case .word(let rest):
            guard rest[0] == byte else { return nil }
            return rest.count > 1 ? .word(Array(rest.dropFirst())) : closed()
        case .number(let before):
            if let after = Self.number(before, character) { return .number(after) }
            guard [.zero, .digits, .fraction, .exponentDigits].contains(before), !open.isEmpty else { return nil }
            state = .behindValue
            return next(byte)
        case .over: return nil
        default: break
        }
        if [0x20, 0x09, 0x0a, 0x0d].contains(byte) { return state }
        return structure(character)
    }

    private mutating func structure(_ character: Character) -> State? {
        switch (state, character) {
        case (.firstItem, "]"), (.firstName, "}"):
            open.removeLast()
            return closed()
        case (.value, _), (.firstItem, _): return value(character)
        case (.firstName, "\""), (.name, "\""): return .string(isName: true)
        case (.colon, ":"): return .value
        case (.behindValue, ","): return open.last == UInt8(ascii: "{") ? .name : .value
        case (.behindValue, "}"), (.behindValue, "]"):
            guard open.removeLast() == (character == "}" ? UInt8(ascii: "{") : UInt8(ascii: "[")) else { return nil }
            return closed()
        default: return nil
        }
    }

    private mutating func value(_ character: Character) -> State? {
        switch character {
        case "{":
            open.append(UInt8(ascii: "{"))
            return .firstName
        case "[":
            open.append(UInt8(ascii: "["))
            return .firstItem
        case "\"": return .string(isName: false)
        case "t": return .word(Array("rue".utf8))
        case "f": return .word(Array("alse".utf8))
        case "n": return .word(Array("ull".utf8))
        case "-": return .number(.sign)
        case "0": return .number(.zero)
        case "1"..."9": return .number(.digits)
        default: return nil
        }
    }

    private func closed() -> State { open.isEmpty ? .over : .behindValue }

    private static func number(_ before: Number, _ character: Character) -> Number? {
        let isDigit = "0"..."9" ~= character
        let isExponent = character == "e" || character == "E"
        switch before {
        case .sign: return character == "0" ? .zero : isDigit ? .digits : nil
        case .zero: return character == "." ? .point : isExponent ? .exponent : nil
        case .digits: return isDigit ? .digits : character == "." ? .point : isExponent ? .exponent : nil
        case .point: return isDigit ? .fraction : nil
        case .fraction: return isDigit ? .fraction : isExponent ? .exponent : nil
        case .exponent: return isDigit ? .exponentDigits : "+-".contains(character) ? .exponentSign : nil
        case .exponentSign, .exponentDigits: return isDigit ? .exponentDigits : nil
        }
    }
}
