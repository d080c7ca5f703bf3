//  Text as the official scorers see it: a sequence of Unicode scalars.
//
//  They are written in Python, whose strings are sequences of code points: lengths, positions,
//  letter case and white space are those of `str`. Swift's `Character` is a grapheme, so that
//  nothing here goes through it.

/// A text as code points.
package typealias Scalars = [Unicode.Scalar]

extension Unicode.Scalar {
    /// `str.isspace()`, also `\s` and what `strip()` removes.
    package var isPythonSpace: Bool {
        switch value {
        case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000:
            true
        default: false
        }
    }

    /// `\d`: general category Nd.
    package var isDecimalDigit: Bool {
        value < 0x80 ? (0x30...0x39).contains(value) : properties.generalCategory == .decimalNumber
    }

    /// A letter of any script.
    package var isLetter: Bool {
        if value < 0x80 { return (0x41...0x5A).contains(value) || (0x61...0x7A).contains(value) }
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return true
        default: return false
        }
    }

    /// `\w`: a letter, a number or the underscore.
    package var isWord: Bool {
        if value < 0x80 { return isLetter || isDecimalDigit || self == "_" }
        return isLetter || properties.numericType != nil
    }

    /// The one scalar that stands for both cases of a letter, for matches that ignore case.
    var folded: Unicode.Scalar {
        if value < 0x80 { return (0x41...0x5A).contains(value) ? Unicode.Scalar(UInt8(value) + 32) : self }
        let lower = properties.lowercaseMapping.unicodeScalars
        return lower.count == 1 ? lower.first! : self
    }

    /// One of the 32 marks of `string.punctuation`.
    package var isASCIIPunctuation: Bool {
        switch value {
        case 0x21...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E: true
        default: false
        }
    }
}

extension Array where Element == Unicode.Scalar {
    /// The code points of a string.
    package init(_ text: String) {
        self = Swift.Array(text.unicodeScalars)
    }

    /// The string of these code points.
    package var text: String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: self)
        return String(view)
    }

    /// `strip()`, or `strip(marks)` with a set of scalars.
    package func stripped(_ isRemoved: (Unicode.Scalar) -> Bool = \.isPythonSpace) -> Scalars {
        strippedStart(isRemoved).strippedEnd(isRemoved)
    }

    package func strippedStart(_ isRemoved: (Unicode.Scalar) -> Bool = \.isPythonSpace) -> Scalars {
        Scalars(drop(while: isRemoved))
    }

    package func strippedEnd(_ isRemoved: (Unicode.Scalar) -> Bool = \.isPythonSpace) -> Scalars {
        var end = count
        while end > 0, isRemoved(self[end - 1]) { end -= 1 }
        return Scalars(self[..<end])
    }

    /// Whether there is nothing but white space.
    package var isBlank: Bool { allSatisfy(\.isPythonSpace) }

    /// `lower()`: the full mapping, with the final form of sigma.
    package var lowered: Scalars {
        var result: Scalars = []
        result.reserveCapacity(count)
        for (i, scalar) in enumerated() {
            if scalar.value < 0x80 {
                result.append(scalar.folded)
            } else if scalar == "\u{3A3}" {
                result.append(isFinalSigma(i) ? "\u{3C2}" : "\u{3C3}")
            } else {
                result.append(contentsOf: scalar.properties.lowercaseMapping.unicodeScalars)
            }
        }
        return result
    }

    /// Unicode's Final_Sigma: a cased letter before, none after, what is case-ignorable skipped.
    private func isFinalSigma(_ i: Int) -> Bool {
        let before = self[..<i].last { !$0.properties.isCaseIgnorable }
        let after = self[(i + 1)...].first { !$0.properties.isCaseIgnorable }
        return before?.properties.isCased == true && after?.properties.isCased != true
    }

    /// `capitalize()`: the first code point in title case, the rest in lower case.
    package var capitalized: Scalars {
        guard let first else { return [] }
        let whole = lowered
        return Scalars(first.properties.titlecaseMapping.unicodeScalars) + whole[Scalars([first]).lowered.count...]
    }

    /// The first place of `part` at or after `start`.
    package func firstIndex(of part: Scalars, from start: Int = 0) -> Int? {
        guard let head = part.first else { return start <= count ? start : nil }
        var i = start
        while i + part.count <= count {
            if self[i] == head, self[i..<i + part.count].elementsEqual(part) { return i }
            i += 1
        }
        return nil
    }

    package func holds(_ part: Scalars) -> Bool { firstIndex(of: part) != nil }

    package func ends(with part: Scalars) -> Bool { suffix(part.count).elementsEqual(part) && count >= part.count }

    /// `replace(part, other)`: from left to right, not overlapping.
    package func replacing(_ part: Scalars, with other: Scalars) -> Scalars {
        guard !part.isEmpty else { return self }
        var result: Scalars = []
        var i = 0
        while let place = firstIndex(of: part, from: i) {
            result += self[i..<place]
            result += other
            i = place + part.count
        }
        return i == 0 ? self : result + self[i...]
    }

    package func replacing(_ part: String, with other: String) -> Scalars {
        replacing(Scalars(part), with: Scalars(other))
    }

    /// `split(separator)`: also empty pieces; at least one piece.
    package func pieces(separatedBy separator: String) -> [Scalars] {
        let mark = Scalars(separator)
        guard !mark.isEmpty else { return [self] }
        var pieces: [Scalars] = []
        var i = 0
        while let place = firstIndex(of: mark, from: i) {
            pieces.append(Scalars(self[i..<place]))
            i = place + mark.count
        }
        return pieces + [Scalars(self[i...])]
    }

    /// `split()`: the words between runs of white space.
    package var words: [Scalars] {
        split(whereSeparator: \.isPythonSpace).map { Scalars($0) }
    }

    /// `join`.
    package static func joined(_ parts: [Scalars], by separator: String) -> Scalars {
        Scalars(parts.joined(separator: Scalars(separator)))
    }

    /// `removeprefix`.
    package func without(prefix: String) -> Scalars {
        let mark = Scalars(prefix)
        return starts(with: mark) ? Scalars(dropFirst(mark.count)) : self
    }

    /// `removesuffix`.
    package func without(suffix: String) -> Scalars {
        let mark = Scalars(suffix)
        return ends(with: mark) ? Scalars(dropLast(mark.count)) : self
    }

    /// `isupper()`: a cased letter, and none in lower or title case.
    package var isUpper: Bool {
        var cased = false
        for scalar in self {
            if scalar.properties.isLowercase || scalar.properties.generalCategory == .titlecaseLetter { return false }
            if scalar.properties.isUppercase { cased = true }
        }
        return cased
    }

    /// `islower()`: a cased letter, and none in upper or title case.
    package var isLower: Bool {
        var cased = false
        for scalar in self {
            if scalar.properties.isUppercase || scalar.properties.generalCategory == .titlecaseLetter { return false }
            if scalar.properties.isLowercase { cased = true }
        }
        return cased
    }
}

extension String {
    /// `strip()` of Python.
    package var pythonStripped: String { Scalars(self).stripped().text }
    /// `lower()` of Python.
    package var pythonLowered: String { Scalars(self).lowered.text }
}
