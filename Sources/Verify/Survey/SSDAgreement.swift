//  How far each form in each precision is from the oracle, on given operands.
//
//      error = max over cases, rows and heads of ||ŷ_h - y_h|| / ||y_h||          (and the same of the final state)
//
//  and, of single numbers in float32, error / bound and error / sigma (ErrorBound.swift,
//  RoundingSigma.swift).
//
//  The oracle is the recurrent form in float64. The operands are rounded to float32 once and then
//  given to both precisions, so that a difference is the doing of the arithmetic alone. Heads are
//  taken one by one, because the error of a faint head would not show beside a loud one.

import DualityCore
import DualityNumerics
import DualityReference

/// One row of the comparison: a form in a precision, at its worst.
package struct SSDAgreement: Sendable {
    /// Where the largest error was met.
    package struct Worst: Sendable {
        /// ||difference|| / ||oracle|| of one head of one case.
        package var error = 0.0
        /// The case's name.
        package var place = ""
        /// SSM head.
        package var head = 0
    }

    /// How the operator was evaluated.
    package let form: SSDForm
    /// `f64` or `f32`.
    package let precision: String
    /// The largest error of a head of y.
    package internal(set) var y = Worst()
    /// The largest error of a head of the final states.
    package internal(set) var finalState = Worst()
    /// Largest error of any number over its proved bound; nil in float64, where the forms are a few
    /// roundings apart.
    package internal(set) var overBound: Worst?
    /// Largest error of any number over the standard deviation that roundings give it.
    package internal(set) var overSigma: Worst?
    /// What the errors may be.
    package let limit: Double

    /// What error / sigma may be: beyond it nothing random explains the difference.
    package static let largestSigma = 8.0

    /// The larger of the two errors.
    package var worst: Worst { y.error >= finalState.error ? y : finalState }
    /// Whether both errors are within the limit, and single numbers within bound and sigma.
    package var passes: Bool {
        worst.error <= limit && overBound?.error ?? 0 <= 1 && overSigma?.error ?? 0 <= Self.largestSigma
    }

    /// Forms worth comparing: chunks far below, around and far above the head dimension. The
    /// convolution form is left out, because the steps of a model's layer change with the token.
    package static let forms: [SSDForm] = [
        .recurrent, .chunked(size: 16), .chunked(size: 64), .chunked(size: 256), .quadratic,
        .associative(tree: .balanced, leaf: 16),
    ]

    /// Runs every form in both precisions on every case.
    ///
    /// - Parameters:
    ///   - cases: named operands.
    ///   - turn: nil to hold every head against its bound and sigma; else one head of each case for
    ///     each form, head `turn` for the first form and so on in a circle. The errors themselves
    ///     are of all heads either way.
    ///   - progress: is told the name of each case before it is run.
    /// - Returns: float64 first, in the order of `forms`, then float32.
    /// - Throws: `InputError` when operands do not fit float32.
    package static func measure(
        on cases: [(name: String, inputs: SSDInputs<Double>)], forms: [SSDForm] = forms, turn: Int? = nil,
        progress: ((String) -> Void)? = nil
    ) throws(InputError) -> [SSDAgreement] {
        // float64 forms differ in the order of their sums alone, float32 ones in that and in their
        // rounding of each decay.
        var double = forms.map { SSDAgreement(form: $0, precision: Double.name, limit: 1e-12) }
        var single = forms.map { SSDAgreement(form: $0, precision: Float.name, limit: 2e-6) }
        for (name, inputs) in cases {
            progress?(name)
            let narrow: SSDInputs<Float> = try inputs.converted()
            let exact: SSDInputs<Double> = try narrow.converted()
            let oracle = try SSDForm.recurrent.evaluate(exact)
            for i in forms.indices {
                double[i].take(try forms[i].evaluate(exact), against: oracle, of: name)
                let found = try forms[i].evaluate(narrow)
                single[i].take(found, against: oracle, of: name)
                let kernel = KernelArithmetic(.f32, form: forms[i])
                let head = turn.map { ($0 + i) % exact.heads }
                let sized = try head.map { head throws(InputError) in try exact.heads(head..<head + 1) } ?? exact
                let (bound, sigma) = (try kernel.errorBound(for: sized), try kernel.roundingSigma(for: sized))
                single[i].overBound = worse(single[i].overBound, found, oracle, bound, from: head ?? 0, of: name)
                single[i].overSigma = worse(single[i].overSigma, found, oracle, sigma, from: head ?? 0, of: name)
            }
        }
        return double + single
    }

    /// What was found on several lists of cases, with the same forms, in one.
    package static func merged(_ parts: [[SSDAgreement]]) -> [SSDAgreement] {
        guard var rows = parts.first else { return [] }
        for part in parts.dropFirst() {
            for i in rows.indices {
                rows[i].y = rows[i].y.worse(part[i].y)
                rows[i].finalState = rows[i].finalState.worse(part[i].finalState)
                rows[i].overBound = part[i].overBound.map { rows[i].overBound?.worse($0) ?? $0 }
                rows[i].overSigma = part[i].overSigma.map { rows[i].overSigma?.worse($0) ?? $0 }
            }
        }
        return rows
    }

    /// The larger of a ratio so far and the ratios of these outputs, whose sizes are of some heads
    /// from `first` on.
    private static func worse(
        _ before: Worst?, _ found: SSDOutputs<Float>, _ oracle: SSDOutputs<Double>, _ sizes: SSDErrorSizes,
        from first: Int, of name: String
    ) -> Worst {
        var worst = before ?? Worst()
        func take(_ found: Tensor<Float>, _ oracle: Tensor<Double>, _ sizes: Tensor<Double>, headAxis: Int) {
            let width = oracle.shape[(headAxis + 1)...].reduce(1, *)
            let (heads, sized) = (oracle.shape[headAxis], sizes.shape[headAxis])
            for (j, size) in sizes.elements.enumerated() {
                let (row, head) = (j / width / sized, first + j / width % sized)
                let i = (row * heads + head) * width + j % width
                let error = (Double(found.elements[i]) - oracle.elements[i]).magnitude
                let ratio = error == 0 ? 0 : error / size
                if !(ratio <= worst.error) {
                    worst = Worst(error: ratio.isNaN ? .infinity : ratio, place: name, head: head)
                }
            }
        }
        take(found.y, oracle.y, sizes.y, headAxis: 2)
        take(found.finalState, oracle.finalState, sizes.finalState, headAxis: 1)
        return worst
    }

    private mutating func take<Scalar: RealNumber>(
        _ outputs: SSDOutputs<Scalar>, against oracle: SSDOutputs<Double>, of name: String
    ) {
        y.take(errorsByHead(outputs.y, oracle.y, headAxis: 2), of: name)
        finalState.take(errorsByHead(outputs.finalState, oracle.finalState, headAxis: 1), of: name)
    }
}

extension SSDAgreement.Worst {
    fileprivate func worse(_ other: Self) -> Self { other.error > error ? other : self }

    mutating func take(_ errors: [Double], of name: String) {
        for (head, found) in errors.enumerated() where !(found <= error) {  // a NaN is the worst there is
            self = SSDAgreement.Worst(error: found.isNaN ? .infinity : found, place: name, head: head)
        }
    }
}

/// ||a - b|| / ||b|| of each head; the plain ||a|| where b is zero.
func errorsByHead<Scalar: RealNumber>(_ a: Tensor<Scalar>, _ b: Tensor<Double>, headAxis: Int) -> [Double] {
    let heads = b.shape[headAxis]
    let width = b.shape[(headAxis + 1)...].reduce(1, *)
    var difference = [Double](repeating: 0, count: heads)
    var norm = [Double](repeating: 0, count: heads)
    for i in b.elements.indices {
        let head = i / width % heads
        let distance = a.elements[i].double - b.elements[i]
        difference[head] += distance * distance
        norm[head] += b.elements[i] * b.elements[i]
    }
    return zip(difference, norm).map { $1 == 0 ? $0.squareRoot() : ($0 / $1).squareRoot() }
}
