//  What a right backward pass of the gated delta rule is never further off than: one head.
//
//  R = ∂ℒ/∂S goes back through a token by the transpose of what S went through, so that an error of
//  a column of R grows by e^g ρ a token as one of S does, ρ = max(1, |1 - β |k|²|)
//  (DeltaBound.swift). With ε and η bounds of the errors of the columns of S̃ = e^g S and of R
//  behind the token's output, r = v - S̃ᵀ k and ∂δ = Rᵀ k:
//
//      |Δr|  <= |k| ε + γ Σ|k S̃|                                   |Δ∂δ| <= |k| η + γ Σ|k R|
//      |Δ∂v| <= β |Δ∂δ|                                            |Δ∂β| <= Σ_j |∂δ| |Δr| + |r| |Δ∂δ| + |Δr| |Δ∂δ|
//      |Δ∂q| <= Σ_j ε' |∂o|                                        ε' that of S behind the token
//      |Δ∂k| <= β Σ_j η |r| + (|R| + η) |Δr| + ε |∂δ| + (|S̃| + ε) |Δ∂δ|
//      |Δ∂g| <= Σ_j η' |S̃_j|₂ + |R̃_j|₂ ε + η' ε                    R̃ = R - β k ∂δᵀ,  η' <= ρ η + …
//
//  each with the roundings of its own sums. Products of two carried errors are in it; a local
//  rounding counts at the exact numbers, which is the first order. A kernel in chunks carries the
//  errors of both states through a chunk by the same lines without their roundings, and adds what
//  the chunk's arithmetic may do (DeltaAdjointBound+Chunks.swift).

import DualityCore
import DualityReference

