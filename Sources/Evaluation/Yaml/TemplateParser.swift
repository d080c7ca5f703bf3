//  The text of a template read into pieces.

import DualityCore

struct TemplateParser {
    private let source: Scalars
    private let place: String
    private var position = 0
    private var depth = 0

    init(_ source: String, place: String) {
        // A line feed at the end stays, as the harness tells Jinja.
        (self.source, self.place) = (Scalars(source), place)
    }

    /// The text up to the next expression, and that; nil at the end.
    mutating func next() throws(InputError) -> (String, TaskTemplate.Term?)? {
        guard position < source.count else { return nil }
        let start = position
        while position < source.count {
            if begins("{%") || begins("{#") {
                throw unsupported("'\(Scalars(source[position...].prefix(20)).text)'")
            }
            if begins("{{") { break }
            position += 1
        }
        let text = Scalars(source[start..<position]).text
        guard position < source.count else { return (text, nil) }
        position += 2
        let term = try expression()
        skipSpace()
        guard take("}}") else { throw unsupported("'\(rest)' before '}}'") }
        return (text, term)
    }

    private var rest: String { Scalars(source[min(position, source.count)...].prefix(30)).text }

    private func begins(_ mark: String) -> Bool { source[position...].starts(with: mark.unicodeScalars) }

    private mutating func take(_ mark: String) -> Bool {
        guard position <= source.count, begins(mark) else { return false }
        position += mark.unicodeScalars.count
        return true
    }

    private mutating func skipSpace() {
        while position < source.count, source[position].isPythonSpace { position += 1 }
    }

    private mutating func expression() throws(InputError) -> TaskTemplate.Term {
        depth += 1
        defer { depth -= 1 }
        guard depth < 30 else { throw unsupported("more than 30 parentheses") }
        var term = try chain()
        while true {
            skipSpace()
            if take("~") {
                term = .joined(term, try chain(), asText: true)
            } else if take("+") {
                term = .joined(term, try chain(), asText: false)
            } else {
                return term
            }
        }
    }

    private mutating func chain() throws(InputError) -> TaskTemplate.Term {
        var term = try atom()
        while true {
            if take(".") {
                let name = try name()
                guard take("(") else {
                    term = .member(term, name)
                    continue
                }
                var arguments: [TaskTemplate.Term] = []
                skipSpace()
                if !take(")") {
                    repeat {
                        arguments.append(try expression())
                        skipSpace()
                    } while take(",")
                    guard take(")") else { throw unsupported("'\(rest)' in place of ')'") }
                }
                guard ["strip", "lower", "split", "index"].contains(name) else {
                    throw unsupported("the method .\(name)()")
                }
                term = .call(term, name, arguments)
            } else if take("[") {
                skipSpace()
                let isNegative = take("-")
                guard case .literal(let literal) = try atom() else { throw unsupported("an index that is no literal") }
                skipSpace()
                guard take("]") else { throw unsupported("'\(rest)' in place of ']'") }
                if let key = literal.string {
                    term = .member(term, key)
                } else {
                    let index = literal.int ?? 0
                    term = .element(term, isNegative ? -index : index)
                }
            } else {
                return term
            }
        }
    }

    private mutating func atom() throws(InputError) -> TaskTemplate.Term {
        skipSpace()
        guard position < source.count else { throw unsupported("the end of the template in an expression") }
        let scalar = source[position]
        if scalar == "(" {
            position += 1
            let inner = try expression()
            skipSpace()
            guard take(")") else { throw unsupported("'\(rest)' in place of ')'") }
            return inner
        }
        if scalar == "'" || scalar == "\"" { return .literal(.string(try quoted(scalar))) }
        if scalar.isASCII, scalar.isDecimalDigit {
            let start = position
            while position < source.count, source[position].isASCII, source[position].isDecimalDigit { position += 1 }
            guard let number = Int(Scalars(source[start..<position]).text) else {
                throw unsupported("a number of that size")
            }
            return .literal(JSON(number))
        }
        return .field(try name())
    }

    private mutating func quoted(_ mark: Unicode.Scalar) throws(InputError) -> String {
        position += 1
        var text: Scalars = []
        while position < source.count {
            let scalar = source[position]
            position += 1
            if scalar == mark { return text.text }
            guard scalar == "\\", position < source.count else {
                text.append(scalar)
                continue
            }
            let escaped = source[position]
            position += 1
            switch escaped {
            case "n": text.append("\n")
            case "t": text.append("\t")
            case "\\", "'", "\"": text.append(escaped)
            default: throw unsupported("the escape '\\\(escaped)'")
            }
        }
        throw unsupported("a text without its closing mark")
    }

    private mutating func name() throws(InputError) -> String {
        let start = position
        while position < source.count, source[position].isWord { position += 1 }
        guard position > start, !source[start].isDecimalDigit else { throw unsupported("'\(rest)' in an expression") }
        return Scalars(source[start..<position]).text
    }

    private func unsupported(_ what: String) -> InputError {
        InputError(
            .unsupported, in: "\(place): template",
            expected:
                "text and {{ }} with fields, .x, [0], .strip(), .lower(), .split(s)[i], .index(x), literals, ~ and +",
            found: what)
    }
}
