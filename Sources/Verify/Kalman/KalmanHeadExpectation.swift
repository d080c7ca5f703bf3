//  One head of Gated KalmaNet: the exact answer, its bound, and its sigma, by that of the possible
//  arithmetics in which the kernel's error is smallest.
//
//  sigma² is sampled as that of the gated delta rule: the mean square of what a dozen imitations
//  with random roundings are off by, each number's own and that of its row together, and the error
//  of one imitation that rounds to the nearest.

import DualityCore
import DualityNumerics
import DualityReference

struct KalmanHeadExpectation: Sendable {
    /// The numbers of one output, sequences or tokens outermost.
    struct Numbers: Sendable {
        var exact: [Double] = []
        var bound: [Double] = []
        var variance: [Double] = []
    }

    /// By the names of the outputs.
    var numbers: [String: Numbers] = ["o": Numbers(), "final_gram": Numbers(), "final_memory": Numbers()]
    /// The largest condition of G + λ I behind a sequence.
    var condition = 0.0
    private(set) var arithmetic = KalmanArithmetic(.f32, form: .recurrent)

    /// Products of the solver, all heads together, beyond which there are fewer runs.
    private static let manyProducts = 1e9

    static func best(
        _ operands: KalmanOperands<Double>, _ h: Int, _ choices: KalmanChoices,
        _ found: [String: Tensor<Double>], _ formats: [String: NumberFormat]
    ) -> KalmanHeadExpectation {
        let exact = exact(operands, h, isWide: choices.all.contains { $0.accumulate == .f64 })
        var best: (expectation: KalmanHeadExpectation, fit: ErrorFit)?
        for (i, arithmetic) in choices.all.enumerated() {
            if i == choices.sorts, best?.fit.isHopeless ?? false { break }
            var candidate = exact
            candidate.add(operands, arithmetic, h)
            let fit = candidate.fit(operands, h, found, formats)
            if best.map({ fit < $0.fit }) ?? true { best = (candidate, fit) }
            if fit.isGood { break }
        }
        return best?.expectation ?? exact
    }

    /// How large the errors of a head are by an arithmetic.
    static func fit(
        _ operands: KalmanOperands<Double>, _ h: Int, _ arithmetic: KalmanArithmetic,
        _ found: [String: Tensor<Double>], _ formats: [String: NumberFormat]
    ) -> ErrorFit {
        var candidate = exact(operands, h, isWide: false)
        candidate.add(operands, arithmetic, h)
        return candidate.fit(operands, h, found, formats)
    }

    private mutating func append(
        _ o: [Double], _ state: KalmanState<Double>, to path: WritableKeyPath<Numbers, [Double]>
    ) {
        numbers["o"]?[keyPath: path] += o
        numbers["final_gram"]?[keyPath: path] += state.gram
        numbers["final_memory"]?[keyPath: path] += state.memory
    }

    private static func exact(
        _ operands: KalmanOperands<Double>, _ h: Int, isWide: Bool
    ) -> KalmanHeadExpectation {
        var result = KalmanHeadExpectation()
        let head = operands.head(h)
        let wide = isWide ? operands.converted(to: DoubleDouble.self).head(h) : nil
        for (s, tokens) in operands.sequences.enumerated() {
            var state = operands.entering(s, h)
            var o: [Double]
            if let wide {
                var precise = KalmanState(
                    gram: state.gram.map { DoubleDouble($0) }, memory: state.memory.map { DoubleDouble($0) })
                o = wide.evaluate(.recurrent, tokens, state: &precise).map(\.double)
                state = KalmanState(gram: precise.gram.map(\.double), memory: precise.memory.map(\.double))
            } else {
                o = head.evaluate(.recurrent, tokens, state: &state)
            }
            result.append(o, state, to: \.exact)
            guard !tokens.isEmpty else { continue }
            let own = KalmanBound.condition(of: state.gram, operands.keyDim, ridge: operands.ridge)
            result.condition = max(result.condition, own)
        }
        return result
    }

    /// Bound and sigma of an arithmetic.
    private mutating func add(_ operands: KalmanOperands<Double>, _ arithmetic: KalmanArithmetic, _ h: Int) {
        self.arithmetic = arithmetic
        let head = operands.head(h)
        let (normalizes, gates) = (operands.epsilon != nil, operands.beta != nil)
        var bounds = KalmanBound(head, arithmetic, normalizes: normalizes, gates: gates)
        for (s, tokens) in operands.sequences.enumerated() {
            let sizes = bounds.sizes(tokens, state: operands.entering(s, h))
            append(sizes.o, sizes.state, to: \.bound)
        }
        let products = Double(operands.q.count) * Double(operands.keyDim) * Double(operands.iterations)
        let count = products > Self.manyProducts ? FamilyLimits.fewSamples : FamilyLimits.samples
        var (nearest, sampled) = ([String: [Double]](), [String: [Double]]())
        for sample in 0...count {
            let seed = sample == 0 ? nil : UInt64(sample) &* 7919 &+ UInt64(h)
            var walk = KalmanWalk(head, arithmetic, normalizes: normalizes, gates: gates, seed: seed)
            var run = KalmanHeadExpectation()
            for (s, tokens) in operands.sequences.enumerated() {
                let (o, state) = walk.run(tokens, state: operands.entering(s, h))
                run.append(o, state, to: \.exact)
            }
            for (name, numbers) in numbers {
                let squares = Self.squares(run.numbers[name]?.exact ?? [], numbers.exact)
                if sample == 0 {
                    nearest[name] = squares
                } else {
                    sampled[name] = Self.sum(sampled[name], squares, weight: 1 / Double(count))
                }
            }
        }
        for name in numbers.keys {
            let width = name == "final_gram" ? operands.keyDim : operands.valueDim
            numbers[name]?.variance = Self.pooled(sampled[name] ?? [], nearest[name] ?? [], row: width)
        }
    }

    private static func squares(_ found: [Double], _ exact: [Double]) -> [Double] {
        zip(found, exact).map { ($0 - $1) * ($0 - $1) }
    }

    private static func sum(_ sums: [Double]?, _ squares: [Double], weight: Double) -> [Double] {
        guard let sums else { return squares.map { $0 * weight } }
        return zip(sums, squares).map { $0 + $1 * weight }
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
        guard let own = numbers[output] else { return LayerError(bound: 0, variance: 0) }
        return .promised(
            own.exact[i], bound: own.bound[i], variance: own.variance[i], accumulate: arithmetic.accumulate,
            stored: output == "o" ? [arithmetic.output, format] : [format])
    }

    private func fit(
        _ operands: KalmanOperands<Double>, _ h: Int, _ found: [String: Tensor<Double>],
        _ formats: [String: NumberFormat]
    ) -> ErrorFit {
        var fit = ErrorFit()
        for (name, numbers) in numbers {
            guard let tensor = found[name], let format = formats[name] else { continue }
            let size = tensor.shape[2...].reduce(1, *) / (name == "o" ? operands.heads : 1)
            for (i, exact) in numbers.exact.enumerated() {
                let value = tensor.elements[(i / size * operands.heads + h) * size + i % size]
                fit.add(value, exact, error(name, i, as: format))
            }
        }
        return fit
    }
}
