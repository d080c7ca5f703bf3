//  What a right backward pass of softmax attention is never further off than.
//
//  A kernel makes its weights anew of a stored lse, or keeps them. With m_j what a score errs by
//  (AttentionErrors.swift), an lse errs by no more than the largest of its scores and its own
//  roundings, so that with M_j = m_j + max m + γ_n + 2 u |lse|:
//
//      |Δw_j|  <= w_j (e^M_j - 1)                              |Δ∂w_j| <= (γ_V + 2 u_products) Σ|∂o v_j| + u_scores |∂w_j|
//      |ΔD|    <= max(Σ_c |∂o_c| |Δo_c| + γ_V Σ|∂o o|,  Σ_j |Δw_j| (|∂w_j| + |Δ∂w_j|) + w_j |Δ∂w_j| + γ_n Σ w |∂w|)
//      |Δ∂s_j| <= |Δw_j| |∂w_j - D| + (w_j + |Δw_j|) (|Δ∂w_j| + |ΔD| + 3 u (|∂w_j| + |D|)), stored in weights and scores
//      |Δ∂q|   <= |scale| Σ_j |Δ∂s_j| |k_j| + (γ_n + 2 u_products) (|∂s_j| + |Δ∂s_j|) |k_j|
//
//  ∂k and ∂v likewise over queries, which may be added in any order and, of several heads, as
//  stored numbers; ∂sink = -Σ w_sink D. D is that of the output as it was stored, o's own bound and
//  half a spacing, or the sum of kept weights; the larger of both counts. No term is dropped but
//  the second order of roundings of sums.

import DualityCore
import DualityReference

