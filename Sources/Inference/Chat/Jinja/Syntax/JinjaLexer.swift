//  The source of a template as text and tags, and the tokens inside of tags.
//
//  White space is treated as transformers sets Jinja up: a line feed behind a block or a comment
//  goes with it (trim_blocks), so do blanks in front of one that begins its line (lstrip_blocks); a
//  minus sign beside a tag takes all white space, a plus sign none. One line feed at the end of the
//  source is dropped.
//
//  Source: Jinja 3.1, template designer documentation, "Whitespace Control".

/// A piece of a template's source.
struct JinjaToken: Equatable {
    enum Kind: Equatable {
        /// Text outside of tags.
        case data(String)
        case variableBegin, variableEnd, blockBegin, blockEnd
        case name(String)
        case string(String)
        case integer(Int)
        case float(Double)
        case symbol(String)
        case end
    }

    let kind: Kind
    /// From 1.
    let line: Int
}

/// Cuts a template's source into tokens.
struct JinjaLexer {
    let source: [Unicode.Scalar]
    var position = 0
    var line = 1
    var tokens: [JinjaToken] = []
    /// Whether the text at `position` begins a line, as far as the tag before it tells.
    private var isLineStart = true

    private init(_ source: [Unicode.Scalar]) {
        self.source = source
    }

    /// The tokens of a template, ending with `.end`.
    ///
    /// - Throws: `JinjaFailure` for a tag, a comment or a string without an end, or a character
    ///   that no expression has.
    static func tokens(of source: String) throws -> [JinjaToken] {
        guard source.utf8.count <= JinjaLimits.source else {
            throw JinjaFailure(.limit, "a template of \(source.utf8.count) bytes (at most \(JinjaLimits.source))")
        }
        var scalars: [Unicode.Scalar] = []
        scalars.reserveCapacity(source.utf8.count)
        for scalar in source.unicodeScalars {
            // Every way to end a line is a line feed.
            if scalar == "\n" && scalars.last == "\r" { scalars.removeLast() }
            scalars.append(scalar)
        }
        for index in scalars.indices where scalars[index] == "\r" { scalars[index] = "\n" }
        if scalars.last == "\n" { scalars.removeLast() }
        var lexer = JinjaLexer(scalars)
        try lexer.scan()
        return lexer.tokens
    }

    mutating func add(_ kind: JinjaToken.Kind) {
        tokens.append(JinjaToken(kind: kind, line: line))
    }

    func fail(_ message: String, line: Int? = nil) -> JinjaFailure {
        JinjaFailure(.syntax, message, line: line ?? self.line)
    }

    func at(_ offset: Int) -> Unicode.Scalar? { offset < source.count ? source[offset] : nil }

    func has(_ text: String, at offset: Int) -> Bool {
        var offset = offset
        for scalar in text.unicodeScalars {
            guard at(offset) == scalar else { return false }
            offset += 1
        }
        return true
    }

    // MARK: Text and tags

    private mutating func scan() throws {
        while position < source.count {
            let start = position
            let open = nextTag(from: start)
            guard let open else {
                addData(start..<source.count)
                break
            }
            let kind = source[open + 1]
            var end = open
            let sign = at(open + 2)
            if sign == "-" {
                while end > start, source[end - 1].isPythonSpace { end -= 1 }
            } else if sign != "+", kind != "{" {
                end = withoutIndentation(start..<end)
            }
            addData(start..<end)
            countLines(end..<open)
            position = open + 2
            if sign == "-" || (sign == "+" && kind != "{") { position += 1 }
            switch kind {
            case "#": try skipComment()
            case "%":
                if let name = peekBlockName(), name == "raw" { try scanRaw() } else { try scanBlock() }
            default:
                add(.variableBegin)
                try scanExpression(until: "}")
                add(.variableEnd)
            }
        }
        add(.end)
    }

