//  duality generate: a prompt in, its continuation out, streamed.

import ArgumentParser
import Duality
import DualityCore
import DualityInference
import DualityReference
import Foundation

struct GenerateCommand: AsyncParsableCommand, RankedCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate",
        abstract: "Continue a text, or answer it with --chat.",
        discussion: """
            The prompt is an argument or comes from stdin; the continuation streams to stdout. Sampling defaults come \
            from the model's generation_config.json.

            With --json-schema, --regex or --choice the whole text has that form, unless --max-tokens ends it before. With \
            --chat the model is then asked not to think (enable_thinking false); a thought that a template begins all the \
            same is not printed, and counts as tokens.

            Examples:
              duality generate "Once upon a time there was a little fox named Pip."
              duality generate --chat "What is 17 plus 25?" --greedy
              cat story.txt | duality generate --max-tokens 200 --temperature 0.9
              duality generate --chat "Is a whale a fish?" --choice yes,no
            """)

    @Argument(help: "The prompt; - or nothing reads stdin.")
    var prompt: String?
    @OptionGroup var model: ModelOptions
    @OptionGroup var sampling: SamplingOptions
    @Option(name: .long, help: "The most tokens to generate.")
    var maxTokens: Int = 256
    @Option(
        name: .long, parsing: .singleValue,
        help: "End the text where this string would begin; give it once for each string.")
    var stop: [String] = []
    @Flag(name: .long, help: "Wrap the prompt in the model's chat template as a user's turn.")
    var chat = false
    @OptionGroup var template: TemplateOptions
    @Option(name: .long, help: "With --chat: a system message to begin with.")
    var system: String?
    @Flag(name: .long, help: "Do not stop at the model's end tokens.")
    var ignoreEnd = false
    @OptionGroup var form: ConstraintOptions
    @OptionGroup var speculation: SpeculationOptions
    @OptionGroup var engine: EngineOptions
    @OptionGroup var ranks: RankOptions
    @Flag(name: .long, help: "Print one JSON object at the end instead of streaming.")
    var json = false

    func validate() throws {
        guard maxTokens >= 0 else { throw ValidationError("--max-tokens must be at least 0.") }
        guard !ignoreEnd || !form.isOn else {
            throw ValidationError("--ignore-end leaves a text of a given form no end: leave out one of the two.")
        }
    }

    func run() async throws {
        let loader = try modelLoader()
        let tokenizer = try model.tokenizer()
        let defaults = try model.generationDefaults()
        let text = try promptText()
        var ends = Set(defaults.endTokens)
        let ids: [Int]
        var thought = AnswerRules.Thought.none
        if chat {
            let template = try template.chatTemplate(model)
            let prompt = try template.prompt(request(text))
            ids = tokenizer.encode(prompt)
            ends = template.endTokens(defaults, tokenizer)
            if AnswerParsers(template).qwen3 { thought = AnswerRules.Thought(behind: prompt, mayBegin: false) }
        } else {
            ids = tokenizer.encode(text)
        }
        let (sampling, seed) = try sampling.resolved(defaults)
        let limits = GenerationLimits(
            maxTokens: maxTokens, endTokens: ignoreEnd ? [] : ends, stopStrings: stop)
        // The cheap checks come before the weights: a bad prompt is refused at once.
        let constraint = try form.constraint(
            tokenizer, endTokens: ends,
            vocabularySize: form.isOn ? HybridConfiguration(directory: loader.directory).vocabularySize : 0,
            thought: thought)
        let computation = try loader.computation()
        let drafts = try speculation.loader(beside: tokenizer)
        let loaded = try loader.loadShown(tokens: ids.count.adding(maxTokens))
        let drafters = try speculation.drafters(drafts, for: loaded)
        let generation = GenerationInput(
            ids: ids, sampling: sampling, seed: seed, limits: limits, constraint: constraint,
            hidesThought: form.isOn && thought == .open)
        try await run(loaded, computation: computation, tokenizer: tokenizer, input: generation, drafters: drafters)
    }

    func modelLoader() throws -> ModelLoader { try engine.loader(model) }

    private func run(
        _ model: some LanguageModel, computation: Computation, tokenizer: Tokenizer, input: GenerationInput,
        drafters: [any TokenDrafter]
    ) async throws {
        let generation = try Generation(
            model, tokenizer: tokenizer, prompt: input.ids, sampling: input.sampling, limits: input.limits,
            constraint: input.constraint, drafters: drafters)

        var text = ""
        for try await event in generation {
            switch event {
            case .token(_, let piece):
                text += piece
                if !json, !input.hidesThought { Terminal.stream(piece) }
            case .finished(let completion):
                text += completion.remainingText
                if input.hidesThought { text = AnswerParser.behindThought(text) }
                if json {
                    var object = report(text, input.ids, completion, input.seed)
                    computation.write(to: &object)
                    print(JSON.object(object).serialized(indented: true))
                } else {
                    Terminal.stream((input.hidesThought ? text : completion.remainingText) + "\n")
                    Terminal.note(summary(completion, input.seed))
                }
            }
        }
    }

    private func promptText() throws -> String {
        var text = prompt ?? "-"
        if text == "-" {
            if Terminal.stdinIsTerminal { Terminal.note("reading the prompt from the terminal; end it with Ctrl-D") }
            text = try TextFile.read("-")
        }
        guard !text.isEmpty else {
            throw InputError(
                .value, in: "prompt", expected: "some text", found: "nothing",
                remedy: "Give it as an argument or on standard input.")
        }
        return text
    }

    private func request(_ text: String) -> ChatRequest {
        let system = system.map { [ChatMessage(role: .system, content: $0)] } ?? []
        return ChatRequest(
            messages: system + [ChatMessage(role: .user, content: text)], addGenerationPrompt: true,
            enableThinking: form.isOn ? false : nil)
    }

    private func summary<Model>(_ completion: Completion<Model>, _ seed: UInt64?) -> String {
        let timings = completion.timings
        let seedText = seed.map { ", seed \($0)" } ?? ", greedy"
        return String(
            format: "[prompt %d tokens in %.2f s, generated %d at %.1f tokens/s, %@%@%@]", timings.promptTokens,
            timings.promptSeconds, timings.generatedTokens, timings.tokensPerSecond,
            completion.reason.description, seedText, speculation.summary(timings.speculation))
    }

    private func report<Model>(_ text: String, _ prompt: [Int], _ completion: Completion<Model>, _ seed: UInt64?)
        -> JSON.Object
    {
        let timings = completion.timings
        return [
            "text": .string(text),
            "tokens": .array(completion.tokens.map { JSON($0) }),
            "prompt_tokens": JSON(prompt.count),
            "finish_reason": .string(completion.reason.name),
            "seed": seed.map { .number(String($0)) } ?? .null,
            "timings": [
                "prompt_seconds": JSON(timings.promptSeconds),
                "prompt_tokens_per_second": JSON(timings.promptTokensPerSecond),
                "generate_seconds": JSON(timings.generateSeconds),
                "generate_tokens_per_second": JSON(timings.tokensPerSecond),
            ],
            "speculation": speculation.isOn ? speculation.report(timings.speculation) : .null,
        ]
    }
}

