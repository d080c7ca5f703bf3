//  The errors of the state that tokens before a block have left: variances, and a direction they
//  have in common.
//
//  The error of S[p, :] is a random vector, and y needs the variance of its product with C. Carried
//  are
//
//      V[p, n]       its variance in each number, all sources together
//      v[p, n]       the part that moves the numbers together: the covariance v vᵀ
//      G[p, n]       the effect of an error that is still repeating (of Δ, and of the decay): known but for one factor
//
//      var(S C)  <-  sum over n of C_n² V_n + (sum over n of C_n v_n)² + (sum over n of C_n G_n)²
//
//  Roundings of single numbers of the state enter V alone. Errors of steps and decays multiply a
//  whole row: with P_s what tokens before s contribute to the leaving state, and e_s the weight of
//  token s in it,
//
//      an error of x̄_s in one channel                rel(s) (e_s x̄_s B_s)²
//      an error of Δ_s                               τ_s² (e_s x̄_s B_s + z_s P_s)²
//      any other error of the decay of s             δ_s² P_s²
//
//  They enter V and, as lengths along the leaving state, v. When such rows point everywhere, the
//  first term of var(S C) is right and the second no larger; when they keep one direction (all of B
//  positive, say) the second is right, and up to N times the first. The sum of two rank-one
//  covariances has rank two; v is a single vector: in each element the root of the sum of squares,
//  with the sign of the element that is larger in magnitude.

import DualityCore
import DualityReference

/// What tokens before a block have left of rounding errors in the state. All are `[P, N]`.
struct StateSpread {
    let headDim: Int
    let stateDim: Int
    /// V
    var variance: [Double]
    /// v
    private(set) var common: [Double]
    /// G of Δ and of the decay.
    private(set) var stepEffect: [Double]
    private(set) var decayEffect: [Double]
    /// Whether the next token's Δ and decay have the errors that the effects are of.
    private var repeats = false

    init(headDim: Int, stateDim: Int) {
        self.headDim = headDim
        self.stateDim = stateDim
        variance = [Double](repeating: 0, count: headDim * stateDim)
        common = variance
        stepEffect = variance
        decayEffect = variance
    }

    /// The variance of one number of the state.
    func total(at i: Int) -> Double {
        variance[i] + stepEffect[i] * stepEffect[i] + decayEffect[i] * decayEffect[i]
    }

    /// Takes up an error that moves the whole state: `deviation` times the numbers of `state`,
    /// which are those after it.
    mutating func add(_ state: [Double], scaledBy deviation: Double) {
        for first in stride(from: 0, to: state.count, by: max(stateDim, 1)) {
            var along = 0.0
            for i in first..<first + stateDim { along += common[i] * state[i] }
            for i in first..<first + stateDim where state[i] != 0 {
                let effect = deviation * state[i]
                let sum = common[i] + (along < 0 ? -effect : effect)
                variance[i] += effect * effect
                common[i] = (common[i] * common[i] + effect * effect).squareRoot().withSign(of: sum)
            }
        }
    }

    /// What the effects that may go on repeating do to S C, decayed.
    func effects(on c: [Double], at first: Int, decay: Double) -> CarriedEffects {
        var effects = CarriedEffects(
            step: [Double](repeating: 0, count: headDim), decay: [Double](repeating: 0, count: headDim),
            repeats: repeats)
        withPointers(stepEffect, decayEffect, c, c) { step, decays, c, _ in
            for p in 0..<headDim {
                effects.step[p] = decay * dot(step + p * stateDim, c + first, stateDim)
                effects.decay[p] = decay * dot(decays + p * stateDim, c + first, stateDim)
            }
        }
        return effects
    }

    /// Takes up the errors that a block's tokens share; V has been decayed already.
    ///
    /// - Parameters:
    ///   - kept: the decay of the entering state over the block.
    ///   - keptVariance: its relative variance besides that of the tokens' own.
    ///   - weights: e, `[tokens]`.
    ///   - before: the entering state.
    ///   - x: x̄ of the block, `[tokens, P]`.
    ///   - b: of the block, `[tokens, N]`.
    mutating func take(
        _ terms: BlockTerms, kept: Double, keptVariance: Double = 0, weights: [Double], before: [Double],
        x: UnsafePointer<Double>,
        b: UnsafePointer<Double>
    ) {
        var rows = Rows(count: stateDim)
        for p in 0..<headDim {
            let first = p * stateDim
            for n in 0..<stateDim {
                let i = first + n
                common[i] *= kept
                rows.step[n] = stepEffect[i] * kept
                rows.decay[n] = decayEffect[i] * kept
                rows.contribution[n] = before[i] * kept
                rows.variance[n] = keptVariance * rows.contribution[n] * rows.contribution[n]
            }
            for (s, weight) in weights.enumerated() {
                let keep = s == 0 ? (repeats ? 1 : 0) : terms.repetitions[s - 1]
                rows.take(
                    input: weight * x[s * headDim + p], b: b + s * stateDim, inputVariance: terms.inputVariances[s],
                    underflow: weight * weight * terms.underflow,
                    step: terms.stepDeviations[s], z: terms.logDecay[s], decay: terms.decayDeviations[s], keep: keep)
            }
            // The row of the leaving state is now in `contribution`.
            var along = 0.0
            for n in 0..<stateDim {
                along += common[first + n].sign(of: rows.contribution[n]) * rows.variance[n].squareRoot()
            }
            for n in 0..<stateDim {
                let i = first + n
                variance[i] += rows.variance[n]
                let w = rows.variance[n].squareRoot().withSign(
                    of: along < 0 ? -rows.contribution[n] : rows.contribution[n])
                let length = (common[i] * common[i] + rows.variance[n]).squareRoot()
                common[i] = length.withSign(of: common[i] + w)
                stepEffect[i] = rows.step[n]
                decayEffect[i] = rows.decay[n]
            }
        }
        repeats = terms.repetitions.last == 1
    }

    /// One row of the state while tokens are added to it.
    private struct Rows {
        let count: Int
        /// P
        var contribution: [Double]
        /// What is added to V.
        var variance: [Double]
        /// G of Δ and of the decay.
        var step: [Double]
        var decay: [Double]

        init(count: Int) {
            self.count = count
            contribution = [Double](repeating: 0, count: count)
            variance = contribution
            step = contribution
            decay = contribution
        }

        /// One token. Effects that do not go on join the variance.
        @inline(__always)
        mutating func take(
            input: Double, b: UnsafePointer<Double>, inputVariance: Double, underflow: Double,
            step stepDeviation: Double, z: Double, decay decayDeviation: Double, keep: Double
        ) {
            let ends = 1 - keep
            withPointers(to: &contribution, &variance, &step, &decay) { contribution, variance, step, decay in
                for n in 0..<count {
                    let before = contribution[n]
                    let term = input * b[n]
                    variance[n] +=
                        ends * (step[n] * step[n] + decay[n] * decay[n])
                        + (inputVariance * (term * term) + underflow * (b[n] * b[n]))
                    step[n] = keep * step[n] + stepDeviation * (term + z * before)
                    decay[n] = keep * decay[n] + decayDeviation * before
                    contribution[n] = before + term
                }
            }
        }
    }
}

extension Double {
    /// This number's magnitude under another's sign.
    @inline(__always)
    fileprivate func withSign(of other: Double) -> Double { Double(signOf: other, magnitudeOf: self) }

    /// This number, negated where the other is negative.
    @inline(__always)
    fileprivate func sign(of other: Double) -> Double { other < 0 ? -self : self }
}
