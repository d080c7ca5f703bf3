//  The tokens of a Jinja template.
//
//  Source: Jinja 3.1, template designer documentation; white space as Hugging Face sets it
//  (trim_blocks, lstrip_blocks).

/// A token of a template, in a spelling of its own: quotes, escapes and white space are gone,
/// `a['b']` is `a.b`.
enum JinjaToken: Hashable {
    /// Text outside of tags, which is written as it is.
    case text(String)
    /// The value of a string literal.
    case literal(String)
    /// A variable, attribute, filter, test or keyword.
    case name(String)
    /// The beginning or end of a tag, an operator, a bracket, or a digit.
    case mark(String)

    /// The tokens of a template, comments left out; nil when a tag or a string has no end.
    static func tokens(of source: String) -> [JinjaToken]? {
        var scanner = JinjaScanner(source: Array(source.unicodeScalars))
        return scanner.scan() ? scanner.tokens : nil
    }

    /// A number that two templates share when they have the same tokens: FNV-1a over their kinds
    /// and texts.
    static func fingerprint(_ tokens: [JinjaToken]) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        func add(_ byte: UInt8) { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        for token in tokens {
            let (kind, text): (Unicode.Scalar, String) =
                switch token {
                case .text(let text): ("t", text)
                case .literal(let text): ("l", text)
                case .name(let text): ("n", text)
                case .mark(let text): ("m", text)
                }
            add(UInt8(ascii: kind))
            for byte in text.utf8 { add(byte) }
            add(0)
        }
        return hash
    }
}

private struct JinjaScanner {
    let source: [Unicode.Scalar]
    var tokens: [JinjaToken] = []
    private var position = 0

    init(source: [Unicode.Scalar]) {
        self.source = source
    }

    /// What a tag takes away of the text beside it.
    private enum Trim {
        case nothing, space, lineFeed, indentation
    }

    /// Goes through text and tags in turn; returns whether all tags have an end.
    mutating func scan() -> Bool {
        var trim = Trim.nothing
        while position < source.count {
            let start = position
            let open = nextTag(from: start) ?? source.count
            let isBlock = open < source.count && source[open + 1] == "%"
            let isComment = open < source.count && source[open + 1] == "#"
            let stripsBefore = open + 2 < source.count && source[open + 2] == "-"
            addText(start..<open, after: trim, before: stripsBefore ? .space : isBlock ? .indentation : .nothing)
            if open == source.count { return true }
            position = open
            guard scanTag() else { return false }
            let stripsAfter = source[position - 3] == "-"
            trim = stripsAfter ? .space : isBlock || isComment ? .lineFeed : .nothing
        }
        return true
    }

    private func nextTag(from start: Int) -> Int? {
        var index = start
        while index + 1 < source.count {
            if source[index] == "{", ["{", "%", "#"].contains(source[index + 1]) { return index }
            index += 1
        }
        return nil
    }

    private mutating func addText(_ range: Range<Int>, after: Trim, before: Trim) {
        var (start, end) = (range.lowerBound, range.upperBound)
        switch after {
        case .space: while start < end, source[start].properties.isWhitespace { start += 1 }
        case .lineFeed: if start < end, source[start] == "\n" { start += 1 }
        case .nothing, .indentation: break
        }
        switch before {
        case .space: while start < end, source[end - 1].properties.isWhitespace { end -= 1 }
        case .indentation:
            var line = end
            while line > start, source[line - 1] == " " || source[line - 1] == "\t" { line -= 1 }
            if line == 0 || source[line - 1] == "\n" { end = line }
        case .nothing, .lineFeed: break
        }
        if start < end { tokens.append(.text(String(String.UnicodeScalarView(source[start..<end])))) }
    }

    /// Scans the tag at `position` and moves behind it; returns whether it has an end.
    private mutating func scanTag() -> Bool {
        let kind = source[position + 1]
        let close: Unicode.Scalar = kind == "{" ? "}" : kind
        let isComment = kind == "#"
        position += 2
        if position < source.count, source[position] == "-" { position += 1 }
        if !isComment { tokens.append(.mark("{\(kind)")) }
        while position + 1 < source.count {
            let scalar = source[position]
            if scalar == close && source[position + 1] == "}" {
                position += 2
                if !isComment { tokens.append(.mark("\(close)}")) }
                return true
            }
            if isComment || scalar.properties.isWhitespace {
                position += 1
            } else if scalar == "'" || scalar == "\"" {
                guard scanString() else { return false }
            } else if isWord(scalar) {
                scanWord()
            } else {
                position += 1
                // The sign that strips white space behind the tag is no operator.
                let isStrip = scalar == "-" && source[position] == close
                if !isStrip { tokens.append(.mark(String(scalar))) }
                if scalar == "]" { shortenSubscript() }
            }
        }
        return false
    }

    private func isWord(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "_" || scalar.properties.isAlphabetic || "0"..."9" ~= scalar
    }

    private mutating func scanWord() {
        let start = position
        while position < source.count, isWord(source[position]) { position += 1 }
        let word = String(String.UnicodeScalarView(source[start..<position]))
        if "0"..."9" ~= source[start] {
            tokens.append(.mark(word))
        } else {
            // Two spellings of the same constants.
            let constants = ["True": "true", "False": "false", "None": "none"]
            tokens.append(.name(constants[word] ?? word))
        }
    }

    /// Turns a subscript `['name']` at the end of the tokens into `.name`.
    private mutating func shortenSubscript() {
        guard tokens.count >= 4, case .literal(let key) = tokens[tokens.count - 2],
            tokens[tokens.count - 3] == .mark("[")
        else { return }
        switch tokens[tokens.count - 4] {
        case .name, .mark("]"), .mark(")"):
            tokens.replaceSubrange((tokens.count - 3)..., with: [.mark("."), .name(key)])
        default: return  // a list of one string
        }
    }

    private mutating func scanString() -> Bool {
        let quote = source[position]
        var text = String.UnicodeScalarView()
        position += 1
        while position < source.count {
            var scalar = source[position]
            position += 1
            if scalar == quote {
                tokens.append(.literal(String(text)))
                return true
            }
            if scalar == "\\", position < source.count {
                scalar = source[position]
                position += 1
                switch scalar {
                case "n": scalar = "\n"
                case "t": scalar = "\t"
                case "r": scalar = "\r"
                case "\\", "'", "\"": break
                default: text.append("\\")  // Python keeps the backslash of an unknown escape
                }
            }
            text.append(scalar)
        }
        return false
    }
}
