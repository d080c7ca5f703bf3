//  One head of the gated delta rule: the exact answer, its bound, and its sigma, by that of the
//  possible arithmetics in which the kernel's error is smallest.
//
//  sigma² is the mean square of what a dozen imitations with random roundings are off by, each
//  number's own and that of its row together, and the error of one imitation that rounds to the
//  nearest. The factor before it covers that a dozen is few.

import DualityCore
import DualityNumerics
import DualityReference

struct DeltaHeadExpectation: Sendable {
    /// The numbers of one output, sequences or tokens outermost.
    struct Numbers: Sendable {
        var exact: [Double] = []
        var bound: [Double] = []
        var variance: [Double] = []

        func error(_ i: Int, as format: NumberFormat) -> LayerError {
            // Beyond float32 nothing is promised.
            let isLost = !(exact[i].magnitude < 1e38) || !variance[i].isFinite
            if isLost { return LayerError(bound: .infinity, variance: 1) }
            return LayerError(bound: bound[i], variance: variance[i]).stored(exact[i], as: format)
        }
    }

    var o = Numbers()
    var states = Numbers()
    var growth = 1.0
    var arithmetic = 0

    /// Runs of random roundings.
    private static let samples = 12
    /// The same in a call of more updates of the state than this, all heads together.
    private static let fewSamples = 4
    private static let manyUpdates = 100_000_000

    static func best(
        _ operands: DeltaOperands<Double>, _ h: Int, _ arithmetics: [DeltaArithmetic],
        _ found: [String: Tensor<Double>], _ formats: [String: NumberFormat], _ inputs: NumberFormat
    ) -> DeltaHeadExpectation {
        let head = operands.head(h)
        let exact = exact(operands, h, isWide: arithmetics[0].accumulate == .f64)
        var best: (DeltaHeadExpectation, Double)?
        for (i, arithmetic) in arithmetics.enumerated() {
            var candidate = exact
            candidate.arithmetic = i
            candidate.add(operands, head, arithmetic, h)
            let fit = candidate.ratios(operands, h, found, formats, inputs)
            // Where all of them fail, the one that is nearest.
            let worst = fit.worst.isFinite ? fit.worst : 1e30 + fit.squares
            if best.map({ worst < $0.1 }) ?? true { best = (candidate, worst) }
            // The narrow ones come last: what a wide one allows needs no other.
            if worst < Limits.sigma / 2 { break }
        }
        return best?.0 ?? exact
    }

    /// How large the errors of a head are by an arithmetic: the largest error / sigma, infinite
    /// beyond a bound, and the sum of its squares.
    static func fit(
        _ operands: DeltaOperands<Double>, _ h: Int, _ arithmetic: DeltaArithmetic,
        _ found: [String: Tensor<Double>], _ formats: [String: NumberFormat], _ inputs: NumberFormat
    ) -> (worst: Double, squares: Double) {
        var candidate = exact(operands, h, isWide: false)
        candidate.add(operands, operands.head(h), arithmetic, h)
        return candidate.ratios(operands, h, found, formats, inputs)
    }

    private static func exact(_ operands: DeltaOperands<Double>, _ h: Int, isWide: Bool) -> DeltaHeadExpectation {
        var result = DeltaHeadExpectation()
        let head = operands.head(h)
        let wide = isWide ? operands.converted(to: DoubleDouble.self).head(h) : nil
        for (s, tokens) in operands.sequences.enumerated() {
            var state = operands.entering(s, h)
            if let wide {
                var precise = state.map { DoubleDouble($0) }
                result.o.exact += wide.evaluate(.recurrent, tokens, state: &precise).map(\.double)
                state = precise.map(\.double)
            } else {
                result.o.exact += head.evaluate(.recurrent, tokens, state: &state)
            }
            result.states.exact += state
        }
        return result
    }

