//  The gated delta rule as an operator: what a kernel is called with, key and value widths of their
//  own, heads that share keys, packed sequences, states at both ends.
//
//      S <- e^g S                   S [K, V]
//      δ = β (v - Sᵀ k)             S <- S + k δᵀ             o = Sᵀ q
//
//  with q = scale q' / sqrt(|q'|² + ε) and k = k' / sqrt(|k'|² + ε), or q = scale q' and k = k'
//  where the operands are normalised before the call. A chunk of Q tokens with the decays ℓ_i = g_1
//  + … + g_i from its start:
//
//      A_ij = β_i (k_i · k_j) e^(ℓ_i - ℓ_j)  for j < i        T = (I + A)^-1
//      U = T diag(β) V,   W = T diag(β e^ℓ) K                 δ = U - W S_in
//      o_i = e^ℓ_i S_inᵀ q_i + Σ_{j<=i} e^(ℓ_i - ℓ_j) (q_i · k_j) δ_j
//      S_out = e^ℓ_Q S_in + Σ_j e^(ℓ_Q - ℓ_j) k_j δ_jᵀ
//
//  | symbol       | shape        | meaning                                              |
//  |--------------|--------------|------------------------------------------------------|
//  | q', k'       | [T, Hk, K]   | head h reads head h div (H / Hk)                     |
//  | v, o         | [T, H, V]    |                                                      |
//  | g, β         | [T, H]       | log decay <= 0; step in [0, 1] (or [0, 2])           |
//  | S            | [S, H, K, V] | one per sequence                                       |
//
//  T counts the tokens of all rows. Source: Yang, Kautz, Hatamizadeh (arXiv 2412.06464), sections 3
//  and 4; flash-linear-attention, ops/gated_delta_rule.

import DualityCore

/// A call of the gated delta rule.
package struct DeltaOperands<Scalar: RealNumber>: Sendable {
    /// `[T, Hk, K]`.
    package var q: Tensor<Scalar>
    /// `[T, Hk, K]`.
    package var k: Tensor<Scalar>
    /// `[T, H, V]`.
    package var v: Tensor<Scalar>
    /// `[T, H]`.
    package var logDecay: Tensor<Scalar>
    /// `[T, H]`.
    package var beta: Tensor<Scalar>
    /// `[S, H, K, V]`; nil for zeros.
    package var initialState: Tensor<Scalar>?
    /// The tokens of each sequence.
    package var sequences: [Range<Int>]
    /// What q is multiplied with.
    package var scale: Double
    /// ε of the normalisation of q and k; nil where there is none.
    package var epsilon: Double?

    package init(
        q: Tensor<Scalar>, k: Tensor<Scalar>, v: Tensor<Scalar>, logDecay: Tensor<Scalar>, beta: Tensor<Scalar>,
        initialState: Tensor<Scalar>?, sequences: [Range<Int>], scale: Double, epsilon: Double?
    ) {
        (self.q, self.k, self.v, self.logDecay, self.beta) = (q, k, v, logDecay, beta)
        (self.initialState, self.sequences, self.scale, self.epsilon) = (initialState, sequences, scale, epsilon)
    }

    package var heads: Int { v.shape[1] }
    package var keyHeads: Int { q.shape[1] }
    package var keyDim: Int { q.shape[2] }
    package var valueDim: Int { v.shape[2] }

    /// The same call in another number format.
    package func converted<Other: RealNumber>(to type: Other.Type = Other.self) -> DeltaOperands<Other> {
        DeltaOperands<Other>(
            q: q.converted(), k: k.converted(), v: v.converted(), logDecay: logDecay.converted(),
            beta: beta.converted(), initialState: initialState?.converted(), sequences: sequences, scale: scale,
            epsilon: epsilon)
    }

    /// What head h is computed from, q and k normalised and scaled.
    package func head(_ h: Int) -> DeltaHead<Scalar> {
        let shared = h / (heads / keyHeads)
        var head = DeltaHead<Scalar>(keyDim: keyDim, valueDim: valueDim)
        let tokens = v.shape[0]
        head.q = Self.rows(q, shared)
        head.k = Self.rows(k, shared)
        head.v = Self.rows(v, h)
        head.logDecay = (0..<tokens).map { logDecay.elements[$0 * heads + h] }
        head.beta = (0..<tokens).map { beta.elements[$0 * heads + h] }
        for t in 0..<tokens {
            let row = t * keyDim..<(t + 1) * keyDim
            let (ofQ, ofK) = (factor(head.q[row]), factor(head.k[row]))
            for i in row {
                head.q[i] *= ofQ * Scalar(scale)
                if epsilon != nil { head.k[i] *= ofK }
            }
        }
        return head
    }

    private func factor(_ row: ArraySlice<Scalar>) -> Scalar {
        guard let epsilon else { return 1 }
        return 1 / Scalar.sqrt(row.reduce(Scalar(epsilon)) { $0 + $1 * $1 })
    }

    /// The rows of a head of `[T, heads, width]`.
    private static func rows(_ tensor: Tensor<Scalar>, _ head: Int) -> [Scalar] {
        tensor.selecting([head], axis: 1).elements
    }

    /// The state of a sequence and head before its tokens, `[K, V]`.
    package func entering(_ sequence: Int, _ head: Int) -> [Scalar] {
        let size = keyDim * valueDim
        guard let initialState else { return [Scalar](repeating: 0, count: size) }
        let first = (sequence * heads + head) * size
        return Array(initialState.elements[first..<first + size])
    }

    /// Outputs `[T, H, V]` and the states after each sequence `[S, H, K, V]`.
    ///
    /// - Complexity: O(T H K V), and O(T H Q (K + V) + T H Q²) more in chunks of Q.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    package func evaluate(_ form: RecurrenceForm) -> (o: Tensor<Scalar>, state: Tensor<Scalar>) {
        var o = Tensor<Scalar>(repeating: 0, shape: v.shape)
        var states = Tensor<Scalar>(repeating: 0, shape: [sequences.count, heads, keyDim, valueDim])
        for h in 0..<heads {
            let head = head(h)
            for (s, tokens) in sequences.enumerated() {
                var state = entering(s, h)
                let rows = head.evaluate(form, tokens, state: &state)
                for (i, t) in tokens.enumerated() {
                    for j in 0..<valueDim { o.elements[(t * heads + h) * valueDim + j] = rows[i * valueDim + j] }
                }
                let first = (s * heads + h) * state.count
                states.elements.replaceSubrange(first..<first + state.count, with: state)
            }
        }
        return (o, states)
    }
}
