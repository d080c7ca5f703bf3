//  How sure a score is: 95 % intervals.
//
//      scores of 0 and 1   Wilson: (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)
//      others              mean ± z s/√n, s with n - 1, cut to [0, 1]
//      weighted sums       ± z √(Σ w² se²)
//
//  z = 1.959963984540054, the 97.5 % quantile of the normal distribution.

import Foundation

/// A 95 % interval.
package struct Interval: Sendable, Equatable {
    package var lower: Double
    package var upper: Double

    package init(lower: Double, upper: Double) {
        (self.lower, self.upper) = (lower, upper)
    }

    package static let z = 1.959963984540054

    /// Wilson's interval of a share.
    package static func wilson(share p: Double, of n: Int) -> Interval {
        guard n > 0 else { return Interval(lower: 0, upper: 1) }
        let (n, z) = (Double(n), Self.z)
        let scale = 1 + z * z / n
        let center = (p + z * z / (2 * n)) / scale
        let half = z * (p * (1 - p) / n + z * z / (4 * n * n)).squareRoot() / scale
        return Interval(lower: center - half, upper: center + half)
    }

    /// The mean ± z standard errors.
    package static func around(_ mean: Double, standardError: Double, clipped: Bool) -> Interval {
        let (lower, upper) = (mean - z * standardError, mean + z * standardError)
        return clipped ? Interval(lower: max(lower, 0), upper: min(upper, 1)) : Interval(lower: lower, upper: upper)
    }

    /// s/√n of a sample; 0 of fewer than two.
    package static func standardError(_ values: [Double]) -> Double {
        guard values.count > 1 else { return 0 }
        let mean = values.reduce(0, +) / Double(values.count)
        let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return (squares / Double(values.count - 1)).squareRoot() / Double(values.count).squareRoot()
    }

    /// The standard error of a mean over items that come in clusters, over the clusters' sums:
    /// √(m/(m-1) Σ_c (Σ_{i in c} (x_i - x̄))²) / n.
    package static func standardError(_ values: [Double], clusters: [String]) -> Double {
        let mean = values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
        var sums: [String: Double] = [:]
        for (value, cluster) in zip(values, clusters) { sums[cluster, default: 0] += value - mean }
        guard sums.count > 1 else { return 0 }
        let m = Double(sums.count)
        let squares = sums.keys.sorted().reduce(0) { $0 + sums[$1]! * sums[$1]! }
        return (m / (m - 1) * squares).squareRoot() / Double(values.count)
    }

    /// Whether all values are 0 or 1.
    package static func areFlags(_ values: [Double]) -> Bool { values.allSatisfy { $0 == 0 || $0 == 1 } }

    /// The interval of the mean of single scores.
    package static func of(_ values: [Double], clusters: [String]? = nil) -> Interval {
        let mean = values.isEmpty ? 0 : values.reduce(0, +) / Double(values.count)
        if let clusters {
            return around(mean, standardError: standardError(values, clusters: clusters), clipped: true)
        }
        if areFlags(values) { return wilson(share: mean, of: values.count) }
        return around(mean, standardError: standardError(values), clipped: true)
    }
}
