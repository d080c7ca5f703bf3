//  What rounding the factors of the state's products adds to the sigma of the chunked form.
//
//      U = sum over s of  x̄_s round(exp(seg(end, s)) B_s)ᵀ        one rounding per factor, shared by all rows of the state

import DualityCore
import DualityReference

extension ChunkedSigma {
    /// What rounding the scaled B to the format of the products does to the state.
    mutating func addFactorRoundings(over chunk: Range<Int>, _ weights: [Double]) {
        let (headDim, stateDim) = (sequence.headDim, sequence.stateDim)
        let scalesB = arithmetic.scaledInput == nil  // by Δ too
        var cells = [RoundingCell](repeating: RoundingCell(), count: stateDim)
        var deviations = [Double](repeating: 0, count: stateDim)
        var keeps = deviations
        var own = deviations
        var effect = [Double](repeating: 0, count: state.count)
        for (weight, s) in zip(weights, chunk) {
            let weight = weight * (scalesB ? sequence.factor[s] : 1)
            for n in 0..<stateDim {
                let repeats = cells[n].take(weight * roundedB[s * stateDim + n], factor, arithmetic.products)
                keeps[n] = repeats ? 1 : 0
                deviations[n] = cells[n].deviation
                own[n] = cells[n].ownVariance
            }
            withPointers(to: &spread.variance, &effect) { variance, effect in
                withPointers(deviations, keeps, own, scalesB ? sequence.x : input) {
                    deviation, keep, own, x in
                    for p in 0..<headDim {
                        let x = x[s * headDim + p]
                        let (variance, effect) = (variance + p * stateDim, effect + p * stateDim)
                        for n in 0..<stateDim {
                            let before = keep[n] * effect[n]
                            let now = before + deviation[n] * x
                            variance[n] += (now - before) * (now + before) + own[n] * (x * x)
                            effect[n] = now
                        }
                    }
                }
            }
        }
    }
}
