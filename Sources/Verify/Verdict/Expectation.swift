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

/// The limits of a verdict, in units of what a right kernel does.
///
/// Right kernels peak at 3 to 6 sigma on the standard suite; RightKernelTests holds generated cases
/// of every precision against these limits. Beyond the bound, or beyond four times the limit, no
/// right kernel is expected.
enum Limits {
    /// The largest |error| / sigma of a PASS.
    static let sigma = 8.0
    /// The largest of a SUSPECT.
    static let certainSigma = 32.0
    /// The largest root of the mean of (error / sigma)² of a PASS.
    static let rms = 3.0
}

/// A verdict on an output, a case or a whole run; they are ordered from good to bad.
public enum Verdict: String, Sendable, Comparable, CaseIterable {
    case pass = "PASS"
    case suspect = "SUSPECT"
    case fail = "FAIL"

    public static func < (a: Verdict, b: Verdict) -> Bool {
        (allCases.firstIndex(of: a) ?? 0) < (allCases.firstIndex(of: b) ?? 0)
    }
}
