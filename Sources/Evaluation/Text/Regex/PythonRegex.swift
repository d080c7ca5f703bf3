//  Regular expressions with the matches of Python's `re`, in bounded time.
//
//  A pattern becomes a program of a few kinds of steps, run by trying the preferred way first, as
//  Python does; so that groups and lazy repetition come out the same. What keeps it bounded is
//  memory: whether the program at one step matches from one place of the text on does not depend on
//  how it came there (there are no back references), so that a pair (step, place) that failed once
//  is not tried again. Time is O(program x text) a match. On top of that a limit of work holds, and
//  exceeding it is an error and never a wrong answer.
//
//  Rejected: ICU's expressions (other `\w`, `$`, no limit), Swift's (graphemes, and exponential).

import DualityCore

/// One step of a program.
enum RegexStep: Sendable {
    case take(RegexSet)
    /// Goes on at the first, and at the second when that fails.
    case split(Int, Int)
    case jump(Int)
    case save(Int)
    case assert(RegexAssertion)
    /// A pattern of its own that must (not) match here, or `width` scalars before; no text is
    /// taken.
    case look(program: Int, width: Int?, isNegated: Bool)
    case match
}

/// A compiled regular expression.
package struct PythonRegex: Sendable {
    /// Where a match and its groups stand.
    package struct Match: Sendable, Equatable {
        /// Of the whole match, then of every group; nil for a group that took no part.
        package let groups: [Range<Int>?]

        package var range: Range<Int> { groups[0] ?? 0..<0 }
    }

    package static let workLimit = 10_000_000
    private static let programLimit = 20_000

    let programs: [[RegexStep]]
    package let groupCount: Int
    let pattern: String
    let place: String

    /// - Parameters:
    ///   - pattern: Python's syntax.
    ///   - place: the file and field that it comes from, for messages.
    /// - Throws: `InputError`: `.malformed` for a pattern that Python refuses too, `.unsupported`
    ///   for one that only this engine refuses.
    package init(
        _ pattern: String, ignoresCase: Bool = false, isMultiline: Bool = false, dotTakesLines: Bool = false,
        place: String = "pattern"
    ) throws(InputError) {
        let flags = RegexParser.Flags(
            ignoresCase: ignoresCase, dotTakesLines: dotTakesLines, isMultiline: isMultiline)
        var parser = RegexParser(Scalars(pattern), flags: flags, place: place)
        let node = try parser.parse()
        var compiler = RegexCompiler(limit: Self.programLimit)
        guard compiler.compile(node) else {
            throw InputError(
                .unsupported, in: "\(place): regular expression", expected: "at most \(Self.programLimit) steps",
                found: "more of them in '\(pattern)'", remedy: "Repeat fewer times.")
        }
        (programs, groupCount, self.pattern, self.place) = (compiler.programs, parser.groupCount, pattern, place)
    }

    /// A pattern of ours, which is right.
    package init(
        ours pattern: String, ignoresCase: Bool = false, isMultiline: Bool = false, dotTakesLines: Bool = false
    ) {
        do {
            try self.init(
                pattern, ignoresCase: ignoresCase, isMultiline: isMultiline, dotTakesLines: dotTakesLines)
        } catch {
            preconditionFailure("\(error)")
        }
    }

    /// The first match at or after `start`.
    ///
    /// - Throws: `InputError` (`.value`) when the limit of work is reached.
    package func firstMatch(in text: Scalars, from start: Int = 0) throws(InputError) -> Match? {
        var search = RegexSearch(self, text)
        return try search.next(from: start, mustAdvance: false)
    }

    /// All matches from left to right, not overlapping; an empty one may follow another match.
    package func matches(in text: Scalars) throws(InputError) -> [Match] {
        var search = RegexSearch(self, text)
        var found: [Match] = []
        var (start, mustAdvance) = (0, false)
        while start <= text.count, let match = try search.next(from: start, mustAdvance: mustAdvance) {
            found.append(match)
            start = match.range.upperBound
            mustAdvance = match.range.isEmpty
        }
        return found
    }

    /// `findall` for a pattern with at most one group: that group's texts, else the whole matches'.
    package func findAll(in text: Scalars) throws(InputError) -> [Scalars] {
        try matches(in: text).map { match in
            let range = groupCount > 0 ? match.groups[1] : match.range
            return range.map { Scalars(text[$0]) } ?? []
        }
    }

    /// `sub`: every match replaced; `$0` … `$9` in the template are groups.
    package func replacing(in text: Scalars, with template: String) throws(InputError) -> Scalars {
        var result: Scalars = []
        var end = 0
        let template = Scalars(template)
        for match in try matches(in: text) {
            result += text[end..<match.range.lowerBound]
            var i = 0
            while i < template.count {
                if template[i] == "$", i + 1 < template.count, let index = template[i + 1].properties.numericValue {
                    if let range = match.groups[Int(index)] { result += text[range] }
                    i += 2
                } else {
                    result.append(template[i])
                    i += 1
                }
            }
            end = match.range.upperBound
        }
        return result + text[end...]
    }

    /// `split`: the texts between matches.
    package func split(_ text: Scalars) throws(InputError) -> [Scalars] {
        var pieces: [Scalars] = []
        var end = 0
        for match in try matches(in: text) {
            pieces.append(Scalars(text[end..<match.range.lowerBound]))
            end = match.range.upperBound
        }
        return pieces + [Scalars(text[end...])]
    }
}
