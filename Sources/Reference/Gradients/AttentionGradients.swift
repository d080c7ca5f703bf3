//  The gradients of softmax attention, AttentionOperands.swift backwards.
//
//      given  ∂o_t = ∂ℒ/∂o_t          wanted  ∂ℒ/∂q, ∂ℒ/∂k, ∂ℒ/∂v, ∂ℒ/∂sinks
//
//      1. ∂w_tj = ∂o_t · v_j                    ∂v_j += w_tj ∂o_t
//      2. D_t   = Σ_j w_tj ∂w_tj                (= ∂o_t · o_t)
//      3. ∂s_tj = w_tj (∂w_tj - D_t)            ∂sink -= w_sink D_t
//      4. ∂q_t  = scale Σ_j ∂s_tj k_j           ∂k_j += scale ∂s_tj q_t
//
//  A sink has weight and no value: its ∂w is zero. Keys and values are pulled on by every query and
//  head that reads them.
//
//  Source: Dao, FlashAttention-2 (arXiv 2307.08691), algorithm 2.

import DualityCore

/// The gradient of the loss with respect to each operand, in the shape of that operand.
package struct AttentionGradients<Scalar: RealNumber>: Sendable {
    /// `[B, L, H, D]`.
    package var q: Tensor<Scalar>
    /// `[B, M, Hkv, D]`.
    package var k: Tensor<Scalar>
    /// `[B, M, Hkv, V]`.
    package var v: Tensor<Scalar>
    /// `[H]`; nil without sinks.
    package var sinks: Tensor<Scalar>?

    package init(zeroLike operands: AttentionOperands<Scalar>) {
        (q, k, v) = (operands.q.map { _ in 0 }, operands.k.map { _ in 0 }, operands.v.map { _ in 0 })
        sinks = operands.sinks.map { $0.map { _ in 0 } }
    }
}

extension AttentionOperands {
    /// The gradients of Σ o ∂o.
    ///
    /// - Parameter pull: ∂ℒ/∂o, `[B, L, H, V]`.
    /// - Complexity: O(B L M H (D + V)).
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    package func gradients(upstream pull: Tensor<Scalar>) -> AttentionGradients<Scalar> {
        var result = AttentionGradients(zeroLike: self)
        for b in 0..<batch {
            for t in 0..<length {
                for h in 0..<heads { addGradients(b, t, h, pull.elements, to: &result) }
            }
        }
        return result
    }

    /// Steps 1 to 4 for one query.
    private func addGradients(
        _ b: Int, _ t: Int, _ h: Int, _ pull: [Scalar], to result: inout AttentionGradients<Scalar>
    ) {
        let (keys, weights, sink) = weights(b, t, h)
        let (query, out) = (queryRow(b, t, h) * keyDim, queryRow(b, t, h) * valueDim)
        var correction = Scalar.zero
        var ofWeights: [Scalar] = []
        ofWeights.reserveCapacity(keys.count)
        for (s, w) in zip(keys, weights) {
            let value = keyRow(b, s, h) * valueDim
            var sum = Scalar.zero
            for j in 0..<valueDim {
                sum += pull[out + j] * v.elements[value + j]  // 1
                result.v.elements[value + j] += w * pull[out + j]
            }
            ofWeights.append(sum)
            correction += w * sum  // 2
        }
        result.sinks?.elements[h] -= sink * correction  // 3
        for (i, s) in keys.enumerated() {
            let ofScore = Scalar(scale) * (weights[i] * (ofWeights[i] - correction))
            let key = keyRow(b, s, h) * keyDim
            for m in 0..<keyDim {  // 4
                result.q.elements[query + m] += ofScore * k.elements[key + m]
                result.k.elements[key + m] += ofScore * q.elements[query + m]
            }
        }
    }
}
