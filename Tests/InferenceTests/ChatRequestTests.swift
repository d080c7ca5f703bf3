import DualityCore
import DualityInference
import TestSupport
import Testing

/// Conversations in JSON, and what is wrong with some of them.
@Suite struct ChatRequestTests {
    private func render(_ json: String) throws -> String {
        try ChatTemplate.qwen3.prompt(ChatRequest(JSON(parsing: json, place: "stdin"), place: "stdin")).text
    }

    @Test func nullAndAbsentAreTheSame() throws {
        let full = """
            {"messages": [{"role": "user", "content": "Hi", "tool_calls": null}], "tools": null, \
            "enable_thinking": null, "add_generation_prompt": null}
            """
        #expect(try render(full) == "<|im_start|>user\nHi<|im_end|>\n")
        #expect(try render(full) == render(#"{"messages": [{"role": "user", "content": "Hi"}]}"#))
    }

    @Test func textPartsAreJoinedByLineFeeds() throws {
        let text = try render(
            #"{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]}"#
        )
        #expect(text == "<|im_start|>user\na\nb<|im_end|>\n")
    }

    @Test func aMemberThatMeansNothingIsNotSilentlyIgnored() throws {
        let request = try ChatRequest(
            JSON(parsing: #"{"messages": [{"role": "user", "content": ""}], "add_generation_promt": true}"#), place: "x"
        )
        #expect(request.unknownNames == ["add_generation_promt"])
    }

    struct Mistake: Sendable, CustomTestStringConvertible {
        let json: String
        let kind: InputError.Kind
        let place: String
        var testDescription: String { json }
    }

    static let mistakes = [
        Mistake(json: "[]", kind: .value, place: "messages"),
        Mistake(json: "3", kind: .json, place: "stdin"),
        Mistake(json: "{}", kind: .missing, place: "stdin: messages"),
        Mistake(json: #"{"messages": {}}"#, kind: .json, place: "stdin: messages"),
        Mistake(json: #"{"messages": []}"#, kind: .value, place: "messages"),
        Mistake(json: #"{"messages": ["hi"]}"#, kind: .json, place: "stdin: messages[0]"),
        Mistake(json: #"{"messages": [{"content": "x"}]}"#, kind: .missing, place: "stdin: messages[0].role"),
        Mistake(
            json: #"{"messages": [{"role": "user", "content": "x"}, {"role": "bot", "content": "x"}]}"#, kind: .value,
            place: "stdin: messages[1].role"),
        Mistake(json: #"{"messages": [{"role": 1, "content": "x"}]}"#, kind: .value, place: "stdin: messages[0].role"),
        Mistake(
            json: #"{"messages": [{"role": "user", "content": 1}]}"#, kind: .json, place: "stdin: messages[0].content"),
        Mistake(
            json: #"{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}"#, kind: .unsupported,
            place: "stdin: messages[0].content[0]"),
        Mistake(
            json: #"{"messages": [{"role": "assistant", "reasoning_content": []}]}"#, kind: .json,
            place: "stdin: messages[0].reasoning_content"),
        Mistake(
            json: #"{"messages": [{"role": "assistant", "tool_calls": {}}]}"#, kind: .json,
            place: "stdin: messages[0].tool_calls"),
        Mistake(
            json: #"{"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": {}}}]}]}"#,
            kind: .missing, place: "stdin: messages[0].tool_calls[0].name"),
        Mistake(
            json: #"{"messages": [{"role": "assistant", "tool_calls": [{"name": "f"}]}]}"#, kind: .missing,
            place: "stdin: messages[0].tool_calls[0].arguments"),
        Mistake(
            json: #"{"messages": [{"role": "user", "content": ""}], "tools": {}}"#, kind: .json, place: "stdin: tools"),
        Mistake(
            json: #"{"messages": [{"role": "user", "content": ""}], "tools": [1]}"#, kind: .json,
            place: "stdin: tools[0]"),
        Mistake(
            json: #"{"messages": [{"role": "user", "content": ""}], "enable_thinking": "no"}"#, kind: .json,
            place: "stdin: enable_thinking"),
        Mistake(json: "{\"messages\":\n [,]}", kind: .json, place: "stdin:2:3"),
    ]

    @Test(arguments: mistakes) func mistakesAreNamed(mistake: Mistake) {
        let error = #expect(throws: InputError.self) { try render(mistake.json) }
        #expect(error?.kind == mistake.kind, "\(String(describing: error))")
        #expect(error?.place == mistake.place, "\(String(describing: error))")
    }

    /// What Python's json module makes of a number or a string and back.
    @Test(
        arguments: [
            ("1e5", "100000.0"), ("1.0", "1.0"), ("1e16", "1e+16"), ("123456789012345680.0", "1.2345678901234568e+17"),
            ("9007199254740993.0", "9007199254740992.0"), ("1e15", "1000000000000000.0"), ("1e-4", "0.0001"),
            ("1e-5", "1e-05"), ("0.00001234", "1.234e-05"), ("-2.50", "-2.5"), ("5e-324", "5e-324"),
            ("1e400", "Infinity"), ("-1e400", "-Infinity"), ("NaN", "NaN"), ("-0", "0"), ("-0.0", "-0.0"),
            ("0e5", "0.0"),
            ("123456789012345678901234567890", "123456789012345678901234567890"), ("1E+2", "100.0"), ("0.1", "0.1"),
            (#""\u00e9\u2028\/\u007f""#, "\"é\u{2028}/\u{7f}\""), (#""\u0000\u001f\b\f\t""#, #""\u0000\u001f\b\f\t""#),
            (#""<a> & 'b'""#, #""<a> & 'b'""#),
            (#"[1,{"b":[],"a":{}},null,true]"#, #"[1, {"b": [], "a": {}}, null, true]"#),
        ])
    func valuesArePrintedAsPythonDoes(json: String, expected: String) throws {
        let call = #"{"role": "assistant", "tool_calls": [{"name": "f", "arguments": {"x": \#(json)}}]}"#
        let text = try render(#"{"messages": [{"role": "user", "content": ""}, \#(call)]}"#)
        let shown = try #require(text.components(separatedBy: "\"arguments\": {\"x\": ").last)
        #expect(shown.hasPrefix(expected + "}}\n</tool_call>"), "\(escaped(shown))")
    }
}
