import DualityCore
import DualityInference
import DualityServer
import TestSupport
import Testing

/// Tokens of an answer become the same text however they are cut.
@Suite struct AnswerReaderTests {
    private static let tokenizer = Result { try Tokenizer(directory: Fixtures.embeddedModel) }

    /// What a reader makes of a text, one byte a token where `bytewise`.
    private func read(_ text: String, bytewise: Bool, _ rules: ReadingRules) throws -> (
        pieces: [AnswerPiece], end: AnswerEnd
    ) {
        let tokenizer = try Self.tokenizer.get()
        var tokens = tokenizer.encode(text)
        if bytewise {
            let single = (0..<tokenizer.vocabularySize).filter {
                tokenizer.contains($0) && tokenizer.bytes(of: $0).count == 1
            }
            let byByte = Dictionary(single.map { (tokenizer.bytes(of: $0).first!, $0) }) { first, _ in first }
            tokens = try text.utf8.map { try #require(byByte[$0]) }
        }
        var reader = AnswerReader(tokenizer, rules)
        var pieces: [AnswerPiece] = []
        for token in tokens { pieces += reader.take(token) }
        pieces += reader.finish()
        return (pieces, reader.end(.end(nil)))
    }

    private func content(_ pieces: [AnswerPiece]) -> String {
        pieces.reduce(into: "") { if case .content(let text) = $1 { $0 += text } }
    }

    @Test(arguments: [true, false]) func charactersAreNeverCut(bytewise: Bool) throws {
        let text = "fjörd 🌲🌳 東京 <think> is no tag here"
        let (pieces, end) = try read(text, bytewise: bytewise, ReadingRules())
        #expect(content(pieces) == text && end.finishReason == "stop" && end.stopReason == nil)
        #expect(!pieces.contains { if case .content(let piece) = $0 { piece.contains("\u{fffd}") } else { false } })
    }

    @Test(arguments: [true, false]) func aStopStringEndsTheContentOnly(bytewise: Bool) throws {
        var rules = ReadingRules()
        rules.thought = .possible
        rules.stopStrings = ["HALT", "lt"]
        let (pieces, end) = try read("<think>\nHALT?\n</think>\n\nred HALT blue", bytewise: bytewise, rules)
        #expect(content(pieces) == "red ")
        let thought = pieces.reduce(into: "") { if case .reasoning(let text) = $1 { $0 += text } }
        #expect(thought == "HALT?")
        #expect(end.finishReason == "stop" && end.stopReason == .string("HALT"))
        rules.includesStop = true
        #expect(content(try read("red HALT blue", bytewise: bytewise, rules).pieces) == "red HALT")
    }

    @Test(arguments: [true, false]) func callsAreTakenOut(bytewise: Bool) throws {
        let call = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"}\"}}\n</tool_call>"
        var rules = ReadingRules()
        rules.tools = ["f"]
        let (pieces, end) = try read("Yes:\n" + call, bytewise: bytewise, rules)
        #expect(content(pieces) == "Yes:" && end.finishReason == "tool_calls")
        #expect(pieces.contains(.callBegins(index: 0, name: "f")))
        let arguments = pieces.reduce(into: "") { if case .callArguments(0, let text) = $1 { $0 += text } }
        #expect(arguments == "{\"a\": \"}\"}")
        // A call that breaks off is none, and without tools it is text.
        #expect(try read(String(call.dropLast(14)), bytewise: bytewise, rules).end.finishReason == "stop")
        #expect(content(try read(call, bytewise: bytewise, ReadingRules()).pieces) == call)
    }
}
