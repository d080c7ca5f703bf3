//  The rounding errors of a sequence of numbers, where several in a row round to the same one.

import DualityCore
import DualityReference

/// Numbers in a row that round to the same one: their errors are the same, but for what they differ
/// by.
struct RoundingCell {
    private var rounded = Double.nan
    private var first = 0.0
    /// The standard deviation of the error that they share.
    private(set) var deviation = 0.0
    /// The variance of what the last one adds to that.
    private(set) var ownVariance = 0.0

    /// Takes the next number. Returns whether it rounds as the last one did.
    mutating func take(_ number: Double, _ rounding: RoundingVariance, _ format: NumberFormat) -> Bool {
        let nearest = format.round(number)
        let repeats = nearest == rounded
        if !repeats { (rounded, first) = (nearest, number) }
        let variance = rounding.variance(at: number)
        deviation = variance.squareRoot()
        ownVariance = (number - first) * (number - first)
        // Next to a tie (half a spacing is 1.7 deviations) a kernel's numbers may fall on either
        // side.
        if (number - nearest).magnitude > 1.4 * deviation { ownVariance += 3 * variance }
        return repeats
    }
}
