//  Rows of an output that the kernel never wrote: the last, partial block of tokens, sequences that
//  were skipped. What stands there is zeros, what NaN the memory held, or numbers that have nothing
//  to do with the right ones; every other row is right.

import DualityCore
import DualityReference

enum UnwrittenRows {
    static let name = "rows-not-written"
    static let summary =
        "whole rows of an output hold zeros, NaN or old numbers and all others are right: rows that were skipped"

    /// One row: everything of an output that belongs to one batch entry, sequence and token.
    private struct Row {
        var wrong = 0
        var count = 0
        /// Whether each of its numbers is zero, or each is NaN or infinite.
        var (isZero, isNotFinite) = (true, true)
        var (own, exact, dot) = (0.0, 0.0, 0.0)

        mutating func take(_ found: Double, _ exact: Double, isWrong: Bool) {
            (wrong, count) = (wrong + (isWrong ? 1 : 0), count + 1)
            (isZero, isNotFinite) = (isZero && found == 0, isNotFinite && !found.isFinite)
            guard found.isFinite else { return }
            (self.own, self.exact, dot) = (own + found * found, self.exact + exact * exact, dot + found * exact)
        }

        /// Whether the right numbers left no trace in it.
        var isForeign: Bool {
            let isUnlike = dot.magnitude < DiagnosisLimits.foreignCosine * (own * exact).squareRoot()
            return isZero || isNotFinite || (isUnlike && count >= DiagnosisLimits.tileCount)
        }

        var isWrong: Bool { Double(wrong) >= DiagnosisLimits.foreignShare * Double(count) }
    }

    /// The rows that were not written, if that is all that is wrong with the outputs.
    static func find(_ found: [String: Tensor<Double>], _ expectations: [Expectation]) -> Finding? {
        var scopes: [String] = []
        var (outside, total) = (0.0, 0)
        for expected in expectations {
            guard let tensor = found[expected.name] else { continue }
            let axes = [Axis.batch, .sequence, .row, .token].filter { expected.reader($0) != nil }
            let readers = axes.compactMap { expected.reader($0) }
            var rows = [Row](repeating: Row(), count: readers.reduce(1) { $0 * $1.length })
            for i in tensor.elements.indices {
                let value = tensor.elements[i]
                let square = FaultEvidence.square(value - expected.exact.elements[i], expected.sigma.elements[i])
                let isWrong = !(square <= DiagnosisLimits.usualSquare)
                if !isWrong { outside += square }
                rows[readers.reduce(0) { $0 * $1.length + $1(i) }]
                    .take(value, expected.exact.elements[i], isWrong: isWrong)
            }
            total += tensor.count
            let wrong = rows.indices.filter { rows[$0].wrong > 0 }
            guard !wrong.isEmpty else { continue }
            // A kernel of which most is missing has another fault, and so has one whose rows are
            // half right.
            guard 2 * wrong.count <= rows.count, wrong.allSatisfy({ rows[$0].isWrong && rows[$0].isForeign }) else {
                return nil
            }
            scopes.append(scope(wrong, axes, readers, of: expected.name))
        }
        guard !scopes.isEmpty else { return nil }
        return Finding(
            names: [name], scope: scopes.joined(separator: "; "),
            remainder: (outside / Double(max(total, 1))).squareRoot(), worst: 0, explained: 1)
    }

    /// `y: batch 1, tokens 76-79`
    private static func scope(_ wrong: [Int], _ axes: [Axis], _ readers: [AxisReader], of output: String) -> String {
        var parts: [String] = []
        var below = readers.reduce(1) { $0 * $1.length }
        for (axis, reader) in zip(axes, readers) {
            below /= reader.length
            let touched = Set(wrong.map { $0 / below % reader.length }).sorted()
            guard reader.length > 1 else { continue }
            parts.append("\(axis.rawValue)\(touched.count == 1 ? "" : "s") \(ranges(touched))")
        }
        return "\(output): \(parts.joined(separator: ", "))"
    }
}
