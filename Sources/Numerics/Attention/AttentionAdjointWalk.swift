//  A backward pass of softmax attention, imitated: every rounding in its place, to the nearest or
//  at random. fl_w and fl_s round to the formats of weights and of scores of
//  AttentionArithmetic.swift.
//
//      s = fl_s(scale fl_s(fl_p(q) · fl_p(k)))    lse = m + ln Σ e^(s - m)      w = e^(s - lse)
//      o = fl_out(Σ fl_w(w) fl_p(v))          D = ∂o · o                    ∂v += fl_w(w) ∂o
//      ∂w = fl_s(∂o · fl_p(v))                ∂s = fl_s(scale fl_w(w (∂w - D)))
//      ∂q = Σ ∂s k                            ∂k += ∂s q
//
//  Weights are made anew of the stored lse, so that its rounding is in all weights of a row, and D
//  is that of the stored output, as in FlashAttention-2 (arXiv 2307.08691, algorithm 2). A kernel
//  that keeps its weights errs by less. Heads that share keys store their gradients before they are
//  added.

import DualityCore
import DualityReference

/// One run of an imitated backward pass over heads that share one head of keys.
package struct AttentionAdjointWalk {
    private let operands: AttentionOperands<Double>
    private let arithmetic: AttentionArithmetic
    private var rounding: StageRounding
    private let isCut: Bool

    /// What is added up over queries: sums and the sums of squares of their terms.
    private struct Sums {
        var total: [Double]
        var squares: [Double]

        init(_ count: Int) {
            total = [Double](repeating: 0, count: count)
            squares = total
        }

        mutating func add(_ term: Double, at place: Int) {
            total[place] += term
            squares[place] += term * term
        }
    }

    /// - Parameter seed: of random roundings; nil for roundings to the nearest.
    package init(_ operands: AttentionOperands<Double>, _ arithmetic: AttentionArithmetic, seed: UInt64?) {
        (self.operands, self.arithmetic) = (operands, arithmetic)
        rounding = StageRounding(
            seed: seed, accumulate: arithmetic.accumulate, exponential: arithmetic.exponential)
        isCut = !arithmetic.products.holds(arithmetic.accumulate) || !arithmetic.weights.holds(arithmetic.accumulate)
    }

    /// The gradients before they are stored.
    ///
    /// - Parameter pull: ∂ℒ/∂o, `[B, L, H, V]`.
    package mutating func run(_ pull: Tensor<Double>) -> AttentionGradients<Double> {
        var result = AttentionGradients(zeroLike: operands)
        let isShared = operands.heads > operands.keyHeads
        var narrowed = operands
        for path in [\AttentionOperands<Double>.q, \.k, \.v] {
            for i in narrowed[keyPath: path].elements.indices {
                narrowed[keyPath: path].elements[i] = product(narrowed[keyPath: path].elements[i])
            }
        }
        for h in 0..<operands.heads {
            var (keys, values, sinks) = (Sums(operands.k.count), Sums(operands.v.count), Sums(1))
            var (queries, count) = (0, 0)
            for b in 0..<operands.batch {
                for t in 0..<operands.length {
                    let seen = row(
                        b, t, h, narrowed: narrowed, pull: pull.elements, ofQueries: &result.q.elements, ofKeys: &keys,
                        ofValues: &values, ofSinks: &sinks)
                    (queries, count) = (queries + 1, max(count, seen))
                }
            }
            guard count > 0 else { continue }
            func finished(_ sums: Sums, _ walk: inout Self) -> [Double] {
                zip(sums.total, sums.squares).map { total, squares in
                    let sum = walk.rounding.sum(
                        total, squares: squares, count: max(queries / max(walk.operands.batch, 1), 1), isCut: walk.isCut
                    )
                    return isShared ? walk.rounding.store(sum, as: walk.arithmetic.output) : sum
                }
            }
            let (ofKeys, ofValues) = (finished(keys, &self), finished(values, &self))
            for (i, x) in ofKeys.enumerated() { result.k.elements[i] += x }
            for (i, x) in ofValues.enumerated() { result.v.elements[i] += x }
            result.sinks?.elements[h] = rounding.sum(
                sinks.total[0], squares: sinks.squares[0], count: queries, isCut: false)
        }
        return result
    }

    private mutating func product(_ x: Double) -> Double { rounding.store(x, as: arithmetic.products) }

    private mutating func dot(_ a: ArraySlice<Double>, _ b: ArraySlice<Double>) -> Double {
        var (sum, squares) = (0.0, 0.0)
        for (x, y) in zip(a, b) {
            sum += x * y
            squares += x * y * x * y
        }
        return rounding.sum(sum, squares: squares, count: a.count, isCut: isCut)
    }

    /// One query; returns how many keys it sees.
    private mutating func row(
        _ b: Int, _ t: Int, _ h: Int, narrowed: AttentionOperands<Double>, pull: [Double],
        ofQueries: inout [Double], ofKeys: inout Sums, ofValues: inout Sums, ofSinks: inout Sums
    ) -> Int {
        let (width, valueDim, scale) = (operands.keyDim, operands.valueDim, operands.scale)
        let seen = (0..<operands.keyCount).filter { operands.sees(t, $0) }
        guard !seen.isEmpty else { return 0 }
        let (query, out) = (operands.queryRow(b, t, h) * width, operands.queryRow(b, t, h) * valueDim)
        let ownPull = pull[out..<out + valueDim]
        let scores = scores(b, h, query: query, seen: seen, narrowed: narrowed)
        let (weights, sink) = weights(scores, operands.sinks?.elements[h])
        var answer = [Double](repeating: 0, count: valueDim)
        var squares = answer
        var ofWeights: [Double] = []
        for (i, s) in seen.enumerated() {
            let value = operands.keyRow(b, s, h) * valueDim
            let w = rounding.store(weights[i], as: arithmetic.weights)
            for j in 0..<valueDim {
                let term = w * narrowed.v.elements[value + j]
                answer[j] += term
                squares[j] += term * term
                ofValues.add(w * pull[out + j], at: value + j)
            }
            ofWeights.append(
                rounding.store(dot(ownPull, narrowed.v.elements[value..<value + valueDim]), as: arithmetic.scores))
        }
        for j in 0..<valueDim {
            let sum = rounding.sum(answer[j], squares: squares[j], count: seen.count, isCut: isCut)
            answer[j] = rounding.store(sum, as: arithmetic.output)
        }
        let correction = dot(ownPull, answer[...])
        ofSinks.add(-sink * correction, at: 0)
        var sums = Sums(width)
        for (i, s) in seen.enumerated() {
            let key = operands.keyRow(b, s, h) * width
            let difference = rounding.operation(
                ofWeights[i] - correction, ofWeights[i].magnitude + correction.magnitude)
            let ofScore =
                scale
                * rounding.store(
                    rounding.operation(weights[i] * difference, (weights[i] * difference).magnitude),
                    as: arithmetic.weights)
            let scaled = rounding.store(ofScore, as: arithmetic.scores)
            for m in 0..<width {
                sums.add(scaled * narrowed.k.elements[key + m], at: m)
                ofKeys.add(scaled * narrowed.q.elements[query + m], at: key + m)
            }
        }
        for m in 0..<width {
            let sum = rounding.sum(sums.total[m], squares: sums.squares[m], count: seen.count, isCut: isCut)
            ofQueries[query + m] = rounding.operation(sum, sum.magnitude)
        }
        return seen.count
    }

    /// Those of the keys that the query in this place sees.
    private mutating func scores(
        _ b: Int, _ h: Int, query: Int, seen: [Int], narrowed: AttentionOperands<Double>
    ) -> [Double] {
        let width = operands.keyDim
        return seen.map { s in
            let key = operands.keyRow(b, s, h) * width
            let product = dot(
                narrowed.q.elements[query..<query + width], narrowed.k.elements[key..<key + width])
            let score = operands.scale * rounding.store(product, as: arithmetic.scores)
            return rounding.store(rounding.operation(score, 2 * score.magnitude), as: arithmetic.scores)
        }
    }

    /// e^(s - lse) of all keys, and of the sink.
    private mutating func weights(_ scores: [Double], _ sink: Double?) -> (weights: [Double], sink: Double) {
        let largest = max(scores.max() ?? 0, sink ?? -.infinity)
        var (sum, squares) = (0.0, 0.0)
        for score in scores + (sink.map { [$0] } ?? []) {
            let e = rounding.exp(score - largest)
            sum += e
            squares += e * e
        }
        sum = rounding.sum(sum, squares: squares, count: scores.count, isCut: false)
        let exact = largest + Double.log(sum)
        let logarithm = rounding.operation(exact, 2 * exact.magnitude)
        var weights: [Double] = []
        for score in scores {
            weights.append(rounding.exp(rounding.operation(score - logarithm, (score - logarithm).magnitude)))
        }
        return (weights, sink.map { rounding.exp($0 - logarithm) } ?? 0)
    }
}
