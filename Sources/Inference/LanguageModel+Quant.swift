//  The fast engine behind the interface that generation asks of a model.

import DualityCore
import DualityQuant

extension QuantModel: LanguageModel {
    /// V, as the configuration has it.
    public var vocabularySize: Int { configuration.vocabularySize }

    /// The logits after the last token, `[V]`; no other row goes through the head.
    public func nextScores(_ cache: inout QuantCache, after tokens: [Int]) throws -> [Float] {
        try extend(&cache, by: tokens, logits: .last).elements
    }

    /// The logits after every token, `[k, V]`.
    public func score(_ cache: inout QuantCache, by tokens: [Int]) throws -> Tensor<Float> {
        try extend(&cache, by: tokens, logits: .all)
    }

    /// The logits after each of the last `count` tokens, `[count, V]`; no other row is computed.
    public func nextScores(_ cache: inout QuantCache, after tokens: [Int], last count: Int) throws -> Tensor<Float> {
        try extend(&cache, by: tokens, logits: .ending(count))
    }
}
