//  How well the numbers of a head fit what one of several possible arithmetics allows.

import DualityCore
import DualityNumerics
import DualityReference

/// Errors beside what an arithmetic allows.
struct ErrorFit: Comparable {
    /// The largest error / sigma.
    private(set) var largest = 0.0
    /// Whether some number is outside its bound.
    private(set) var isOutside = false
    /// The sum of the squares of error / sigma, each with a ceiling.
    private(set) var squares = 0.0

    mutating func add(_ found: Double, _ exact: Double, _ allowed: LayerError) {
        guard found != exact, exact.isFinite, found.isFinite || allowed.bound.isFinite else { return }
        let error = (found - exact).magnitude
        let ratio = error / max(allowed.variance.squareRoot(), FamilyLimits.leastSigma)
        largest = max(largest, ratio.isNaN ? .infinity : ratio)
        if !(error <= allowed.bound) { isOutside = true }
        squares += ratio.isFinite ? min(ratio * ratio, DiagnosisLimits.ceiling) : DiagnosisLimits.ceiling
    }

    /// Whether no other arithmetic need be looked at.
    var isGood: Bool { !isOutside && largest < WorkLimits.otherOrdersShare * Limits.sigma }

    /// Whether no other order of sums explains the errors.
    var isHopeless: Bool { largest > WorkLimits.hopelessLimits * Limits.sigma }

    /// The better fit first: within all bounds before outside of some; of those outside, the one
    /// that is nearest on the whole.
    static func < (a: ErrorFit, b: ErrorFit) -> Bool {
        if a.isOutside != b.isOutside { return b.isOutside }
        return a.isOutside ? a.squares < b.squares : a.largest < b.largest
    }

    /// All heads together.
    static func + (a: ErrorFit, b: ErrorFit) -> ErrorFit {
        var sum = a
        (sum.largest, sum.isOutside) = (max(a.largest, b.largest), a.isOutside || b.isOutside)
        sum.squares += b.squares
        return sum
    }
}

extension InputError {
    /// Refuses shapes that a file may declare and no machine holds.
    static func requireSize(
        _ lengths: [Int], _ place: String, of what: String, limit: Int = WorkLimits.numbersOfTensor
    ) throws(InputError) {
        // An axis of length 0 hides the others.
        guard let count = checkedCount(of: lengths.map { max($0, 1) }), count <= limit else {
            throw InputError(
                .value, in: place, expected: "\(what) of at most \(limit) numbers, axes of length 0 counted as 1",
                found: "\(lengths)")
        }
    }
}
