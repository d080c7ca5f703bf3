//  LaTeX of an answer read into an expression, as SymPy's parser reads it.
//
//      sum      = product (("+" | "-") product)*
//      product  = unary (("\cdot" | "\times" | "*" | "/" | "\div" | ":") unary)*
//      unary    = ("+" | "-") unary | implied
//      implied  = power+                             2x, \frac{1}{2}\sqrt{3}
//      power    = atom "!"* ("^" (atom | "{" sum "}"))* "!"*
//      atom     = number | letter | letter "(" … ")" | \name | \frac{…}{…} | \sqrt[n]{…} | ( … )
//                 | { … } | [ … ] | |…| | \sin …
//
//  What cannot go on after a complete expression is left out, as there: "x, 5" and "x." are x.
//  A relation behind it, a mark that is none of LaTeX's mathematics, or a number that ends in a
//  point is no expression.

import Foundation

struct ExpressionParser {
    private let text: Scalars
    private var position = 0
    private var depth = 0
    /// Bars that are open: the next one closes.
    private var bars = 0
    /// What was tried so far: ways that lead nowhere are left, and there may be many.
    private var tries = 0
    private static let depthLimit = 80
    private static let tryLimit = 20_000
    private static let spaces = [
        "\\left", "\\right", "\\,", "\\:", "\\;", "\\!", "\\quad", "\\qquad", "\\thinspace", "\\medspace",
        "\\thickspace",
    ]
    private static let relations = [
        "=", "<", ">", "\\le", "\\leq", "\\leqq", "\\leqslant", "\\ge", "\\geq", "\\geqq", "\\geqslant", "\\ne",
        "\\neq", "\\lt", "\\gt",
    ]
    private static let functions = [
        "sin", "cos", "tan", "csc", "sec", "cot", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "ln", "log",
        "exp",
    ]

    init(_ text: Scalars) {
        var text = text
        for space in Self.spaces { text = text.replacing(space, with: "") }
        self.text = text.filter { !$0.isPythonSpace }
    }

    /// The expression that the text begins with; nil when there is none, or more follows than may.
    mutating func parse() -> Expression? {
        guard let value = sum(), mayEnd else { return nil }
        return value
    }

    private var mayEnd: Bool {
        guard let scalar = next else { return true }
        if Self.relations.contains(where: begins) { return false }
        if scalar == "." {
            // A whole number is not followed by a point, one with decimals may be.
            let before = text[..<position].reversed()
            let digits = before.prefix { $0.isDecimalDigit }.count
            return digits == 0 || before.dropFirst(digits).first == "."
        }
        if scalar == "\\" {
            guard position + 1 < text.count else { return false }
            let named = text[position + 1]
            return (named.isASCII && named.isLetter) || named == "{" || named == "}"
        }
        return scalar.isASCII && (scalar.isWord || "+-*/^,:()[]{}|!'".unicodeScalars.contains(scalar))
    }

    private var next: Unicode.Scalar? { position < text.count ? text[position] : nil }

    /// Whether a mark is next; a command is, where its name ends there.
    private func begins(_ mark: String) -> Bool {
        let scalars = mark.unicodeScalars
        guard text[position...].starts(with: scalars) else { return false }
        guard scalars.first == "\\", scalars.last?.isLetter == true, position + scalars.count < text.count else {
            return true
        }
        let after = text[position + scalars.count]
        return !(after.isASCII && after.isLetter)
    }

    private mutating func take(_ mark: String) -> Bool {
        guard begins(mark) else { return false }
        position += mark.unicodeScalars.count
        return true
    }

    /// What an operator is followed by; nil, and the operator is left out, where nothing can
    /// follow.
    private mutating func operand(
        _ marks: [String], _ read: (inout ExpressionParser) -> Expression?
    ) -> (mark: String, value: Expression)? {
        let start = (position, depth, bars)
        for mark in marks where take(mark) {
            if let value = read(&self) { return (mark, value) }
            (position, depth, bars) = start
            return nil
        }
        return nil
    }

    private mutating func sum() -> Expression? {
        depth += 1
        defer { depth -= 1 }
        guard depth < Self.depthLimit, var value = product() else { return nil }
        while let (mark, other) = operand(["+", "-"], { $0.product() }) {
            value = .sum(value, mark == "+" ? other : .negative(other))
        }
        return value
    }

    private mutating func product() -> Expression? {
        guard var value = unary() else { return nil }
        while let (mark, other) = operand(["\\cdot", "\\times", "*", "/", "\\div", ":"], { $0.unary() }) {
            value = ["/", "\\div", ":"].contains(mark) ? .quotient(value, other) : .product(value, other)
        }
        return value
    }

    private mutating func unary() -> Expression? {
        depth += 1
        defer { depth -= 1 }
        tries += 1
        guard depth < Self.depthLimit, tries < Self.tryLimit else { return nil }
        if take("+") { return unary() }
        if take("-") { return unary().map { .negative($0) } }
        return implied()
    }

    private mutating func implied() -> Expression? {
        guard var value = power() else { return nil }
        while beginsAtom, let (_, other) = operand([""], { $0.power() }) { value = .product(value, other) }
        return value
    }

