//  How the errors of a block's tokens meet in one y_t.
//
//      y_t = sum over s of w_s x_s,   w_s = exp(seg(t, s)) (C_t · B_s),   T_k = sum over s < k of w_s x_s, the entering state's
//                                                                        part included
//
//      an error of w_s alone                          var(w_s) x_s²
//      an error of x̄_s in one channel                 rel(s) (w_s x_s)²
//      an error of Δ_s, which is in x̄_s and in z_s    τ_s² (w_s x_s + z_s T_s)²
//      any other error of the decay of s              δ_s² T_s²
//
//  The last two lines change a whole sum at once: what counts is how large the sum is, however its
//  terms cancel or pile up. Where one error repeats, because Δ or B does or because two decays or
//  weights round alike, it adds to itself and not to its square.

import DualityCore
import DualityReference

/// A weight exp(seg) (C_t · B_s).
struct WeightSpread {
    let value: Double
    /// Of its own errors.
    let variance: Double
    /// Standard deviation of the error that may repeat.
    let sharedDeviation: Double
    /// 1 where it is that of the next token's weight too, else 0.
    let repetition: Double

    init(value: Double, variance: Double = 0, sharedDeviation: Double = 0, repetition: Double = 0) {
        self.value = value
        self.variance = variance
        self.sharedDeviation = sharedDeviation
        self.repetition = repetition
    }
}

/// The effects on one y of errors that tokens before the block made, of Δ and of the decay; and
/// whether they are the errors of the block's first token too.
struct CarriedEffects {
    var step: [Double]
    var decay: [Double]
    var repeats: Bool
}

/// The errors that the tokens of a block bring, and their effect on a y of the block.
struct BlockTerms {
    let headDim: Int
    /// z, `[tokens]`.
    var logDecay: [Double] = []
    /// τ, relative, `[tokens]`.
    var stepDeviations: [Double] = []
    /// δ, relative, `[tokens]`.
    var decayDeviations: [Double] = []
    /// 1 where Δ, and so the error of Δ and of the decay, is that of the next token too, else 0;
    /// `[tokens]`.
    var repetitions: [Double] = []
    /// rel, `[tokens]`.
    var inputVariances: [Double] = []
    /// Relative variance of each partial sum of the terms.
    var partialSums = 0.0
    /// ν where the logarithm of a decay is a running sum from t outwards, so that the rounding of
    /// each addition is in all the terms beyond; else 0.
    var sharedSums = 0.0
    /// The variance of an x̄ below the normal range.
    var underflow = 0.0

    private var earlier: [Double]
    private var stepEffect: [Double]
    private var decayEffect: [Double]
    private var sharedEffect: [Double]

    init(headDim: Int) {
        self.headDim = headDim
        earlier = [Double](repeating: 0, count: headDim)
        stepEffect = earlier
        decayEffect = earlier
        sharedEffect = earlier
    }

    /// Adds the effect of the first tokens of the block to the variance of one y.
    ///
    /// - Parameters:
    ///   - weights: w_s with the variance of its own errors, from the block's first token to t.
    ///   - y: y_t without skip and gate, `[P]`.
    ///   - x: of the block, `[tokens, P]`.
    ///   - carried: the effects on y of errors before the block that may go on repeating in it.
    ///   - variance: `[P]`.
    mutating func add(
        _ weights: [WeightSpread], y: UnsafePointer<Double>, x: UnsafePointer<Double>,
        carried: CarriedEffects,
        to variance: UnsafeMutablePointer<Double>
    ) {
        for p in 0..<headDim {
            earlier[p] = y[p]
            stepEffect[p] = 0
            decayEffect[p] = 0
            sharedEffect[p] = 0
        }
        withPointers(to: &earlier, &stepEffect, &decayEffect, &sharedEffect) {
            earlier, stepEffect, decayEffect, sharedEffect in
            var segment = 0.0
            for s in weights.indices.reversed() {
                let (weight, row, z) = (weights[s].value, x + s * headDim, logDecay[s])
                let own = weights[s].variance + inputVariances[s] * weight * weight
                let tiny = underflow * (1 + weight * weight)
                let (step, decay, shared) = (stepDeviations[s], decayDeviations[s], weights[s].sharedDeviation)
                let isLast = s == weights.count - 1
                segment += z
                let ofSums = partialSums + sharedSums * segment * segment
                let keep = isLast ? 0 : repetitions[s]
                let keepShared = isLast ? 0 : weights[s].repetition
                for p in 0..<headDim {
                    let term = weight * row[p]
                    let before = earlier[p] - term
                    let stepBefore = keep * stepEffect[p]
                    let stepNow = stepBefore + step * (term + z * before)
                    let decayBefore = keep * decayEffect[p]
                    let decayNow = decayBefore + decay * before
                    let sharedBefore = keepShared * sharedEffect[p]
                    let sharedNow = sharedBefore + shared * row[p]
                    variance[p] +=
                        (tiny + own * row[p] * row[p] + ofSums * (before * before))
                        + ((stepNow - stepBefore) * (stepNow + stepBefore)
                            + (decayNow - decayBefore) * (decayNow + decayBefore)
                            + (sharedNow - sharedBefore) * (sharedNow + sharedBefore))
                    earlier[p] = before
                    stepEffect[p] = stepNow
                    decayEffect[p] = decayNow
                    sharedEffect[p] = sharedNow
                }
            }
            for p in 0..<headDim {
                let step = carried.repeats ? 2 * stepEffect[p] : 0
                let decay = carried.repeats ? 2 * decayEffect[p] : 0
                variance[p] +=
                    carried.step[p] * (carried.step[p] + step) + carried.decay[p] * (carried.decay[p] + decay)
            }
        }
    }
}
