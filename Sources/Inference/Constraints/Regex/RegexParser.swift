//  Reads a regular expression: what ECMA 262, Python, Rust and PCRE have in common.
//
//      choice     = sequence ("|" sequence)*
//      sequence   = (atom quantifier?)*
//      quantifier = ("*" | "+" | "?" | "{" n ("," m?)? "}") "?"?
//      atom       = character | "." | "[" class "]" | "(" choice ")" | escape | "^" | "$"
//
//  What needs more than a finite automaton or means different things to different readers is
//  refused: references to groups, looking ahead and behind, word borders, Unicode properties,
//  flags.

import DualityCore

/// A reader of one regular expression.
struct RegexParser {
    static let lengthLimit = 1024
    static let depthLimit = 60
    static let repetitionLimit = 100_000

    private let scalars: [Unicode.Scalar]
    private let place: String
    private var position = 0
    private var depth = 0

    /// - Throws: `InputError`: `.value` for a pattern that is none, `.unsupported` for one that
    ///   this version does not do, or that is longer than 1,024 characters.
    static func parse(_ text: String, place: String) throws(InputError) -> Pattern {
        var parser = RegexParser(text, place: place)
        guard parser.scalars.count <= lengthLimit else {
            throw InputError(
                .unsupported, in: place, expected: "at most \(lengthLimit) characters",
                found: "\(parser.scalars.count)")
        }
        let pattern = try parser.choice()
        guard parser.peek == nil else { throw parser.wrong("the end of the pattern") }
        return pattern
    }

    private init(_ text: String, place: String) {
        scalars = Array(text.unicodeScalars)
        self.place = place
    }

    private var peek: Unicode.Scalar? { position < scalars.count ? scalars[position] : nil }

