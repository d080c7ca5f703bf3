//  What a run asks of an engine: several sequences extended in one go.

import DualityCore
import DualityInference
import DualityQuant
import DualityReference

/// A model that reads for several sequences at once, each with the numbers that it would have
/// alone.
package protocol BatchedModel: LanguageModel {
    /// Reads `tokens[i]` after what `caches[i]` holds; the scores after the last of them, `[V]`
    /// each.
    func nextScores(_ caches: inout [Cache], after tokens: [[Int]]) throws -> [[Float]]
    /// Reads without scores.
    func read(_ cache: inout Cache, _ tokens: [Int]) throws
    /// The scores after every token, `[k, V]` each, one after another.
    func allScores(_ cache: inout Cache, after tokens: [Int]) throws -> [Float]
    /// Bytes of the memory of a sequence, and of those what its length does not change; nil where
    /// nobody counts them.
    func cacheMemory(tokens: Int) -> (sequence: Int, state: Int)?
}

extension BatchedModel {
    package func cacheMemory(tokens: Int) -> (sequence: Int, state: Int)? { nil }

    /// How many sequences of so many tokens fit into some memory, beside the snapshots of a path.
    package func batch(tokens: Int, snapshots: Int, memory: Int) -> Int? {
        cacheMemory(tokens: tokens).map { sequence, state in
            // The snapshots of a path share the pages of its longest.
            max(memory - sequence - snapshots * state, 0) / max(sequence, 1)
        }
    }
}

extension QuantModel: BatchedModel {
    package func nextScores(_ caches: inout [QuantCache], after tokens: [[Int]]) throws -> [[Float]] {
        try extend(&caches, by: tokens, logits: .last).map(\.elements)
    }

    package func read(_ cache: inout QuantCache, _ tokens: [Int]) throws {
        _ = try extend(&cache, by: tokens, logits: .none)
    }

    package func allScores(_ cache: inout QuantCache, after tokens: [Int]) throws -> [Float] {
        try extend(&cache, by: tokens, logits: .all).elements
    }

    package func cacheMemory(tokens: Int) -> (sequence: Int, state: Int)? {
        (cacheBytes(tokens: tokens), stateBytes)
    }
}

extension HybridModel: BatchedModel {
    package func nextScores(_ caches: inout [HybridCache<Scalar>], after tokens: [[Int]]) throws -> [[Float]] {
        var scores: [[Float]] = []
        for i in caches.indices { scores.append(try nextScores(&caches[i], after: tokens[i])) }
        return scores
    }

    package func read(_ cache: inout HybridCache<Scalar>, _ tokens: [Int]) throws {
        _ = try nextScores(&cache, after: tokens)
    }

    package func allScores(_ cache: inout HybridCache<Scalar>, after tokens: [Int]) throws -> [Float] {
        try score(&cache, by: tokens).converted(to: Float.self).elements
    }
}