    private var beginsAtom: Bool {
        guard let scalar = next else { return false }
        if scalar == "\\" {
            return !(["\\cdot", "\\times", "\\div", "\\to", "\\rfloor", "\\rceil", "\\}"] + Self.relations)
                .contains(where: begins)
        }
        return scalar == "(" || scalar == "{" || scalar == "[" || (scalar == "|" && bars == 0)
            || (scalar.isASCII && scalar.isWord && scalar != "_")
    }

    private mutating func power() -> Expression? {
        guard var value = atom() else { return nil }
        while true {
            if take("!") {
                value = .function("factorial", value)
            } else if let (_, exponent) = operand(["^"], { $0.next == "-" ? $0.unary() : $0.atom() }) {
                value = .power(value, exponent)
            } else {
                return value
            }
        }
    }

    private mutating func atom() -> Expression? {
        guard let scalar = next else { return nil }
        switch scalar {
        case "(": return enclosed("(", ")")
        case "{": return enclosed("{", "}")
        case "[": return enclosed("[", "]")
        case "|":
            bars += 1
            guard let inside = enclosed("|", "|") else { return nil }
            bars -= 1
            return .function("abs", inside)
        case "\\": return command()
        default: break
        }
        if scalar.isASCII, scalar.isLetter {
            position += 1
            return symbol(String(Character(scalar)))
        }
        return number()
    }

    private mutating func enclosed(_ open: String, _ close: String) -> Expression? {
        guard take(open), let value = sum(), take(close) else { return nil }
        return value
    }

    /// A letter with its index and primes; before a parenthesis, a function of what is in there.
    private mutating func symbol(_ letter: String) -> Expression? {
        var name = letter
        if take("_") {
            let start = position
            guard next == "{" ? enclosed("{", "}") != nil : atom() != nil else { return nil }
            name += "_" + text[start..<position].filter { $0 != "{" && $0 != "}" }.map { String($0) }.joined()
        }
        while take("'") { name += "'" }
        let start = (position, depth, bars)
        guard take("("), var value = sum() else {
            (position, depth, bars) = start
            return .symbol(name)
        }
        while take(",") {
            guard let other = sum() else { break }
            value = .sum(.product(.symbol("argument"), value), other)
        }
        guard take(")") else {
            (position, depth, bars) = start
            return .symbol(name)
        }
        return .function(name + "()", value)
    }

    /// Digits, in groups of three behind commas, and decimals behind a point.
    private mutating func number() -> Expression? {
        let start = position
        func digits(_ from: Int) -> Int { text[from...].prefix { $0.isASCII && $0.isDecimalDigit }.count }
        position += digits(position)
        guard position > start else { return nil }
        while next == ",", digits(position + 1) >= 3 { position += 4 }
        let hasZero = text[start] == "0" && text[start..<position].contains { $0 != "0" }
        if next == "." {
            let decimals = digits(position + 1)
            if decimals > 0 { position += 1 + decimals } else { return nil }
        } else if hasZero {
            return nil
        }
        return Double(text[start..<position].filter { $0 != "," }.map { String($0) }.joined()).map { .number($0) }
    }

    private mutating func command() -> Expression? {
        guard !Self.relations.contains(where: begins) else { return nil }
        position += 1
        let start = position
        while let scalar = next, scalar.isASCII, scalar.isLetter { position += 1 }
        let name = Scalars(text[start..<position]).text
        switch name {
        case "": return nil
        case "frac", "dfrac", "tfrac", "binom", "dbinom", "tbinom":
            guard let top = argument(), let bottom = argument() else { return nil }
            if name.hasSuffix("frac") { return .quotient(top, bottom) }
            func factorial(_ value: Expression) -> Expression { .function("factorial", value) }
            let rest = Expression.sum(top, .negative(bottom))
            return .quotient(factorial(top), .product(factorial(bottom), factorial(rest)))
        case "sqrt":
            var degree = Expression.number(2)
            if next == "[" {
                guard let given = enclosed("[", "]") else { return nil }
                degree = given
            }
            guard let inside = argument() else { return nil }
            return .power(inside, .quotient(.number(1), degree))
        case "lfloor", "lceil":
            guard let inside = sum(), take(name == "lfloor" ? "\\rfloor" : "\\rceil") else { return nil }
            return .function(name, inside)
        default: return Self.functions.contains(name) ? function(name) : symbol(name)
        }
    }

    /// `\sin^2 x`, `\log_2 8`, `\tan^{-1} x`.
    private mutating func function(_ name: String) -> Expression? {
        var (base, exponent): (Expression?, Expression?)
        if name == "log", take("_") {
            base = argument()
            if base == nil { return nil }
        }
        if take("^") {
            exponent = argument()
            if exponent == nil { return nil }
        }
        guard let inside = next == "(" ? enclosed("(", ")") : implied() else { return nil }
        var value = Expression.function(name, inside)
        if let base { value = .quotient(value, .function("ln", base)) }
        guard let exponent else { return value }
        if case .negative(.number(1)) = exponent, ["sin", "cos", "tan"].contains(name) {
            return .function("arc" + name, inside)
        }
        value = .power(value, exponent)
        return value
    }

    /// `{…}`, or one digit or letter.
    private mutating func argument() -> Expression? {
        guard let scalar = next else { return nil }
        if scalar.isASCII, scalar.isDecimalDigit {
            position += 1
            return .number(scalar.properties.numericValue ?? 0)
        }
        return atom()
    }
}
