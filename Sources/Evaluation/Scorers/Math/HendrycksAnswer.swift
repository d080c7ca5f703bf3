//  An answer in the normal form of the MATH data set (Hendrycks et al. 2021), to be compared as
//  text.

enum HendrycksAnswer {
    /// Whether two answers are the same text in the normal form; where one has none, as they are.
    static func areEqual(_ a: Scalars, _ b: Scalars) -> Bool {
        guard let first = normalized(a), let second = normalized(b) else { return a == b }
        return first == second
    }

    private static let replaced = [
        ("\n", ""), ("\\!", ""), ("\\\\", "\\"), ("tfrac", "frac"), ("dfrac", "frac"), ("\\left", ""), ("\\right", ""),
        ("^{\\circ}", ""), ("^\\circ", ""), ("\\$", ""),
    ]

    static func normalized(_ answer: Scalars) -> Scalars? {
        var text = answer
        for (part, other) in replaced { text = text.replacing(part, with: other) }
        let units = text.pieces(separatedBy: "\\text{ ")
        if units.count > 2 { return nil }
        text = units[0]
        for (part, other) in [("\\%", ""), (" .", " 0."), ("{.", "{0.")] { text = text.replacing(part, with: other) }
        if text.isEmpty { return text }
        if text[0] == "." { text = Scalars("0") + text }
        let sides = text.pieces(separatedBy: "=")
        if sides.count == 2, sides[0].count <= 2 { text = sides[1] }
        guard let rooted = withBracedRoots(text) else { return nil }
        text = rooted.replacing(" ", with: "")
        guard let fractions = withBracedFractions(text) else { return nil }
        text = fractions
        if text == Scalars("0.5") { text = Scalars("\\frac{1}{2}") }
        return quotient(text) ?? text
    }

    /// `\sqrt3` → `\sqrt{3}`; nil where nothing follows.
    private static func withBracedRoots(_ text: Scalars) -> Scalars? {
        let pieces = text.pieces(separatedBy: "\\sqrt")
        var result = pieces[0]
        for piece in pieces.dropFirst() {
            guard let first = piece.first else { return nil }
            result += Scalars("\\sqrt")
            result += first == "{" ? piece : Scalars("{") + [first] + Scalars("}") + piece.dropFirst()
        }
        return result
    }

    /// `\frac12` → `\frac{1}{2}`, `\frac1{72}` → `\frac{1}{72}`.
    private static func withBracedFractions(_ text: Scalars) -> Scalars? {
        let pieces = text.pieces(separatedBy: "\\frac")
        var result = pieces[0]
        for piece in pieces.dropFirst() {
            guard let first = piece.first else { return nil }
            result += Scalars("\\frac")
            if first == "{" {
                result += piece
                continue
            }
            guard piece.count >= 2 else { return text }
            let second = piece[1]
            result += Scalars("{") + [first] + Scalars("}")
            result += second == "{" ? Scalars(piece[1...]) : Scalars("{") + [second] + Scalars("}") + piece.dropFirst(2)
        }
        return result
    }

    /// `3/4` of whole numbers → `\frac{3}{4}`.
    private static func quotient(_ text: Scalars) -> Scalars? {
        let sides = text.pieces(separatedBy: "/")
        guard sides.count == 2, isInteger(sides[0]), isInteger(sides[1]) else { return nil }
        return Scalars("\\frac{\(sides[0].text)}{\(sides[1].text)}")
    }

    /// Whether a text is a whole number as it is printed: no zeros before, no plus.
    private static func isInteger(_ text: Scalars) -> Bool {
        let digits = text.first == "-" ? text.dropFirst() : text[...]
        guard let first = digits.first, digits.allSatisfy({ $0.isASCII && $0.isDecimalDigit }) else { return false }
        return digits.count == 1 ? !(first == "0" && text.first == "-") : first != "0"
    }
}
