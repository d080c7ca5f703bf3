//  The fast engine behind the interface that generation asks of a model.

import DualityCore
import DualityQuant

extension QuantModel: LanguageModel {
    public var vocabularySize: Int { configuration.vocabularySize }

    public func nextScores(_ cache: inout QuantCache, after tokens: [Int]) throws -> [Float] {
        try extend(&cache, by: tokens, logits: .last).elements
    }

    public func score(_ cache: inout QuantCache, by tokens: [Int]) throws -> Tensor<Float> {
        try extend(&cache, by: tokens, logits: .all)
    }

    public func nextScores(_ cache: inout QuantCache, after tokens: [Int], last count: Int) throws -> Tensor<Float> {
        try extend(&cache, by: tokens, logits: .ending(count))
    }
}
