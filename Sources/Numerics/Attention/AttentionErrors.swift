//  How far a right kernel of softmax attention may be off: one query.
//
//  With w_j the exact weights (their sum is 1), an error Δs_j of a score makes w_j (1 + ρ_j), and
//
//      Δo = Σ w_j ρ_j (v_j - o) / (1 + Σ w ρ)
//
//  so that what is common to all scores (the maximum, the lean of an exponential) changes nothing.
//
//      |Δs_j| <= m_j = |scale| (γ_D + 2 u_products) Σ|q k_j| + 3 u |s_j| + δ_j / 2 + 2 u |s_j - max| + ε_exp
//      |Δo|   <= min(Σ w_j (e^m_j - 1) |v_j - o| / D, max |v_j - o|) + (u_weights + u_products) R + γ_M (R + |o'|)
//      σ²     =  Σ w_j² (e^(2 var) - 2 e^(var / 2) + 1) (v_j - o)² + (u_weights² + u_products²) / 6 Σ w_j² v_j²
//                + var of both sums + (λ Σ w_j (s_j - max) (v_j - o))²
//
//  ε_exp = (4 + 3 |s_j - max|) u. D = Σ w_j e^-m_j is the least that 1 + Σ w ρ can be, and whatever
//  the weights are, o stays among the values. R = min(Σ w_j e^m_j |v_j| / D, max |v_j|) is the sum
//  of magnitudes that the kernel's own weights may have. δ_j are the spacings of the format that
//  scores are stored in: at the product q · k_j, times the scale, and at s_j again once it is
//  scaled (not where the scale is a power of two). var is the variance of s_j and its exponential
//  together, and the line of σ² the mean square of e^Δs - 1 for a normal Δs. λ is what float32
//  rounds off log₂e, with one sign for all (docs/numerics.md, section 10). A sink is a key whose
//  value is 0.

import DualityCore
import DualityReference

/// Exact outputs, bounds and variances of one query.
package struct AttentionErrors {
    package private(set) var exact: [Double]
    package private(set) var bound: [Double]
    package private(set) var variance: [Double]
    /// Whether a number on the way is beyond the format that it is computed in.
    package private(set) var overflows = false

    /// log₂e rounded to float32, relatively.
    private static let lean = Double(Float(1.4426950408889634)) / 1.4426950408889634 - 1

    /// - Parameters:
    ///   - q: `[D]`.
    ///   - keys: `[D]` each of those the query sees.
    ///   - values: `[V]` each.
    ///   - sink: a logit that takes weight and has no value.
    package init(
        _ q: ArraySlice<Double>, _ keys: [ArraySlice<Double>], _ values: [ArraySlice<Double>], width: Int,
        scale: Double, sink: Double?, _ arithmetic: AttentionArithmetic
    ) {
        exact = [Double](repeating: 0, count: width)
        (bound, variance) = (exact, exact)
        guard !keys.isEmpty else { return }
        let scores = keys.map { key in AttentionScore(q, key, scale) }
        let largest = (scores.map(\.value) + (sink.map { [$0] } ?? [])).max() ?? 0
        let exponentials = scores.map { Double.exp($0.value - largest) }
        let sum = exponentials.compensatedSum() + (sink.map { Double.exp($0 - largest) } ?? 0)
        let weights = zip(scores, exponentials).map { score, exponential in
            AttentionWeight(
                exponential / sum, score.value - largest - Double.log(sum),
                score.errors(below: largest, q.count, scale, arithmetic))
        }
        for (w, row) in zip(weights, values) { for (j, v) in row.enumerated() { exact[j] += w.value * v } }
        let ofSink = sink.map { sink in
            AttentionWeight(
                Double.exp(sink - largest) / sum, sink - largest - Double.log(sum),
                AttentionScore(logit: sink).errors(below: largest, 0, 1, arithmetic))
        }
        let least = (weights + (ofSink.map { [$0] } ?? [])).reduce(0) { $0 + $1.least }
        overflows = Self.overflows(q: q, keys: keys, values: values, scale: scale, arithmetic: arithmetic)
        for j in 0..<width {
            var sums = ColumnSums(exact[j])
            for (i, row) in values.enumerated() {
                sums.add(weights[i], row[row.startIndex + j], below: largest - scores[i].value)
            }
            if let ofSink, let sink { sums.add(ofSink, 0, below: largest - sink) }
            bound[j] = sums.bound(arithmetic, least: least)
            variance[j] = sums.variance(arithmetic)
            if arithmetic.exponential == .fast { variance[j] += Self.lean * Self.lean * sums.lean * sums.lean }
        }
    }

    private static func overflows(
        q: ArraySlice<Double>, keys: [ArraySlice<Double>], values: [ArraySlice<Double>], scale: Double,
        arithmetic: AttentionArithmetic
    ) -> Bool {
        let narrowest = arithmetic.scores.holds(arithmetic.accumulate) ? arithmetic.accumulate : arithmetic.scores
        // Partial sums and what scaling leaves may be some times the sum of magnitudes of the exact
        // numbers.
        let limit = min(narrowest.largest, arithmetic.accumulate.largest) / 4
        let largest = values.reduce(0) { largest, row in row.reduce(largest) { max($0, $1.magnitude) } }
        guard largest * Double(values.count) < arithmetic.accumulate.largest / 4 else { return true }
        return keys.contains { key in
            let magnitude = zip(q, key).reduce(0) { $0 + ($1.0 * $1.1).magnitude }
            return !(magnitude * max(scale.magnitude, 1) < limit)
        }
    }
}

