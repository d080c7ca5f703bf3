//  A conversation with a model: turns in, answers out, nothing read twice.
//
//  Every turn is rendered with the chat template as a whole. Where the new prompt begins with what
//  the model has already read, which is the rule, only the rest is read; where a template rewrites
//  earlier turns (Qwen3 drops old thinking), the conversation is read again from the start, because
//  a state cannot be rolled back.

import DualityCore

/// The history of a chat and the model's memory of it.
public struct Conversation<Model: LanguageModel>: Sendable {
    let model: Model
    let tokenizer: Tokenizer
    let template: ChatTemplate
    let sampling: SamplingParameters
    let limits: GenerationLimits
    let system: String?
    let enableThinking: Bool?
    let drafters: [any TokenDrafter]
    /// The turns so far, oldest first: the system message where there is one, questions, answers.
    public private(set) var messages: [ChatMessage] = []
    private var context: ModelContext<Model>?

    /// - Parameter drafters: who guesses tokens, as in `Generation`.
    public init(
        model: Model, tokenizer: Tokenizer, template: ChatTemplate, sampling: SamplingParameters,
        limits: GenerationLimits, system: String? = nil, enableThinking: Bool? = nil,
        drafters: [any TokenDrafter] = []
    ) {
        self.model = model
        self.tokenizer = tokenizer
        self.template = template
        self.sampling = sampling
        self.limits = limits
        self.system = system
        self.enableThinking = enableThinking
        self.drafters = drafters
        reset()
    }

    /// Forgets everything but the system message.
    public mutating func reset() {
        messages = system.map { [ChatMessage(role: .system, content: $0)] } ?? []
        context = nil
    }

    /// Adds a user's message and prepares the answer; give its completion to `take`.
    ///
    /// - Throws: `InputError` when the conversation no longer fits the context; the message is then
    ///   not added.
    public mutating func ask(_ message: String) throws -> Generation<Model> {
        let turns = messages + [ChatMessage(role: .user, content: message)]
        let prompt = tokenizer.encode(
            try template.prompt(
                ChatRequest(messages: turns, addGenerationPrompt: true, enableThinking: enableThinking)))
        let generation = try Generation(
            model, tokenizer: tokenizer, prompt: prompt, continuing: context, sampling: sampling, limits: limits,
            drafters: drafters)
        messages = turns
        return generation
    }

    /// Adds the answer, also one that was stopped, to the history: its text as it was given out,
    /// without a stop string.
    public mutating func take(_ completion: Completion<Model>) {
        messages.append(ChatMessage(role: .assistant, content: completion.text))
        context = completion.context
    }
}
