//  The memory of a text in progress, read several tokens at a time.
//
//      tokens    known k tokens, of which the memory holds r        read together: those from r on, and guesses g_1 ... g_n
//      scores    after the last known token, after g_1, ..., after g_n
//
//  The sampler draws from the first; if it draws g_1, the second row is what another pass would
//  have given, with the same bits, and so on until it draws something else. Then the memory holds
//  wrong tokens and is put back to what it was before the pass (it is a value: the copy was taken
//  then), and the tokens that came true are read once more, together with what follows them in the
//  next pass. That costs rows, which are cheap, and never a pass.

import DualityCore

/// Reads tokens into a model's memory, some before they are known.
struct SpeculativeReader<Model: LanguageModel>: Sendable {
    /// What is known. Tokens are appended by the caller.
    private(set) var context: ModelContext<Model>
    private(set) var timings = SpeculationTimings()
    private var source: DraftSource
    private var guess: Guess?

    static var rowLimit: Int { DraftWorth.rowLimit }

    /// A pass that read guesses.
    private struct Guess: Sendable {
        /// The tokens that were known.
        let known: Int
        let draft: DraftSource.Draft
        /// `[n + 1, V]`.
        let scores: Tensor<Float>
        /// The memory before the pass, and how many tokens it holds.
        let before: (cache: Model.Cache, readCount: Int)

        var tokens: [Int] { draft.tokens }

        /// How many of the guesses are the tokens that came.
        func confirmed(_ all: [Int]) -> Int {
            zip(all[known...], tokens).prefix { $0 == $1 }.count
        }
    }

    init(_ context: ModelContext<Model>, drafters: [any TokenDrafter]) {
        self.context = context
        source = DraftSource(drafters)
    }

    mutating func append(_ token: Int) { context.tokens.append(token) }

    /// Reads the prompt: the known tokens become these, of which the memory holds the first.
    mutating func read(prompt: [Int], model: Model) throws -> [Float] {
        let scores = try model.nextScores(&context.cache, after: Array(prompt[context.readCount...]))
        context.tokens = prompt
        context.readCount = prompt.count
        timings.passes += 1
        return scores
    }

    /// The scores of the token after the last known one.
    ///
    /// - Parameters:
    ///   - room: how many tokens behind that one can be of use.
    ///   - constraint: what may come next.
    mutating func nextScores(_ model: Model, room: Int, constraint: TokenConstraint?) throws -> [Float] {
        if let row = guessedRow() { return row }
        settle()
        let known = Array(context.tokens[context.readCount...])
        let draft = try source.draft(
            after: context.tokens, atMost: min(room, Self.rowLimit - known.count), constraint,
            vocabularySize: model.vocabularySize)
        timings.passes += 1
        guard !draft.tokens.isEmpty else {
            let scores = try model.nextScores(&context.cache, after: known)
            context.readCount = context.tokens.count
            return scores
        }
        let before = (context.cache, context.readCount)
        let scores = try model.nextScores(&context.cache, after: known + draft.tokens, last: draft.tokens.count + 1)
        timings.guessedTokens += draft.tokens.count
        guess = Guess(known: context.tokens.count, draft: draft, scores: scores, before: before)
        return scores.rows(0..<1).elements
    }

    /// The row after the last known token, if that and all before it were guessed.
    private func guessedRow() -> [Float]? {
        guard let guess else { return nil }
        let came = context.tokens.count - guess.known
        guard came <= guess.tokens.count, guess.confirmed(context.tokens) == came else { return nil }
        return guess.scores.rows(came..<came + 1).elements
    }

    /// Brings memory and known tokens in line: the memory holds no guess that did not come true.
    mutating func settle() {
        guard let guess else { return }
        let (came, confirmed) = (context.tokens.count - guess.known, guess.confirmed(context.tokens))
        timings.confirmedTokens += confirmed
        source.learn(guess.draft, confirmed: confirmed, came: came)
        if confirmed == guess.tokens.count {
            context.readCount = guess.known + confirmed
        } else {
            (context.cache, context.readCount) = guess.before
        }
        self.guess = nil
    }
}

/// How much was guessed, and how much of it rightly.
public struct SpeculationTimings: Sendable, Codable, Equatable {
    /// Passes of the model, the prompt's among them.
    public var passes = 0
    /// Tokens that were read before they were known.
    public var guessedTokens = 0
    /// Those of them that the sampler then drew.
    public var confirmedTokens = 0
}
