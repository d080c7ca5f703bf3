//  The tokens inside of tags.

extension JinjaLexer {
    /// Scans tokens up to the end of the tag and moves behind it.
    mutating func scanExpression(until mark: Unicode.Scalar) throws {
        let first = line
        var brackets: [Unicode.Scalar] = []
        var parts = 0
        while let scalar = at(position) {
            parts += 1
            guard parts <= JinjaLimits.tagParts else {
                throw JinjaFailure(.limit, "a tag of more than \(JinjaLimits.tagParts) parts", line: first)
            }
            if brackets.isEmpty, let tag = tagEnd(mark) {
                close(tag, trimsLine: mark == "%")
                return
            }
            if scalar.isPythonSpace {
                if scalar == "\n" { line += 1 }
                position += 1
            } else if scalar == "'" || scalar == "\"" {
                try scanString(quote: scalar)
            } else if scalar.isDigit {
                try scanNumber()
            } else if scalar.isNamePart {
                let start = position
                while let next = at(position), next.isNamePart { position += 1 }
                add(.name(text(start..<position)))
            } else {
                try scanSymbol(&brackets)
            }
        }
        throw fail("a tag without an end", line: first)
    }

    private static let symbols = [
        "**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}",
        ".", ",", ":", "|", ";",
    ]
    private static let closers: [Unicode.Scalar: Unicode.Scalar] = [")": "(", "]": "[", "}": "{"]

    private mutating func scanSymbol(_ brackets: inout [Unicode.Scalar]) throws {
        guard let symbol = Self.symbols.first(where: { has($0, at: position) }) else {
            throw fail("the character \(String(source[position]).debugDescription) in an expression")
        }
        let scalar = source[position]
        if let opener = Self.closers[scalar] {
            guard brackets.popLast() == opener else { throw fail("an unexpected \(symbol)") }
        } else if "([{".unicodeScalars.contains(scalar) {
            brackets.append(scalar)
            guard brackets.count <= JinjaLimits.sourceDepth else {
                throw JinjaFailure(
                    .limit, "more than \(JinjaLimits.sourceDepth) brackets inside each other", line: line)
            }
        }
        add(.symbol(symbol))
        position += symbol.unicodeScalars.count
    }

    private mutating func scanString(quote: Unicode.Scalar) throws {
        let first = line
        var raw: [Unicode.Scalar] = []
        position += 1
        while let scalar = at(position), scalar != quote {
            if scalar == "\n" { line += 1 }
            raw.append(scalar)
            position += 1
            if scalar == "\\", let next = at(position) {
                if next == "\n" { line += 1 }
                raw.append(next)
                position += 1
            }
        }
        guard position < source.count else { throw fail("a string without an end", line: first) }
        position += 1
        guard let value = JinjaEscapes.value(of: raw) else { throw fail("a string with a broken escape", line: first) }
        tokens.append(JinjaToken(kind: .string(value), line: first))
    }
}
