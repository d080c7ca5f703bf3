//  Two models on the same items: what differs, and whether chance would do it.
//
//      d = a - b of an item      difference = mean d,   ± z s_d/√n
//      McNemar, exact            p = min(1, 2 Σ_{i <= min(A, B)} C(m, i) / 2^m),   m = A + B
//
//  where only a is right A times and only b B times. The bootstrap draws items with replacement and
//  makes no assumption about the shape of d.

import DualityCore
import Foundation

/// The comparison of two lists of scores, item by item.
package struct PairedComparison: Sendable {
    package let n: Int
    package let a: Double
    package let b: Double
    package let difference: Double
    package let interval: Interval
    /// The 2.5 % and 97.5 % quantiles of the mean of d over resampled items.
    package let bootstrap: Interval
    /// Counts, where all scores are 0 or 1.
    package let counts: (both: Int, onlyA: Int, onlyB: Int, neither: Int)?

    /// - Parameters:
    ///   - a: scores of one model.
    ///   - b: scores of the other on the same items, at least one.
    package init(_ a: [Double], _ b: [Double]) {
        n = a.count
        self.a = mean(a)
        self.b = mean(b)
        let differences = zip(a, b).map { $0 - $1 }
        difference = mean(differences)
        interval = Interval.around(
            difference, standardError: Interval.standardError(differences), clipped: false)
        bootstrap = Self.bootstrap(differences)
        if Interval.areFlags(a), Interval.areFlags(b) {
            let pairs = Array(zip(a, b))
            counts = (
                pairs.filter { $0 == 1 && $1 == 1 }.count, pairs.filter { $0 == 1 && $1 == 0 }.count,
                pairs.filter { $0 == 0 && $1 == 1 }.count, pairs.filter { $0 == 0 && $1 == 0 }.count
            )
        } else {
            counts = nil
        }
    }

    /// McNemar's exact p; nil for graded scores.
    package var mcNemar: Double? { counts.map { Self.mcNemar($0.onlyA, $0.onlyB) } }

    package static func mcNemar(_ onlyA: Int, _ onlyB: Int) -> Double {
        let m = onlyA + onlyB
        guard m > 0 else { return 1 }
        // Terms by logarithms: 2^m overflows from 1024 on.
        var logarithm = -Double(m) * log(2.0)
        var sum = 0.0
        for i in 0...min(onlyA, onlyB) {
            if i > 0 { logarithm += log(Double(m - i + 1)) - log(Double(i)) }
            sum += exp(logarithm)
        }
        return min(1, 2 * sum)
    }

    /// The smallest difference that as many items with this share of disagreement would show with
    /// power 0.8: 2.80 √(disagreement/n).
    package var detectable: Double? {
        counts.map { 2.80 * (Double($0.onlyA + $0.onlyB) / Double(n) / Double(n)).squareRoot() }
    }

    private static func bootstrap(_ differences: [Double]) -> Interval {
        let n = differences.count
        guard n > 0 else { return Interval(lower: 0, upper: 0) }
        let rounds = min(10_000, max(1_000, 20_000_000 / n))
        var random = RandomSource(seed: 0x5eed).stream("paired bootstrap")
        var means = (0..<rounds).map { _ in
            var sum = 0.0
            for _ in 0..<n { sum += differences[random.integer(in: 0...n - 1)] }
            return sum / Double(n)
        }
        means.sort()
        func quantile(_ q: Double) -> Double { means[min(rounds - 1, Int(q * Double(rounds)))] }
        return Interval(lower: quantile(0.025), upper: quantile(0.975))
    }

    /// Holm's correction of several p: (k - rank) p, never falling from one rank to the next.
    package static func holm(_ p: [Double]) -> [Double] {
        let order = p.indices.sorted { p[$0] < p[$1] }
        var corrected = p
        var largest = 0.0
        for (rank, i) in order.enumerated() {
            largest = max(largest, min(1, Double(p.count - rank) * p[i]))
            corrected[i] = largest
        }
        return corrected
    }

    package var json: JSON.Object {
        var object: JSON.Object = [
            "n": JSON(n), "a": JSON(a), "b": JSON(b), "difference": JSON(difference),
            "difference_ci95": interval.json, "bootstrap_ci95": bootstrap.json,
        ]
        if let counts {
            object.append("both", JSON(counts.both))
            object.append("only_a", JSON(counts.onlyA))
            object.append("only_b", JSON(counts.onlyB))
            object.append("neither", JSON(counts.neither))
            object.append("a_ci95", Interval.wilson(share: a, of: n).json)
            object.append("b_ci95", Interval.wilson(share: b, of: n).json)
        }
        object.append("mcnemar_p", mcNemar.map { JSON($0) } ?? .null)
        return object
    }
}

extension Interval {
    package var json: JSON { [JSON(lower), JSON(upper)] }
}