/// Bounds of the gradients of one head.
package struct DeltaAdjointBound {
    let head: DeltaHead<Double>
    let arithmetic: DeltaArithmetic
    private(set) var bound: DeltaBound
    /// ∂ℒ/∂o, `[T, V]`.
    let pull: [Double]
    /// `[T, K]`, `[T, V]` and `[T]`: of the gradients of what products read.
    package private(set) var gradients: DeltaHeadGradients<Double>
    /// R and bounds of the errors of its columns.
    private var adjoint: [Double] = []
    private var ofAdjoint: [Double] = []
    /// Whether a number may be beyond what it is computed in.
    private var isLost = false

    /// The largest ρ of a token.
    package var growth: Double { bound.growth }

    /// - Parameters:
    ///   - head: normalised exactly.
    ///   - normalizes: whether the kernel did that.
    ///   - pull: ∂ℒ/∂o of all tokens, `[T, V]`.
    package init(_ head: DeltaHead<Double>, _ arithmetic: DeltaArithmetic, normalizes: Bool, pull: [Double]) {
        (self.head, self.arithmetic, self.pull) = (head, arithmetic, pull)
        bound = DeltaBound(head, arithmetic, normalizes: normalizes)
        gradients = DeltaHeadGradients(zeroLike: head)
    }

    /// The state before a token and bounds of its columns, and bounds of the columns behind it.
    struct Step {
        var state: [Double]
        var before: [Double]
        var after: [Double]
    }

    /// Bounds the gradients of a sequence.
    ///
    /// - Parameters:
    ///   - entering: the state before it, `[K, V]`.
    ///   - leaving: ∂ℒ/∂S behind it.
    /// - Returns: bounds of ∂ℒ/∂S before it, `[K, V]`.
    /// - Complexity: O(T K V); in chunks of Q O(T Q (K + V + Q)) more.
    package mutating func run(_ tokens: Range<Int>, state entering: [Double], adjoint leaving: [Double]) -> [Double] {
        let size = arithmetic.form.chunkSize
        let span = max(size ?? Int(Double(tokens.count).squareRoot()), 1)
        let pieces = stride(from: tokens.lowerBound, to: tokens.upperBound, by: span).map {
            $0..<min($0 + span, tokens.upperBound)
        }
        isLost = false
        (adjoint, ofAdjoint) = (leaving, [Double](repeating: 0, count: head.valueDim))
        var start = Step(state: entering, before: ofAdjoint, after: ofAdjoint)
        var (starts, chunks) = ([Step](), [DeltaChunkBound]())
        for piece in pieces {
            starts.append(start)
            if size != nil { chunks.append(DeltaChunkBound(bound, piece, start.state)) }
            guard piece.upperBound < tokens.upperBound else { break }
            start = steps(piece, from: start, isRounded: size == nil).end
            if let chunk = chunks.last { for j in chunk.state.indices { start.before[j] += chunk.state[j] } }
        }
        for (n, piece) in pieces.enumerated().reversed() {
            let steps = steps(piece, from: starts[n], isRounded: size == nil).all
            var own: [Double]?
            if size != nil {
                isLost = isLost || chunks[n].isLost.contains(true)
                own = addChunk(chunks[n], piece, state: starts[n].state, adjoint: adjoint, to: &gradients)
            }
            for (step, t) in zip(steps, piece).reversed() { goBack(t, step, isRounded: size == nil) }
            if let own { for j in own.indices { ofAdjoint[j] += own[j] } }
        }
        if isLost { lose(tokens) }
        // A copy errs by nothing.
        return leaving.indices.map { i in
            tokens.isEmpty ? 0 : isLost ? .infinity : ofAdjoint[i % head.valueDim]
        }
    }

    /// Nothing is promised about these tokens.
    private mutating func lose(_ tokens: Range<Int>) {
        for t in tokens {
            for i in t * head.keyDim..<(t + 1) * head.keyDim {
                (gradients.q[i], gradients.k[i]) = (.infinity, .infinity)
            }
            for j in t * head.valueDim..<(t + 1) * head.valueDim { gradients.v[j] = .infinity }
            (gradients.logDecay[t], gradients.beta[t]) = (.infinity, .infinity)
        }
    }

    /// The states of a piece on the way forwards.
    ///
    /// - Parameter isRounded: whether tokens round by themselves, or only carry what came.
    private mutating func steps(_ tokens: Range<Int>, from start: Step, isRounded: Bool) -> (all: [Step], end: Step) {
        var (all, state, errors) = ([Step](), start.state, start.before)
        var unread = [Double](repeating: 0, count: head.valueDim)
        for t in tokens {
            let before = (state, errors)
            if isRounded {
                bound.step(t, state: &state, errors: &errors, out: &unread, row: 0)
            } else {
                let factor = bound.carry(t)
                _ = head.evaluate(.recurrent, t..<t + 1, state: &state)
                for j in errors.indices { errors[j] *= factor }
            }
            isLost = isLost || !state.allSatisfy { bound.holds($0) }
            all.append(Step(state: before.0, before: before.1, after: errors))
        }
        return (all, Step(state: state, before: errors, after: errors))
    }

    /// One token: its gradients, and R before it.
    private mutating func goBack(_ t: Int, _ step: Step, isRounded: Bool) {
        let (keys, values) = (head.keyDim, head.valueDim)
        let sizes = Sizes(bound, t, isRounded: isRounded)
        var (ofBeta, ofDecay) = (0.0, 0.0)
        for j in 0..<values {
            let column = column(t, j, step, sizes)
            isLost = isLost || !bound.holds(column.largest)
            let (y, beta) = (pull[t * values + j], head.beta[t])
            let size = beta.magnitude
            gradients.v[t * values + j] += size * column.ofDelta + 2 * sizes.unit * size * column.delta.magnitude
            ofBeta +=
                column.delta.magnitude * column.ofResidual + column.residual.magnitude * column.ofDelta
                + column.ofDelta * column.ofResidual
                + (sizes.acrossValues + sizes.unit) * (column.delta * column.residual).magnitude
            var (rest, products) = (0.0, 0.0)
            for i in 0..<keys {
                let place = i * values + j
                let (s, r, key) = (sizes.decay * step.state[place], adjoint[place], head.k[t * keys + i])
                let after = s + key * beta * column.residual
                gradients.q[t * keys + i] +=
                    (step.after[j] + sizes.acrossValues * after.magnitude + sizes.tiny) * y.magnitude
                let terms = (r * column.residual).magnitude + (s * column.delta).magnitude
                gradients.k[t * keys + i] +=
                    size
                    * (column.ofAdjoint * column.residual.magnitude + (r.magnitude + column.ofAdjoint)
                        * column.ofResidual
                        + column.ofFaded * column.delta.magnitude + (s.magnitude + column.ofFaded) * column.ofDelta
                        + (sizes.acrossBoth + 3 * sizes.unit) * terms) + sizes.tiny
                let passed = r - beta * key * column.delta
                rest += passed * passed
                products += (passed * s).magnitude
                adjoint[place] = sizes.decay * passed
            }
            let ofPassed =
                sizes.rho * column.ofAdjoint
                + sizes.keyNorm * size * (column.own + (3 * sizes.unit + sizes.ofKeys) * column.delta.magnitude)
                + sizes.unit * rest.squareRoot() + sizes.tiny
            ofDecay +=
                ofPassed * column.faded + rest.squareRoot() * column.ofFaded + ofPassed * column.ofFaded
                + sizes.acrossState * products
            ofAdjoint[j] = DeltaBound.limited(sizes.decay * (ofPassed + rest.squareRoot() * sizes.ofDecay) + sizes.tiny)
        }
        gradients.beta[t] += ofBeta + sizes.tiny
        gradients.logDecay[t] += ofDecay + sizes.tiny
    }
}

