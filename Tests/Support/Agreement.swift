//  How far two tensors are from each other, in the norms the conformance figures are stated in.

import DualityCore

/// ||a - b||_2 / ||b||_2; infinity when the counts differ or a number is not finite.
public func relativeL2(_ a: [some RealNumber], _ b: [some RealNumber]) -> Double {
    guard a.count == b.count else { return .infinity }
    var difference = 0.0
    var norm = 0.0
    for (x, y) in zip(a, b) {
        let d = x.double - y.double
        difference += d * d
        norm += y.double * y.double
    }
    guard difference.isFinite, norm.isFinite else { return .infinity }
    return norm == 0 ? difference.squareRoot() : (difference / norm).squareRoot()
}

/// The largest |a - b|; infinity when the counts differ or a number is not finite.
public func maximumDifference(_ a: [some RealNumber], _ b: [some RealNumber]) -> Double {
    guard a.count == b.count else { return .infinity }
    var largest = 0.0
    for (x, y) in zip(a, b) {
        let d = (x.double - y.double).magnitude
        if !d.isFinite { return .infinity }
        largest = max(largest, d)
    }
    return largest
}
