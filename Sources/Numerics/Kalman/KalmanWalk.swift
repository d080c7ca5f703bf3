//  A kernel of Gated KalmaNet, imitated: one head, every rounding of KalmanArithmetic.swift in its
//  place, to the nearest or at random.

import DualityCore
import DualityReference

/// One run of an imitated kernel over a head.
package struct KalmanWalk {
    let head: KalmanHead<Double>
    let arithmetic: KalmanArithmetic
    var rounding: StageRounding
    let isCut: Bool
    /// q, and k and v with their gates, as the kernel has them.
    private(set) var q: [Double]
    private(set) var k: [Double]
    private(set) var v: [Double]

    /// - Parameters:
    ///   - head: normalised exactly.
    ///   - normalizes: whether the kernel did that.
    ///   - gates: whether it multiplied keys and values by their gates.
    ///   - seed: of random roundings; nil for roundings to the nearest.
    package init(
        _ head: KalmanHead<Double>, _ arithmetic: KalmanArithmetic, normalizes: Bool, gates: Bool, seed: UInt64?
    ) {
        (self.head, self.arithmetic) = (head, arithmetic)
        rounding = StageRounding(
            seed: seed, accumulate: arithmetic.accumulate, exponential: arithmetic.exponential)
        isCut = !arithmetic.products.holds(arithmetic.accumulate)
        (q, k, v) = (head.q, head.k, head.v)
        if normalizes {
            q = normalized(q)
            k = normalized(k)
        }
        guard gates else { return }
        var factors = head.gate
        for t in factors.indices {
            factors[t] = rounding.store(rounding.operation(factors[t], factors[t].magnitude), as: arithmetic.gated)
        }
        k = gated(k, factors, head.keyDim)
        v = gated(v, factors, head.valueDim)
    }

    private mutating func normalized(_ rows: [Double]) -> [Double] {
        var rows = rows
        let units = arithmetic.norms.holds(arithmetic.accumulate) ? 2.0 : 3.5
        for first in stride(from: 0, to: rows.count, by: head.keyDim) {
            let factor = rounding.perturbed(1, units: units, of: arithmetic.norms)
            for i in first..<first + head.keyDim {
                rows[i] = rounding.store(
                    rounding.operation(factor * rows[i], rows[i].magnitude), as: arithmetic.normalized)
            }
        }
        return rows
    }

    private mutating func gated(_ rows: [Double], _ factors: [Double], _ width: Int) -> [Double] {
        var rows = rows
        for i in rows.indices {
            let value = factors[i / width] * rows[i]
            rows[i] = rounding.store(rounding.operation(value, value.magnitude), as: arithmetic.gated)
        }
        return rows
    }

    /// Outputs of a sequence before they are stored, `[tokens, V]`, and the states after it.
    package mutating func run(
        _ tokens: Range<Int>, state entering: KalmanState<Double>
    ) -> (o: [Double], state: KalmanState<Double>) {
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

    private mutating func step(_ t: Int, _ state: inout KalmanState<Double>, _ out: inout [Double], _ row: Int) {
        let (keys, values) = (head.keyDim, head.valueDim)
        let decay = rounding.exp(head.logDecay[t])
        move(&state.memory, decay: decay, at: t, b: v, width: values)
        var y = Array(q[t * keys..<(t + 1) * keys])
        if head.iterations > 0 {
            move(&state.gram, decay: head.decaysGram ? decay : 1, at: t, b: k, width: keys)
            let gram = multiplied(state.gram)
            let norm = norm(squares(state.gram), count: keys * keys)
            solve(&y, alpha: head.alpha[t], norm: norm) { walk, x in walk.product(gram, x) }
            for i in state.gram.indices { state.gram[i] = rounding.store(state.gram[i], as: arithmetic.state) }
        }
        for i in y.indices { y[i] = rounding.store(y[i], as: arithmetic.products) }
        let memory = multiplied(state.memory)
        for j in 0..<values {
            let sum = dot(memory, from: j, step: values, with: y, from: 0, count: keys)
            out[row * values + j] = rounding.operation(head.scale * sum, (head.scale * sum).magnitude)
        }
        for i in state.memory.indices { state.memory[i] = rounding.store(state.memory[i], as: arithmetic.state) }
    }

    /// S <- decay S + k_t b_tᵀ, before it is stored.
    private mutating func move(_ state: inout [Double], decay: Double, at t: Int, b: [Double], width: Int) {
        for i in 0..<head.keyDim {
            let key = k[t * head.keyDim + i]
            for j in 0..<width {
                let (kept, product) = (decay * state[i * width + j], key * b[t * width + j])
                let faded = decay == 1 ? kept : rounding.operation(kept, kept.magnitude)
                state[i * width + j] = rounding.operation(
                    faded + product, (faded + product).magnitude + 0.5 * product.magnitude)
            }
        }
    }

    func squares(_ state: [Double]) -> (sum: Double, fourth: Double) {
        var (sum, fourth) = (0.0, 0.0)
        for s in state {
            sum += s * s
            fourth += s * s * s * s
        }
        return (sum, fourth)
    }

    /// F from a sum of so many squares.
    mutating func norm(_ squares: (sum: Double, fourth: Double), count: Int) -> Double {
        let sum = rounding.sum(squares.sum, squares: squares.fourth, count: count, isCut: false)
        let root = max(sum, 0).squareRoot()
        return rounding.operation(root, root)
    }

    /// A state as products read it.
    mutating func multiplied(_ state: [Double]) -> [Double] {
        guard isCut else { return state }
        var result = state
        for i in result.indices { result[i] = rounding.store(result[i], as: arithmetic.products) }
        return result
    }

    /// Σ_m a_m b_m for m in 0 ..< count, a strided.
    @inline(__always)
    mutating func dot(
        _ a: [Double], from first: Int, step: Int, with b: [Double], from second: Int, count: Int
    ) -> Double {
        rounding.dot(a, from: first, step: step, with: b, from: second, step: 1, count: count, isCut: isCut)
    }

    /// G x, whose x is one of a step.
    mutating func product(_ gram: [Double], _ x: [Double]) -> [Double] {
        let read = multiplied(x)
        var result = x
        for i in x.indices { result[i] = dot(gram, from: i * x.count, step: 1, with: read, from: 0, count: x.count) }
        return result
    }
}

extension KalmanWalk {
    /// The query becomes y.
    mutating func solve(
        _ query: inout [Double], alpha: Double, norm: Double,
        multiply: (inout KalmanWalk, [Double]) -> [Double]
    ) {
        let x = norm > 0 ? iterate(query, norm, multiply) : query.map { _ in 0 }
        for i in query.indices {
            let kept = rounding.store(x[i], as: arithmetic.solution)
            let change = alpha * (kept - query[i])
            let y = rounding.operation(query[i] + change, (query[i] + change).magnitude + change.magnitude)
            query[i] = rounding.store(y, as: arithmetic.solution)
        }
    }

    private mutating func iterate(
        _ query: [Double], _ norm: Double, _ multiply: (inout KalmanWalk, [Double]) -> [Double]
    ) -> [Double] {
        func rounded(_ value: Double) -> Double { rounding.operation(value, value.magnitude) }
        let lambda = rounded(head.ridge * norm)
        let step = rounded(2 / rounded(2 * lambda + norm))
        let rho = rounded(norm / rounded(2 * lambda + norm))
        var (omega, before) = (2.0, query.map { _ in 0.0 })
        var x = query
        for i in x.indices { x[i] = rounded(step * query[i]) }
        for _ in 0..<head.iterations {
            omega = rounded(1 / rounded(1 - rho * rho / 4 * omega))
            let product = multiply(&self, x)
            for i in x.indices {
                let residual = product[i] + lambda * x[i] - query[i]
                let moved = x[i] - step * residual
                let next = omega * moved + (1 - omega) * before[i]
                // The roundings of the residual, of what is moved, and of the sum.
                let inner = omega * step * ((lambda * x[i]).magnitude + (product[i] + lambda * x[i]).magnitude)
                let outer = omega * (2 * moved.magnitude + (step * residual).magnitude)
                let last = ((1 - omega) * before[i]).magnitude + next.magnitude
                before[i] = x[i]
                x[i] = rounding.operation(next, (inner * inner + outer * outer + last * last).squareRoot())
            }
        }
        return x
    }
}
