//  What generation asks of a model, so that any engine can stand behind it.

import DualityCore
import DualityReference

/// A causal language model with an explicit memory: tokens in, the scores of the next token out.
public protocol LanguageModel: Sendable {
    /// The memory of one sequence; a value, so that a copy is a snapshot.
    associatedtype Cache: Sendable
    /// The number format of the scores.
    associatedtype Score: RealNumber

    /// Logits have this many entries.
    var vocabularySize: Int { get }
    /// The most tokens a sequence may have.
    var contextLimit: Int? { get }

    /// The memory of an empty sequence.
    func makeCache() -> Cache

    /// Reads `tokens` after those the cache holds and returns the logits of the token after the
    /// last, `[V]`.
    ///
    /// - Throws: `InputError` for no tokens, an id out of range, or more tokens than the context
    ///   holds.
    func nextScores(_ cache: inout Cache, after tokens: [Int]) throws -> [Float]

    /// The same, returning the logits after every one of the tokens, `[k, V]`.
    func score(_ cache: inout Cache, by tokens: [Int]) throws -> Tensor<Score>

    /// The bytes of weights that one decoded token reads; 0 where a model does not say.
    var weightBytesPerToken: Int { get }

    /// Whether the scores after a token are the same bits however the tokens before it came: one
    /// by one, together, or once more into a copy of an earlier memory.
    var replaysExactly: Bool { get }

    /// Reads `tokens` and returns the logits after each of the last `count`, `[count, V]`.
    ///
    /// - Parameter count: at least 1, at most the number of tokens.
    func nextScores(_ cache: inout Cache, after tokens: [Int], last count: Int) throws -> Tensor<Float>
}

extension LanguageModel {
    /// Nothing is promised where a model does not say so itself.
    public var replaysExactly: Bool { false }

    /// Unknown where a model does not say so itself.
    public var weightBytesPerToken: Int { 0 }

    /// Scores all tokens and keeps the last rows, for models that have no shorter way.
    public func nextScores(_ cache: inout Cache, after tokens: [Int], last count: Int) throws -> Tensor<Float> {
        let scores = try score(&cache, by: tokens)
        return scores.rows(tokens.count - count..<tokens.count).converted(to: Float.self)
    }
}

extension HybridModel: LanguageModel {
    /// V, the rows of the embedding.
    public var vocabularySize: Int { embedding.shape[0] }

    /// The logits after the last token, `[V]`, rounded to float32.
    public func nextScores(_ cache: inout HybridCache<Scalar>, after tokens: [Int]) throws -> [Float] {
        try extend(&cache, by: tokens, logits: .last).converted(to: Float.self).elements
    }

    /// The logits after every token, `[k, V]`, in the format of the model.
    public func score(_ cache: inout HybridCache<Scalar>, by tokens: [Int]) throws -> Tensor<Scalar> {
        try extend(&cache, by: tokens, logits: .all)
    }
}
