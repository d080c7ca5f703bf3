//  The bound and the sigma of a result that is a short sum, for layers whose errors can be written
//  down in a line.
//
//      bound   γ_n Σ|terms| + half a spacing of the output's format             γ_n = n u / (1 - n u)
//      sigma²  ν (Σ terms² + Σ partial sums²) + spacing² / 12                    ν = u² / (8 ln 2)
//
//  u is that of float32, in which these layers accumulate; kinds whose accumulator is declared have
//  `promised`. Source: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section
//  3.1.

import DualityCore
import DualityNumerics
import DualityReference

/// Sizes of error of one number.
struct LayerError {
    var bound = 0.0
    var variance = 0.0

    static let unit = NumberFormat.f32.unitRoundoff
    /// The mean square of a rounding error relative to the number.
    static let relativeVariance = unit * unit / (8 * Double.log(2))

    static func growth(_ n: Int) -> Double {
        let linear = Double(n) * unit
        return linear < 1 ? linear / (1 - linear) : .infinity
    }

    /// A sum of products in float32, in any order.
    init(sumOf terms: [Double]) {
        var (magnitude, squares, partial) = (0.0, 0.0, 0.0)
        for term in terms {
            magnitude += term.magnitude
            partial += term
            squares += term * term + partial * partial
        }
        bound = Self.growth(terms.count + 1) * magnitude + NumberFormat.f32.smallestNormal
        variance = Self.relativeVariance * squares
    }

    init(bound: Double, variance: Double) {
        self.bound = bound
        self.variance = variance
    }

    /// After storing the number in `format`.
    func stored(_ value: Double, as format: NumberFormat) -> LayerError {
        if format.holds(.f32) { return self }
        let spacing = format.spacing(at: value.magnitude + bound)
        return LayerError(bound: bound + spacing / 2, variance: variance + spacing * spacing / 12)
    }

    /// Any number will do.
    static let nothingPromised = LayerError(bound: .infinity, variance: .infinity)

    /// What is promised of a number that a kernel accumulates in `accumulate` and stores in some
    /// formats, one after the other. Where one of them may overflow, NaN and infinities are allowed
    /// beside what is near the exact number.
    ///
    /// - Parameters:
    ///   - bound: before it is stored; infinite where something on the way to it may overflow.
    ///   - variance: likewise; not finite where squares are beyond float64.
    static func promised(
        _ exact: Double, bound: Double, variance: Double, accumulate: NumberFormat, stored formats: [NumberFormat]
    ) -> LayerError {
        let share = exact.magnitude * FamilyLimits.shareBeyondSquares
        var size = LayerError(bound: bound, variance: variance.isFinite ? variance : share * share)
        var (largest, stored) = (accumulate.largest, accumulate)
        for format in formats where !format.holds(stored) {
            stored = format
            let likely = exact.magnitude + FamilyLimits.sigmasOfStored * size.variance.squareRoot()
            let ofLikely = format.spacing(at: min(likely, format.largest))
            size.bound += format.spacing(at: min(exact.magnitude + size.bound, format.largest)) / 2
            size.variance += ofLikely * ofLikely / 12
            largest = min(largest, format.largest)
        }
        let reach = exact.magnitude + FamilyLimits.sigmasBelowOverflow * size.variance.squareRoot()
        if size.bound.isNaN || !(reach < largest) { size.bound = .infinity }
        return size
    }

    /// The slope of silu at a number with this error, which changes by at most half of it.
    func siluSlope(of value: Double) -> LayerError {
        let sigmoid = Double.sigmoid(value)
        let terms = sigmoid * (1 + value.magnitude * Double.sigmoid(-value))
        let relative = Self.unit * (16 + 4 * value.magnitude)
        return LayerError(
            bound: 0.5 * bound + terms * relative + NumberFormat.f32.smallestNormal,
            variance: 0.25 * variance + Self.relativeVariance * terms * terms * (8 + 2 * value * value))
    }

    /// Two errors of one number.
    static func + (a: LayerError, b: LayerError) -> LayerError {
        LayerError(bound: a.bound + b.bound, variance: a.variance + b.variance)
    }

    /// This error scaled by an exact number.
    static func * (error: LayerError, factor: Double) -> LayerError {
        LayerError(bound: error.bound * factor.magnitude, variance: error.variance * factor * factor)
    }

    /// silu of a number with this error.
    func silu(of value: Double) -> LayerError {
        let result = Double.silu(value).magnitude
        // exp, sum, quotient and product, and the argument's own rounding in a fast exponential.
        let relative = Self.unit * (10 + 2 * value.magnitude)
        return LayerError(
            bound: 1.1 * bound + result * relative + NumberFormat.f32.smallestNormal,
            variance: 1.21 * variance + Self.relativeVariance * result * result * (4 + value * value))
    }
}

extension Expectation {
    /// An expectation from sizes of error for every number.
    init(
        _ name: String, axes: [Axis], exact: Tensor<Double>, errors: [LayerError], magnitudes: Tensor<Double>?,
        format: NumberFormat
    ) {
        let bounds = Tensor(shape: exact.shape, unchecked: errors.map { $0.bound * (1 + 0x1p-8) })
        let sigmas = Tensor(shape: exact.shape, unchecked: errors.map { max($0.variance.squareRoot(), 1e-150) })
        self.init(
            name: name, axes: axes, exact: exact, bound: bounds, sigma: sigmas, magnitudes: magnitudes, format: format)
    }
}
