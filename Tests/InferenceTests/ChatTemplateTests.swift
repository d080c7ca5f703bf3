import DualityCore
import DualityInference
import TestSupport
import Testing

@Suite struct ChatTemplateTests {
    /// One official case: its conversation, the options it was rendered with, and the text.
    private func render(_ one: JSON) throws -> String {
        let messages = try (one["messages"]?.array ?? []).map { try ChatMessage($0, place: "messages") }
        let options = one["options"]
        return try ChatTemplate.qwen3.render(
            messages, tools: one["tools"]?.array ?? [],
            addGenerationPrompt: options?["add_generation_prompt"]?.bool ?? false,
            enableThinking: options?["enable_thinking"]?.bool)
    }

    @Test func everyConversationHasTheOfficialText() throws {
        let cases = try cases("tokenizer/chat.json")
        #expect(cases.count == 47)
        for (index, one) in cases.enumerated() {
            let text = try render(one)
            #expect(isExactly(text, one["text"]?.string ?? ""), "case \(index): \(escaped(text))")
        }
    }

    @Test(.enabled(if: QwenRanks.path != nil, "\(QwenRanks.skipped)"))
    func everyConversationHasTheOfficialTokens() throws {
        let tokenizer = try QwenRanks.tokenizer.get()
        for (index, one) in try cases("tokenizer/chat.json").enumerated() {
            #expect(tokenizer.encode(try render(one)) == one["ids"]?.integers, "case \(index)")
        }
    }

    @Test func theEmbeddedModelSpeaksPlainChatML() throws {
        let template = try ChatTemplate(directory: Fixtures.embeddedModel)
        let text = try template.render(
            [ChatMessage(role: .system, content: "S"), ChatMessage(role: .user, content: "U")],
            addGenerationPrompt: true)
        #expect(text == "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n")
    }
}
