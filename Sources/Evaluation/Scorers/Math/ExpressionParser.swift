//  LaTeX of an answer read into an expression.
//
//      sum      = product (("+" | "-") product)*
//      product  = unary (("\cdot" | "\times" | "*" | "/" | "\div") unary)*
//      unary    = ("+" | "-") unary | implied
//      implied  = power+                             2x, \frac{1}{2}\sqrt{3}
//      power    = atom ("^" (atom | "{" sum "}"))?
//      atom     = number | letter | \pi | \frac{…}{…} | \sqrt[n]{…} | ( … ) | { … } | |…| | \sin …

import Foundation

struct ExpressionParser {
    private let text: Scalars
    private var position = 0
    private var depth = 0
    private static let depthLimit = 80

    init(_ text: Scalars) {
        self.text = text.replacing("\\left", with: "").replacing("\\right", with: "").filter { !$0.isPythonSpace }
    }

    /// The expression; nil when the text is not one to its end.
    mutating func parse() -> Expression? {
        guard let value = sum(), position == text.count else { return nil }
        return value
    }

    private var next: Unicode.Scalar? { position < text.count ? text[position] : nil }

    private mutating func take(_ mark: String) -> Bool {
        guard text[position...].starts(with: mark.unicodeScalars) else { return false }
        position += mark.unicodeScalars.count
        return true
    }

    private mutating func sum() -> Expression? {
        depth += 1
        defer { depth -= 1 }
        guard depth < Self.depthLimit, var value = product() else { return nil }
        while true {
            if take("+") {
                guard let other = product() else { return nil }
                value = .sum(value, other)
            } else if take("-") {
                guard let other = product() else { return nil }
                value = .sum(value, .negative(other))
            } else {
                return value
            }
        }
    }

    private mutating func product() -> Expression? {
        guard var value = unary() else { return nil }
        while true {
            if take("\\cdot") || take("\\times") || take("*") {
                guard let other = unary() else { return nil }
                value = .product(value, other)
            } else if take("/") || take("\\div") {
                guard let other = unary() else { return nil }
                value = .quotient(value, other)
            } else {
                return value
            }
        }
    }

    private mutating func unary() -> Expression? {
        depth += 1
        defer { depth -= 1 }
        guard depth < Self.depthLimit else { return nil }
        if take("+") { return unary() }
        if take("-") { return unary().map { .negative($0) } }
        return implied()
    }

    private mutating func implied() -> Expression? {
        guard var value = power() else { return nil }
        while beginsAtom {
            guard let other = power() else { return nil }
            value = .product(value, other)
        }
        return value
    }

    private var beginsAtom: Bool {
        guard let scalar = next else { return false }
        if scalar == "\\" {
            let rest = text[position...]
            return !["\\cdot", "\\times", "\\div"].contains { rest.starts(with: $0.unicodeScalars) }
        }
        return scalar == "(" || scalar == "{" || scalar == "." || (scalar.isASCII && scalar.isWord && scalar != "_")
    }

    private mutating func power() -> Expression? {
        guard let base = atom() else { return nil }
        guard take("^") else { return base }
        guard let exponent = next == "-" ? unary() : atom() else { return nil }
        return .power(base, exponent)
    }

    private mutating func atom() -> Expression? {
        guard let scalar = next else { return nil }
        switch scalar {
        case "(": return enclosed("(", ")")
        case "{": return enclosed("{", "}")
        case "|":
            return enclosed("|", "|").map { .function("abs", $0) }
        case "\\": return command()
        default: break
        }
        if scalar.isASCII, scalar.isLetter {
            position += 1
            return .symbol(String(Character(scalar)))
        }
        return number()
    }

    private mutating func enclosed(_ open: String, _ close: String) -> Expression? {
        guard take(open), let value = sum(), take(close) else { return nil }
        return value
    }

    private mutating func number() -> Expression? {
        let start = position
        while let scalar = next, (scalar.isASCII && scalar.isDecimalDigit) || scalar == "." { position += 1 }
        guard position > start, let value = Double("0" + Scalars(text[start..<position]).text) else { return nil }
        return .number(value)
    }

    private mutating func command() -> Expression? {
        for name in ["\\frac", "\\dfrac", "\\tfrac"] where take(name) {
            guard let top = argument(), let bottom = argument() else { return nil }
            return .quotient(top, bottom)
        }
        if take("\\sqrt") {
            var degree = Expression.number(2)
            if next == "[" {
                guard let given = enclosed("[", "]") else { return nil }
                degree = given
            }
            guard let inside = argument() else { return nil }
            return .power(inside, .quotient(.number(1), degree))
        }
        for name in ["sin", "cos", "tan", "ln", "log", "exp"] where take("\\" + name) {
            return power().map { .function(name, $0) }
        }
        position += 1
        let start = position
        while let scalar = next, scalar.isASCII, scalar.isLetter { position += 1 }
        let name = Scalars(text[start..<position]).text
        let letters = [
            "pi", "alpha", "beta", "gamma", "delta", "epsilon", "theta", "lambda", "mu", "phi", "omega", "infty",
            "sigma",
        ]
        return letters.contains(name) ? .symbol(name) : nil
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