extension DeltaAdjointBound {
    /// Relative sizes of the roundings of a token; zero where it only carries.
    struct Sizes {
        let decay: Double
        let rho: Double
        let keyNorm: Double
        let queryNorm: Double
        var (unit, ofKeys, ofQueries, ofDecay, tiny) = (0.0, 0.0, 0.0, 0.0, 0.0)
        var (acrossKeys, acrossValues, acrossBoth, acrossState) = (0.0, 0.0, 0.0, 0.0)

        init(_ bound: DeltaBound, _ t: Int, isRounded: Bool) {
            let (keys, values) = (bound.head.keyDim, bound.head.valueDim)
            decay = Double.exp(bound.head.logDecay[t])
            (rho, keyNorm, queryNorm) = (bound.rho(t), bound.norm(bound.head.k, t), bound.norm(bound.head.q, t))
            guard isRounded else { return }
            (unit, ofKeys, ofQueries) = (bound.unit, bound.ofKeys, bound.ofQueries)
            ofDecay = bound.exponential(bound.head.logDecay[t]) + unit
            tiny = bound.arithmetic.accumulate.smallestNormal * Double(2 * keys + 2 * values + 8)
            tiny *= (1 + keyNorm + queryNorm) * (1 + bound.head.beta[t].magnitude)
            (acrossKeys, acrossValues) = (bound.growth(keys), bound.growth(values))
            (acrossBoth, acrossState) = (bound.growth(2 * values), bound.growth(keys * values))
        }
    }

    /// What a token makes of one channel of the values.
    struct Column {
        /// |S̃_j|₂ and r and ∂δ.
        let faded: Double
        let residual: Double
        let delta: Double
        let ofFaded: Double
        let ofResidual: Double
        let ofDelta: Double
        /// The part of `ofDelta` that is this token's own.
        let own: Double
        /// η, of R behind the token's output.
        let ofAdjoint: Double
        /// The largest number on the way.
        let largest: Double
    }

    /// Adds what the token's output says to a column of R, and reads it.
    private mutating func column(_ t: Int, _ j: Int, _ step: Step, _ sizes: Sizes) -> Column {
        let (keys, values, y) = (head.keyDim, head.valueDim, pull[t * head.valueDim + j])
        var (faded, known, knownSize, size, delta, deltaSize) = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
        for i in 0..<keys {
            let (place, key) = (i * values + j, head.k[t * keys + i])
            let s = sizes.decay * step.state[place]
            adjoint[place] += head.q[t * keys + i] * y
            let r = adjoint[place]
            faded += s * s
            known += key * s
            knownSize += (key * s).magnitude
            size += r * r
            delta += key * r
            deltaSize += (key * r).magnitude
        }
        let v = head.v[t * values + j]
        let ofFaded = sizes.decay * step.before[j] + faded.squareRoot() * sizes.ofDecay + sizes.tiny
        let ofAdjoint =
            self.ofAdjoint[j] + sizes.queryNorm * y.magnitude * (sizes.ofQueries + 2 * sizes.unit)
            + size.squareRoot() * sizes.unit + sizes.tiny
        let own = (sizes.acrossKeys + sizes.ofKeys) * deltaSize + sizes.tiny
        let ofResidual =
            sizes.keyNorm * ofFaded + (sizes.acrossKeys + sizes.ofKeys) * knownSize
            + 2 * sizes.unit * (v.magnitude + known.magnitude) + sizes.tiny
        let largest = max(knownSize, deltaSize, size.squareRoot() * faded.squareRoot(), size.squareRoot())
        return Column(
            faded: faded.squareRoot(), residual: v - known, delta: delta, ofFaded: ofFaded, ofResidual: ofResidual,
            ofDelta: sizes.keyNorm * ofAdjoint + own, own: own, ofAdjoint: ofAdjoint, largest: largest)
    }
}
