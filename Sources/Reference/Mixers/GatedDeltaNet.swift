//  The Gated DeltaNet mixer.
//
//      q, k, v = short convolutions of projections of u                          QueryKeyValue.swift
//      β = sigmoid(W_b u)  (doubled where negative eigenvalues are allowed)       γ = -e^A_log softplus(W_gk u + dt_bias)
//      o = gated delta rule of q, k, v, β, γ                                     GatedDeltaRule.swift
//      out = W_o concat_h( rms(o_h; w) ⊙ silu(W_g u)_h )                         the norm comes before the gate
//
//  | symbol | shape    | meaning                             |
//  |--------|----------|-------------------------------------|
//  | u, out | [L, Dm]  | the residual stream, normalised     |
//  | β, γ   | [L, H]   |                                     |
//  | w      | [D]      | one weight for all heads            |
//
//  Source: Yang, Kautz, Hatamizadeh (arXiv 2412.06464); awslabs/hybrid-model-factory,
//  layers/gated_deltanet/gdn.py.

import DualityCore

/// The Gated DeltaNet mixer of a decoder layer.
public struct GatedDeltaNet<Scalar: RealNumber>: Sendable {
    let inputs: QueryKeyValue<Scalar>
    let beta: Linear<Scalar>
    let allowsNegativeEigenvalues: Bool
    let decay: Linear<Scalar>
    /// -e^A_log, `[H]`.
    let rates: Tensor<Scalar>
    /// dt_bias, `[H]`.
    let decayBias: Tensor<Scalar>
    let output: GatedHeadOutput<Scalar>
    let headDim: Int
    /// How the recurrence is evaluated.
    public var form = RecurrenceForm.recurrent

    /// Extends the sequence by the tokens of `u`.
    ///
    /// - Parameters:
    ///   - u: `[L, Dm]`, L >= 0.
    ///   - cache: windows and state of the tokens before; advanced by L tokens.
    /// - Returns: `[L, Dm]`.
    /// - Complexity: O(L H D²) beside the projections.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func extend(_ u: Tensor<Scalar>, cache: inout DeltaNetCache<Scalar>) -> Tensor<Scalar> {
        let rule = rule(u, windows: &cache.windows)
        let o = rule.evaluate(form, state: &cache.state)
        if cache.transition != nil { rule.advance(&cache.transition!) }
        return output(o, u)
    }

    /// The operands of the recurrence; advances the windows, not the state.
    func rule(_ u: Tensor<Scalar>, windows: inout ShortWindows<Scalar>) -> GatedDeltaRule<Scalar> {
        let (q, k, v) = inputs.extend(u, windows: &windows)
        let reach: Scalar = allowsNegativeEigenvalues ? 2 : 1
        return GatedDeltaRule(
            q: q, k: k, v: v, beta: beta(u).map { reach * Scalar.sigmoid($0) },
            logDecay: logDecays(decay(u), rates: rates, bias: decayBias), headDim: headDim)
    }
}

/// `W_o concat_h( rms(o_h; w) ⊙ silu(W_g u)_h )`, the gate where there is one.
struct GatedHeadOutput<Scalar: RealNumber>: Sendable {
    let gate: Linear<Scalar>?
    let norm: RMSNorm<Scalar>
    let projection: Linear<Scalar>

    func callAsFunction(_ o: Tensor<Scalar>, _ u: Tensor<Scalar>) -> Tensor<Scalar> {
        var y = norm(o)
        if let g = gate?(u) {
            for i in y.elements.indices { y.elements[i] *= Scalar.silu(g.elements[i]) }
        }
        return projection(y)
    }
}
