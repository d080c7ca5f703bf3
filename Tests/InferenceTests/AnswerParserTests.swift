import DualityCore
import DualityInference
import Testing

@Suite struct AnswerParserTests {
    /// An answer taken apart, its pieces put together.
    struct Whole: Equatable, CustomStringConvertible {
        var reasoning = ""
        var content = ""
        var calls: [String] = []
        var complete = 0

        var description: String {
            "thought \(reasoning.debugDescription), content \(content.debugDescription), \(calls)"
        }
    }

    private func parse(_ pieces: [String], _ thought: AnswerRules.Thought, _ tools: [String]) -> Whole {
        var parser = AnswerParser(thought: thought, tools: tools)
        var whole = Whole()
        for event in pieces.flatMap({ parser.push($0) }) + parser.finish() {
            switch event {
            case .reasoning(let text): whole.reasoning += text
            case .content(let text): whole.content += text
            case .callBegins(let index, let name):
                #expect(index == whole.calls.count)
                whole.calls.append(name)
            case .callArguments(let index, let text):
                #expect(index == whole.calls.count - 1)
                whole.calls[index] += text
            case .callEnds(let index):
                #expect(index == whole.complete)
                whole.complete += 1
            }
        }
        #expect(whole.complete == parser.completeCalls)
        return whole
    }

    /// Two line feeds at most belong to the mark.
    @Test(arguments: [
        ("a</think>\n\nb", "b"), ("a</think>\nb", "b"), ("</think>b", "b"), ("a</think>\n\n\nb", "\nb"), ("a", ""),
        ("a</think>", ""), ("a</think>b</think>c", "b</think>c"), ("", ""),
    ]) func whatIsBehindAThought(text: String, rest: String) { #expect(AnswerParser.behindThought(text) == rest) }

    private static let call =
        "<tool_call>\n{\"name\": \"look_up\", \"arguments\": {\"word\": \"s\\u00e9ance }\", \"n\": 3}}\n</tool_call>"
    private static let arguments = "look_up{\"word\": \"s\\u00e9ance }\", \"n\": 3}"

    struct Case: CustomTestStringConvertible {
        let text: String
        var thought = AnswerRules.Thought.none
        var tools = ["look_up", "count"]
        let whole: Whole

        var testDescription: String { text.debugDescription }
    }

    static let cases: [Case] = [
        Case(text: "", whole: Whole()),
        Case(text: "Good morning\n", whole: Whole(content: "Good morning\n")),
        Case(text: call, whole: Whole(calls: [arguments], complete: 1)),
        Case(
            text: "First this:\n\n" + call + "\n" + call,
            whole: Whole(content: "First this:", calls: [arguments, arguments], complete: 2)),
        Case(text: call, tools: [], whole: Whole(content: call)),
        // Not calls: a tag in prose, an undeclared name, no object, the wrong order.
        Case(text: "The tag <tool_call> is", whole: Whole(content: "The tag <tool_call> is")),
        Case(
            text: "\n<tool_call>{\"name\": \"x\", \"arguments\": {}}",
            whole: Whole(content: "\n<tool_call>{\"name\": \"x\", \"arguments\": {}}")),
        Case(
            text: "<tool_call>{\"name\": \"count\", \"arguments\": 1}",
            whole: Whole(content: "<tool_call>{\"name\": \"count\", \"arguments\": 1}")),
        Case(text: "<tool_call>{\"arguments\": {}}", whole: Whole(content: "<tool_call>{\"arguments\": {}}")),
        Case(
            text: "<tool_call><tool_call>{\"name\": \"count\", \"arguments\": {}}</tool_call>",
            whole: Whole(content: "<tool_call>", calls: ["count{}"], complete: 1)),
        // Cut off, or broken behind its name.
        Case(text: "a\n<tool_call>{\"name\": \"cou", whole: Whole(content: "a\n<tool_call>{\"name\": \"cou")),
        Case(
            text: "<tool_call>{\"name\": \"count\", \"arguments\": {\"a\": [1, 2",
            whole: Whole(calls: ["count{\"a\": [1, 2"])),
        Case(
            text: "<tool_call>{\"name\": \"count\", \"arguments\": {\"word\" }}\n</tool_call>",
            whole: Whole(calls: ["count{\"word\" "])),
        Case(text: "<tool_call>{\"name\": \"count\", \"arguments\": {}} </tool_ca", whole: Whole(calls: ["count{}"])),
        Case(
            text: "<tool_call>{\"name\": \"count\", \"arguments\": {}}</tool_call> and more",
            whole: Whole(calls: ["count{}"], complete: 1)),
        // Thoughts.
        Case(text: "<think>\nOak.\n</think>\n\nTwo.", whole: Whole(content: "<think>\nOak.\n</think>\n\nTwo.")),
        Case(
            text: "<think>\nOak.\n</think>\n\nTwo.", thought: .possible,
            whole: Whole(reasoning: "Oak.", content: "Two.")),
        Case(
            text: "\n\n<think>\n\n</think>\n\n" + call, thought: .possible,
            whole: Whole(calls: [arguments], complete: 1)),
        Case(text: "\n\nNo thought <think>", thought: .possible, whole: Whole(content: "\n\nNo thought <think>")),
        Case(text: "<thinking>", thought: .possible, whole: Whole(content: "<thinking>")),
        Case(text: "<thi", thought: .possible, whole: Whole(content: "<thi")),
        Case(
            text: "\nA <tool_call> B\n\nC\n</thin", thought: .open,
            whole: Whole(reasoning: "A <tool_call> B\n\nC\n</thin")),
        Case(text: "A\n\n</think>\nB </think>", thought: .open, whole: Whole(reasoning: "A", content: "B </think>")),
        Case(text: "\n\n", thought: .open, whole: Whole()),
        Case(text: "A </th\n</think>\n", thought: .open, whole: Whole(reasoning: "A </th")),
        Case(text: "é</think>東京\n", thought: .open, whole: Whole(reasoning: "é", content: "東京\n")),
    ]

    @Test(arguments: cases) func partsAreTheSameHoweverTheTextIsCut(_ one: Case) {
        #expect(parse([one.text], one.thought, one.tools) == one.whole)
        let scalars = one.text.unicodeScalars.map { String($0) }
        #expect(parse(scalars, one.thought, one.tools) == one.whole)
        for size in [2, 3, 5, 11] {
            let pieces = stride(from: 0, to: scalars.count, by: size).map {
                scalars[$0..<min($0 + size, scalars.count)].joined()
            }
            #expect(parse(pieces, one.thought, one.tools) == one.whole, "pieces of \(size)")
        }
    }

    /// Only what may still become a tag waits.
    @Test func textComesOutWithTheStepThatMakesItCertain() {
        var parser = AnswerParser(thought: .open, tools: ["count"])
        #expect(parser.push("\nAn oak <") == [.reasoning("An oak ")])
        #expect(parser.isThinking)
        #expect(parser.push("b") == [.reasoning("<b")])
        #expect(parser.push("\n</think>\n") == [])
        #expect(!parser.isThinking)
        #expect(parser.push("\nTwo\n") == [.content("Two")])
        #expect(parser.push("<tool_call>{\"name\": \"count\", \"arguments\":") == [])
        #expect(parser.push(" {\"a") == [.callBegins(index: 0, name: "count"), .callArguments(index: 0, "{\"a")])
        #expect(parser.push("\": 1}}</tool_call>") == [.callArguments(index: 0, "\": 1}"), .callEnds(index: 0)])
        #expect(parser.finish() == [])
    }
}
