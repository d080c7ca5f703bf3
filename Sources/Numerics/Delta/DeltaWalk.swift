//  A kernel of the gated delta rule, imitated: one head, every rounding of DeltaArithmetic.swift in
//  its place, to the nearest or at random.

import DualityCore
import DualityReference

/// One run of an imitated kernel over a head.
package struct DeltaWalk {
    /// q and k as the kernel has them.
    package private(set) var head: DeltaHead<Double>
    private let arithmetic: DeltaArithmetic
    private var rounding: StageRounding
    private let isCut: Bool

    /// - Parameters:
    ///   - head: normalised exactly.
    ///   - normalizes: whether the kernel did that.
    ///   - seed: of random roundings; nil for roundings to the nearest.
    package init(_ head: DeltaHead<Double>, _ arithmetic: DeltaArithmetic, normalizes: Bool, seed: UInt64?) {
        self.head = head
        self.arithmetic = arithmetic
        rounding = StageRounding(
            seed: seed, accumulate: arithmetic.accumulate, exponential: arithmetic.exponential)
        isCut = !arithmetic.products.holds(arithmetic.accumulate)
        prepare(normalizes)
    }

    /// q and k as the kernel has them.
    private mutating func prepare(_ normalizes: Bool) {
        let width = head.keyDim
        for t in 0..<head.beta.count {
            var (ofQ, ofK) = (1.0, 1.0)
            if normalizes {
                let units = arithmetic.norms.holds(arithmetic.accumulate) ? 2.0 : 3.5
                ofQ = rounding.perturbed(1, units: units, of: arithmetic.norms)
                ofK = rounding.perturbed(1, units: units, of: arithmetic.norms)
            }
            for i in t * width..<(t + 1) * width {
                if normalizes {
                    head.k[i] = rounding.store(
                        rounding.operation(ofK * head.k[i], head.k[i].magnitude), as: arithmetic.normalized)
                    head.q[i] = rounding.store(ofQ * head.q[i], as: arithmetic.normalized)
                }
                head.q[i] = rounding.operation(head.q[i], head.q[i].magnitude)
            }
        }
    }

    /// Outputs of a sequence before they are stored, `[tokens, V]`, and the state after it.
    package mutating func run(_ tokens: Range<Int>, state entering: [Double]) -> (o: [Double], state: [Double]) {
        var state = entering
        var out = [Double](repeating: 0, count: tokens.count * head.valueDim)
        switch arithmetic.form {
        case .recurrent:
            for (i, t) in tokens.enumerated() { step(t, &state, &out, i) }
        case .chunked(let size):
            for first in stride(from: tokens.lowerBound, to: tokens.upperBound, by: size) {
                chunk(first..<min(first + size, tokens.upperBound), &state, &out, first - tokens.lowerBound)
            }
        }
        return (out, state)
    }

    private mutating func step(_ t: Int, _ state: inout [Double], _ out: inout [Double], _ row: Int) {
        let (keys, values) = (head.keyDim, head.valueDim)
        let decay = rounding.exp(head.logDecay[t])
        var (sums, squares) = ([Double](repeating: 0, count: values), [Double](repeating: 0, count: values))
        for i in 0..<keys {
            let key = head.k[t * keys + i]
            for j in 0..<values {
                let faded = decay * state[i * values + j]
                state[i * values + j] = rounding.operation(faded, faded.magnitude)
                let term = key * faded
                sums[j] += term
                squares[j] += term * term
            }
        }
        var delta = sums
        for j in 0..<values {
            let answer = rounding.sum(sums[j], squares: squares[j], count: keys, isCut: false)
            let v = head.v[t * values + j]
            delta[j] = rounding.operation(
                head.beta[t] * (v - answer), head.beta[t].magnitude * 1.5 * (v - answer).magnitude)
            (sums[j], squares[j]) = (0, 0)
        }
        for i in 0..<keys {
            let (key, query) = (head.k[t * keys + i], head.q[t * keys + i])
            for j in 0..<values {
                let sum = state[i * values + j] + key * delta[j]
                let kept = rounding.operation(sum, sum.magnitude + 0.5 * (key * delta[j]).magnitude)
                state[i * values + j] = rounding.store(kept, as: arithmetic.state)
                let term = query * kept
                sums[j] += term
                squares[j] += term * term
            }
        }
        for j in 0..<values {
            out[row * values + j] = rounding.sum(sums[j], squares: squares[j], count: keys, isCut: false)
        }
    }

    /// Σ_m a_m b_m for m in 0 ..< count, strided.
    @inline(__always)
    private mutating func dot(
        _ a: [Double], from ai: Int, step sa: Int, with b: [Double], from bi: Int, step sb: Int, count: Int
    ) -> Double {
        rounding.dot(a, from: ai, step: sa, with: b, from: bi, step: sb, count: count, isCut: isCut)
    }

    private mutating func product(_ x: Double) -> Double { rounding.store(x, as: arithmetic.products) }

    private mutating func chunk(
        _ tokens: Range<Int>, _ state: inout [Double], _ out: inout [Double], _ row: Int
    ) {
        let (size, start, keys, values) = (tokens.count, tokens.lowerBound, head.keyDim, head.valueDim)
        var sums = [Double](repeating: 0, count: size)
        for i in 0..<size {
            let sum = (i > 0 ? sums[i - 1] : 0) + head.logDecay[start + i]
            sums[i] = rounding.operation(sum, sum.magnitude)
        }
        var (k, q) = (Array(head.k[start * keys..<(start + size) * keys]), [Double]())
        for i in k.indices { k[i] = product(k[i]) }
        q = Array(head.q[start * keys..<(start + size) * keys])
        for i in q.indices { q[i] = product(q[i]) }
        let decays = betweens(sums)
        let inverse = inverse(k, decays, start)
        let fromStart = sums.map { rounding.exp($0) }
        let entering = state.map { product(rounding.store($0, as: arithmetic.chunkStates)) }
        let delta = deltas(
            inverse: inverse, keys: k, fromStart: fromStart, entering: entering, start: start, size: size)
        let multiplied = delta.map { product($0) }
        for i in 0..<size {
            var weights = [Double](repeating: 0, count: i + 1)
            for s in 0...i {
                let overlap = dot(q, from: i * keys, step: 1, with: k, from: s * keys, step: 1, count: keys)
                weights[s] = product(
                    rounding.operation(overlap * decays[i * size + s], overlap.magnitude * decays[i * size + s]))
            }
            for j in 0..<values {
                let before =
                    fromStart[i] * dot(q, from: i * keys, step: 1, with: entering, from: j, step: values, count: keys)
                let inside = dot(weights, from: 0, step: 1, with: multiplied, from: j, step: values, count: i + 1)
                out[(row + i) * values + j] = rounding.operation(
                    before + inside, before.magnitude + (before + inside).magnitude)
            }
        }
        var weighted = delta
        for i in 0..<size {
            for j in 0..<values {
                weighted[i * values + j] = product(delta[i * values + j] * decays[(size - 1) * size + i])
            }
        }
        for m in 0..<keys {
            for j in 0..<values {
                let kept = fromStart[size - 1] * state[m * values + j]
                let sum = kept + dot(k, from: m, step: keys, with: weighted, from: j, step: values, count: size)
                let next = rounding.operation(sum, kept.magnitude + sum.magnitude)
                state[m * values + j] = rounding.store(next, as: arithmetic.state)
            }
        }
    }

    private mutating func betweens(_ sums: [Double]) -> [Double] {
        let size = sums.count
        var decays = [Double](repeating: 0, count: size * size)
        for i in 0..<size {
            for s in 0...i { decays[i * size + s] = s == i ? 1 : rounding.exp(sums[i] - sums[s]) }
        }
        return decays
    }

    /// (I + A)^-1 in blocks of 16, each by substitution.
    private mutating func inverse(_ k: [Double], _ decays: [Double], _ start: Int) -> [Double] {
        let (keys, size) = (head.keyDim, k.count / head.keyDim)
        var inverse = [Double](repeating: 0, count: size * size)
        for i in 0..<size {
            var row = [Double](repeating: 0, count: size)
            var squares = row
            for s in 0..<i {
                let overlap = dot(k, from: i * keys, step: 1, with: k, from: s * keys, step: 1, count: keys)
                let a = rounding.operation(
                    head.beta[start + i] * overlap * decays[i * size + s],
                    1.5 * (head.beta[start + i] * overlap).magnitude * decays[i * size + s])
                for m in 0...s {
                    let term = a * inverse[s * size + m]
                    row[m] -= term
                    squares[m] += term * term
                }
            }
            for m in 0..<i {
                var value = rounding.sum(row[m], squares: squares[m], count: i - m, isCut: isCut)
                if i / 16 != m / 16, !arithmetic.merge.holds(arithmetic.accumulate) {
                    let size = 1.5 * squares[m].squareRoot()
                    value = rounding.perturbed(value, units: 1, of: arithmetic.merge)
                    value += rounding.perturbed(size, units: 1, of: arithmetic.merge) - size
                }
                inverse[i * size + m] = value
            }
            inverse[i * size + i] = 1
        }
        return inverse.map { rounding.store($0, as: arithmetic.inverse) }
    }

    /// δ = U - W S_in, `[Q, V]`.
    private mutating func deltas(
        inverse: [Double], keys k: [Double], fromStart: [Double], entering: [Double], start: Int, size: Int
    ) -> [Double] {
        let (keys, values) = (head.keyDim, head.valueDim)
        let factors = inverse.map { product($0) }
        var (scaledValues, scaledKeys) = ([Double](), [Double]())
        for i in 0..<size {
            let beta = head.beta[start + i]
            for j in 0..<values {
                let x = beta * head.v[(start + i) * values + j]
                scaledValues.append(product(rounding.operation(x, x.magnitude)))
            }
            for m in 0..<keys {
                let x = beta * fromStart[i] * k[i * keys + m]
                scaledKeys.append(product(rounding.operation(x, 1.5 * x.magnitude)))
            }
        }
        var delta = [Double](repeating: 0, count: size * values)
        for i in 0..<size {
            var w = [Double](repeating: 0, count: keys)
            for m in 0..<keys {
                w[m] = product(
                    rounding.store(
                        dot(factors, from: i * size, step: 1, with: scaledKeys, from: m, step: keys, count: i + 1),
                        as: arithmetic.values))
            }
            for j in 0..<values {
                let u = rounding.store(
                    dot(factors, from: i * size, step: 1, with: scaledValues, from: j, step: values, count: i + 1),
                    as: arithmetic.values)
                let known = dot(w, from: 0, step: 1, with: entering, from: j, step: values, count: keys)
                let x = rounding.operation(u - known, (u - known).magnitude)
                delta[i * values + j] = rounding.store(x, as: arithmetic.values)
            }
        }
        return delta
    }
}
