//  The text of a regular expression, read into a tree.
//
//  The grammar is that of Python's `re`: classes, groups (captured, named, plain, with flags), lazy
//  and greedy repetition, anchors, word boundaries, looking ahead and back. Back references,
//  conditions, atomic groups and possessive repetition are refused by name: what they match cannot
//  be found in bounded time, or no task file uses them.

import DualityCore

struct RegexParser {
    /// What `(?i)`, `(?s)` and `(?m)` switch.
    struct Flags {
        var ignoresCase = false
        var dotTakesLines = false
        var isMultiline = false
    }

    private let pattern: Scalars
    private let place: String
    private var position = 0
    private var flags: Flags
    private(set) var groupCount = 0
    private var depth = 0
    /// Deep enough for patterns that people write, shallow enough for the stack of any thread.
    private static let depthLimit = 100

    init(_ pattern: Scalars, flags: Flags, place: String) {
        (self.pattern, self.flags, self.place) = (pattern, flags, place)
    }

    mutating func parse() throws(InputError) -> RegexNode {
        let node = try alternatives()
        if position < pattern.count { throw malformed("no ')' without a '('") }
        return node
    }

    private var next: Unicode.Scalar? { position < pattern.count ? pattern[position] : nil }

    private mutating func take(_ mark: String) -> Bool {
        guard pattern[position...].starts(with: mark.unicodeScalars) else { return false }
        position += mark.unicodeScalars.count
        return true
    }

    private mutating func alternatives() throws(InputError) -> RegexNode {
        depth += 1
        defer { depth -= 1 }
        if depth > Self.depthLimit { throw malformed("at most \(Self.depthLimit) groups inside each other") }
        var parts = [try sequence()]
        while take("|") { parts.append(try sequence()) }
        return parts.count == 1 ? parts[0] : .alternatives(parts)
    }

    private mutating func sequence() throws(InputError) -> RegexNode {
        var parts: [RegexNode] = []
        while let scalar = next, scalar != "|", scalar != ")" {
            guard let atom = try atom() else { continue }
            parts.append(try repetition(of: atom))
        }
        return parts.count == 1 ? parts[0] : .sequence(parts)
    }

    // MARK: Repetition

    private mutating func repetition(of atom: RegexNode) throws(InputError) -> RegexNode {
        guard let (least, most) = try counts() else { return atom }
        let isGreedy = !take("?")
        if next == "+" { throw unsupported("possessive repetition") }
        if next == "*" || next == "?" { throw malformed("one repetition, not two in a row") }
        if case .assertion = atom { return least == 0 ? .sequence([]) : atom }
        return .repeated(atom, least: least, most: most, isGreedy: isGreedy)
    }

    private mutating func counts() throws(InputError) -> (Int, Int?)? {
        if take("*") { return (0, nil) }
        if take("+") { return (1, nil) }
        if take("?") { return (0, 1) }
        guard next == "{" else { return nil }
        // Braces that hold no counts are themselves, as in Python.
        let start = position
        position += 1
        let least = number()
        var most = least
        if take(",") { most = number() }
        guard take("}"), least != nil || most != nil || pattern[start + 1] == "," else {
            position = start
            return nil
        }
        if let most, most < least ?? 0 { throw malformed("a repetition whose least count is not above the most") }
        guard (least ?? 0) <= 1000, (most ?? 0) <= 1000 else { throw malformed("repetition of at most 1000 times") }
        return (least ?? 0, most)
    }

    private mutating func number() -> Int? {
        let start = position
        while let scalar = next, scalar.isASCII, scalar.isDecimalDigit { position += 1 }
        return position == start ? nil : Int(Scalars(pattern[start..<position]).text) ?? .max
    }

    // MARK: Atoms

    /// One place of the pattern; nil for a brace that holds no counts and for a change of flags.
    private mutating func atom() throws(InputError) -> RegexNode? {
        let scalar = pattern[position]
        position += 1
        switch scalar {
        case "(": return try group()
        case "[": return .set(try bracket())
        case "\\": return try escape()
        case ".":
            if flags.dotTakesLines { return .set(RegexSet(ranges: [0...0x10FFFF])) }
            return .set(RegexSet(ranges: [10...10], isNegated: true))
        case "^": return .assertion(flags.isMultiline ? .lineStart : .start)
        case "$": return .assertion(flags.isMultiline ? .lineEnd : .textEnd)
        case "*", "+", "?":
            position -= 1
            throw malformed("something to repeat before '\(scalar)'")
        default: return .set(.scalar(scalar, ignoresCase: flags.ignoresCase))
        }
    }

    private mutating func group() throws(InputError) -> RegexNode? {
        let outer = flags
        let node: RegexNode
        if !take("?") {
            node = try captured()
        } else if take("P<") {
            guard let end = pattern[position...].firstIndex(of: ">"), end > position else {
                throw malformed("a name of a group, (?P<name>…)")
            }
            position = end + 1
            node = try captured()
        } else if take("#") {
            while let scalar = next, scalar != ")" { position += 1 }
            node = .sequence([])
        } else if take("<=") {
            node = try look(isAhead: false, isNegated: false)
        } else if take("<!") {
            node = try look(isAhead: false, isNegated: true)
        } else if take("=") {
            node = try look(isAhead: true, isNegated: false)
        } else if take("!") {
            node = try look(isAhead: true, isNegated: true)
        } else if take(":") {
            node = try alternatives()
        } else {
            let isScoped = try changeFlags()
            if !isScoped { return nil }
            node = try alternatives()
        }
        flags = outer
        guard take(")") else { throw malformed("a ')' for every '('") }
        return node
    }