/// A weight and how far it may be off.
struct AttentionWeight {
    let value: Double
    /// w (e^m - 1).
    let excess: Double
    /// w e^-m.
    let least: Double
    let variance: Double

    /// - Parameters:
    ///   - logarithm: of the weight, where that itself is 0.
    init(_ value: Double, _ logarithm: Double, _ errors: (bound: Double, variance: Double)) {
        self.value = value
        excess =
            errors.bound < 1 ? value * Double.expMinusOne(errors.bound) : Double.exp(logarithm + errors.bound)
        least = value * Double.exp(-errors.bound)
        let square = Double.expMinusOne(2 * errors.variance) - 2 * Double.expMinusOne(errors.variance / 2)
        // No more than the square of its bound, also where that is infinite times 0.
        variance = value > 0 ? min(value * value * square, excess * excess) : excess * excess
    }
}

/// What one number of the output is the sum of.
private struct ColumnSums {
    private let inside: Double
    private var count = 0
    private var moved = 0.0
    private var reach = 0.0
    private var spread = 0.0
    private var largest = 0.0
    private var sizes = 0.0
    private var squares = 0.0
    private var terms = 0.0
    private var values = 0.0
    private(set) var lean = 0.0

    init(_ exact: Double) { inside = exact }

    mutating func add(_ weight: AttentionWeight, _ v: Double, below distance: Double) {
        let away = v - inside
        count += 1
        spread = max(spread, away.magnitude)
        largest = max(largest, v.magnitude)
        sizes += v.magnitude
        values += v * v
        if away != 0 {
            moved += weight.excess * away.magnitude
            squares += weight.variance * away * away
        }
        if v != 0 { reach += (weight.value + weight.excess) * v.magnitude }
        terms += weight.value * weight.value * v * v
        if weight.value > 0 { lean += weight.value * distance * away }
    }

    private static func storing(_ arithmetic: AttentionArithmetic, _ format: NumberFormat) -> Double {
        format.holds(arithmetic.accumulate) ? 0 : format.unitRoundoff
    }

