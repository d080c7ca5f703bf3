//  What a regular expression says, as a tree: the part of Python's `re` that task files use.

/// Which scalars one place of a pattern takes.
struct RegexSet: Sendable {
    /// `\d`, `\w`, `\s`.
    enum Category: Sendable {
        case digit, word, space

        func contains(_ scalar: Unicode.Scalar) -> Bool {
            switch self {
            case .digit: scalar.isDecimalDigit
            case .word: scalar.isWord
            case .space: scalar.isPythonSpace
            }
        }
    }

    var ranges: [ClosedRange<UInt32>] = []
    /// Categories, and whether each is meant (`\d`) or its opposite (`\D`).
    var categories: [(category: Category, isMeant: Bool)] = []
    var isNegated = false
    var ignoresCase = false

    /// The category that `\` and a scalar stand for, and whether it is meant or its opposite.
    static func category(_ scalar: Unicode.Scalar) -> (Category, Bool)? {
        switch scalar {
        case "d": (.digit, true)
        case "D": (.digit, false)
        case "w": (.word, true)
        case "W": (.word, false)
        case "s": (.space, true)
        case "S": (.space, false)
        default: nil
        }
    }

    static func scalar(_ scalar: Unicode.Scalar, ignoresCase: Bool) -> RegexSet {
        RegexSet(ranges: [scalar.value...scalar.value], ignoresCase: ignoresCase)
    }

    func contains(_ scalar: Unicode.Scalar) -> Bool {
        var isIn = holds(scalar)
        if !isIn, ignoresCase {
            isIn = holds(scalar.folded)
            let upper = scalar.properties.uppercaseMapping.unicodeScalars
            if !isIn, upper.count == 1, let only = upper.first { isIn = holds(only) }
        }
        return isIn != isNegated
    }

    private func holds(_ scalar: Unicode.Scalar) -> Bool {
        ranges.contains { $0.contains(scalar.value) }
            || categories.contains { $0.category.contains(scalar) == $0.isMeant }
    }
}

/// A place that takes no scalar.
enum RegexAssertion: Sendable {
    /// `\A`, and `^` without MULTILINE.
    case start
    /// `^` with MULTILINE.
    case lineStart
    /// `\Z`.
    case end
    /// `$` without MULTILINE: the end, or before a last line feed.
    case textEnd
    /// `$` with MULTILINE.
    case lineEnd
    case wordBoundary
    case notWordBoundary

    func holds(_ text: Scalars, _ i: Int) -> Bool {
        switch self {
        case .start: return i == 0
        case .lineStart: return i == 0 || text[i - 1] == "\n"
        case .end: return i == text.count
        case .textEnd: return i == text.count || (i == text.count - 1 && text[i] == "\n")
        case .lineEnd: return i == text.count || text[i] == "\n"
        case .wordBoundary, .notWordBoundary:
            let before = i > 0 && text[i - 1].isWord
            let after = i < text.count && text[i].isWord
            return (before != after) == (self == .wordBoundary)
        }
    }
}

/// A part of a pattern.
indirect enum RegexNode {
    case set(RegexSet)
    case sequence([RegexNode])
    case alternatives([RegexNode])
    /// `most` is nil for no limit.
    case repeated(RegexNode, least: Int, most: Int?, isGreedy: Bool)
    /// A capturing group.
    case group(RegexNode, index: Int)
    case assertion(RegexAssertion)
    /// `(?=x)`, `(?!x)`, `(?<=x)`, `(?<!x)`.
    case look(RegexNode, isAhead: Bool, isNegated: Bool)

    /// The number of scalars it takes, where that is always the same.
    var width: Int? {
        switch self {
        case .set: return 1
        case .sequence(let parts):
            var sum = 0
            for part in parts {
                guard let width = part.width else { return nil }
                sum += width
            }
            return sum
        case .alternatives(let parts):
            guard let first = parts.first?.width else { return nil }
            return parts.allSatisfy { $0.width == first } ? first : nil
        case .repeated(let part, let least, let most, _):
            guard least == most, let width = part.width else { return nil }
            return width * least
        case .group(let part, _): return part.width
        case .assertion, .look: return 0
        }
    }
}
