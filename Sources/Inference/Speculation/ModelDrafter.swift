//  Speculation by a small model: it writes ahead what it finds most likely, and the large one
//  checks.

import DualityCore

/// Guesses with a model that has the same tokens and is faster.
public struct ModelDrafter<Model: LanguageModel>: TokenDrafter {
    private let model: Model
    private let vocabularySize: Int
    private var cache: Model.Cache
    private var readCount = 0
    /// How often the tokens that it was sure of came true, in comparison with how sure it was.
    private var (confirmed, expected) = (4.0, 4.0)
    private var chances: [Double] = []

    /// - Parameters:
    ///   - model: the small model.
    ///   - vocabularySize: the scores of the model that checks; what is beyond is never guessed.
    public init(_ model: Model, vocabularySize: Int) {
        self.model = model
        self.vocabularySize = min(vocabularySize, model.vocabularySize)
        cache = model.makeCache()
    }

    /// - Complexity: a pass of the small model over what came since the last call, and one for each
    ///   guess but the last.
    public mutating func draft(after tokens: [Int], atMost limit: Int) throws -> [Int] {
        if tokens.count <= readCount { (cache, readCount) = (model.makeCache(), 0) }
        let room = min(limit, (model.contextLimit ?? .max) - tokens.count)
        let unread = Array(tokens[readCount...])
        chances = []
        guard room > 0, unread.allSatisfy({ $0 < model.vocabularySize }) else { return [] }
        var scores = try model.nextScores(&cache, after: unread)
        readCount = tokens.count
        // The guesses are written into a copy: which of them come true is not known yet.
        var ahead = cache
        var (draft, chance) = ([Int](), 1.0)
        while let (token, probability) = likeliest(scores) {
            chance *= min(1, probability * confirmed / expected)
            if chance < DraftWorth.smallestChance { break }
            draft.append(token)
            chances.append(probability)
            if draft.count == room { break }
            scores = try model.nextScores(&ahead, after: [token])
        }
        return draft
    }

    /// Counts guesses that came true against how sure the model was; old ones fade.
    public mutating func learn(confirmed count: Int, of checked: Int) {
        confirmed = 0.97 * confirmed + Double(count)
        expected = 0.97 * expected + chances.prefix(checked).reduce(0, +)
    }

    /// The token with the largest score and its probability; nil where a score is not a number.
    private func likeliest(_ scores: [Float]) -> (token: Int, probability: Double)? {
        let scores = scores.prefix(vocabularySize)
        guard let best = scores.indices.max(by: { scores[$0] < scores[$1] }), scores[best].isFinite else { return nil }
        let total = scores.reduce(0.0) { $0 + Double.exp(Double($1 - scores[best])) }
        return total.isFinite ? (best, 1 / total) : nil
    }
}
