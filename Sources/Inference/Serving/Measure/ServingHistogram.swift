//  Counts of observations below bounds, as Prometheus has them.

/// A histogram with fixed bounds.
package struct ServingHistogram: Sendable, Equatable {
    /// Upper bounds of the buckets, rising; beyond the last is one more.
    package let bounds: [Double]
    /// Observations at most `bounds[i]` and above the bound before; one more than bounds.
    package private(set) var counts: [Int]
    package private(set) var sum = 0.0
    package private(set) var count = 0

    package init(bounds: [Double]) {
        self.bounds = bounds
        counts = Array(repeating: 0, count: bounds.count + 1)
    }

    package mutating func observe(_ value: Double) {
        counts[bounds.firstIndex { value <= $0 } ?? bounds.count] += 1
        sum += value
        count += 1
    }

    /// Seconds of a request or a part of it: vLLM's bounds.
    package static let requestSeconds = ServingHistogram(bounds: [
        0.01, 0.025, 0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920,
        7680,
    ])
    /// Seconds between two tokens, or of a step.
    package static let tokenSeconds = ServingHistogram(bounds: [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40,
        80,
    ])
    /// Numbers of tokens, rows or choices.
    package static let counts = ServingHistogram(bounds: [
        1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000,
    ])
}