/// Bounds of the gradients of heads that share one head of keys.
package struct AttentionAdjointBound {
    private let operands: AttentionOperands<Double>
    private let arithmetic: AttentionArithmetic
    private let unit: Double
    private let products: Double
    private let tiny: Double
    package private(set) var gradients: AttentionGradients<Double>

    /// What is added up over queries, its magnitudes and the bounds of its terms.
    private struct Sums {
        var value: [Double]
        var size: [Double]
        var error: [Double]

        init(_ count: Int) {
            value = [Double](repeating: 0, count: count)
            (size, error) = (value, value)
        }

        @inline(__always)
        mutating func add(_ term: Double, error: Double, at place: Int) {
            value[place] += term
            size[place] += term.magnitude
            self.error[place] += error
        }
    }

    /// - Parameter pull: ∂ℒ/∂o, `[B, L, H, V]`.
    /// - Complexity: O(B L M H (D + V)).
    package init(_ operands: AttentionOperands<Double>, _ arithmetic: AttentionArithmetic, pull: Tensor<Double>) {
        (self.operands, self.arithmetic) = (operands, arithmetic)
        unit = arithmetic.accumulate.unitRoundoff
        products = 2 * Self.storing(arithmetic, arithmetic.products)
        tiny =
            arithmetic.accumulate.smallestNormal * Double(operands.keyDim + operands.valueDim + operands.keyCount + 8)
        gradients = AttentionGradients(zeroLike: operands)
        let isShared = operands.heads > operands.keyHeads
        for h in 0..<operands.heads {
            var (keys, values, sinks) = (Sums(operands.k.count), Sums(operands.v.count), Sums(1))
            for b in 0..<operands.batch {
                for t in 0..<operands.length {
                    add(b, t, h, pull: pull.elements, keys: &keys, values: &values, sinks: &sinks)
                }
            }
            let stored = isShared ? Self.storing(arithmetic, arithmetic.output) : 0
            let adding = growth(operands.length) + (isShared ? Double(operands.heads) * unit : 0)
            func finish(_ sums: Sums, _ i: Int) -> Double {
                let error = sums.error[i] + (adding + products) * sums.size[i] + tiny
                return error + stored * (sums.value[i].magnitude + error)
            }
            for i in gradients.k.elements.indices { gradients.k.elements[i] += finish(keys, i) }
            for i in gradients.v.elements.indices { gradients.v.elements[i] += finish(values, i) }
            let ofSink = sinks.error[0] + growth(operands.length * operands.batch) * sinks.size[0] + tiny
            gradients.sinks?.elements[h] = ofSink
        }
    }

    private static func storing(_ arithmetic: AttentionArithmetic, _ format: NumberFormat) -> Double {
        format.holds(arithmetic.accumulate) ? 0 : format.unitRoundoff
    }

    /// γ_n, a little more.
    private func growth(_ count: Int) -> Double {
        let units = (Double(count) + 4) * unit
        return units < 0.5 ? units / (1 - units) : .infinity
    }

    /// One query: what it sees, and how far its parts may be off.
    private struct Row {
        var (weights, ofWeights) = ([Double](), [Double]())
        /// ∂w and ∂s.
        var (pulls, ofPulls, scores, ofScores) = ([Double](), [Double](), [Double](), [Double]())
        var (correction, ofCorrection, sink, ofSink) = (0.0, 0.0, 0.0, 0.0)
        var overflows = false
    }

    private mutating func add(
        _ b: Int, _ t: Int, _ h: Int, pull: [Double], keys: inout Sums, values: inout Sums, sinks: inout Sums
    ) {
        let (width, valueDim, scale) = (operands.keyDim, operands.valueDim, operands.scale)
        let seen = (0..<operands.keyCount).filter { operands.sees(t, $0) }
        guard !seen.isEmpty else { return }
        let (query, out) = (operands.queryRow(b, t, h) * width, operands.queryRow(b, t, h) * valueDim)
        let row = row(b, h, query: query, seen: seen, pull: pull[out..<out + valueDim])
        sinks.add(
            row.sink * row.correction,
            error: row.ofSink * (row.correction.magnitude + row.ofCorrection) + row.sink * row.ofCorrection, at: 0)
        let summing = growth(seen.count) + products
        for (i, s) in seen.enumerated() {
            let (key, value) = (operands.keyRow(b, s, h) * width, operands.keyRow(b, s, h) * valueDim)
            let (ofScore, error) = (scale * row.scores[i], scale.magnitude * row.ofScores[i])
            for m in 0..<width {
                let (k, q) = (operands.k.elements[key + m], operands.q.elements[query + m])
                let size = ofScore.magnitude + error
                gradients.q.elements[query + m] +=
                    row.overflows ? .infinity : (error + (summing + 2 * unit) * size) * k.magnitude
                keys.add(
                    ofScore * q,
                    error: row.overflows ? .infinity : (error + (products + 2 * unit) * size) * q.magnitude,
                    at: key + m)
            }
            let stored = Self.storing(arithmetic, arithmetic.weights)
            let ofWeight = row.ofWeights[i] + stored * (row.weights[i] + row.ofWeights[i]) + subnormal
            for c in 0..<valueDim {
                values.add(
                    row.weights[i] * pull[out + c],
                    error: row.overflows ? .infinity : (ofWeight + products * row.weights[i]) * pull[out + c].magnitude,
                    at: value + c)
            }
        }
        for m in 0..<width { gradients.q.elements[query + m] += tiny }
    }

    /// What a weight loses that is below the smallest number of its format.
    private var subnormal: Double {
        arithmetic.weights.holds(arithmetic.accumulate)
            ? arithmetic.accumulate.smallestNormal : arithmetic.weights.smallestSubnormal
    }

    private func row(_ b: Int, _ h: Int, query: Int, seen: [Int], pull: ArraySlice<Double>) -> Row {
        let (width, valueDim) = (operands.keyDim, operands.valueDim)
        let ownQuery = operands.q.elements[query..<query + width]
        let keys = seen.map { s in
            let key = operands.keyRow(b, s, h) * width
            return operands.k.elements[key..<key + width]
        }
        let values = seen.map { s in
            let value = operands.keyRow(b, s, h) * valueDim
            return operands.v.elements[value..<value + valueDim]
        }
        let sink = operands.sinks?.elements[h]
        let output = AttentionErrors(
            ownQuery, keys, values, width: valueDim, scale: operands.scale, sink: sink, arithmetic)
        var row = Row()
        addWeights(&row, ownQuery, keys, sink)
        let narrow = Self.storing(arithmetic, arithmetic.scores)
        let stored = Self.storing(arithmetic, arithmetic.weights)
        var (correction, kept, size, largest) = (0.0, 0.0, 0.0, 0.0)
        for (i, v) in values.enumerated() {
            var (sum, magnitude) = (0.0, 0.0)
            for (y, x) in zip(pull, v) {
                sum += y * x
                magnitude += (y * x).magnitude
            }
            let error = (growth(valueDim) + products) * magnitude * (1 + narrow) + narrow * sum.magnitude + tiny
            row.pulls.append(sum)
            row.ofPulls.append(error)
            let (w, ofWeight) = (row.weights[i], row.ofWeights[i])
            correction += w * sum
            kept += (ofWeight + stored * (w + ofWeight)) * (sum.magnitude + error) + w * error
            size += w * sum.magnitude
            largest = max(largest, magnitude)
        }
        kept += growth(seen.count) * size
        var made = tiny
        let half = Self.storing(arithmetic, arithmetic.output)
        for (c, y) in pull.enumerated() {
            let ofOutput = output.bound[c] + half * (output.exact[c].magnitude + output.bound[c])
            made += y.magnitude * (ofOutput + growth(valueDim) * (output.exact[c].magnitude + ofOutput))
        }
        (row.correction, row.ofCorrection) = (correction, max(made, kept))
        row.overflows = output.overflows || !(largest < arithmetic.accumulate.largest / 4)
        for i in seen.indices {
            let (w, ofWeight, difference) = (row.weights[i], row.ofWeights[i], row.pulls[i] - correction)
            let ofDifference =
                row.ofPulls[i] + row.ofCorrection + 3 * unit * (row.pulls[i].magnitude + correction.magnitude)
            var error = ofWeight * difference.magnitude + (w + ofWeight) * ofDifference + tiny
            error += (stored + 2 * narrow + unit) * (w * difference.magnitude + error)
            row.scores.append(w * difference)
            row.ofScores.append(error + (stored > 0 ? arithmetic.weights.smallestSubnormal : 0))
        }
        return row
    }

    /// Weights made anew of a stored lse.
    private func addWeights(
        _ row: inout Row, _ query: ArraySlice<Double>, _ keys: [ArraySlice<Double>], _ sink: Double?
    ) {
        let scores = keys.map { AttentionScore(query, $0, operands.scale) }
        let largest = (scores.map(\.value) + (sink.map { [$0] } ?? [])).max() ?? 0
        let sum =
            scores.map { Double.exp($0.value - largest) }.compensatedSum()
            + (sink.map { Double.exp($0 - largest) } ?? 0)
        let logarithm = largest + Double.log(sum)
        var errors = scores.map {
            $0.errors(below: max(logarithm, $0.value), width: query.count, operands.scale, arithmetic)
        }
        if let sink {
            errors.append(AttentionScore(logit: sink).errors(below: max(logarithm, sink), width: 0, 1, arithmetic))
        }
        // Of the logarithm itself: where all scores are large it is rounded as they are.
        let common = (errors.max() ?? 0) + growth(keys.count + 1) + 4 * unit + 2 * unit * logarithm.magnitude
        func weight(_ score: Double, _ error: Double) -> AttentionWeight {
            AttentionWeight(Double.exp(score - logarithm), score - logarithm, (error + common, 0))
        }
        for (score, error) in zip(scores, errors) {
            let weight = weight(score.value, error)
            row.weights.append(weight.value)
            row.ofWeights.append(weight.excess + arithmetic.accumulate.smallestNormal)
        }
        if let sink {
            let weight = weight(sink, errors[errors.count - 1])
            (row.sink, row.ofSink) = (weight.value, weight.excess + arithmetic.accumulate.smallestNormal)
        }
    }
}

extension AttentionScore {
    /// The bound of an exponent and its exponential.
    fileprivate func errors(
        below largest: Double, width: Int, _ scale: Double, _ arithmetic: AttentionArithmetic
    ) -> Double { errors(below: largest, width, scale, arithmetic).bound }
}