/// What a text is generated from, and how.
private struct GenerationInput {
    let ids: [Int]
    let sampling: SamplingParameters
    let seed: UInt64?
    let limits: GenerationLimits
    let constraint: TokenConstraint?
    /// Whether the text begins with a thought that is not shown.
    let hidesThought: Bool
}

extension SamplingOptions {
    /// The options over a model's defaults, and the seed that makes the draws repeatable (nil when
    /// there are none).
    func resolved(_ defaults: GenerationDefaults) throws -> (SamplingParameters, seed: UInt64?) {
        var parameters = defaults.sampling
        if greedy { parameters.temperature = 0 }
        if let temperature { parameters.temperature = temperature }
        if let topK { parameters.topK = topK }
        if let topP { parameters.topP = topP }
        if let minP { parameters.minP = minP }
        if let repetitionPenalty { parameters.repetitionPenalty = repetitionPenalty }
        if let presencePenalty { parameters.presencePenalty = presencePenalty }
        if let frequencyPenalty { parameters.frequencyPenalty = frequencyPenalty }
        for item in logitBias {
            let parts = item.split(separator: "=")
            guard parts.count == 2, let id = Int(parts[0]), let bias = Float(parts[1]) else {
                throw InputError(.value, in: "--logit-bias", expected: "ID=BIAS, such as 42=-5", found: item)
            }
            parameters.logitBias[id] = bias
        }
        parameters.seed = seed ?? UInt64.random(in: 0...UInt64(UInt32.max))
        return (parameters, parameters.temperature == 0 ? nil : parameters.seed)
    }
}