    private mutating func captured() throws(InputError) -> RegexNode {
        groupCount += 1
        let index = groupCount
        return .group(try alternatives(), index: index)
    }

    private mutating func look(isAhead: Bool, isNegated: Bool) throws(InputError) -> RegexNode {
        let node = try alternatives()
        if !isAhead, node.width == nil { throw malformed("a fixed number of characters in (?<…)") }
        return .look(node, isAhead: isAhead, isNegated: isNegated)
    }

    /// Reads `i)` or `i:` after `(?`.
    ///
    /// - Returns: whether the flags hold for a group that follows.
    private mutating func changeFlags() throws(InputError) -> Bool {
        var isOn = true
        let start = position
        while let scalar = next {
            position += 1
            switch scalar {
            case "i": flags.ignoresCase = isOn
            case "s": flags.dotTakesLines = isOn
            case "m": flags.isMultiline = isOn
            case "u": break
            case "-" where isOn: isOn = false
            case ")" where position - 1 > start: return false
            case ":" where position - 1 > start: return true
            case "P", "(", ">":
                position -= 1
                throw unsupported("a back reference, a condition or an atomic group")
            default:
                position -= 1
                throw unsupported("the flag '\(scalar)'")
            }
        }
        throw malformed("a ')' for every '('")
    }

    // MARK: Escapes and brackets

    private mutating func escape() throws(InputError) -> RegexNode {
        guard let scalar = next else { throw malformed("something after the last '\\'") }
        position += 1
        switch scalar {
        case "A": return .assertion(.start)
        case "Z": return .assertion(.end)
        case "b": return .assertion(.wordBoundary)
        case "B": return .assertion(.notWordBoundary)
        case "1"..."9":
            position -= 1
            throw unsupported("a back reference")
        default:
            if let category = RegexSet.category(scalar) { return .set(RegexSet(categories: [category])) }
            return .set(.scalar(try literal(scalar), ignoresCase: flags.ignoresCase))
        }
    }

    /// The scalar that `\` and `scalar` stand for.
    private mutating func literal(_ scalar: Unicode.Scalar) throws(InputError) -> Unicode.Scalar {
        switch scalar {
        case "n": return "\n"
        case "t": return "\t"
        case "r": return "\r"
        case "f": return "\u{0C}"
        case "v": return "\u{0B}"
        case "a": return "\u{07}"
        case "0": return "\0"
        case "x": return try hexadecimal(2)
        case "u": return try hexadecimal(4)
        case "U": return try hexadecimal(8)
        default:
            if scalar.isASCII, scalar.isLetter { throw malformed("a known escape") }
            return scalar
        }
    }

    private mutating func hexadecimal(_ digits: Int) throws(InputError) -> Unicode.Scalar {
        let text = Scalars(pattern[position...].prefix(digits)).text
        guard text.unicodeScalars.count == digits, let value = UInt32(text, radix: 16),
            let scalar = Unicode.Scalar(value)
        else { throw malformed("\(digits) hexadecimal digits of a character") }
        position += digits
        return scalar
    }

    private mutating func bracket() throws(InputError) -> RegexSet {
        var set = RegexSet(isNegated: take("^"), ignoresCase: flags.ignoresCase)
        var isFirst = true
        while true {
            guard let scalar = next else { throw malformed("a ']' for every '['") }
            position += 1
            if scalar == "]", !isFirst { return set }
            isFirst = false
            guard let low = try member(scalar, &set) else { continue }
            guard next == "-", position + 1 < pattern.count, pattern[position + 1] != "]" else {
                set.ranges.append(low.value...low.value)
                continue
            }
            position += 2
            var other = RegexSet()
            guard let high = try member(pattern[position - 1], &other), high.value >= low.value else {
                throw malformed("a range whose ends are characters in order")
            }
            set.ranges.append(low.value...high.value)
        }
    }

    /// A scalar of a bracket; nil for a category, which goes into the set.
    private mutating func member(_ scalar: Unicode.Scalar, _ set: inout RegexSet) throws(InputError) -> Unicode.Scalar?
    {
        guard scalar == "\\" else { return scalar }
        guard let escaped = next else { throw malformed("something after the last '\\'") }
        position += 1
        if let category = RegexSet.category(escaped) {
            set.categories.append(category)
            return nil
        }
        return escaped == "b" ? "\u{08}" : try literal(escaped)
    }

    // MARK: Errors

    private func malformed(_ expected: String) -> InputError {
        InputError(
            .malformed, in: "\(place): regular expression, character \(position + 1)", expected: expected,
            found: "'\(pattern.text)'")
    }

    private func unsupported(_ what: String) -> InputError {
        InputError(
            .unsupported, in: "\(place): regular expression, character \(position + 1)",
            expected: "classes, groups, repetition, anchors and looking around", found: "\(what) in '\(pattern.text)'",
            remedy: "Write the pattern without it.")
    }
}
