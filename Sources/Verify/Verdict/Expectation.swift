//  What a case expects of one output: the exact answer and the sizes of error that a right kernel
//  may have.
//
//  Every kind of case (scan, convolution, norm …) comes down to a list of these; from here on they
//  are judged alike.

import DualityCore
import DualityNumerics
import DualityReference

/// The axes of an output, outermost first.
enum Axis: String, Sendable {
    case batch, sequence, token, head, channel, state, row
}

/// One output with everything it is judged by. All tensors have the same shape.
struct Expectation: Sendable {
    let name: String
    let axes: [Axis]
    let exact: Tensor<Double>
    /// A certificate: what a right kernel never exceeds. nil where none is known; NaN where it was
    /// not evaluated.
    var bound: Tensor<Double>?
    /// The standard deviation of a right kernel's error.
    var sigma: Tensor<Double>
    /// Sums of the magnitudes of the terms.
    var magnitudes: Tensor<Double>?
    /// What the output is stored in, for the floor.
    let format: NumberFormat

    /// The position of an axis; nil where the output has none.
    func index(of axis: Axis) -> Int? { axes.firstIndex(of: axis) }

    /// Reads the index along an axis off a flat one; nil where the output has no such axis.
    func reader(_ axis: Axis) -> AxisReader? {
        index(of: axis).map { i in
            AxisReader(inner: exact.shape[(i + 1)...].reduce(1, *), length: exact.shape[i])
        }
    }
}

/// The index along one axis of a row-major tensor.
struct AxisReader: Sendable {
    let inner: Int
    let length: Int

    @inline(__always)
    func callAsFunction(_ element: Int) -> Int { element / inner % length }
}