    private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
        guard peek == scalar else { return false }
        position += 1
        return true
    }

    private func starts(with text: String) -> Bool {
        scalars[position...].starts(with: text.unicodeScalars)
    }

    private func wrong(_ expected: String) -> InputError {
        let found = peek.map { "'\($0)' as character \(position + 1)" } ?? "its end"
        return InputError(.value, in: place, expected: expected, found: found)
    }

    private func unsupported(_ what: String) -> InputError {
        InputError(
            .unsupported, in: place, expected: "a pattern without \(what)",
            found: "one at character \(position + 1)")
    }

    // MARK: Structure

    private mutating func choice() throws(InputError) -> Pattern {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthLimit else { throw unsupported("more than \(Self.depthLimit) groups in each other") }
        var options = [try sequence()]
        while take("|") { options.append(try sequence()) }
        return options.count == 1 ? options[0] : .choice(options)
    }

    private mutating func sequence() throws(InputError) -> Pattern {
        var parts: [Pattern] = []
        while let next = peek, next != "|", next != ")" {
            let atom = try atom()
            parts.append(try quantified(atom))
        }
        return parts.count == 1 ? parts[0] : parts.isEmpty ? .empty : .sequence(parts)
    }

    private mutating func quantified(_ atom: Pattern) throws(InputError) -> Pattern {
        guard let (least, most) = try quantifier() else { return atom }
        if atom == .start || atom == .end { throw unsupported("a repeated ^ or $") }
        // A lazy quantifier has the same texts; a possessive one has not.
        if !take("?"), peek == "+" { throw unsupported("possessive quantifiers") }
        if let next = peek, next == "*" || next == "?" { throw wrong("one quantifier") }
        return .repetition(atom, least: least, most: most)
    }

    private mutating func quantifier() throws(InputError) -> (Int, Int)? {
        if take("*") { return (0, .max) }
        if take("+") { return (1, .max) }
        if take("?") { return (0, 1) }
        guard peek == "{" else { return nil }
        let start = position
        position += 1
        guard let least = number() else {
            position = start
            return nil
        }
        var most = least
        if take(",") { most = number() ?? .max }
        guard take("}") else {
            position = start
            return nil
        }
        guard least <= most else { throw wrong("a quantifier {n,m} with n <= m before this") }
        guard least <= Self.repetitionLimit, most == .max || most <= Self.repetitionLimit else {
            throw unsupported("more than \(Self.repetitionLimit) repetitions")
        }
        return (least, most)
    }

    private mutating func number() -> Int? {
        let digits = scalars[position...].prefix { "0"..."9" ~= $0 }
        guard !digits.isEmpty, digits.count < 10 else { return nil }
        position += digits.count
        return digits.reduce(0) { $0 * 10 + Int($1.value - 48) }
    }

    // MARK: Atoms

    private mutating func atom() throws(InputError) -> Pattern {
        let scalar = peek!
        switch scalar {
        case "(": return try group()
        case "[": return .characters(try characterClass())
        case "*", "+", "?": throw wrong("something to repeat")
        case "\\": return .characters(try escape(inClass: false))
        default: break
        }
        // A brace that begins no quantifier stands for itself, but not one that repeats nothing.
        if scalar == "{", try quantifier() != nil { throw wrong("something to repeat before this") }
        position += 1
        switch scalar {
        case "^": return .start
        case "$": return .end
        case ".": return .characters(CharacterClasses.complement(CharacterClasses.lineEnds))
        default: return .characters([scalar.value...scalar.value])
        }
    }

    private mutating func group() throws(InputError) -> Pattern {
        position += 1
        if take("?") {
            if starts(with: "=") || starts(with: "!") || starts(with: "<=") || starts(with: "<!") {
                throw unsupported("looking ahead or behind")
            }
            if take("P") || peek == "<" {
                guard take("<") else { throw unsupported("references to groups") }
                while let next = peek, next != ">" { position += 1 }
                guard take(">") else { throw wrong("'>' behind the name of the group") }
            } else if !take(":") {
                throw unsupported("flags")
            }
        }
        let inside = try choice()
        guard take(")") else { throw wrong("')'") }
        return inside
    }

    private mutating func characterClass() throws(InputError) -> CharacterClasses.Ranges {
        position += 1
        let isNegated = take("^")
        var ranges: CharacterClasses.Ranges = []
        while !take("]") {
            let low = try classMember()
            ranges += low
            guard let first = Self.single(low), peek == "-", position + 1 < scalars.count,
                scalars[position + 1] != "]"
            else { continue }
            position += 1
            let high = try classMember()
            if let last = Self.single(high) {
                guard first <= last else { throw wrong("a range from a lower to a higher character before this") }
                ranges.append(first...last)
            } else {  // [a-\d]: a hyphen beside a class stands for itself
                ranges += [0x2d...0x2d] + high
            }
        }
        // Surrogates are not characters.
        let all = CharacterClasses.complement(ranges)
        return isNegated ? all : CharacterClasses.complement(all)
    }

    private static func single(_ ranges: CharacterClasses.Ranges) -> UInt32? {
        ranges.count == 1 && ranges[0].count == 1 ? ranges[0].lowerBound : nil
    }

    private mutating func classMember() throws(InputError) -> CharacterClasses.Ranges {
        guard let scalar = peek else { throw wrong("']'") }
        if scalar == "\\" { return try escape(inClass: true) }
        if scalar == "[", starts(with: "[:") { throw unsupported("POSIX classes") }
        position += 1
        return [scalar.value...scalar.value]
    }

    // MARK: Escapes

    private mutating func escape(inClass: Bool) throws(InputError) -> CharacterClasses.Ranges {
        position += 1
        guard let scalar = peek else { throw wrong("a character behind \\") }
        let classes: [Unicode.Scalar: CharacterClasses.Ranges] = [
            "d": CharacterClasses.digit, "w": CharacterClasses.word, "s": CharacterClasses.space,
        ]
        let controls: [Unicode.Scalar: UInt32] = ["t": 9, "n": 10, "v": 11, "f": 12, "r": 13, "0": 0]
        if let ranges = classes[scalar] {
            position += 1
            return ranges
        }
        switch scalar {
        case "D", "W", "S":
            position += 1
            return scalar == "D"
                ? CharacterClasses.notDigit : scalar == "W" ? CharacterClasses.notWord : CharacterClasses.notSpace
        case "x", "u":
            position += 1
            let value = try hexadecimal(scalar == "x" ? 2 : 4)
            return [value...value]
        case "b" where inClass:
            position += 1
            return [8...8]
        default: break
        }
        if let value = controls[scalar] {
            position += 1
            if scalar == "0", let next = peek, "0"..."9" ~= next { throw unsupported("octal numbers") }
            return [value...value]
        }
        guard scalar.isASCII, !scalar.properties.isAlphabetic, !("0"..."9" ~= scalar) else {
            throw unsupported("\\\(scalar)")
        }
        position += 1
        return [scalar.value...scalar.value]
    }

    /// `\xHH`, `\uHHHH`, `\u{H…}`, or a pair of surrogates.
    private mutating func hexadecimal(_ count: Int) throws(InputError) -> UInt32 {
        var value: UInt32 = 0
        if count == 4, take("{") {
            while let digit = peek, let number = UInt32(String(digit), radix: 16), value <= 0x10ffff {
                value = value * 16 + number
                position += 1
            }
            guard take("}") else { throw wrong("hexadecimal digits and '}'") }
        } else {
            value = try digits(count)
            if 0xd800...0xdbff ~= value, starts(with: "\\u") {
                position += 2
                let low = try digits(4)
                guard 0xdc00...0xdfff ~= low else { throw wrong("the second half of a pair of surrogates") }
                value = 0x10000 + (value - 0xd800) << 10 + (low - 0xdc00)
            }
        }
        guard Unicode.Scalar(value) != nil else { throw wrong("the number of a character before this") }
        return value
    }

    private mutating func digits(_ count: Int) throws(InputError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<count {
            guard let digit = peek, let number = UInt32(String(digit), radix: 16) else {
                throw wrong("\(count) hexadecimal digits")
            }
            value = value * 16 + number
            position += 1
        }
        return value
    }
}
