import Testing

@testable import DualityCore

@Suite struct JSONTests {
    @Test func readsEveryKindOfValue() throws {
        let json = try JSON(
            parsing: #" {"a": [1, -2.5e-3, true, false, null], "b": {"c": "x\n\u00e9\ud83d\ude00\/"}} "#)
        #expect(json["a"]?.array?[0].int == 1)
        #expect(json["a"]?.array?[1].double == -2.5e-3)
        #expect(json["a"]?.array?[2...] == [true, false, .null])
        #expect(json["b"]?["c"]?.string == "x\né😀/")
    }

    @Test func numbersKeepTheirDigits() throws {
        let json = try JSON(
            parsing: "[18446744073709551615, 9007199254740993, 1e-06, 131072.0, 1e3, 0.5, NaN, -Infinity]")
        let values = try #require(json.array)
        #expect(values[0] == .number("18446744073709551615"))
        #expect(values[0].int == nil)
        #expect(values[1].int == 9_007_199_254_740_993)
        #expect(values[2].double == 1e-6)
        #expect(values[3].int == 131072)
        #expect(values[4].int == 1000)
        #expect(values[5].int == nil)
        #expect(values[6].double?.isNaN == true)
        #expect(values[7].double == -.infinity)
        #expect(try JSON(parsing: #"{"__float__": "Infinity"}"#).double == .infinity)
    }

    @Test func objectsKeepTheirOrderHoweverLarge() throws {
        let names = (0..<1000).map { "key \($0 &* 7919 % 1000)" }
        let text = "{" + names.map { "\"\($0)\": \"\($0)!\"" }.joined(separator: ",") + "}"
        let object = try #require(try JSON(parsing: text).object)
        #expect(object.names == names)
        #expect(names.allSatisfy { object[$0]?.string == "\($0)!" })
    }

    /// A vocabulary may hold both spellings of é; a Swift dictionary of strings takes them for one.
    @Test func namesAreComparedByteByByte() throws {
        let object = try #require(try JSON(parsing: #"{"\u00e9": 1, "e\u0301": 2}"#).object)
        #expect(object["\u{e9}"]?.int == 1)
        #expect(object["e\u{301}"]?.int == 2)
    }

    @Test(arguments: [
        ("{\"a\": 1,\n  \"b\": }", "2:8"), ("{\"a\" 1}", "1:6"), ("[1, 2", "1:6"), ("[1 2]", "1:4"), ("", "1:1"),
        ("tru", "1:1"),
        ("{\"é\": \"ü\", \"x\": 01}", "1:18"), ("[1]]", "1:4"), ("\"abc", "1:5"), ("\"a\tb\"", "1:3"), ("[1.]", "1:4"),
        ("[-]", "1:3"), ("{\"a\":1,\"a\":2}", "1:8"), ("\"\\x\"", "1:3"), ("[\"\\ud800\"]", "1:3"),
        ("{\"a\":1,}", "1:8"),
        ("[\n\n  nul]", "3:3"), ("\"\\u12g4\"", "1:6"), ("1e", "1:3"), ("{a: 1}", "1:2"),
    ])
    func mistakesCarryLineAndColumn(text: String, position: String) {
        let error = #expect(throws: InputError.self) { try JSON(parsing: text, place: "t.json") }
        #expect(error?.kind == .json)
        #expect(error?.place == "t.json:\(position)", "\(error.map(String.init(describing:)) ?? "no error")")
    }

    @Test func nestingIsLimitedAndNeverOverflowsTheStack() throws {
        let deep = String(repeating: "[", count: 100_000)
        #expect(throws: InputError.self) { try JSON(parsing: deep) }
        let fine = String(repeating: "[", count: 150) + String(repeating: "]", count: 150)
        #expect(throws: Never.self) { try JSON(parsing: fine) }
    }

    @Test func bytesThatAreNotUTF8AreRefused() {
        let bytes: [UInt8] = [0x22, 0xc3, 0x28, 0x22]
        #expect(throws: InputError.self) {
            try bytes.withUnsafeBytes { try JSON(parsing: $0, place: "t") }
        }
    }

    @Test(arguments: [false, true]) func writingAndReadingGivesTheSameValue(indented: Bool) throws {
        let json: JSON = [
            "text": "quote \" backslash \\ control \u{1} newline \n é 😀", "numbers": [1, -7, .number("1e-06")],
            "none": .null,
            "nested": ["empty": [], "object": [:], "list": ["a", true]],
        ]
        let text = json.serialized(indented: indented)
        #expect(try JSON(parsing: text) == json, "\(text)")
    }
}
