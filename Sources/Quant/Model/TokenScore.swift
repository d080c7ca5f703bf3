//  Log probabilities of tokens, from logits.
//
//      log p(t) = l_t - m - log sum over s of e^(l_s - m),     m = max over s of l_s
//
//  The sum is float64 in the order of the tokens, whichever thread computes it: the same logits
//  give the same bits.

import DualityCore
import Foundation

/// A token and how likely the model takes it to be.
package struct TokenScore: Sendable, Equatable {
    package struct Alternative: Sendable, Equatable {
        package let token: Int
        package let logProbability: Float
    }

    package let token: Int
    package let logProbability: Float
    /// The most likely tokens, the likeliest first, the lower number first among equals.
    package let alternatives: [Alternative]

    /// - Parameter logProbability: NaN where it was not asked for.
    package init(token: Int, logProbability: Float = .nan, alternatives: [Alternative] = []) {
        self.token = token
        self.logProbability = logProbability
        self.alternatives = alternatives
    }

    /// - Parameters:
    ///   - token: in 0 ..< V.
    ///   - logits: `[V]`.
    ///   - count: how many of the most likely tokens are wanted.
    /// - Complexity: O(V + h count), h being how often a token enters the best so far.
    package init(_ token: Int, logits: UnsafeBufferPointer<Float>, alternatives count: Int) {
        var largest = -Float.infinity
        for logit in logits where logit > largest { largest = logit }
        var sum = 0.0
        for logit in logits { sum += Double(exp(logit - largest)) }
        let (maximum, logSum) = (Double(largest), log(sum))
        func score(_ token: Int) -> Float { Float(Double(logits[token]) - maximum - logSum) }

        var best: [Int] = []
        best.reserveCapacity(count + 1)
        for (candidate, logit) in logits.enumerated() where count > 0 {
            if best.count == count, !(logit > logits[best[count - 1]]) { continue }
            var place = best.count
            while place > 0, logit > logits[best[place - 1]] { place -= 1 }
            best.insert(candidate, at: place)
            if best.count > count { best.removeLast() }
        }
        self.init(
            token: token, logProbability: score(token),
            alternatives: best.map { Alternative(token: $0, logProbability: score($0)) })
    }
}
