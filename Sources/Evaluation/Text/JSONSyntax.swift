//  Whether a text is JSON in Python's eyes: names may occur twice, and NaN and Infinity are
//  numbers.

struct JSONSyntax {
    private let text: Scalars
    private var position = 0

    static func accepts(_ text: Scalars) -> Bool {
        var syntax = JSONSyntax(text: text)
        guard syntax.value(0) else { return false }
        syntax.skipSpace()
        return syntax.position == text.count
    }

    private init(text: Scalars) { self.text = text }

    private var next: Unicode.Scalar? { position < text.count ? text[position] : nil }

    private mutating func skipSpace() {
        while let scalar = next, scalar == " " || scalar == "\n" || scalar == "\t" || scalar == "\r" { position += 1 }
    }

    private mutating func take(_ mark: String) -> Bool {
        guard text[position...].starts(with: mark.unicodeScalars) else { return false }
        position += mark.unicodeScalars.count
        return true
    }

    private mutating func value(_ depth: Int) -> Bool {
        guard depth < 500 else { return false }
        skipSpace()
        switch next {
        case "{": return list(depth, "}", named: true)
        case "[": return list(depth, "]", named: false)
        case "\"": return string()
        default:
            for word in ["true", "false", "null", "NaN", "Infinity", "-Infinity"] where take(word) { return true }
            return number()
        }
    }

    private mutating func list(_ depth: Int, _ close: String, named: Bool) -> Bool {
        position += 1
        skipSpace()
        if take(close) { return true }
        while true {
            if named {
                skipSpace()
                guard next == "\"", string() else { return false }
                skipSpace()
                guard take(":") else { return false }
            }
            guard value(depth + 1) else { return false }
            skipSpace()
            if take(close) { return true }
            guard take(",") else { return false }
        }
    }

    private mutating func string() -> Bool {
        position += 1
        while let scalar = next {
            position += 1
            switch scalar {
            case "\"": return true
            case "\\":
                guard let escaped = next else { return false }
                position += 1
                if escaped == "u" {
                    let digits = text[position...].prefix(4)
                    guard digits.count == 4, digits.allSatisfy({ $0.isASCII && $0.properties.isHexDigit }) else {
                        return false
                    }
                    position += 4
                } else if !["\"", "\\", "/", "b", "f", "n", "r", "t"].contains(escaped) {
                    return false
                }
            default:
                if scalar.value < 0x20 { return false }
            }
        }
        return false
    }

    private mutating func digits() -> Bool {
        let start = position
        while let scalar = next, scalar.isASCII, scalar.isDecimalDigit { position += 1 }
        return position > start
    }

    private mutating func number() -> Bool {
        _ = take("-")
        if !take("0"), !digits() { return false }
        if take("."), !digits() { return false }
        if take("e") || take("E") {
            if !take("+") { _ = take("-") }
            return digits()
        }
        return true
    }
}
