import DualityCore
import Foundation
import Testing

@testable import DualityInference

@Suite struct AutomataTests {
    // MARK: Regular expressions

    static let patterns = [
        "a", "a|b", "ab|c*", "(a|b)*abb", "a{2,3}b?", "(ab){0,2}", "[^a]b", "a+?b", "(?:a|(b))(?<n>c)", "[a-c]{3}",
        "^a", "a$", "^$", "^(a|b)$|c", "a\\.b", ".", "[\\]a-]", "(a*)*b", "(a|)+", "a{,2}", "x{", "\\x61\\u0062",
        "[b-]",
        "\\d[^\\d]\\w\\W", "\\s|\\S\\S", "😀+|é", "[😀-😂]", "\\ud83d\\ude00", "(|a)(|b)(|c)", "a{0}b",
    ]

    /// Against ICU's backtracking, on short texts of characters that the patterns speak of.
    @Test(arguments: patterns) func automataFindWhatAnotherEngineFinds(_ pattern: String) throws {
        let whole = try RegexProgram.automaton(pattern, matchesWhole: true, place: "pattern")
        let part = try RegexProgram.automaton(pattern, matchesWhole: false, place: "pattern")
        let wholly = try NSRegularExpression(
            pattern: "\\A(?:\(pattern.replacing("{,2}", with: "\\{,2\\}").replacing("x{", with: "x\\{")))\\z")
        let partly = try NSRegularExpression(
            pattern: pattern.replacing("{,2}", with: "\\{,2\\}").replacing("x{", with: "x\\{"))
        var random = RandomSource(seed: 2)
        let letters = ["a", "b", "c", "x", "{", ".", "-", "1", " ", "😀", "é", "]"]
        for round in 0..<300 {
            let text = (0..<round % 6).map { _ in letters[random.integer(in: 0...letters.count - 1)] }.joined()
            let range = NSRange(text.startIndex..., in: text)
            let expected = wholly.firstMatch(in: text, range: range) != nil
            #expect((whole?.matches(text) ?? false) == expected, "\(text) as a whole")
            let isFound = partly.firstMatch(in: text, range: range) != nil
            #expect((part?.matches(text) ?? false) == isFound, "in \(text)")
        }
    }

    @Test(arguments: [
        "(", ")", "a)", "*a", "a**", "[a", "a{3,1}", "[c-a]", "\\", "\\xg0", "{3}", "(?<n", "a|*", "\\u{110000}",
        "\\ud83d",
    ])
    func whatIsNoPatternIsRefused(_ pattern: String) {
        let error = #expect(throws: InputError.self) { try RegexParser.parse(pattern, place: "pattern") }
        #expect(error?.kind == .value)
    }

    @Test(arguments: [
        "(?=a)", "(?!a)", "(?<=a)b", "(?<!a)b", "(a)\\1", "\\bа", "\\p{L}", "(?i)a", "a*+", "\\k<n>", "\\A", "^*",
        "[[:alpha:]]",
    ])
    func whatNeedsMoreThanAnAutomatonIsRefused(_ pattern: String) {
        let error = #expect(throws: InputError.self) { try RegexParser.parse(pattern, place: "pattern") }
        #expect(error?.kind == .unsupported)
    }

    // MARK: Spelling

    /// Every character is written as UTF-8, and inside a JSON string raw or escaped.
    @Test func everyCharacterHasItsSpellings() throws {
        let utf8 = ByteAutomaton(.anyCharacter, spelling: .utf8)
        let json = ByteAutomaton(.anyCharacter, spelling: .json)
        for value in Array(0...0x7ff) + Array(stride(from: 0x800, to: 0x110000, by: 97)) + [
            0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff,
        ] {
            guard let scalar = Unicode.Scalar(UInt32(value)) else { continue }
            let raw = Array(String(scalar).utf8)
            #expect(utf8.matches(raw))
            let isPlain = value >= 0x20 && scalar != "\"" && scalar != "\\"
            #expect(json.matches(raw) == isPlain, "\(value)")
            var quoted = ""
            JSON.writeQuoted(String(scalar), to: &quoted)
            #expect(json.matches(quoted.utf8.dropFirst().dropLast()), "\(quoted)")
            let escape = String(scalar).utf16.map { unit in
                "\\u" + String(repeating: "0", count: 4 - String(unit, radix: 16).count) + String(unit, radix: 16)
            }.joined()
            #expect(json.matches(escape.utf8) && !json.matches((escape + "0").utf8), "\(escape)")
        }
        for wrong in ["\\ud800", "\\udc00", "\\ud800\\ud800", "\\x", "\\u12g4", "\\"] {
            #expect(!json.matches(wrong.utf8))
        }
        for wrong: [UInt8] in [
            [0x80], [0xc0, 0x80], [0xc1, 0xbf], [0xed, 0xa0, 0x80], [0xe0, 0x80, 0x80], [0xf4, 0x90, 0x80, 0x80],
            [0xf5], [0xff],
        ] {
            #expect(!utf8.matches(wrong) && !json.matches(wrong))
        }
    }

    // MARK: Numbers

    /// All texts of up to five characters, against their values.
    @Test func numbersAreThoseWithinTheBounds() throws {
        var texts = [""]
        for text in texts { texts += ["-", "0", "1", "2", "5", "."].map { text + $0 } }
        for _ in 0..<3 {
            texts = Array(
                Set(
                    texts
                        + texts.flatMap { text in
                            text.count < 5 ? ["-", "0", "1", "2", "5", "."].map { text + $0 } : []
                        }))
        }
        let canonical = try NSRegularExpression(pattern: "^-?(0|[1-9][0-9]*)(\\.[0-9]+)?$")
        let bounds: [(String?, String?)] = [
            (nil, nil), ("0", nil), ("-1.5", "2.25"), ("1", "1"), (nil, "-2"), ("-2.5", "-0.05"), ("0.12", "0.2"),
            ("15", "152"), ("-152", "21"), ("0", "0"), ("1.50", "15e1"),
        ]
        for (low, high) in bounds {
            for isExclusive in [false, true] {
                for isInteger in [false, true] {
                    var range = NumberRange()
                    range.isInteger = isInteger
                    if let low { range.limit(from: .init(value: Decimal(low)!, isExclusive: isExclusive)) }
                    if let high { range.limit(to: .init(value: Decimal(high)!, isExclusive: isExclusive)) }
                    let automaton = try range.automaton(place: "range")
                    for text in texts {
                        var isIn = canonical.firstMatch(in: text, range: NSRange(text.startIndex..., in: text)) != nil
                        if let value = Double(text), isIn {
                            isIn = !(isInteger && text.contains(".")) && !(value == 0 && text.hasPrefix("-"))
                            if let low { isIn = isIn && (isExclusive ? value > Double(low)! : value >= Double(low)!) }
                            if let high {
                                isIn = isIn && (isExclusive ? value < Double(high)! : value <= Double(high)!)
                            }
                        }
                        let found = automaton?.matches(text) ?? false
                        #expect(
                            found == isIn, "\(text) in \(low ?? "") ... \(high ?? ""), \(isExclusive), \(isInteger)")
                    }
                }
            }
        }
    }

    @Test func multiplesAreThoseOfArithmetic() throws {
        for multiple in [1, 2, 7, 12, 100, 144] {
            var range = NumberRange()
            range.isInteger = true
            range.multiples = [multiple]
            let automaton = try #require(try range.automaton(place: "range"))
            for value in -1000...1000 {
                #expect(automaton.matches(String(value)) == (value % multiple == 0), "\(value)")
            }
        }
    }

    @Test func decimalsAreReadAsTheyAreWritten() {
        let same = [
            ("1", "1.000"), ("12e-1", "1.2"), ("0.001e3", "1"), ("-0", "0"), ("1E2", "100"), ("0.5e-3", "0.0005"),
        ]
        for (a, b) in same { #expect(Decimal(a) == Decimal(b) && Decimal(a) != nil, "\(a)") }
        let ordered = ["-10", "-9.5", "-0.01", "0", "0.009", "0.01", "0.1", "1", "9", "10.01", "1e20"]
        for (a, b) in zip(ordered, ordered.dropFirst()) {
            #expect(Decimal(a)! < Decimal(b)! && !(Decimal(b)! < Decimal(a)!), "\(a), \(b)")
        }
        for none in ["1e500", "1e-500", "NaN", "Infinity", "", "1e99999999999999999999"] {
            #expect(Decimal(none) == nil)
        }
    }
}
