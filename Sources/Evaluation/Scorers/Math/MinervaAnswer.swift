//  The answers of a solution in LaTeX, in the normal form of Minerva.
//
//  Lewkowycz et al. 2022, "Solving Quantitative Reasoning Problems with Language Models", appendix
//  D, as lm-evaluation-harness and olmes apply it: words of units and of courtesy go, shorthand is
//  written out, and what is left is compared as text or as algebra.

import DualityCore

/// Answers of one text.
struct MinervaAnswer {
    /// What stands between "Final Answer: The final answer is" and "I hope it is correct.".
    let stated: Scalars?
    /// All answers, the stated one first: then the last box; without either what lies between the
    /// last two `$`, or everything.
    let all: [Scalars]

    private static let sentence = PythonRegex(
        ours: "Final Answer: The final answer is(.*?). I hope it is correct.")

    init(_ output: Scalars) throws(InputError) {
        let closed = output + Scalars("I hope it is correct.")
        var stated: Scalars?
        if let range = try Self.sentence.firstMatch(in: closed)?.groups[1] {
            stated = try Self.normalized(Scalars(closed[range]).stripped())
        }
        var answers = stated.map { [$0] } ?? []
        if let box = Self.lastBox(output) { answers.append(try Self.normalized(box)) }
        if answers.isEmpty {
            let dollars = output.indices.filter { output[$0] == "$" }
            if dollars.count > 1 {
                let (first, last) = (dollars[dollars.count - 2], dollars[dollars.count - 1])
                answers.append(try Self.normalized(Scalars(output[(first + 1)..<last])))
            } else {
                answers.append(try Self.normalized(output))
            }
        }
        (self.stated, all) = (stated, answers)
    }

    // MARK: Boxes

    /// What the last `\boxed{…}` holds; of `\boxed 7` what comes before the next `$`; `\fbox` where
    /// there is no box.
    static func lastBox(_ text: Scalars) -> Scalars? {
        let spaced = text.pieces(separatedBy: "\\boxed ")
        if spaced.count > 1, let last = spaced.last { return last.pieces(separatedBy: "$")[0] }
        for name in ["\\boxed", "\\fbox"] {
            let pieces = text.pieces(separatedBy: name)
            if pieces.count > 1, let last = pieces.last { return braced(last) }
        }
        return nil
    }

    /// The inside of the braces that a text begins with.
    private static func braced(_ text: Scalars) -> Scalars? {
        guard text.first == "{" else { return nil }
        var open = 0
        for (i, scalar) in text.enumerated() {
            if scalar == "{" { open += 1 }
            if scalar == "}" { open -= 1 }
            if open == 0 { return Scalars(text[1..<i]) }
        }
        return nil
    }

    // MARK: The normal form

    private static let replaced = [
        ("an ", ""), ("a ", ""), (".$", "$"), ("\\$", ""), ("\\ ", ""), (" ", ""), ("mbox", "text"),
        (",\\text{and}", ","), ("\\text{and}", ","), ("\\text{m}", "\\text{}"),
    ]
    private static let deleted = [
        "square", "ways", "integers", "dollars", "mph", "inches", "ft", "hours", "km", "units", "\\ldots", "sue",
        "points", "feet", "minutes", "digits", "cents", "degrees", "cm", "gm", "pounds", "meters", "meals", "edges",
        "students", "childrentickets", "multiples", "\\text{s}", "\\text{.}", "\\text{\ns}", "\\text{}^2", "\\text{}^3",
        "\\text{\n}", "\\text{}", "\\mathrm{th}", "^\\circ", "^{\\circ}", "\\;", ",\\!", "{,}", "\"", "\\dots",
    ]
    private static let rewritten: [(PythonRegex, String)] = [
        (PythonRegex(ours: #"(.*?)(\$)(.*?)(\$)(.*)"#), "$$3$"),
        (PythonRegex(ours: #"(\\text\{)(.*?)(\})"#), "$2"),
        (PythonRegex(ours: #"(\\textbf\{)(.*?)(\})"#), "$2"),
        (PythonRegex(ours: #"(\\overline\{)(.*?)(\})"#), "$2"),
        (PythonRegex(ours: #"(\\boxed\{)(.*)(\})"#), "$2"),
        (PythonRegex(ours: #"(frac)([^{])(.)"#), "frac{$2}{$3}"),
        (PythonRegex(ours: #"(sqrt)([^{])"#), "sqrt{$2}"),
    ]

    static func normalized(_ answer: Scalars) throws(InputError) -> Scalars {
        var text = answer.pieces(separatedBy: "=").last ?? []
        for (part, other) in replaced { text = text.replacing(part, with: other) }
        for part in deleted { text = text.replacing(part, with: "") }
        for (pattern, template) in rewritten { text = try pattern.replacing(in: text, with: template) }
        text = text.replacing("$", with: "")
        let digits = text.replacing(",", with: "")
        let isNumber =
            !digits.isEmpty
            && digits.allSatisfy { $0.properties.numericType == .decimal || $0.properties.numericType == .digit }
        return isNumber ? digits : text
    }
}
