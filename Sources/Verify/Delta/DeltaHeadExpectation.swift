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

        /// - Parameter formats: that the kernel stores it in, and that it was handed in.
        func error(_ i: Int, in accumulate: NumberFormat, as formats: [NumberFormat]) -> LayerError {
            .promised(exact[i], bound: bound[i], variance: variance[i], accumulate: accumulate, stored: formats)
        }
    }

    var o = Numbers()
    var states = Numbers()
    var growth = 1.0
    private(set) var arithmetic = DeltaArithmetic(.f32, form: .recurrent)

    static func best(
        _ operands: DeltaOperands<Double>, _ h: Int, _ choices: DeltaChoices,
        _ found: [String: Tensor<Double>], _ formats: [String: NumberFormat]
    ) -> DeltaHeadExpectation {
        let head = operands.head(h)
        let exact = exact(operands, h, isWide: choices.all.contains { $0.accumulate == .f64 })
        var best: (expectation: DeltaHeadExpectation, fit: ErrorFit)?
        for (i, arithmetic) in choices.all.enumerated() {
            if i == choices.sorts, best?.fit.isHopeless ?? false { break }
            var candidate = exact
            candidate.add(operands, head, arithmetic, h)
            let fit = candidate.fit(operands, h, found, formats)
            if best.map({ fit < $0.fit }) ?? true { best = (candidate, fit) }
            // The narrow ones come last: what a wide one allows needs no other.
            if fit.isGood { break }
        }
        return best?.expectation ?? exact
    }

    /// How large the errors of a head are by an arithmetic.
    static func fit(
        _ operands: DeltaOperands<Double>, _ h: Int, _ arithmetic: DeltaArithmetic,
        _ found: [String: Tensor<Double>], _ formats: [String: NumberFormat]
    ) -> ErrorFit {
        var candidate = exact(operands, h, isWide: false)
        candidate.add(operands, operands.head(h), arithmetic, h)
        return candidate.fit(operands, h, found, formats)
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
        self.arithmetic = arithmetic
        let normalizes = operands.epsilon != nil
        var bounds = DeltaBound(head, arithmetic, normalizes: normalizes)
        for (s, tokens) in operands.sequences.enumerated() {
            let sizes = bounds.sizes(tokens, state: operands.entering(s, h))
            o.bound += sizes.o
            states.bound += sizes.state
        }
        growth = bounds.growth
        let updates = operands.v.count * operands.keyDim
        let count = updates > FamilyLimits.manyUpdates ? FamilyLimits.fewSamples : FamilyLimits.samples
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
            let mean =
                row.reduce(0) { $0 + sampled[$1] + FamilyLimits.shareOfNearest * nearest[$1] } / Double(row.count)
            for i in row { variances[i] = FamilyLimits.factorOfSamples * (sampled[i] + mean) + nearest[i] }
        }
        return variances
    }

    /// What is allowed of a number of an output.
    func error(_ output: String, _ i: Int, as format: NumberFormat) -> LayerError {
        output == "o"
            ? o.error(i, in: arithmetic.accumulate, as: [arithmetic.output, format])
            : states.error(i, in: arithmetic.accumulate, as: [format])
    }

    private func fit(
        _ operands: DeltaOperands<Double>, _ h: Int, _ found: [String: Tensor<Double>],
        _ formats: [String: NumberFormat]
    ) -> ErrorFit {
        var fit = ErrorFit()
        for (name, numbers) in [("o", o), ("final_state", states)] {
            guard let tensor = found[name], let format = formats[name] else { continue }
            let size = name == "o" ? operands.valueDim : operands.keyDim * operands.valueDim
            for (i, exact) in numbers.exact.enumerated() {
                let value = tensor.elements[(i / size * operands.heads + h) * size + i % size]
                fit.add(value, exact, error(name, i, as: format))
            }
        }
        return fit
    }
}
