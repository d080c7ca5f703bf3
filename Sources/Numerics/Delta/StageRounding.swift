//  Roundings of the stages of a kernel: to the nearest, as one kernel does, or at random, as any
//  kernel may.
//
//      storing in F             x + spacing_F(x) U(-1/2, 1/2)
//      one operation            x + u |terms| U(-1/2, 1/2)
//      a sum of n products      Σ + u sqrt(n) (0.300 |terms|₂ + 0.245 |Σ|) N,  var N = 1 (RunningSum.swift)
//      an exponential           e^x (1 + u (2 ε + U(-1, 1) + |x| U(-1, 1)));  ε is one number for all exponentials of a run
//
//  Where a matrix unit multiplies narrow operands it may cut its additions: twice that.
//  docs/numerics.md, "The family".

import DualityCore
import DualityReference

/// Rounds, in one of two ways.
package struct StageRounding {
    /// To the nearest; or else at random.
    private let isNearest: Bool
    private var random: RandomSource
    private let accumulate: NumberFormat
    private let unit: Double
    /// The common error of all exponentials of this run, in units.
    private let lean: Double
    private let isFast: Bool

    /// - Parameter seed: of a run of random roundings; nil for roundings to the nearest.
    package init(seed: UInt64?, accumulate: NumberFormat, exponential: KernelArithmetic.Exponential) {
        isNearest = seed == nil
        random = RandomSource(seed: seed ?? 0)
        self.accumulate = accumulate
        unit = accumulate.unitRoundoff
        isFast = exponential == .fast
        lean = seed == nil ? 0 : random.uniform(in: -1...1) * (isFast ? 2 : 0.5)
    }

    /// Uniform, of variance 1.
    @inline(__always)
    private mutating func noise() -> Double { (2 * random.uniform() - 1) * 1.7320508075688772 }

    /// A number stored in a format.
    @inline(__always)
    package mutating func store(_ x: Double, as format: NumberFormat) -> Double {
        if format.holds(accumulate) { return x }
        return isNearest ? format.round(x) : x + (random.uniform() - 0.5) * format.spacing(at: x)
    }

    /// The result of an operation whose terms have this magnitude.
    @inline(__always)
    package mutating func operation(_ x: Double, _ magnitude: Double) -> Double {
        isNearest ? accumulate.round(x) : x + (random.uniform() - 0.5) * unit * magnitude
    }

    /// A sum of `count` products of which the squares are known.
    @inline(__always)
    package mutating func sum(_ x: Double, squares: Double, count: Int, isCut: Bool) -> Double {
        if isNearest { return accumulate.round(x) }
        let size = RunningSum.size(count, squares: squares, sum: x) + 0.3 * x.magnitude
        return x + noise() * (isCut ? 2 : 1) * unit * size
    }

    /// Σ_m a_m b_m for m in 0 ..< count, strided.
    @inline(__always)
    mutating func dot(
        _ a: [Double], from ai: Int, step sa: Int, with b: [Double], from bi: Int, step sb: Int, count: Int, isCut: Bool
    ) -> Double {
        var (total, squares) = (0.0, 0.0)
        a.withUnsafeBufferPointer { a in
            b.withUnsafeBufferPointer { b in
                for m in 0..<count {
                    let term = a[ai + m * sa] * b[bi + m * sb]
                    total += term
                    squares += term * term
                }
            }
        }
        return sum(total, squares: squares, count: count, isCut: isCut)
    }

    /// e^x.
    package mutating func exp(_ x: Double) -> Double {
        let exact = Double.exp(x)
        if isNearest { return accumulate.round(exact) }
        let own = 2 * random.uniform() - 1 + (isFast ? x.magnitude * (2 * random.uniform() - 1) : 0)
        return exact * (1 + unit * (lean + own))
    }

    /// A number that carries a relative error of up to `units` of the given roundoff either way.
    package mutating func perturbed(_ x: Double, units: Double, of format: NumberFormat) -> Double {
        isNearest ? x : x * (1 + units * format.unitRoundoff * (2 * random.uniform() - 1))
    }
}
