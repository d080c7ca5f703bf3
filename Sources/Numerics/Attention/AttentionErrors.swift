//  How far a right kernel of softmax attention may be off: one query.
//
//  With w_j the exact weights (their sum is 1), an error Δs_j of a score makes w_j (1 + ρ_j), and
//
//      Δo = Σ w_j ρ_j (v_j - o) / (1 + Σ w ρ)
//
//  so that what is common to all scores (the maximum, the lean of an exponential) changes nothing.
//
//      |Δs_j| <= scale (γ_D + 2 u_products) Σ|q k_j| + (2 u + u_scores) |s_j| + 2 u |s_j - max|
//      |ρ_j|  <= e^(|Δs_j| + ε_exp) - 1,            ε_exp = (4 + 3 |s_j - max|) u
//      |Δo|   <= Σ w_j |ρ_j| |v_j - o| / (1 - max ρ) + (u_weights + u_products + γ_M) Σ w_j |v_j|
//      σ²     =  Σ w_j² (var(s_j) + u² (1 + (s_j - max)²) / 3) (v_j - o)² + u_weights² / 6 Σ w_j² v_j²
//                + var of the sum + (1.3 10⁻⁸ Σ w_j (s_j - max)(v_j - o))²
//
//  The last term is the rounding of log₂e, with one sign for all (docs/numerics.md, section 10).

import DualityCore
import DualityReference

/// Exact outputs, bounds and variances of one query.
package struct AttentionErrors {
    package private(set) var exact: [Double]
    package private(set) var bound: [Double]
    package private(set) var variance: [Double]

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
        let scores = keys.map { key in Score(q, key, scale) }
        let all = scores.map(\.value) + (sink.map { [$0] } ?? [])
        let largest = all.max() ?? 0
        let exponentials = scores.map { Double.exp($0.value - largest) }
        let sum = exponentials.compensatedSum() + (sink.map { Double.exp($0 - largest) } ?? 0)
        let weights = exponentials.map { $0 / sum }
        for (w, row) in zip(weights, values) { for (j, v) in row.enumerated() { exact[j] += w * v } }
        let errors = zip(scores, weights).map { score, _ in
            score.errors(below: largest, count: q.count, scale, arithmetic)
        }
        let unit = arithmetic.accumulate.unitRoundoff
        func storing(_ format: NumberFormat) -> Double {
            format.holds(arithmetic.accumulate) ? 0 : format.unitRoundoff
        }
        let growth = Double(keys.count + 4) * unit / max(1 - Double(keys.count + 4) * unit, 0.5)
        let (ofWeights, ofProducts) = (storing(arithmetic.weights), storing(arithmetic.products))
        let worst = 1 - min(errors.map(\.bound).max() ?? 0, 0.99)
        let isCut = ofWeights > 0 || ofProducts > 0
        for j in 0..<width {
            var (moved, magnitude, squares, terms, lean) = (0.0, 0.0, 0.0, 0.0, 0.0)
            for (i, row) in values.enumerated() {
                let v = row[row.startIndex + j]
                let (w, away) = (weights[i], (v - exact[j]))
                moved += w * errors[i].bound * away.magnitude
                magnitude += w * v.magnitude
                squares += w * w * errors[i].variance * away * away
                terms += w * w * v * v
                lean += w * (scores[i].value - largest) * away
            }
            let inside = exact[j].magnitude
            bound[j] = moved / worst + (ofWeights + ofProducts + growth) * magnitude
            // A sink takes part in the sum alone: its error moves o as a whole.
            if sink != nil { bound[j] += inside * (errors.map(\.bound).max() ?? 0) / worst }
            let adding =
                Double(keys.count).squareRoot() * (0.3 * terms.squareRoot() + 0.24 * inside) + inside
            variance[j] =
                squares + (ofWeights * ofWeights + ofProducts * ofProducts) / 6 * terms
                + (isCut ? 4 : 1) * unit * unit * adding * adding
            if arithmetic.exponential == .fast { variance[j] += 1.7e-16 * lean * lean }
            bound[j] += arithmetic.accumulate.smallestNormal * Double(keys.count + 4)
        }
    }
}

/// q · k and its errors.
private struct Score {
    var value = 0.0
    var magnitude = 0.0
    var squares = 0.0

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

    func errors(
        below largest: Double, count: Int, _ scale: Double, _ arithmetic: AttentionArithmetic
    ) -> (bound: Double, variance: Double) {
        let unit = arithmetic.accumulate.unitRoundoff
        let distance = largest - value
        let growth = Double(count + 2) * unit
        let products = arithmetic.products.holds(arithmetic.accumulate) ? 0 : arithmetic.products.unitRoundoff
        let stored = arithmetic.scores.holds(arithmetic.accumulate) ? 0 : arithmetic.scores.spacing(at: value)
        let fast = arithmetic.exponential == .fast ? 3.0 : 1
        let moved =
            (growth + 2 * products) * magnitude + 3 * unit * value.magnitude + stored / 2 + 2 * unit * distance
            + (4 + fast * distance) * unit
        let size = Double(count).squareRoot() * (0.3 * squares.squareRoot() + 0.24 * value.magnitude)
        let sum = unit * (size + value.magnitude)
        let variance =
            sum * sum * (products > 0 ? 4 : 1) + products * products / 3 * squares + stored * stored / 12
            + unit * unit * (1 + distance * distance) / 2
        return (moved < 50 ? Double.expMinusOne(moved) : .infinity, variance)
    }
}
