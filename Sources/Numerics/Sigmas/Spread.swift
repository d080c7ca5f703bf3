//  Numbers with the variance of their rounding errors.
//
//      fl(x) - x is uniform over ± half the spacing of the format's numbers at x:   variance spacing(x)² / 12
//      on average over a binade (significands are log-uniform):                     variance ν x²,  ν = u² / (8 ln 2)
//
//  Errors of different roundings are taken as independent, so that variances add; products keep the
//  terms of first order. The first line is used for single numbers, the second in loops over the
//  state.
//
//  Source: Higham and Mary 2019, "A new approach to probabilistic rounding error analysis"; the
//  mean over a binade is ∫ from 1 to 2 of m^-3 dm / ln 2 = 3 / (8 ln 2), and a relative half
//  spacing is u / m.

import DualityCore
import DualityReference

/// An exact number and the variance of a kernel's version of it.
struct Spread {
    var value: Double
    var variance: Double

    init(_ value: Double, variance: Double = 0) {
        self.value = value
        self.variance = variance
    }

    /// Variance over squared value; 0 for a number whose square vanishes.
    var relative: Double {
        let square = value * value
        return square == 0 ? 0 : variance / square
    }

    static func + (a: Spread, b: Spread) -> Spread { Spread(a.value + b.value, variance: a.variance + b.variance) }

    static func * (a: Spread, b: Spread) -> Spread {
        Spread(
            a.value * b.value, variance: a.variance * b.value * b.value + b.variance * a.value * a.value)
    }

    func rounded(_ rounding: RoundingVariance) -> Spread {
        Spread(value, variance: variance + rounding.variance(at: value))
    }
}

/// The variance of one rounding to a format.
struct RoundingVariance {
    private let format: NumberFormat?
    /// ν: the variance relative to x², on average.
    let relative: Double

    /// Of results rounded to `format`; nil for a rounding that does not happen.
    init(_ format: NumberFormat?) {
        self.format = format
        relative = format.map { $0.unitRoundoff * $0.unitRoundoff / (8 * Double.log(2)) } ?? 0
    }

    /// The variance at one number. No number is changed by more than it is; zero is exact.
    @inline(__always)
    func variance(at value: Double) -> Double {
        guard let format else { return 0 }
        let spacing = format.spacing(at: value)
        return min(spacing * spacing / 12, value * value)
    }
}

extension KernelArithmetic {
    /// The rounding of an elementwise operation.
    var operationVariance: RoundingVariance { RoundingVariance(accumulate) }

    /// The variance of a result below the normal range, where relative ones say nothing.
    var underflowVariance: Double {
        let tiny = operation.tiny
        return tiny * tiny / 12
    }

    /// The rounding of storing a result in `format`; none where that holds what operations give.
    func storageVariance(_ format: NumberFormat) -> RoundingVariance {
        RoundingVariance(format.holds(accumulate) ? nil : format)
    }

    /// The relative variance of evaluating exp(z): one rounding, which cannot be larger than what
    /// the result differs from
    /// 1. The fast instruction is taken to err, uniformly, by up to half of what it may.
    func relativeVarianceOfExp(_ z: Double) -> Double {
        let value = Double.exp(z)
        // Flushed to zero, or just not.
        let least = subnormals == .flushed ? accumulate.smallestNormal * (1 + 0x1p-12) : 1e-150
        guard value > least else { return 1 }
        var variance = operationVariance.variance(at: value) / (value * value)
        if exponential == .fast {
            let half = (2 - z) * accumulate.unitRoundoff
            variance += half * half / 3
        }
        let change = (1 - value) / value
        return min(variance, change * change, 1)
    }

    /// Δ with the variance of a kernel's, `[B, L, H]`.
    func stepSpreads(of inputs: SSDInputs<Double>) -> Tensor<Spread> {
        let heads = inputs.heads
        let stored = storageVariance(steps)
        var i = 0
        return inputs.dt.map { dt in
            defer { i += 1 }
            // The rounding of this sum is not random: see RoundingSigma.swift.
            let u = Spread(dt + (inputs.dtBias?.elements[i % heads] ?? 0))
            var step = inputs.dtSoftplus ? softplusSpread(u) : u
            if !(step.value > inputs.dtLimit.lowerBound && step.value < inputs.dtLimit.upperBound) {
                let limit = min(max(step.value, inputs.dtLimit.lowerBound), inputs.dtLimit.upperBound)
                step = Spread(limit).rounded(operationVariance)
            }
            return step.rounded(stored)
        }
    }

    private func softplusSpread(_ u: Spread) -> Spread {
        let value = Double.thresholdedSoftplus(u.value)
        if u.value > 20 { return u }
        let slope = Double.sigmoid(u.value)
        var evaluation: Double
        switch softplus {
        case .accurate:
            evaluation = 2 * operationVariance.variance(at: value)  // exp and log1p
        case .naive:
            // exp, the sum with 1, the logarithm; what is lost is at most the answer itself.
            let power = Double.exp(u.value)
            let sum = operationVariance.variance(at: power) + operationVariance.variance(at: 1 + power)
            evaluation = sum / ((1 + power) * (1 + power)) + operationVariance.variance(at: value)
            if exponential == .fast {
                let u = accumulate.unitRoundoff
                let half = 2 * u * (slope + max(value, 0.7))
                evaluation += half * half / 3
            }
            evaluation = min(evaluation, value * value)
        }
        return Spread(value, variance: u.variance * slope * slope + evaluation)
    }
}
