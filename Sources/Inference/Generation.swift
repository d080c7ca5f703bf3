//  Text out of a model, a token at a time.
//
//      logits = model.nextScores(cache, after: prompt)
//      repeat:  token = sample(logits);  emit it;  logits = model.nextScores(cache, after: token)
//      until    an end token, a stop string, a limit, or nobody listens any more
//
//  A generation is an `AsyncSequence` that is pulled: nothing is computed before it is asked for,
//  dropping the iterator or cancelling its task ends the work, and the last element says why it
//  ended, how long it took, and hands back the context (tokens and memory), from which a
//  conversation goes on without reading anything twice.

import DualityCore

/// A sequence that a model has read: its tokens, and the model's memory of all but perhaps the last
/// few of them.
public struct ModelContext<Model: LanguageModel>: Sendable {
    /// The token ids, from the first of the prompt to the last one sampled.
    public internal(set) var tokens: [Int] = []
    var cache: Model.Cache
    /// How many of `tokens` the cache holds: all, all but the last one sampled, or fewer where
    /// guesses were taken back.
    var readCount = 0

    /// An empty context.
    public init(_ model: Model) {
        cache = model.makeCache()
    }

    /// A context made in another way than by reading tokens one after another.
    ///
    /// - Parameters:
    ///   - tokens: what it stands for; a prompt that begins with them goes on from it.
    ///   - cache: the model's memory of all of them.
    public init(tokens: [Int], cache: Model.Cache) {
        self.tokens = tokens
        self.cache = cache
        readCount = tokens.count
    }

    /// What of `prompt` is still to be read after this context, or nil when the prompt does not
    /// begin with it.
    ///
    /// A state cannot be rolled back, so a context is reused whole or not at all.
    func remainder(of prompt: [Int]) -> ArraySlice<Int>? {
        guard prompt.count > readCount, prompt.starts(with: tokens[..<readCount]) else { return nil }
        return prompt[readCount...]
    }
}

/// Limits of one generation.
public struct GenerationLimits: Sendable {
    /// The most tokens to sample; nil for as many as the context holds.
    public var maxTokens: Int?
    /// Tokens that end the text; they are not part of it.
    public var endTokens: Set<Int>
    /// Strings that end the text; they are not part of it.
    public var stopStrings: [String]

    /// By default nothing ends a text but the model's context.
    public init(maxTokens: Int? = nil, endTokens: Set<Int> = [], stopStrings: [String] = []) {
        self.maxTokens = maxTokens
        self.endTokens = endTokens
        self.stopStrings = stopStrings
    }
}

/// One step of a generation.
public enum GenerationEvent<Model: LanguageModel>: Sendable {
    /// A token was sampled. `text` is what became certain with it: perhaps nothing (half a
    /// character, or the beginning of a stop string), perhaps more than one token's worth.
    case token(id: Int, text: String)
    /// The generation is over; always the last element.
    case finished(Completion<Model>)
}

/// How a generation ended.
public struct Completion<Model: LanguageModel>: Sendable {
    /// What can end a generation.
    public enum Reason: Sendable, Equatable {
        /// The model sampled this end token.
        case endToken(Int)
        /// The text came to this stop string, which is not part of it.
        case stopString(String)
        /// The limit of tokens was reached.
        case maxTokens
        /// The context had room for no further token.
        case contextFull
        /// The task was cancelled.
        case cancelled
    }

    /// What ended this one.
    public let reason: Reason
    /// The tokens sampled, without the end token.
    public let tokens: [Int]
    /// The whole text: that of every event, and `remainingText`. A stop string is not part of it.
    public let text: String
    /// Text that was held back and is now certain; belongs after the last token's text.
    public let remainingText: String
    /// Where the time went.
    public let timings: GenerationTimings
    /// Prompt and answer as the model remembers them; give it to the next generation.
    public let context: ModelContext<Model>
}