    func bound(_ arithmetic: AttentionArithmetic, least: Double) -> Double {
        let units = Double(count + 4) * arithmetic.accumulate.unitRoundoff
        let growth = units / max(1 - units, 0.5)
        let ofWeights = Self.storing(arithmetic, arithmetic.weights)
        let narrow = ofWeights + Self.storing(arithmetic, arithmetic.products)
        let change = moved > 0 ? min(moved / least, spread) : 0
        let magnitude = reach > 0 ? min(reach / least, largest) : 0
        // A weight below the smallest number is 0.
        let tiny = arithmetic.accumulate.smallestNormal * (Double(count + 4) + sizes)
        let lost = ofWeights > 0 ? sizes * arithmetic.weights.smallestSubnormal : 0
        return change + narrow * magnitude + growth * (magnitude + min(inside.magnitude + change, magnitude)) + tiny
            + lost
    }

    func variance(_ arithmetic: AttentionArithmetic) -> Double {
        let unit = arithmetic.accumulate.unitRoundoff
        let (ofWeights, ofProducts) = (
            Self.storing(arithmetic, arithmetic.weights), Self.storing(arithmetic, arithmetic.products)
        )
        let adding = RunningSum.size(count, squares: terms, sum: inside) + inside.magnitude
        let lost = ofWeights > 0 ? arithmetic.weights.smallestSubnormal : 0
        let tiny = arithmetic.accumulate.smallestNormal
        // Matrix units that multiply narrow operands may cut their additions: twice as much.
        return min(squares, spread * spread) + (ofWeights * ofWeights + ofProducts * ofProducts) / 6 * terms
            + (ofWeights + ofProducts > 0 ? 4 : 1) * unit * unit * adding * adding + lost * lost / 12 * values
            + tiny * tiny * (values + 1)
    }
}

/// q · k and its errors.
struct AttentionScore {
    var value = 0.0
    var magnitude = 0.0
    var squares = 0.0

    init(logit: Double) { value = logit }

    init(_ q: ArraySlice<Double>, _ k: ArraySlice<Double>, _ scale: Double) {
        for (a, b) in zip(q, k) {
            let term = a * b
            value += term
            magnitude += term.magnitude
            squares += term * term
        }
        value *= scale
        magnitude *= scale.magnitude
        squares *= scale * scale
    }

    /// Of the exponent, that of its exponential with it.
    func errors(
        below largest: Double, _ count: Int, _ scale: Double, _ arithmetic: AttentionArithmetic
    ) -> (bound: Double, variance: Double) {
        let unit = arithmetic.accumulate.unitRoundoff
        let distance = largest - value
        let growth = Double(count + 2) * unit
        let products = arithmetic.products.holds(arithmetic.accumulate) ? 0 : arithmetic.products.unitRoundoff
        let summed = (growth + 2 * products) * magnitude + 3 * unit * value.magnitude
        let (stored, storedSquares) = storing(scale, arithmetic, reach: value.magnitude + summed)
        let fast = arithmetic.exponential == .fast ? 3.0 : 1
        let bound = summed + stored / 2 + 2 * unit * distance + (4 + fast * distance) * unit
        let sum = unit * (RunningSum.size(count, squares: squares, sum: value) + value.magnitude)
        let variance =
            sum * sum * (products > 0 ? 4 : 1) + products * products / 3 * squares + storedSquares / 12
            + unit * unit * (1 + distance * distance) / 2
        return (bound, variance)
    }

    /// The spacings of the format that scores are stored in, before and after they are scaled, and
    /// their squares.
    private func storing(
        _ scale: Double, _ arithmetic: AttentionArithmetic, reach: Double
    ) -> (sum: Double, squares: Double) {
        let format = arithmetic.scores
        guard !format.holds(arithmetic.accumulate), scale != 0 else { return (0, 0) }
        func spacings(_ size: Double) -> (product: Double, scaled: Double) {
            let isShift = scale.magnitude.significand == 1 && size >= format.smallestNormal
            return (scale.magnitude * format.spacing(at: size / scale), isShift ? 0 : format.spacing(at: size))
        }
        // At its largest for the bound; where it is for the variance.
        let (most, usual) = (spacings(reach), spacings(value.magnitude))
        return (most.product + most.scaled, usual.product * usual.product + usual.scaled * usual.scaled)
    }
}
