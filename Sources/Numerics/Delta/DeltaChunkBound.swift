//  What the arithmetic of one chunk of the gated delta rule may add, the state before it taken as
//  it is.
//
//      |ΔA_ij| <= β_i e_ij ((γ_K + 2 u_products + 2 u_k) Σ|k_i k_j| + ε_ij |k_i · k_j|)
//      |ΔT|    <= (I - M)^-1 M |T| + u_inverse |T|        M = |T| (|ΔA| + (γ_Q + 4 u_merge) (I + |A|))
//      |ΔU|    <= (|ΔT| + (γ_Q + 2 u_products) |T|) |β V| + u_values |U|            and W alike
//      |Δδ|    <= |ΔU| + |ΔW| |S| + (γ_K + 2 u_products + u_chunks) |W| |S| + u_values |δ|
//
//  with ε_ij what e^(ℓ_i - ℓ_j) errs by, relatively. The second line is that of the inverse of a
//  triangular matrix by substitution (Higham, Accuracy and Stability, 2nd ed., section 14.2) with
//  the error of its matrix beside it, of every order: T' - T = -T E T' for the inverse T' of I + A
//  + E gives |T' - T| <= M (|T| + |T' - T|), and M is a lower triangle, so that rows follow from
//  one another. It takes Q³ / 3 products, as many as the inverse itself. T is what amplifies:
//  |T| (I + |A|) is the condition that reports print.

import DualityCore
import DualityReference

/// Bounds of one chunk.
struct DeltaChunkBound {
    /// `[Q, V]`, without what the state that came in had.
    private(set) var out: [Double]
    /// Of each column of the state that goes out, likewise.
    private(set) var state: [Double]
    /// The exact state that goes out.
    private(set) var leaving: [Double]
    /// e^ℓ_i.
    let fromStart: [Double]
    private(set) var condition = 1.0
    /// T and δ with bounds of their errors, `[Q, Q]` and `[Q, V]`.
    private(set) var inverse = BoundedMatrix(0, 0, value: [], error: [])
    private(set) var delta = BoundedMatrix(0, 0, value: [], error: [])
    /// Whether the inverse, or something in a column of δ or of the state that goes out, may be
    /// beyond what it is computed in.
    private(set) var isLost: [Bool] = []

    private let bound: DeltaBound
    private let start: Int
    private let size: Int
    private let keys: Int
    private let values: Int
    private let k: [Double]
    /// The sum of |g| up to each token.
    let sums: [Double]

    /// |T| (I + |A|) of a chunk, its largest row sum.
    static func condition(_ bound: DeltaBound, _ tokens: Range<Int>) -> Double {
        var chunk = DeltaChunkBound(bound, tokens)
        let (system, errors) = chunk.matrix()
        _ = chunk.invert(system, errors)
        return chunk.condition
    }

    init(_ bound: DeltaBound, _ tokens: Range<Int>, _ entering: [Double]) {
        self.init(bound, tokens)
        leaving = entering
        let (system, errors) = matrix()
        let (inverse, ofInverse) = invert(system, errors)
        let (delta, ofDelta) = deltas(inverse, ofInverse, entering)
        self.inverse = BoundedMatrix(size, size, value: inverse, error: ofInverse)
        self.delta = BoundedMatrix(size, values, value: delta, error: ofDelta)
        read(delta, ofDelta, entering)
        pass(delta, ofDelta, entering)
        let holdsInverse = inverse.allSatisfy { bound.holds($0) }
        isLost = (0..<values).map { j in
            !holdsInverse
                || [delta, leaving].contains { numbers in
                    !stride(from: j, to: numbers.count, by: values).allSatisfy { bound.holds(numbers[$0]) }
                }
        }
    }

    private init(_ bound: DeltaBound, _ tokens: Range<Int>) {
        let head = bound.head
        self.bound = bound
        (start, size, keys, values) = (tokens.lowerBound, tokens.count, head.keyDim, head.valueDim)
        k = Array(head.k[start * keys..<(start + size) * keys])
        var (running, decays, total) = ([Double](), [Double](), 0.0)
        for t in tokens {
            total += head.logDecay[t]
            running.append(total.magnitude)
            decays.append(Double.exp(total))
        }
        (sums, fromStart) = (running, decays)
        (out, state, leaving) = ([], [], [])
    }

    /// e^(ℓ_i - ℓ_j) and its relative error.
    func decay(_ i: Int, _ j: Int) -> (Double, Double) {
        let exponent = sums[j] - sums[i]
        return (Double.exp(exponent), bound.exponential(exponent) + 2 * bound.growth(size) * sums[i])
    }

