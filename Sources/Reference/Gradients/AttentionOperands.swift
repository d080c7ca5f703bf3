//  Softmax attention as an operator: what a kernel is called with, queries behind a cache of keys.
//
//      s_tj = scale q_t · k_j        w_tj = e^(s_tj - m) / (Σ_i e^(s_ti - m) + e^(sink - m))        o_t = Σ_j w_tj v_j
//
//  over the keys j that t sees.
//
//  | symbol | shape          | meaning                                                          |
//  |--------|----------------|------------------------------------------------------------------|
//  | q      | [B, L, H, D]   | the last L of M positions                                        |
//  | k      | [B, M, Hkv, D] | head h reads head h div (H / Hkv)                                |
//  | v      | [B, M, Hkv, V] |                                                                  |
//  | sinks  | [H]            | optional: logits that take weight and have no value              |
//  | o      | [B, L, H, V]   | zero where a query sees nothing                                  |
//
//  Source: Vaswani et al. (arXiv 1706.03762); Dao, FlashAttention-2 (arXiv 2307.08691); sinks as in
//  gpt-oss.

import DualityCore

/// A call of softmax attention.
package struct AttentionOperands<Scalar: RealNumber>: Sendable {
    /// `[B, L, H, D]`.
    package var q: Tensor<Scalar>
    /// `[B, M, Hkv, D]`.
    package var k: Tensor<Scalar>
    /// `[B, M, Hkv, V]`.
    package var v: Tensor<Scalar>
    /// `[H]`.
    package var sinks: Tensor<Scalar>?
    package var scale: Double
    package var isCausal: Bool
    /// Keys a query sees, itself the last; nil for all.
    package var window: Int?
    /// The first keys, which every query sees whatever its window.
    package var sinkTokens: Int

    package init(
        q: Tensor<Scalar>, k: Tensor<Scalar>, v: Tensor<Scalar>, sinks: Tensor<Scalar>?, scale: Double,
        isCausal: Bool, window: Int?, sinkTokens: Int
    ) {
        (self.q, self.k, self.v, self.sinks, self.scale) = (q, k, v, sinks, scale)
        (self.isCausal, self.window, self.sinkTokens) = (isCausal, window, sinkTokens)
    }

    package var batch: Int { q.shape[0] }
    package var length: Int { q.shape[1] }
    package var heads: Int { q.shape[2] }
    package var keyCount: Int { k.shape[1] }
    package var keyHeads: Int { k.shape[2] }
    package var keyDim: Int { q.shape[3] }
    package var valueDim: Int { v.shape[3] }

    /// The same call in another number format.
    package func converted<Other: RealNumber>(to type: Other.Type = Other.self) -> AttentionOperands<Other> {
        AttentionOperands<Other>(
            q: q.converted(), k: k.converted(), v: v.converted(), sinks: sinks?.converted(), scale: scale,
            isCausal: isCausal, window: window, sinkTokens: sinkTokens)
    }

    /// Whether query t sees key s.
    package func sees(_ t: Int, _ s: Int) -> Bool {
        let position = t + keyCount - length
        if isCausal && s > position { return false }
        guard let window else { return true }
        return s < sinkTokens || s > position - window
    }

    /// Where the row of query t of a head begins in q, in units of D (in o, of V).
    package func queryRow(_ b: Int, _ t: Int, _ h: Int) -> Int { (b * length + t) * heads + h }

    /// Where the row of key s that a head reads begins in k, in units of D (in v, of V).
    package func keyRow(_ b: Int, _ s: Int, _ h: Int) -> Int {
        (b * keyCount + s) * keyHeads + h / (heads / keyHeads)
    }

    /// The keys that a query sees and their weights, and that of the sink.
    ///
    /// - Complexity: O(M D).
    package func weights(_ b: Int, _ t: Int, _ h: Int) -> (keys: [Int], weights: [Scalar], sink: Scalar) {
        let keys = (0..<keyCount).filter { sees(t, $0) }
        guard !keys.isEmpty else { return ([], [], 0) }
        let query = queryRow(b, t, h) * keyDim
        var weights = keys.map { s -> Scalar in
            let key = keyRow(b, s, h) * keyDim
            var sum = Scalar.zero
            for i in 0..<keyDim { sum += q.elements[query + i] * k.elements[key + i] }
            return Scalar(scale) * sum
        }
        var largest = weights[0]
        for weight in weights { largest = max(largest, weight) }
        if let sinks { largest = max(largest, sinks.elements[h]) }
        var sink = sinks.map { Scalar.exp($0.elements[h] - largest) } ?? 0
        var sum = sink
        for i in weights.indices {
            weights[i] = Scalar.exp(weights[i] - largest)
            sum += weights[i]
        }
        for i in weights.indices { weights[i] /= sum }
        sink /= sum
        return (keys, weights, sink)
    }

    /// Outputs, `[B, L, H, V]`.
    ///
    /// - Complexity: O(B L M H (D + V)).
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    package func evaluate() -> Tensor<Scalar> {
        var o = Tensor<Scalar>(repeating: 0, shape: [batch, length, heads, valueDim])
        for b in 0..<batch {
            for t in 0..<length {
                for h in 0..<heads {
                    let (keys, weights, _) = weights(b, t, h)
                    let out = queryRow(b, t, h) * valueDim
                    for (s, w) in zip(keys, weights) {
                        let value = keyRow(b, s, h) * valueDim
                        for j in 0..<valueDim { o.elements[out + j] += w * v.elements[value + j] }
                    }
                }
            }
        }
        return o
    }
}
