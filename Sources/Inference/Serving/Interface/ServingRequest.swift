//  What is asked of the serving engine: a prompt of tokens, how its answers are drawn, and when
//  they end.
//
//  An answer is a function of its request, of the seed and of the model: not of what else runs, of
//  what was cached, or of how the prompt was cut.

import DualityCore

/// Where a snapshot of the model's memory of a prompt is worth keeping, and why.
package enum SnapshotKind: String, Sendable, CaseIterable, Codable {
    /// The end of the system block, tools included: many users of one application.
    case system
    /// Before a turn's first token, and before the generation prompt: the next turn.
    case turn
    /// One token before the end of a prompt: the same request again.
    case prompt
    /// The end of what was sampled: templates that keep answers as they were.
    case answer
    /// Multiples of a power of two: long documents.
    case grid
    /// Where an earlier path and this prompt part.
    case branch
}

/// A place in a prompt at which a snapshot is wanted.
package struct SnapshotPlace: Sendable, Equatable {
    package var kind: SnapshotKind
    /// How many tokens of the prompt come before it.
    package var tokenCount: Int
    /// Whether it stays when another place is near, as the one before the generation prompt does.
    package var isKept: Bool

    package init(_ kind: SnapshotKind, at tokenCount: Int, isKept: Bool = false) {
        self.kind = kind
        self.tokenCount = tokenCount
        self.isKept = isKept
    }
}

/// One prompt and the answers wanted to it.
package struct ServingRequest: Sendable {
    /// Token ids, at least one.
    package var prompt: [Int]
    /// Places that only the renderer knows: ends of system blocks (`.system`) and of turns
    /// (`.turn`). The engine finds the others.
    package var places: [SnapshotPlace] = []
    /// Choice i draws with `sampling.seed &+ i`.
    package var sampling = SamplingParameters()
    /// How many answers, 1 or more.
    package var choices = 1
    /// The most tokens of an answer; nil for as many as the context holds. 0 only with
    /// `promptScores`.
    package var maxTokens: Int?
    /// Neither `endTokens` nor `stopTokens` are drawn before an answer has this many tokens, unless
    /// the constraint lets nothing else come.
    package var minTokens = 0
    /// Whether an end token is a token like others. Under a constraint it ends the answer all the
    /// same.
    package var ignoresEnd = false
    /// The model's own end tokens.
    package var endTokens: Set<Int> = []
    /// Further tokens that end an answer.
    package var stopTokens: Set<Int> = []
    /// What may be said; every choice begins with it as it is.
    package var constraint: TokenConstraint?
    /// How many of the most likely tokens are wanted beside each token's own log probability; nil
    /// for no log probabilities.
    package var logprobs: Int?
    /// The same for the tokens of the prompt, which is then read whole, whatever is cached.
    package var promptScores: Int?
    /// Whether the caller may end a choice, as at a stop string, with fewer tokens than were drawn
    /// until then. Its tokens are counted in the statistics when it ends, others at once.
    package var mayBeFinished = true
    /// Prompts share what was read with those of the same salt alone.
    package var cacheSalt: String?

    package init(prompt: [Int]) {
        self.prompt = prompt
    }
}

extension ServingRequest {
    /// - Throws: `InputError` (`.value`) that names what is out of its range.
    package func validate(vocabularySize: Int) throws(InputError) {
        func require(_ holds: Bool, _ place: String, _ expected: String, _ found: String) throws(InputError) {
            if !holds { throw InputError(.value, in: place, expected: expected, found: found) }
        }
        try require(!prompt.isEmpty, "prompt", "at least one token", "none")
        let ids = 0..<vocabularySize
        for (name, tokens) in [
            ("prompt", prompt), ("end_token_ids", Array(endTokens)), ("stop_token_ids", Array(stopTokens)),
        ] {
            if let token = tokens.first(where: { !ids.contains($0) }) {
                try require(false, name, "tokens in 0..<\(vocabularySize)", "\(token)")
            }
        }
        try require(choices >= 1 && choices <= 1024, "n", "1 to 1024", "\(choices)")
        let least = promptScores == nil ? 1 : 0
        if let maxTokens { try require(maxTokens >= least, "max_tokens", "at least \(least)", "\(maxTokens)") }
        try require(minTokens >= 0, "min_tokens", "at least 0", "\(minTokens)")
        if let maxTokens { try require(minTokens <= maxTokens, "min_tokens", "at most max_tokens", "\(minTokens)") }
        for count in [logprobs, promptScores].compactMap({ $0 }) {
            try require(count >= 0 && count <= vocabularySize, "logprobs", "0 to \(vocabularySize)", "\(count)")
        }
        try sampling.validate(vocabularySize: vocabularySize)
    }
}