    /// A and |ΔA|, the lower triangles without diagonals.
    private func matrix() -> ([Double], [Double]) {
        var (system, errors) = ([Double](repeating: 0, count: size * size), [Double](repeating: 0, count: size * size))
        let relative = bound.growth(keys) + 2 * bound.storing(bound.arithmetic.products) + 2 * bound.ofKeys
        for i in 0..<size {
            let beta = bound.head.beta[start + i]
            for j in 0..<i {
                var (sum, magnitude) = (0.0, 0.0)
                for m in 0..<keys {
                    let term = k[i * keys + m] * k[j * keys + m]
                    sum += term
                    magnitude += term.magnitude
                }
                let (e, ofE) = decay(i, j)
                system[i * size + j] = beta * e * sum
                errors[i * size + j] =
                    (beta * e).magnitude * (relative * magnitude + (ofE + 3 * bound.unit) * sum.magnitude)
            }
        }
        return (system, errors)
    }

    /// T and |ΔT|.
    private mutating func invert(_ system: [Double], _ errors: [Double]) -> ([Double], [Double]) {
        var inverse = [Double](repeating: 0, count: size * size)
        for i in 0..<size {
            inverse[i * size + i] = 1
            for j in 0..<i where system[i * size + j] != 0 {
                for m in 0...j { inverse[i * size + m] -= system[i * size + j] * inverse[j * size + m] }
            }
        }
        let solving = bound.growth(size) + 4 * bound.storing(bound.arithmetic.merge)
        var changes = [Double](repeating: 0, count: size * size)
        var conditions = [Double](repeating: 0, count: size)
        for i in 0..<size {
            for j in 0...i {
                let a = i == j ? 1 : system[i * size + j].magnitude
                changes[i * size + j] = errors[i * size + j] + solving * a
                conditions[i] += a
            }
        }
        for i in 0..<size {
            let row = (0...i).reduce(0) { $0 + inverse[i * size + $1].magnitude * conditions[$1] }
            condition = max(condition, row)
        }
        var ofInverse = perturbed(inverse, changes)
        let storing = bound.storing(bound.arithmetic.inverse)
        for i in ofInverse.indices { ofInverse[i] += storing * inverse[i].magnitude }
        return (inverse, ofInverse)
    }

    /// X = (I - M)^-1 M |T| with M = |T| E, row by row: X = M (|T| + X).
    private func perturbed(_ inverse: [Double], _ changes: [Double]) -> [Double] {
        var result = [Double](repeating: 0, count: size * size)
        for i in 0..<size {
            var row = [Double](repeating: 0, count: i + 1)
            for s in 0...i {
                let t = inverse[i * size + s].magnitude
                if t != 0 { for j in 0...s { row[j] += t * changes[s * size + j] } }
            }
            guard row[i] < 1 else {
                for m in 0...i { result[i * size + m] = .infinity }
                continue
            }
            for j in 0...i where row[j] != 0 {
                for m in 0...j {
                    // The row's own X is found at the end; products of 0 and infinity are 0.
                    let term = inverse[j * size + m].magnitude + (j < i ? result[j * size + m] : 0)
                    if term != 0 { result[i * size + m] += row[j] * term }
                }
            }
            for m in 0...i { result[i * size + m] /= 1 - row[i] }
        }
        return result
    }

    /// δ and |Δδ|, `[Q, V]`.
    private func deltas(_ inverse: [Double], _ ofInverse: [Double], _ entering: [Double]) -> ([Double], [Double]) {
        let head = bound.head
        let products = bound.storing(bound.arithmetic.products)
        let stored = bound.storing(bound.arithmetic.values)
        let using = bound.growth(size) + 2 * products + 2 * bound.unit
        let reading = bound.growth(keys) + 2 * products + bound.storing(bound.arithmetic.chunkStates)
        var (delta, ofDelta) = (
            [Double](repeating: 0, count: size * values), [Double](repeating: 0, count: size * values)
        )
        for i in 0..<size {
            var (w, ofW) = ([Double](repeating: 0, count: keys), [Double](repeating: 0, count: keys))
            var (u, ofU) = ([Double](repeating: 0, count: values), [Double](repeating: 0, count: values))
            for m in 0...i {
                let (t, ofT, beta) = (inverse[i * size + m], ofInverse[i * size + m], head.beta[start + m])
                let factor = ofT + using * t.magnitude
                for j in 0..<values {
                    let x = beta * head.v[(start + m) * values + j]
                    u[j] += t * x
                    ofU[j] += factor * x.magnitude
                }
                let own = t.magnitude * (bound.exponential(sums[m]) + 2 * bound.growth(size) * sums[m] + bound.ofKeys)
                for r in 0..<keys {
                    let x = beta * fromStart[m] * k[m * keys + r]
                    w[r] += t * x
                    ofW[r] += (factor + own) * x.magnitude
                }
            }
            for j in 0..<values {
                var (known, magnitude, error) = (0.0, 0.0, 0.0)
                for r in 0..<keys {
                    let s = entering[r * values + j]
                    known += w[r] * s
                    magnitude += (w[r] * s).magnitude
                    error += (ofW[r] + stored * w[r].magnitude) * s.magnitude
                }
                delta[i * values + j] = u[j] - known
                ofDelta[i * values + j] =
                    ofU[j] + stored * u[j].magnitude + error + reading * magnitude
                    + (stored + 2 * bound.unit) * (u[j] - known).magnitude
                    + bound.arithmetic.accumulate.smallestNormal * Double(keys + size)
            }
        }
        return (delta, ofDelta)
    }

