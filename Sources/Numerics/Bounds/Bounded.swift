//  Numbers with a bound on their error, and the rounding that makes it grow.
//
//      |x̂ - x| <= e,  |ŷ - y| <= d      gives      |x̂ ŷ - x y| <= e (|y| + d) + |x| d
//      |fl(x̂) - x̂| <= u |x̂| + tiny     gives      |fl(x̂) - x| <= e + u (|x| + e) + tiny
//
//  No second-order term is dropped: what is proved here is proved for every u. `tiny` is the
//  smallest subnormal number (twice what is needed, so that it is not lost in Double), or the
//  smallest normal one where a kernel may flush to zero.
//
//  Source: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., sections 2.2 and 3.1.

import DualityCore
import DualityReference

/// An exact number and how far a kernel's version of it may be from it.
struct Bounded {
    /// The exact number.
    var value: Double
    /// At least |computed - value|.
    var error: Double

    init(_ value: Double, error: Double = 0) {
        self.value = value
        self.error = error
    }

    /// At least |computed|.
    var magnitude: Double { value.magnitude + error }

    static func + (a: Bounded, b: Bounded) -> Bounded { Bounded(a.value + b.value, error: a.error + b.error) }

    static func * (a: Bounded, b: Bounded) -> Bounded {
        Bounded(a.value * b.value, error: a.error * b.magnitude + a.value.magnitude * b.error)
    }

    func rounded(_ roundoff: Roundoff) -> Bounded { Bounded(value, error: roundoff.error(of: self)) }
}

/// A decay, exp of a number that is not above zero. However little is known of that number, the
/// kernel's decay is at most one and a rounding; otherwise the bound of a product of many uncertain
/// decays would explode.
struct BoundedDecay {
    let value: Double
    /// At least |computed - value|.
    let error: Double
    /// At least the computed decay.
    let largest: Double

    /// exp(0), which is 1 everywhere.
    static let none = BoundedDecay(value: 1, error: 0, largest: 1)

    static func * (a: Bounded, decay: BoundedDecay) -> Bounded {
        Bounded(a.value * decay.value, error: a.error * decay.largest + a.value.magnitude * decay.error)
    }
}

/// The error of one rounding.
struct Roundoff {
    /// Relative: u.
    let unit: Double
    /// Absolute, of results below the normal range.
    let tiny: Double
    /// Beyond this a result overflows, and nothing is known of it.
    let largest: Double

    /// Of an operation whose result is rounded to `format`.
    init(_ format: NumberFormat, subnormals: KernelArithmetic.Subnormals) {
        unit = format.unitRoundoff
        tiny = subnormals == .kept ? format.smallestSubnormal : format.smallestNormal
        largest = format.largest
    }

    private init(unit: Double, tiny: Double, largest: Double) {
        self.unit = unit
        self.tiny = tiny
        self.largest = largest
    }

    /// Of an operation that is exact.
    static let none = Roundoff(unit: 0, tiny: 0, largest: .infinity)

    /// The error of a number after the rounding.
    @inline(__always)
    func error(of number: Bounded) -> Double {
        let magnitude = number.magnitude
        return magnitude <= largest ? number.error + unit * magnitude + tiny : .infinity
    }

    /// n u / (1 - n u), which is at least (1 + u)^n - 1: the relative error that n roundings in a
    /// row can add up to.
    func growth(_ operations: Int) -> Double {
        let linear = Double(operations) * unit
        return linear < 1 ? linear / (1 - linear) : .infinity
    }
}

extension KernelArithmetic {
    /// The rounding of an elementwise operation.
    var operation: Roundoff { Roundoff(accumulate, subnormals: subnormals) }

    /// The rounding of storing a result in `format`; none where that holds what operations give.
    func storage(_ format: NumberFormat) -> Roundoff {
        format.holds(accumulate) ? .none : Roundoff(format, subnormals: subnormals)
    }

    /// The rounding of one addition in a matrix product. Matrix units that take narrow operands
    /// truncate: up to a whole ulp.
    var productAddition: Roundoff {
        products.holds(accumulate) ? operation : Roundoff(truncating: accumulate, subnormals: subnormals)
    }

    /// The relative error of exp(z): 2 ulp, each at most 2 u; and for the fast instruction the
    /// roundings of log2 e and of z log2 e, each of which moves the exponent by u |z|.
    func relativeErrorOfExp(_ z: Double) -> Double {
        let u = accumulate.unitRoundoff
        let evaluation = 4 * u
        guard exponential == .fast else { return evaluation }
        return exponentialGrowth(2 * u * z.magnitude) * (1 + evaluation) + evaluation
    }

    /// exp of a bounded exponent that neither exactly nor in the kernel is above zero.
    func decay(_ z: Bounded) -> BoundedDecay {
        if z.magnitude == 0 { return .none }
        let value = Double.exp(z.value)
        let evaluation = relativeErrorOfExp(z.magnitude)
        let growth = exponentialGrowth(z.error) * (1 + evaluation) + evaluation
        let above = min(value * growth, 1 + evaluation - value)
        let below = value * min(growth, 1)
        return BoundedDecay(
            value: value, error: max(above, below) + operation.tiny, largest: value + above + operation.tiny)
    }
}

extension Roundoff {
    fileprivate init(truncating format: NumberFormat, subnormals: KernelArithmetic.Subnormals) {
        let nearest = Roundoff(format, subnormals: subnormals)
        self.init(unit: 2 * nearest.unit, tiny: 2 * nearest.tiny, largest: nearest.largest)
    }
}

/// At least e^x - 1, for x >= 0, without cancellation.
@inline(__always)
func exponentialGrowth(_ x: Double) -> Double {
    x < 1 ? x + x * x : Double.exp(x)
}
