//  Text in, text out, in two lines.
//
//      let session = try LanguageModelSession()
//      print(try await session.respond(to: "Who is Pip?"))
//
//  A session loads a model as `duality chat` does (location, engine, format, check of memory, chat
//  template, the model's own sampling) and holds one conversation. Generation.swift is the loop
//  below it, for callers who want tokens, timings, or contexts of their own.

import DualityCore
import DualityInference
import DualityQuant
import DualityReference
import Synchronization

/// A conversation with a model.
///
/// A session may be used from any task; its turns are one after another: a second question that is
/// asked before the first answer is complete is answered as if the first had not been asked.
public final class LanguageModelSession: Sendable {
    /// The model's directory, engine and format.
    public let loader: ModelLoader
    /// Text to token ids and back, from the model's directory.
    public let tokenizer: Tokenizer
    /// How tokens are drawn: the model's generation_config.json, unless given.
    public let sampling: SamplingParameters
    /// When an answer ends.
    public let limits: GenerationLimits
    /// What was odd about the model's files, and which engine was taken where that is not obvious.
    public let warnings: [String]
    let model: any LanguageModel
    private let template: ChatTemplate
    private let state: Mutex<Turns>

    private struct Turns: Sendable {
        var messages: [ChatMessage] = []
        /// A `ModelContext` of the model.
        var context: (any Sendable)?
    }

    /// Loads a model.
    ///
    /// - Parameters:
    ///   - directory: the model's (config.json, *.safetensors, tokenizer.json); nil for that of
    ///     $DUALITY_MODEL, else the embedded model.
    ///   - request: engine, format and threads; what is left out is chosen as the command does.
    ///   - system: a message before all others.
    ///   - sampling: nil for the model's own.
    ///   - maxTokens: of one answer.
    /// - Throws: `InputError` for files that are missing or damaged, an engine that does not have
    ///   the model's layers, or too little memory.
    public init(
        directory: String? = nil, _ request: EngineRequest = EngineRequest(), system: String? = nil,
        sampling: SamplingParameters? = nil, maxTokens: Int = 512
    ) throws {
        loader = try ModelLoader(directory, request)
        tokenizer = try Tokenizer(directory: loader.directory)
        template = try ChatTemplate(directory: loader.directory)
        let defaults = try GenerationDefaults(directory: loader.directory)
        self.sampling = sampling ?? defaults.sampling
        limits = GenerationLimits(maxTokens: maxTokens, endTokens: Set(defaults.endTokens))
        var warnings = loader.notes + tokenizer.warnings + defaults.warnings
        model = try loader.load(warn: { warnings.append($0) })
        self.warnings = warnings
        state = Mutex(Turns(messages: system.map { [ChatMessage(role: .system, content: $0)] } ?? []))
    }

    /// The conversation so far.
    public var messages: [ChatMessage] { state.withLock { $0.messages } }

    /// The answer to a message.
    ///
    /// - Throws: `InputError` when the conversation no longer fits the model's context; the message
    ///   is then not part of it.
    public func respond(to message: String) async throws -> String {
        var text = ""
        for try await piece in try stream(message) { text += piece }
        return text
    }

    /// The answer to a message, piece by piece as it is generated.
    ///
    /// Ending the loop early, or cancelling its task, ends the generation; what was said until then
    /// stays in the conversation.
    ///
    /// - Throws: as `respond(to:)`.
    public func stream(_ message: String) throws -> AsyncThrowingStream<String, any Error> {
        try stream(message, of: model)
    }

    private func stream<Model: LanguageModel>(
        _ message: String, of model: Model
    ) throws -> AsyncThrowingStream<String, any Error> {
        let before = state.withLock { $0 }
        let turns = before.messages + [ChatMessage(role: .user, content: message)]
        let generation = try Generation(
            model, tokenizer: tokenizer, prompt: tokenizer.encode(template.render(turns, addGenerationPrompt: true)),
            continuing: before.context as? ModelContext<Model>, sampling: sampling, limits: limits)
        return AsyncThrowingStream { continuation in
            let task = Task {
                do {
                    for try await event in generation {
                        switch event {
                        case .token(_, let text):
                            if !text.isEmpty { continuation.yield(text) }
                        case .finished(let completion):
                            if !completion.remainingText.isEmpty { continuation.yield(completion.remainingText) }
                            let answer = ChatMessage(role: .assistant, content: completion.text)
                            self.state.withLock { $0 = Turns(messages: turns + [answer], context: completion.context) }
                        }
                    }
                    continuation.finish()
                } catch {
                    continuation.finish(throwing: error)
                }
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }

    /// The scores of the token after each of `tokens`, `[L, V]`, from an empty memory. Exactly the
    /// model's numbers, widened.
    ///
    /// - Parameter tokens: ids, at least one (see `tokenizer`).
    /// - Throws: `InputError` for an id outside the vocabulary, or more tokens than the context.
    public func logits(_ tokens: [Int]) throws -> Tensor<Double> {
        func logits<Model: LanguageModel>(_ model: Model) throws -> Tensor<Double> {
            var cache = model.makeCache()
            return try model.score(&cache, by: tokens).converted(to: Double.self)
        }
        return try logits(model)
    }
}
