//  The Gated KalmaNet mixer.
//
//      q, k, v = short convolutions of projections of u                          QueryKeyValue.swift
//      β = sigmoid(W_b u + b_b)     α = sigmoid(W_α u + b_α)     γ = -e^A_log softplus(W_a u + dt_bias)
//      o = the recurrence on q, k, v, α, β, γ                                    GatedKalmaRule.swift
//      out = W_o concat_h( rms(o_h; w) ⊙ silu(W_g u)_h )                         the norm comes before the gate
//
//  | symbol  | shape    | meaning                             |
//  |---------|----------|-------------------------------------|
//  | u, out  | [L, Dm]  | the residual stream, normalised     |
//  | α, β, γ | [L, H]   | each of them optional               |
//
//  Source: awslabs/hybrid-model-factory, layers/gated_kalmanet/gka.py.

import DualityCore

/// The Gated KalmaNet mixer of a decoder layer.
public struct GatedKalmaNet<Scalar: RealNumber>: Sendable {
    let inputs: QueryKeyValue<Scalar>
    let beta: Linear<Scalar>?
    let alpha: Linear<Scalar>?
    /// W_a; nil where nothing decays.
    let decay: Linear<Scalar>?
    /// -e^A_log, `[H]`.
    let rates: Tensor<Scalar>
    /// dt_bias, `[H]`.
    let decayBias: Tensor<Scalar>
    let decaysGram: Bool
    let ridge: Double
    let rescales: Bool
    let output: GatedHeadOutput<Scalar>
    let headDim: Int
    /// How the recurrence is evaluated.
    public var form = RecurrenceForm.recurrent
    /// How the ridge regression is solved.
    public var solver: RidgeSolver

    /// Extends the sequence by the tokens of `u`.
    ///
    /// - Parameters:
    ///   - u: `[L, Dm]`, L >= 0.
    ///   - cache: windows, Gram matrix and memory of the tokens before; advanced by L tokens.
    /// - Returns: `[L, Dm]`.
    /// - Complexity: O(L H K D²) for K iterations, beside the projections.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func extend(_ u: Tensor<Scalar>, cache: inout KalmaNetCache<Scalar>) -> Tensor<Scalar> {
        let rule = rule(u, windows: &cache.windows)
        if let gamma = rule.logDecay {
            let heads = cache.logDecay.count
            for (i, value) in gamma.elements.enumerated() { cache.logDecay[i % heads] += value.double }
        }
        return output(rule.evaluate(form, gram: &cache.gram, memory: &cache.memory), u)
    }

    /// The operands of the recurrence; advances the windows, not the states.
    func rule(_ u: Tensor<Scalar>, windows: inout ShortWindows<Scalar>) -> GatedKalmaRule<Scalar> {
        let (q, k, v) = inputs.extend(u, windows: &windows)
        let gamma = decay.map { logDecays($0(u), rates: rates, bias: decayBias) }
        return GatedKalmaRule(
            q: q, k: k, v: v, alpha: alpha.map { $0(u).map { Scalar.sigmoid($0) } },
            beta: beta.map { $0(u).map { Scalar.sigmoid($0) } }, logDecay: gamma, decaysGram: decaysGram, ridge: ridge,
            solver: solver, rescales: rescales, headDim: headDim)
    }
}