    private func nextTag(from start: Int) -> Int? {
        var index = start
        while index + 1 < source.count {
            if source[index] == "{", ["{", "%", "#"].contains(source[index + 1]) { return index }
            index += 1
        }
        return nil
    }

    /// The end of a text in front of a block, without blanks that stand alone on their line.
    private func withoutIndentation(_ range: Range<Int>) -> Int {
        var start = range.upperBound
        while start > range.lowerBound, source[start - 1] != "\n" {
            guard source[start - 1].isPythonSpace else { return range.upperBound }
            start -= 1
        }
        return start > range.lowerBound || isLineStart ? start : range.upperBound
    }

    private mutating func addData(_ range: Range<Int>) {
        if !range.isEmpty { add(.data(text(range))) }
        countLines(range)
    }

    func text(_ range: Range<Int>) -> String {
        String(String.UnicodeScalarView(source[range]))
    }

    private mutating func countLines(_ range: Range<Int>) {
        for index in range where source[index] == "\n" { line += 1 }
    }

    /// Moves behind the end of a tag at `position` whose first character is `mark`; nil when there
    /// is none here.
    func tagEnd(_ mark: Unicode.Scalar) -> (end: Int, stripsAll: Bool, keepsLine: Bool)? {
        if at(position) == mark, at(position + 1) == "}" { return (position + 2, false, false) }
        guard let sign = at(position), at(position + 1) == mark, at(position + 2) == "}" else { return nil }
        if sign == "-" { return (position + 3, true, false) }
        if sign == "+", mark != "}" { return (position + 3, false, true) }
        return nil
    }

    /// Closes a tag: moves behind it and behind the white space that it takes along.
    mutating func close(_ tag: (end: Int, stripsAll: Bool, keepsLine: Bool), trimsLine: Bool) {
        position = tag.end
        if tag.stripsAll {
            while let scalar = at(position), scalar.isPythonSpace { position += 1 }
        } else if trimsLine, !tag.keepsLine, at(position) == "\n" {
            position += 1
        }
        countLines(tag.end..<position)
        isLineStart = source[position - 1] == "\n"
    }

    private mutating func skipComment() throws {
        let start = position
        while position < source.count {
            if let tag = tagEnd("#") {
                countLines(start..<position)
                close(tag, trimsLine: true)
                return
            }
            position += 1
        }
        throw fail("a comment without an end")
    }

    /// The word behind the beginning of a block.
    private func peekBlockName() -> String? {
        var start = position
        while let scalar = at(start), scalar.isPythonSpace { start += 1 }
        var end = start
        while let scalar = at(end), scalar.isNamePart { end += 1 }
        return start < end ? text(start..<end) : nil
    }

    /// Text between `raw` and `endraw`, which is no program.
    private mutating func scanRaw() throws {
        let first = line
        while let scalar = at(position), scalar.isPythonSpace || scalar.isNamePart { position += 1 }
        guard let tag = tagEnd("%") else { throw fail("a raw block whose beginning has no end") }
        close((tag.end, tag.stripsAll, true), trimsLine: false)
        let start = position
        while position < source.count {
            guard has("{%", at: position) else {
                position += 1
                continue
            }
            let open = position
            let sign = at(open + 2)
            position = open + (sign == "-" || sign == "+" ? 3 : 2)
            guard peekBlockName() == "endraw" else {
                position = open + 1
                continue
            }
            var end = open
            if sign == "-" {
                while end > start, source[end - 1].isPythonSpace { end -= 1 }
            } else if sign != "+" {
                end = withoutIndentation(start..<end)
            }
            addData(start..<end)
            countLines(end..<open)
            while let scalar = at(position), scalar.isPythonSpace || scalar.isNamePart { position += 1 }
            guard let tag = tagEnd("%") else { throw fail("an endraw whose tag has no end") }
            close(tag, trimsLine: true)
            return
        }
        throw fail("a raw block without an end", line: first)
    }

    private mutating func scanBlock() throws {
        add(.blockBegin)
        try scanExpression(until: "%")
        add(.blockEnd)
    }
}
