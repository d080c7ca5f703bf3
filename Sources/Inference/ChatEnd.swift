//  The tokens that end a turn of a conversation.
//
//  Checkpoints disagree with themselves here: base models and what is trained from them end at
//  `<|endoftext|>` by their configuration and at `<|im_end|>` by their template. Whatever any of
//  them calls the end is one: generation_config.json, config.json, the tokenizer's end token, and
//  the token that the template writes behind an answer.

import DualityCore

extension ChatTemplate {
    /// The token that the template writes behind an answer, found by rendering one; nil when it
    /// writes none, or takes no such conversation.
    public func endOfTurn(_ tokenizer: Tokenizer) -> Int? {
        let answer = "An answer that no template has by itself."
        let turns = [
            ChatMessage(role: .user, content: "A question."), ChatMessage(role: .assistant, content: answer),
            ChatMessage(role: .user, content: "Another question."),
        ]
        guard let prompt = try? prompt(ChatRequest(messages: turns)) else { return nil }
        let text = JinjaText(prompt.text)
        guard let place = text.find(JinjaText(answer), in: text.bytes.indices) else { return nil }
        let behind = text[place + answer.utf8.count..<text.bytes.count].stripped(trailing: false) { $0.isPythonSpace }
        return tokenizer.encode(behind.string).first.flatMap { tokenizer.isSpecial($0) ? $0 : nil }
    }

    /// All tokens that end an answer in a conversation.
    ///
    /// - Parameter defaults: what the checkpoint's configuration calls the end.
    public func endTokens(_ defaults: GenerationDefaults, _ tokenizer: Tokenizer) -> Set<Int> {
        var ends = Set(defaults.endTokens + defaults.modelEndTokens)
        if let text = specialTokens.first(where: { $0.name == "eos_token" })?.text, let id = tokenizer.id(of: text) {
            ends.insert(id)
        }
        if let turn = endOfTurn(tokenizer) { ends.insert(turn) }
        return ends
    }
}
