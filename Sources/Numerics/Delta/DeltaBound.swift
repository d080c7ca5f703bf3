//  What a right kernel of the gated delta rule is never further off than: one head.
//
//  An error E of the state before a token becomes e^g (I - β k kᵀ) E behind it. Its columns (one a
//  channel of the values) are vectors in the space of the keys, on which
//
//      ρ = |I - β k kᵀ|₂ = max(1, |1 - β |k|²|)
//
//  is exact, so that a bound ε_j of |E_j|₂ grows by e^g ρ a token: not at all while β |k|² <= 2.
//  Products of absolute values instead would grow by 1 + β |k|² a token and say nothing after a
//  hundred. What a token or a chunk adds to ε is counted term by term, at its worst; see
//  docs/numerics.md, "The family".

import DualityCore
import DualityReference

/// Bounds of one head, carried along a sequence.
package struct DeltaBound {
    let head: DeltaHead<Double>
    let arithmetic: DeltaArithmetic
    let unit: Double
    /// Relative errors of k and of q before any product.
    let ofKeys: Double
    let ofQueries: Double
    /// The largest ρ of a token.
    package private(set) var growth = 1.0

    /// - Parameters:
    ///   - head: normalised exactly.
    ///   - normalizes: whether the kernel did that.
    package init(_ head: DeltaHead<Double>, _ arithmetic: DeltaArithmetic, normalizes: Bool) {
        (self.head, self.arithmetic) = (head, arithmetic)
        unit = arithmetic.accumulate.unitRoundoff
        var own = 0.0
        if normalizes {
            own = (Double(head.keyDim) / 2 + 6) * unit
            if !arithmetic.norms.holds(arithmetic.accumulate) { own += 4.5 * arithmetic.norms.unitRoundoff }
            if !arithmetic.normalized.holds(arithmetic.accumulate) { own += arithmetic.normalized.unitRoundoff }
        }
        ofKeys = own
        ofQueries = own + unit
    }

    /// n u / (1 - n u), a little more.
    func growth(_ count: Int) -> Double {
        let units = (Double(count) + 2) * unit
        return units < 0.5 ? units / (1 - units) : .infinity
    }

    /// The unit roundoff of a format beside what is accumulated in.
    func storing(_ format: NumberFormat) -> Double {
        format.holds(arithmetic.accumulate) ? 0 : format.unitRoundoff
    }

    /// The relative error of e^x.
    func exponential(_ x: Double) -> Double {
        (4 + (arithmetic.exponential == .fast ? 3 : 1) * x.magnitude) * unit
    }

    /// The largest row sum of |T| (I + |A|) of any chunk: how much a relative error of the system
    /// can grow in solving it.
    ///
    /// - Complexity: O(T Q (K + Q)).
    package static func condition(
        of head: DeltaHead<Double>, _ sequences: [Range<Int>], chunkSize: Int
    ) -> Double {
        let bound = DeltaBound(head, DeltaArithmetic(.f32, form: .recurrent), normalizes: false)
        var condition = 1.0
        for tokens in sequences {
            for first in stride(from: tokens.lowerBound, to: tokens.upperBound, by: chunkSize) {
                let part = first..<min(first + chunkSize, tokens.upperBound)
                condition = max(condition, DeltaChunkBound.condition(bound, part))
            }
        }
        return condition
    }

    /// What a bound says that has grown beyond all use; larger ones would overflow in what follows.
    private static let ceiling = 1e150

    /// The bound, where it is one.
    static func limited(_ bound: Double) -> Double { bound < ceiling ? bound : ceiling }

    /// The norm of a token's row of q or k.
    func norm(_ rows: [Double], _ t: Int) -> Double {
        (0..<head.keyDim).reduce(0) { $0 + rows[t * head.keyDim + $1] * rows[t * head.keyDim + $1] }.squareRoot()
    }

    /// Bounds of the outputs of a sequence before they are stored, `[tokens, V]`, and of the state
    /// after it, `[K, V]`. Infinite from where a state may be beyond what it is computed in.
    package mutating func sizes(_ tokens: Range<Int>, state entering: [Double]) -> (o: [Double], state: [Double]) {
        var state = entering
        var errors = [Double](repeating: 0, count: head.valueDim)
        var isLost = [Bool](repeating: false, count: head.valueDim)
        var out = [Double](repeating: 0, count: tokens.count * head.valueDim)
        switch arithmetic.form {
        case .recurrent:
            for (i, t) in tokens.enumerated() {
                step(t, state: &state, errors: &errors, out: &out, row: i)
                for j in isLost.indices where !isLost[j] {
                    isLost[j] = !stride(from: j, to: state.count, by: head.valueDim).allSatisfy { holds(state[$0]) }
                }
                lose(&out, row: i, isLost)
            }
        case .chunked(let size):
            for first in stride(from: tokens.lowerBound, to: tokens.upperBound, by: size) {
                let part = first..<min(first + size, tokens.upperBound)
                let lost = chunk(part, state: &state, errors: &errors, out: &out, row: first - tokens.lowerBound)
                for j in isLost.indices where lost[j] { isLost[j] = true }
                for i in part { lose(&out, row: i - tokens.lowerBound, isLost) }
            }
        }
        // Copies err by nothing; a state that was computed by its column's bound in each number.
        let isCopy = tokens.isEmpty
        return (
            out,
            state.indices.map { i in
                let j = i % head.valueDim
                return isCopy ? 0 : isLost[j] ? .infinity : errors[j]
            }
        )
    }

    /// Whether the format that is accumulated in holds a number, the bound's own rounding included.
    func holds(_ x: Double) -> Bool { x.magnitude < arithmetic.accumulate.largest * (1 - 0x1p-8) }

    private func lose(_ out: inout [Double], row: Int, _ isLost: [Bool]) {
        for j in isLost.indices where isLost[j] { out[row * head.valueDim + j] = .infinity }
    }

    /// ρ of a token.
    func rho(_ t: Int) -> Double {
        let keyNorm = norm(head.k, t)
        return max(1, (1 - head.beta[t] * keyNorm * keyNorm).magnitude)
    }

    /// How much an error of the state grows or shrinks in a token, whatever that rounds.
    mutating func carry(_ t: Int) -> Double {
        let rho = rho(t)
        growth = max(growth, rho)
        return rho * Double.exp(head.logDecay[t])
    }

    /// One token: the exact state behind it and bounds of its columns; the bounds of its outputs.
    mutating func step(
        _ t: Int, state: inout [Double], errors: inout [Double], out: inout [Double], row: Int
    ) {
        let (keys, values) = (head.keyDim, head.valueDim)
        let (decay, beta) = (Double.exp(head.logDecay[t]), head.beta[t])
        let (keyNorm, queryNorm) = (norm(head.k, t), norm(head.q, t))
        let rho = rho(t)
        growth = max(growth, rho)
        let tiny = arithmetic.accumulate.smallestNormal * Double(2 * keys + 4)
        for j in 0..<values {
            var (faded, known, magnitude) = (0.0, 0.0, 0.0)
            for i in 0..<keys {
                state[i * values + j] *= decay
                let s = state[i * values + j]
                faded += s * s
                known += head.k[t * keys + i] * s
                magnitude += (head.k[t * keys + i] * s).magnitude
            }
            let v = head.v[t * values + j]
            let delta = beta * (v - known)
            let ofDelta =
                beta.magnitude * ((growth(keys) + ofKeys) * magnitude + 3 * unit * (v.magnitude + known.magnitude))
                + tiny
            var (after, read) = (0.0, 0.0)
            for i in 0..<keys {
                state[i * values + j] += head.k[t * keys + i] * delta
                let s = state[i * values + j]
                after += s * s
                read += (head.q[t * keys + i] * s).magnitude
            }
            let own = faded.squareRoot() * (exponential(head.logDecay[t]) + unit)
            let added =
                keyNorm * ofDelta + keyNorm * delta.magnitude * (2 * unit + ofKeys)
                + after.squareRoot() * unit + tiny
            let unstored = rho * (decay * errors[j] + own) + added
            out[row * values + j] = Self.limited(
                queryNorm * unstored + (growth(keys) + ofQueries) * read + tiny * (1 + queryNorm))
            errors[j] = Self.limited(unstored + after.squareRoot() * storing(arithmetic.state))
        }
    }

    /// - Returns: for each column, whether something in the chunk may be beyond its format.
    private mutating func chunk(
        _ tokens: Range<Int>, state: inout [Double], errors: inout [Double], out: inout [Double], row: Int
    ) -> [Bool] {
        let local = DeltaChunkBound(self, tokens, state)
        let (values, start) = (head.valueDim, tokens.lowerBound)
        var product = 1.0
        for i in 0..<tokens.count {
            let rho = rho(start + i)
            growth = max(growth, rho)
            product *= rho
            let passed = product * local.fromStart[i]
            for j in 0..<values {
                out[(row + i) * values + j] = Self.limited(
                    norm(head.q, start + i) * passed * errors[j] + local.out[i * values + j])
            }
        }
        for j in 0..<values {
            errors[j] = Self.limited(product * (local.fromStart.last ?? 1) * errors[j] + local.state[j])
        }
        state = local.leaving
        return local.isLost
    }
}
