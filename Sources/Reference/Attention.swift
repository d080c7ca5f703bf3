//  Causal grouped-query attention over a cache of keys and values.
//
//      q = rope( rms(W_q u) )     k = rope( rms(W_k u) )     v = W_v u          rms over each head, before the rotation
//      o_h[t] = sum over s <= t of  softmax_s( q_h[t] · k_g[s] / sqrt(D) )  v_g[s],     g = h div (H / Hkv)
//      y = W_o concat_h(o_h)
//
//  | symbol | shape        | meaning                               |
//  |--------|--------------|---------------------------------------|
//  | u, y   | [L, Dm]      | the residual stream, normalised       |
//  | q      | [L, H D]     | queries                               |
//  | k, v   | [L, Hkv D]   | one key/value head for H/Hkv queries  |
//
//  Source: Vaswani et al. (arXiv 1706.03762), Ainslie et al. (arXiv 2305.13245); Qwen3Attention of the official model.

import DualityCore

/// The attention mixer of a decoder layer.
public struct Attention<Scalar: RealNumber>: Sendable {
    public let query: Linear<Scalar>
    public let key: Linear<Scalar>
    public let value: Linear<Scalar>
    public let output: Linear<Scalar>
    /// Norm of each query head; nil where a model has none.
    public let queryNorm: RMSNorm<Scalar>?
    /// Norm of each key head.
    public let keyNorm: RMSNorm<Scalar>?
    public let headDim: Int

    public var headCount: Int { query.outputSize / headDim }
    public var keyValueHeadCount: Int { key.outputSize / headDim }

    public init(
        query: Linear<Scalar>, key: Linear<Scalar>, value: Linear<Scalar>, output: Linear<Scalar>,
        queryNorm: RMSNorm<Scalar>?, keyNorm: RMSNorm<Scalar>?, headDim: Int
    ) {
        self.query = query
        self.key = key
        self.value = value
        self.output = output
        self.queryNorm = queryNorm
        self.keyNorm = keyNorm
        self.headDim = headDim
    }

    /// Extends the sequence by the tokens of `u`.
    ///
    /// - Parameters:
    ///   - u: `[L, Dm]`, L >= 0.
    ///   - rotation: the rotary table of their positions.
    ///   - cache: keys and values of the tokens before; the new ones are appended.
    /// - Returns: `[L, Dm]`.
    /// - Complexity: O(L T H D) for T tokens in the cache afterwards.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func extend(
        _ u: Tensor<Scalar>, rotation: RotaryTable<Scalar>, cache: inout KeyValueCache<Scalar>
    ) -> Tensor<Scalar> {
        var (q, k, v) = (query(u), key(u), value(u))
        if let queryNorm { q = queryNorm(q) }
        if let keyNorm { k = keyNorm(k) }
        rotation.rotate(&q)
        rotation.rotate(&k)
        cache.append(keys: k, values: v)
        return output(attend(q, to: cache))
    }

    /// The softmax-weighted values, `[L, H D]`, for the last L tokens of the cache.
    func attend(_ q: Tensor<Scalar>, to cache: KeyValueCache<Scalar>) -> Tensor<Scalar> {
        let (length, width) = (q.shape[0], q.shape[1])
        let past = cache.count - length
        let group = headCount / keyValueHeadCount
        let scale = 1 / Scalar.sqrt(Scalar(headDim))
        var out = Tensor<Scalar>(repeating: 0, shape: [length, width])
        var weights = Tensor<Scalar>(repeating: 0, shape: [cache.count])
        for head in 0..<headCount {
            withRows(cache.keys[head / group], cache.values[head / group]) { keys, values in
                withRows(of: q) { q in
                    withRows(of: &out) { out in
                        withRows(of: &weights) { weights in
                            for t in 0..<length {
                                let visible = past + t + 1
                                let offset = t * width + head * headDim
                                for s in 0..<visible {
                                    weights[s] = scale * dot(q + offset, keys + s * headDim, headDim)
                                }
                                softmax(weights, visible)
                                for s in 0..<visible {
                                    addScaled(weights[s], values + s * headDim, to: out + offset, headDim)
                                }
                            }
                        }
                    }
                }
            }
        }
        return out
    }

    /// `w_s = e^(w_s - max w) / sum`, in place.
    private func softmax(_ w: UnsafeMutablePointer<Scalar>, _ count: Int) {
        var largest = w[0]
        for s in 1..<max(count, 1) { largest = max(largest, w[s]) }
        var sum = Scalar.zero
        for s in 0..<count {
            w[s] = Scalar.exp(w[s] - largest)
            sum += w[s]
        }
        let scale = 1 / sum
        for s in 0..<count { w[s] *= scale }
    }
}