    private mutating func read(_ delta: [Double], _ ofDelta: [Double], _ entering: [Double]) {
        let head = bound.head
        let products = bound.storing(bound.arithmetic.products)
        let crossing =
            bound.growth(keys) + 2 * products + bound.ofQueries + bound.storing(bound.arithmetic.chunkStates)
        let weighing = bound.growth(keys) + 2 * products + bound.ofKeys + bound.ofQueries
        let summing = bound.growth(size) + 2 * products + 2 * bound.unit
        out = [Double](repeating: 0, count: size * values)
        for i in 0..<size {
            let q = Array(head.q[(start + i) * keys..<(start + i + 1) * keys])
            let e = fromStart[i]
            let ofE = bound.exponential(sums[i]) + 2 * bound.growth(size) * sums[i] + 3 * bound.unit
            for j in 0..<values {
                var magnitude = 0.0
                for m in 0..<keys { magnitude += (q[m] * entering[m * values + j]).magnitude }
                out[i * values + j] += e * (crossing + ofE) * magnitude
            }
            for s in 0...i {
                var (sum, magnitude) = (0.0, 0.0)
                for m in 0..<keys {
                    let term = q[m] * k[s * keys + m]
                    sum += term
                    magnitude += term.magnitude
                }
                let (d, ofD) = decay(i, s)
                let ofWeight = d * (weighing * magnitude + ofD * sum.magnitude)
                let weight = d * sum.magnitude
                for j in 0..<values {
                    out[i * values + j] +=
                        weight * ofDelta[s * values + j]
                        + (ofWeight + summing * weight) * delta[s * values + j].magnitude
                }
            }
            for j in 0..<values {
                out[i * values + j] += bound.arithmetic.accumulate.smallestNormal * Double(keys + size + 4)
            }
        }
    }

    private mutating func pass(_ delta: [Double], _ ofDelta: [Double], _ entering: [Double]) {
        let last = size - 1
        let products = bound.storing(bound.arithmetic.products)
        var norms = [Double](repeating: 0, count: values)
        state = norms
        for j in 0..<values {
            for m in 0..<keys { norms[j] += entering[m * values + j] * entering[m * values + j] }
            let ofE = bound.exponential(sums[last]) + 2 * bound.growth(size) * sums[last] + 2 * bound.unit
            state[j] = fromStart[last] * norms[j].squareRoot() * ofE
        }
        for m in leaving.indices { leaving[m] *= fromStart[last] }
        for i in 0..<size {
            let (d, ofD) = decay(last, i)
            var norm = 0.0
            for m in 0..<keys { norm += k[i * keys + m] * k[i * keys + m] }
            norm = norm.squareRoot() * d
            let relative = bound.growth(size) + 2 * products + bound.ofKeys + ofD + bound.unit
            for j in 0..<values {
                state[j] += norm * (ofDelta[i * values + j] + relative * delta[i * values + j].magnitude)
                for m in 0..<keys { leaving[m * values + j] += d * k[i * keys + m] * delta[i * values + j] }
            }
        }
        let storing = bound.storing(bound.arithmetic.state) + 2 * bound.unit
        for j in 0..<values {
            var norm = 0.0
            for m in 0..<keys { norm += leaving[m * values + j] * leaving[m * values + j] }
            state[j] += norm.squareRoot() * storing + bound.arithmetic.accumulate.smallestNormal * Double(keys + size)
        }
    }
}