    /// Bound and sigma of an arithmetic.
    private mutating func add(
        _ operands: DeltaOperands<Double>, _ head: DeltaHead<Double>, _ arithmetic: DeltaArithmetic, _ h: Int
    ) {
        let normalizes = operands.epsilon != nil
        var bounds = DeltaBound(head, arithmetic, normalizes: normalizes)
        for (s, tokens) in operands.sequences.enumerated() {
            let sizes = bounds.sizes(tokens, state: operands.entering(s, h))
            o.bound += sizes.o
            states.bound += sizes.state
        }
        growth = bounds.growth
        let updates = operands.v.count * operands.keyDim
        let count = updates > Self.manyUpdates ? Self.fewSamples : Self.samples
        var (ofO, ofStates) = (o.exact.map { _ in 0.0 }, states.exact.map { _ in 0.0 })
        var (nearO, nearStates) = (ofO, ofStates)
        for sample in 0...count {
            let seed = sample == 0 ? nil : UInt64(sample) &* 7919 &+ UInt64(h)
            var walk = DeltaWalk(head, arithmetic, normalizes: normalizes, seed: seed)
            var (rows, ends) = ([Double](), [Double]())
            for (s, tokens) in operands.sequences.enumerated() {
                let run = walk.run(tokens, state: operands.entering(s, h))
                rows += run.o
                ends += run.state
            }
            if sample == 0 {
                nearO = Self.squares(rows, o.exact)
                nearStates = Self.squares(ends, states.exact)
            } else {
                for (i, square) in Self.squares(rows, o.exact).enumerated() { ofO[i] += square / Double(count) }
                for (i, square) in Self.squares(ends, states.exact).enumerated() {
                    ofStates[i] += square / Double(count)
                }
            }
        }
        o.variance = Self.pooled(ofO, nearO, row: operands.valueDim)
        states.variance = Self.pooled(ofStates, nearStates, row: operands.valueDim)
    }

    private static func squares(_ found: [Double], _ exact: [Double]) -> [Double] {
        zip(found, exact).map { ($0 - $1) * ($0 - $1) }
    }

    private static func pooled(_ sampled: [Double], _ nearest: [Double], row width: Int) -> [Double] {
        var variances = sampled
        for first in stride(from: 0, to: sampled.count, by: max(width, 1)) {
            let row = first..<min(first + width, sampled.count)
            let mean = row.reduce(0) { $0 + sampled[$1] + 0.5 * nearest[$1] } / Double(row.count)
            for i in row { variances[i] = 1.2 * (sampled[i] + mean) + nearest[i] }
        }
        return variances
    }

    /// The largest error / sigma of the head's numbers, infinite beyond a bound, and the sum of the
    /// squares.
    private func ratios(
        _ operands: DeltaOperands<Double>, _ h: Int, _ found: [String: Tensor<Double>],
        _ formats: [String: NumberFormat], _ inputs: NumberFormat
    ) -> (worst: Double, squares: Double) {
        var (worst, squares) = (0.0, 0.0)
        for (name, numbers) in [("o", o), ("final_state", states)] {
            guard let tensor = found[name] else { continue }
            let size = name == "o" ? operands.valueDim : operands.keyDim * operands.valueDim
            let format = formats[name] ?? (name == "o" ? inputs : .f32)
            for i in numbers.exact.indices {
                let value = tensor.elements[(i / size * operands.heads + h) * size + i % size]
                let allowed = numbers.error(i, as: format)
                let error = (value - numbers.exact[i]).magnitude
                let ratio = error / max(allowed.variance.squareRoot(), 1e-150)
                if allowed.bound.isFinite, error > 0 || error.isNaN {
                    worst = max(worst, error <= allowed.bound ? ratio : .infinity)
                    squares += ratio.isFinite ? min(ratio * ratio, DiagnosisLimits.ceiling) : DiagnosisLimits.ceiling
                }
            }
        }
        return (worst, squares)
    }
}