/// Where the time went, in seconds.
public struct GenerationTimings: Sendable, Codable, Equatable {
    /// Tokens of the prompt that had to be read.
    public var promptTokens = 0
    /// Tokens of the prompt that the context held already.
    public var reusedTokens = 0
    /// Seconds that reading those `promptTokens` took.
    public var promptSeconds = 0.0
    /// Tokens sampled; an end token is not among them.
    public var generatedTokens = 0
    /// From the first sampled token to the last; the time of an end token is not part of it.
    public var generateSeconds = 0.0
    /// What guesses saved; without drafters it counts passes alone.
    public var speculation = SpeculationTimings()

    /// `promptTokens` per second; 0 where no time passed.
    public var promptTokensPerSecond: Double {
        promptSeconds > 0 ? Double(promptTokens) / promptSeconds : 0
    }
    /// Tokens per second after the first, which the prompt's pass gives; 0 where no time passed.
    public var tokensPerSecond: Double {
        generateSeconds > 0 ? Double(max(generatedTokens - 1, 0)) / generateSeconds : 0
    }
}

/// A generation in progress: iterate over it to get its tokens.
public struct Generation<Model: LanguageModel>: AsyncSequence, Sendable {
    public typealias Element = GenerationEvent<Model>

    let model: Model
    let tokenizer: Tokenizer
    let prompt: [Int]
    let context: ModelContext<Model>?
    let sampling: SamplingParameters
    let limits: GenerationLimits
    let constraint: TokenConstraint?
    let drafters: [any TokenDrafter]

    /// Prepares a generation; nothing runs before the first element is asked for.
    ///
    /// - Parameters:
    ///   - prompt: token ids, at least one.
    ///   - context: a context that the prompt may begin with; what it holds is not read again.
    ///   - constraint: what the answer may be; nil for anything.
    ///   - drafters: who guesses tokens, so that one pass reads several; the first with a guess is
    ///     taken. The text is the same, bit for bit of every score, as without.
    /// - Throws: `InputError` for an empty prompt, one as long as the model's context, or sampling
    ///   parameters out of range; `InputError` (`.unsupported`) for drafters with a model whose
    ///   scores depend on how its tokens came.
    public init(
        _ model: Model, tokenizer: Tokenizer, prompt: [Int], continuing context: ModelContext<Model>? = nil,
        sampling: SamplingParameters, limits: GenerationLimits, constraint: TokenConstraint? = nil,
        drafters: [any TokenDrafter] = []
    ) throws {
        guard drafters.isEmpty || model.replaysExactly else {
            throw InputError(
                .unsupported, in: "speculation",
                expected: "a model whose scores do not depend on how many tokens are read together",
                found: "the reference engine, or RoPE that changes with the length",
                remedy: "Use the fast engine, or leave --lookup and --draft out.")
        }
        guard !prompt.isEmpty else {
            throw InputError(
                .value, in: "prompt", expected: "at least one token", found: "an empty prompt",
                remedy: "Give some text, as an argument or on standard input.")
        }
        if let limit = model.contextLimit, prompt.count > limit {
            throw InputError(
                .value, in: "prompt", expected: "at most \(limit) tokens, the model's context",
                found: "\(prompt.count) tokens", remedy: "Shorten the prompt.")
        }
        try sampling.validate(vocabularySize: model.vocabularySize)
        self.model = model
        self.tokenizer = tokenizer
        self.prompt = prompt
        self.context = context
        self.sampling = sampling
        self.limits = limits
        self.constraint = constraint
        self.drafters = drafters
    }

    /// Begins with the prompt: every iterator is a generation of its own.
    public func makeAsyncIterator() -> GenerationIterator<Model> {
        GenerationIterator(self)
    }
}

extension Completion.Reason: CustomStringConvertible {
    /// The name in JSON: `stop`, `length` or `cancelled`.
    public var name: String {
        switch self {
        case .endToken, .stopString: "stop"
        case .maxTokens, .contextFull: "length"
        case .cancelled: "cancelled"
        }
    }

    public var description: String {
        switch self {
        case .endToken(let id): "ended by token \(id)"
        case .stopString(let string): "ended at \(string.debugDescription)"
        case .maxTokens: "ended by the limit"
        case .contextFull: "the context is full"
        case .cancelled: "stopped"
        }
    }
}
