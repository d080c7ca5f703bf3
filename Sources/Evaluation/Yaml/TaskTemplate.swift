//  The templates of task files: text with `{{ expressions }}` over the fields of a row.
//
//      expression = term (("~" | "+") term)*
//      term       = (name | 'text' | "text" | integer | "(" expression ")") (".name" | "[index]" |
//      ".method(…)")* method     = strip | lower | split | index
//
//  Anything else of Jinja is an error with its line, never a silently different prompt.

import DualityCore

/// A template.
struct TaskTemplate: Sendable {
    indirect enum Term: Sendable {
        case literal(JSON)
        case field(String)
        case member(Term, String)
        case element(Term, Int)
        case call(Term, String, [Term])
        /// `~` makes texts of both, `+` adds numbers and joins texts.
        case joined(Term, Term, asText: Bool)
    }

    private enum Piece: Sendable {
        case text(String)
        case term(Term)
    }

    private let pieces: [Piece]
    private let source: String
    let place: String

    /// - Throws: `InputError` with the place of a construct that is not of the subset.
    init(_ source: String, place: String) throws(InputError) {
        var parser = TemplateParser(source, place: place)
        var pieces: [Piece] = []
        while let (text, term) = try parser.next() {
            if !text.isEmpty { pieces.append(.text(text)) }
            if let term { pieces.append(.term(term)) }
        }
        (self.pieces, self.source, self.place) = (pieces, source, place)
    }

    /// The value for a row: a bare name of a field is that field, one expression its value,
    /// anything else a text.
    func value(_ doc: JSONFields) throws(InputError) -> JSON {
        if let field = doc.object[source] { return field }
        if pieces.count == 1, case .term(let term) = pieces[0] { return try evaluate(term, doc) }
        return .string(try text(doc))
    }

    /// The text for a row.
    func text(_ doc: JSONFields) throws(InputError) -> String {
        if let field = doc.object[source] { return try written(field) }
        var text = ""
        for piece in pieces {
            switch piece {
            case .text(let part): text += part
            case .term(let term): text += try written(evaluate(term, doc))
            }
        }
        return text
    }

    private func written(_ value: JSON) throws(InputError) -> String {
        switch value {
        case .string(let text): return text
        case .number(let digits):
            // Numbers with decimals are written as Python writes them, whatever the file wrote.
            let isWhole = digits.allSatisfy { $0.isNumber || $0 == "-" }
            return isWhole ? digits : value.double.map { "\($0)" } ?? digits
        case .bool(let flag): return flag ? "True" : "False"
        case .null: return "None"
        case .array, .object: throw mistake("a text or a number in the place of an expression", value.kindName)
        }
    }

    private func evaluate(_ term: Term, _ doc: JSONFields) throws(InputError) -> JSON {
        switch term {
        case .literal(let value): return value
        case .field(let name):
            guard let value = doc.object[name] else {
                throw InputError(
                    .missing, in: doc.place(of: name), expected: "the field that \(place) asks for", found: "nothing")
            }
            return value
        case .member(let inner, let name):
            let value = try evaluate(inner, doc)
            guard let member = value[name] else { throw mistake("a value with the field \(name)", value.kindName) }
            return member
        case .element(let inner, let index):
            let value = try evaluate(inner, doc)
            let letters = value.string.map { $0.unicodeScalars.map { JSON.string(String($0)) } }
            guard let list = value.array ?? letters else { throw mistake("a list or a text", value.kindName) }
            let place = index < 0 ? index + list.count : index
            guard list.indices.contains(place) else {
                throw mistake("a list with the entry \(index)", "\(list.count) entries")
            }
            return list[place]
        case .joined(let a, let b, let asText):
            let (left, right) = (try evaluate(a, doc), try evaluate(b, doc))
            if !asText, let x = left.int, let y = right.int {
                let (sum, overflows) = x.addingReportingOverflow(y)
                if overflows { throw mistake("a sum of small numbers", "\(x) + \(y)") }
                return JSON(sum)
            }
            guard asText || (left.string != nil && right.string != nil) else {
                throw mistake("two texts or two numbers around +", "\(left.kindName) and \(right.kindName)")
            }
            return .string(try written(left) + written(right))
        case .call(let inner, let method, let arguments):
            var values: [JSON] = []
            for argument in arguments { values.append(try evaluate(argument, doc)) }
            return try call(evaluate(inner, doc), method, values)
        }
    }

    private func call(_ value: JSON, _ method: String, _ arguments: [JSON]) throws(InputError) -> JSON {
        if method == "index" {
            guard let list = value.array, arguments.count == 1 else {
                throw mistake("a list before .index(x)", value.kindName)
            }
            guard let place = list.firstIndex(of: arguments[0]) else {
                throw mistake("a list that holds \(arguments[0].serialized())", value.serialized())
            }
            return JSON(place)
        }
        guard let text = value.string.map({ Scalars($0) }) else {
            throw mistake("a text before .\(method)()", value.kindName)
        }
        switch (method, arguments.count) {
        case ("strip", 0): return .string(text.stripped().text)
        case ("lower", 0): return .string(text.lowered.text)
        case ("split", 0): return .array(text.words.map { .string($0.text) })
        case ("split", 1):
            guard let mark = arguments[0].string, !mark.isEmpty else {
                throw mistake("a text to split at", "something else")
            }
            return .array(text.pieces(separatedBy: mark).map { .string($0.text) })
        default:
            throw mistake(".strip(), .lower(), .split(s) or .index(x)", ".\(method) with \(arguments.count) arguments")
        }
    }

    private func mistake(_ expected: String, _ found: String) -> InputError {
        InputError(.value, in: "\(place): template", expected: expected, found: found)
    }
}
