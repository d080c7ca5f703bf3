//  From a kernel's numbers and what was expected of them to the figures of a report.
//
//      error / bound    > 1 anywhere: no right kernel does that
//      error / sigma    a right kernel peaks at a few
//      error / floor    ||error|| over that of the exact answer rounded to the output's format; 1 is perfect
//
//  What these figures lead to is in Verdict.swift.

import DualityCore
import DualityNumerics
import DualityReference

extension OutputReport {
    /// Measures `found` against what was expected.
    ///
    /// - Parameters:
    ///   - found: in the shape of the expectation.
    ///   - chunkSize: for saying where in a chunk something lies.
    init(of found: Tensor<Double>, dtype: String, against expected: Expectation, chunkSize: Int?) {
        var tally = Tally()
        var ratios = [Double](repeating: 0, count: found.count)
        var ulps = [Float](repeating: 0, count: found.count)
        for i in found.elements.indices {
            let (value, exact) = (found.elements[i], expected.exact.elements[i])
            let ratio = tally.add(
                value, exact, bound: expected.bound?.elements[i], sigma: expected.sigma.elements[i],
                magnitude: expected.magnitudes?.elements[i], format: expected.format)
            ratios[i] = ratio
            ulps[i] = Float((value - exact).magnitude / expected.format.spacing(at: exact))
        }
        let places = PlaceFinder(found: found, expected: expected, chunkSize: chunkSize)
        let (first, worst) = places.find(ratios)
        name = expected.name
        shape = found.shape
        self.dtype = dtype
        count = found.count
        (maxError, errorOverBound, errorOverSigma) = (
            tally.maxError, tally.hasBound ? tally.overBoundMax : nil, tally.overSigmaMax
        )
        let n = Double(max(found.count, 1))
        rmsError = (tally.errorSquares / n).squareRoot()
        relativeError =
            tally.exactSquares > 0
            ? (tally.errorSquares / tally.exactSquares).squareRoot() : tally.errorSquares > 0 ? .infinity : 0
        rmsOverSigma = (tally.ratioSquares / n).squareRoot()
        errorOverFloor = tally.floorSquares > 0 ? (tally.errorSquares / tally.floorSquares).squareRoot() : nil
        condition =
            expected.magnitudes != nil && tally.exactSquares > 0
            ? (tally.magnitudeSquares / tally.exactSquares).squareRoot() : nil
        (overBound, overSigma, nonFinite) = (tally.overBound, tally.overSigma, tally.nonFinite)
        medianOverSigma = quantile(of: &ratios, 0.5)
        self.ulps = [0.5, 0.9, 0.99, 1].map { Double(quantile(of: &ulps, $0)) }
        self.worst = worst
        growth = places.growth()
        map = places.map()

        let judgement = Judgement(
            VerdictFigures(
                count: count, judged: count - tally.unpromised, nonFinite: nonFinite, finite: tally.finite,
                isWide: expected.format == .f64, overBound: overBound,
                largestOverBound: errorOverBound, largestOverSigma: errorOverSigma, rmsOverSigma: rmsOverSigma))
        (verdict, reason) = (judgement.verdict, judgement.reason)
        firstOutside = verdict <= .pass ? nil : first
    }
}

/// Sums over the elements of an output.
private struct Tally {
    var maxError = 0.0
    var errorSquares = 0.0
    var exactSquares = 0.0
    var floorSquares = 0.0
    var magnitudeSquares = 0.0
    var ratioSquares = 0.0
    var overBoundMax = 0.0
    var overSigmaMax = 0.0
    var overBound = 0
    var overSigma = 0
    var nonFinite = 0
    /// Numbers that may be anything, because the declared formats may overflow there.
    var unpromised = 0
    /// Numbers that are finite where the exact answer is not.
    var finite = 0
    var hasBound = false

    /// - Returns: error / sigma; infinite for a number that is not finite and should be.
    mutating func add(
        _ found: Double, _ exact: Double, bound: Double?, sigma: Double, magnitude: Double?, format: NumberFormat
    ) -> Double {
        let hasNoBound = bound.map { $0.isNaN || $0 == .infinity } ?? true
        if hasNoBound && sigma == .infinity || bound == .infinity && !found.isFinite {
            // A format that may overflow promises nothing.
            unpromised += 1
            return 0
        }
        if !exact.isFinite {
            // Float64 overflows: so does any kernel of a narrower format.
            guard found.isFinite else {
                unpromised += 1
                return 0
            }
            finite += 1
            return .infinity
        }
        if !found.isFinite {
            nonFinite += 1
            (maxError, overSigmaMax) = (.infinity, .infinity)
            return .infinity
        }
        let error = (found - exact).magnitude
        maxError = max(maxError, error)
        errorSquares += error * error
        exactSquares += exact * exact
        let floor = (format.round(exact) - exact).magnitude
        floorSquares += floor * floor
        if let magnitude { magnitudeSquares += magnitude * magnitude }
        if let bound, !bound.isNaN {
            hasBound = true
            let ratio = error == 0 ? 0 : error / bound
            overBoundMax = max(overBoundMax, ratio)
            if ratio > Limits.bound { overBound += 1 }
        }
        let ratio = error == 0 ? 0 : error / sigma
        overSigmaMax = max(overSigmaMax, ratio)
        ratioSquares += ratio * ratio
        if ratio > Limits.sigma { overSigma += 1 }
        return ratio
    }
}

/// The q-quantile; reorders the values. NaN counts as infinite.
private func quantile<Value: BinaryFloatingPoint>(of values: inout [Value], _ q: Double) -> Value {
    guard !values.isEmpty else { return 0 }
    for i in values.indices where values[i].isNaN { values[i] = .infinity }
    if q >= 1 { return values.max() ?? 0 }
    // A sample is as good and needs no sort of millions.
    let stride = max(values.count / 100_000, 1)
    let sample = Swift.stride(from: 0, to: values.count, by: stride).map { values[$0] }.sorted()
    return sample[min(Int(q * Double(sample.count)), sample.count - 1)]
}
