//  Causal grouped-query attention over a cache of keys and values.
//
//      q = rope( rms(W_q u) )     k = rope( rms(W_k u) )     v = W_v u          rms over each head, before the rotation
//      o_h[t] = sum over s <= t of  softmax_s( q_h[t] · k_g[s] / sqrt(D) )  v_g[s],     g = h div (H / Hkv)
//      y = W_o concat_h(o_h)
//
//  With a sliding window of W tokens the sum is over t - W < s <= t, and a cache of the last W - 1
//  tokens is all it takes.
//
//  | symbol | shape        | meaning                               |
//  |--------|--------------|---------------------------------------|
//  | u, y   | [L, Dm]      | the residual stream, normalised       |
//  | q      | [L, H D]     | queries                               |
//  | k, v   | [L, Hkv D]   | one key/value head for H/Hkv queries  |
//
//  Source: Vaswani et al. (arXiv 1706.03762), Ainslie et al. (arXiv 2305.13245); Qwen3Attention of
//  the official model.

import DualityCore

/// The attention mixer of a decoder layer.
public struct Attention<Scalar: RealNumber>: Sendable {
    /// W_q, `[H D, Dm]`.
    public let query: Linear<Scalar>
    /// W_k, `[Hkv D, Dm]`.
    public let key: Linear<Scalar>
    /// W_v, `[Hkv D, Dm]`.
    public let value: Linear<Scalar>
    /// W_o, `[Dm, H D]`.
    public let output: Linear<Scalar>
    /// Norm of each query head; nil where a model has none.
    public let queryNorm: RMSNorm<Scalar>?
    /// Norm of each key head.
    public let keyNorm: RMSNorm<Scalar>?
    /// D, the width of a head.
    public let headDim: Int
    /// W, the tokens that one sees, itself among them; nil for all.
    public let window: Int?

    /// H, the query heads.
    public var headCount: Int { query.outputSize / headDim }
    /// Hkv, the key/value heads; H is a multiple of it.
    public var keyValueHeadCount: Int { key.outputSize / headDim }

    /// Projections whose widths fit together; that is not checked here.
    public init(
        query: Linear<Scalar>, key: Linear<Scalar>, value: Linear<Scalar>, output: Linear<Scalar>,
        queryNorm: RMSNorm<Scalar>?, keyNorm: RMSNorm<Scalar>?, headDim: Int, window: Int? = nil
    ) {
        self.query = query
        self.key = key
        self.value = value
        self.output = output
        self.queryNorm = queryNorm
        self.keyNorm = keyNorm
        self.headDim = headDim
        self.window = window
    }

    /// Extends the sequence by the tokens of `u`.
    ///
    /// - Parameters:
    ///   - u: `[L, Dm]`, L >= 0.
    ///   - rotation: the rotary table of their positions.
    ///   - cache: keys and values of the tokens before; the new ones are appended, and those that
    ///     no later token sees go.
    /// - Returns: `[L, Dm]`.
    /// - Complexity: O(L T H D) for T tokens in the cache afterwards.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func extend(
        _ u: Tensor<Scalar>, rotation: RotaryTable<Scalar>, cache: inout KeyValueCache<Scalar>
    ) -> Tensor<Scalar> {
        let (q, k, v) = projected(u, rotation: rotation)
        cache.append(keys: k, values: v)
        let past = cache.count - u.shape[0]
        let attended = attend(
            [AttendedSet(queries: q, cache: cache) { window(ofEntry: past + $0) }], headDim: headDim)
        cache.trim()
        return output(attended)
    }

    /// Queries, keys and values, `[L, H D]` and `[L, Hkv D]`, normalised and rotated.
    func projected(
        _ u: Tensor<Scalar>, rotation: RotaryTable<Scalar>
    ) -> (q: Tensor<Scalar>, k: Tensor<Scalar>, v: Tensor<Scalar>) {
        var (q, k, v) = (query(u), key(u), value(u))
        if let queryNorm { q = queryNorm(q) }
        if let keyNorm { k = keyNorm(k) }
        rotation.rotate(&q)
        rotation.rotate(&k)
        return (q, k, v)
    }

    /// The entries of the cache that the token at `entry` sees.
    private func window(ofEntry entry: Int) -> Range<Int> {
        max(0, entry + 1 - (window ?? entry + 1))..<entry + 1
    }
}
