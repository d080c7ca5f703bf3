//  Regular expressions match as Python's do, and end.

import DualityCore
import DualityEvaluation
import Testing

struct RegexTests {
    /// Pattern, text, and what `re.findall` gives.
    private static let cases: [(String, String, [String])] = [
        (#"[-+]?\d*\.\d+|\d+"#, "a -3.5 and 12, ٤٢", ["-3.5", "12", "٤٢"]),
        (#"(\d),(\d)"#, "1,000,000", ["1", "0"]), ("a*", "baac", ["", "aa", "", ""]),
        ("a*?", "aa", ["", "a", "", "a", ""]),
        (#"\bcat\b"#, "cat concat cat.", ["cat", "cat"]), ("(?i)YES|no", "yes NO nO", ["yes", "NO", "nO"]),
        ("(?s)a.b", "a\nb a b", ["a\nb", "a b"]), ("(?m)^x$", "x\nx\r\nx", ["x", "x"]), ("x$", "x\nx\n", ["x"]),
        (#"(?<=is )\w+"#, "it is red, is blue", ["red", "blue"]), (#"\w+(?=!)"#, "no! yes", ["no"]),
        (#"(?<!\d)\d{2}(?!\d)"#, "1 22 333 44", ["22", "44"]), ("(a|ab)(c|bcd)?", "abcd", ["a"]),
        (#"[^\]a-c]+"#, "ab]xyc", ["xy"]), ("(?P<n>x)y|z", "xyz", ["x", ""]), ("x{2,3}?", "xxxxx", ["xx", "xx"]),
        ("x{,2}y", "xxxy", ["xxy"]), ("a{b", "a{b", ["a{b"]), (#"\s+"#, "a\u{1C} b", ["\u{1C} "]),
        ("e\u{301}", "\u{E9}", []),
    ]

    @Test func findsWhatPythonFinds() throws {
        for (pattern, text, expected) in Self.cases {
            let found = try PythonRegex(pattern).findAll(in: Scalars(text)).map(\.text)
            #expect(found == expected, "\(pattern) in \(text)")
        }
    }

    @Test(arguments: ["(a+)+$", "(a|a)*b", "(a*)*b", "(.*.*.*.*.*)x", "((a{0,9}){0,9}){0,9}b"])
    func explodingPatternsEnd(_ pattern: String) throws {
        let text = Scalars(String(repeating: "a", count: 2000) + "!")
        #expect(try PythonRegex(pattern).firstMatch(in: text) == nil)
    }

    @Test func theLimitOfWorkIsAnError() throws {
        let text = Scalars(String(repeating: "a", count: 30_000))
        #expect(throws: InputError.self) { try PythonRegex("a(?=.*)").matches(in: text) }
    }

    @Test(arguments: [
        "(", ")", "a**", "[a", "(?P<n", #"\1(a)"#, "(?<=a*)b", "x{9,2}", "(?>a)", "a++", "*", "\\", "(?i", "[z-a]",
    ])
    func whatPythonRefusesOrNobodyUsesIsAnError(_ pattern: String) {
        #expect(throws: InputError.self) { try PythonRegex(pattern) }
    }

    @Test func lookingAroundKeepsGroups() throws {
        let match = try PythonRegex("(?=(a+))a").firstMatch(in: Scalars("aaa"))
        #expect(match?.groups[1] == 0..<3)
    }
}
