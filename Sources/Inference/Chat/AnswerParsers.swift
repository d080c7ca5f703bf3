//  Which parts of an answer are taken out of its text, as the template has it.

/// Which parts of an answer are taken out of its text.
package struct AnswerParsers: Sendable, Equatable {
    /// Calls in the format of Hermes.
    package var hermes: Bool
    /// Thoughts in the format of Qwen3.
    package var qwen3: Bool

    package init(hermes: Bool, qwen3: Bool) {
        self.hermes = hermes
        self.qwen3 = qwen3
    }

    /// Those that a template speaks of.
    package init(_ template: ChatTemplate?) {
        let source = template?.source ?? ""
        // Qwen3-Coder writes its calls otherwise.
        hermes = source.contains("<tool_call>") && !source.contains("<function=")
        qwen3 = source.contains("enable_thinking") || Self.opensThought(source)
    }

    /// Whether a template ends its prompts inside a thought.
    private static func opensThought(_ source: String) -> Bool {
        guard let place = source.range(of: "add_generation_prompt", options: .backwards) else { return false }
        let end = source[place.upperBound...]
        return end.contains("<think>") && !end.contains("</think>")
    }
}
