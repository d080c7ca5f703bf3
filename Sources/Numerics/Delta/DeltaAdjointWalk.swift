//  A backward pass of the gated delta rule, imitated: one head, every rounding in its place, to the
//  nearest or at random. States come from the forward imitation, token by token or chunk by chunk,
//  as a kernel makes them anew.
//
//  Token by token it is DeltaRecurrentGradients.swift. In chunks it goes the longer way of public
//  kernels and of automatic differentiation, by U and W and not by their difference, and by row
//  sums less column sums (DeltaAdjointWalk+Chunks.swift): a kernel that goes the shorter one errs
//  by less.
//
//  Sources: flash-linear-attention, ops/gated_delta_rule/{chunk,wy_fast}.py,
//  ops/common/{chunk_delta_h,chunk_o}.py, backward; transformers, models/qwen3_next, by autograd.

import DualityCore
import DualityReference

/// One run of an imitated backward pass over a head.
package struct DeltaAdjointWalk {
    let head: DeltaHead<Double>
    let arithmetic: DeltaArithmetic
    var rounding: StageRounding
    let isCut: Bool
    private var forward: DeltaWalk
    private let normalizes: Bool

    /// - Parameters:
    ///   - head: normalised exactly.
    ///   - normalizes: whether the kernel did that.
    ///   - seed: of random roundings; nil for roundings to the nearest.
    package init(_ head: DeltaHead<Double>, _ arithmetic: DeltaArithmetic, normalizes: Bool, seed: UInt64?) {
        self.arithmetic = arithmetic
        self.normalizes = normalizes
        forward = DeltaWalk(head, arithmetic, normalizes: normalizes, seed: seed)
        self.head = forward.head
        rounding = StageRounding(
            seed: seed.map { $0 &+ 0x9E37 }, accumulate: arithmetic.accumulate, exponential: arithmetic.exponential)
        isCut = !arithmetic.products.holds(arithmetic.accumulate)
    }

    /// Adds the gradients of a sequence.
    ///
    /// - Parameters:
    ///   - entering: the state before it, `[K, V]`.
    ///   - pull: ∂ℒ/∂o of all tokens, `[T, V]`.
    ///   - adjoint: ∂ℒ/∂S behind it, `[K, V]`; on return that before it.
    package mutating func run(
        _ tokens: Range<Int>, state entering: [Double], pull: [Double], adjoint: inout [Double],
        to gradients: inout DeltaHeadGradients<Double>
    ) {
        let size = arithmetic.form.chunkSize
        // Chunks, or segments whose states are made anew token by token.
        let span = max(size ?? Int(Double(tokens.count).squareRoot()), 1)
        let pieces = stride(from: tokens.lowerBound, to: tokens.upperBound, by: span).map {
            $0..<min($0 + span, tokens.upperBound)
        }
        var states = [entering]
        for piece in pieces.dropLast() {
            states.append(forward.run(piece, state: states[states.count - 1]).state)
        }
        for (piece, state) in zip(pieces, states).reversed() {
            if size != nil {
                chunkBack(piece, state: state, pull: pull, adjoint: &adjoint, gradients: &gradients)
                continue
            }
            var inside = [state]
            for t in piece.dropLast() { inside.append(forward.run(t..<t + 1, state: inside[inside.count - 1]).state) }
            for (before, t) in zip(inside, piece).reversed() {
                stepBack(t, before: before, pull: pull, adjoint: &adjoint, gradients: &gradients)
            }
        }
    }

    private mutating func stepBack(
        _ t: Int, before: [Double], pull: [Double], adjoint: inout [Double],
        gradients: inout DeltaHeadGradients<Double>
    ) {
        let (keys, values) = (head.keyDim, head.valueDim)
        let (decay, step, row) = (rounding.exp(head.logDecay[t]), head.beta[t], t * values)
        var faded = before
        var (sums, squares) = ([Double](repeating: 0, count: values), [Double](repeating: 0, count: values))
        for i in 0..<keys {
            for j in 0..<values {
                let x = decay * before[i * values + j]
                faded[i * values + j] = rounding.operation(x, x.magnitude)
                let term = head.k[t * keys + i] * faded[i * values + j]
                sums[j] += term
                squares[j] += term * term
            }
        }
        var residual = sums
        for j in 0..<values {
            let known = rounding.sum(sums[j], squares: squares[j], count: keys, isCut: false)
            let x = head.v[row + j] - known
            residual[j] = rounding.operation(x, x.magnitude)
            (sums[j], squares[j]) = (0, 0)
        }
        for i in 0..<keys {
            let (key, query) = (head.k[t * keys + i], head.q[t * keys + i])
            var (read, readSquares) = (0.0, 0.0)
            for j in 0..<values {
                let place = i * values + j
                let after = faded[place] + key * (step * residual[j])
                let term = rounding.operation(after, after.magnitude) * pull[row + j]
                read += term
                readSquares += term * term
                let sum = adjoint[place] + query * pull[row + j]
                adjoint[place] = rounding.operation(sum, sum.magnitude)
                sums[j] += key * adjoint[place]
                squares[j] += key * adjoint[place] * key * adjoint[place]
            }
            gradients.q[t * keys + i] += rounding.sum(read, squares: readSquares, count: values, isCut: false)
        }
        var (ofBeta, ofBetaSquares) = (0.0, 0.0)
        for j in 0..<values {
            sums[j] = rounding.sum(sums[j], squares: squares[j], count: keys, isCut: false)
            let x = step * sums[j]
            gradients.v[row + j] += rounding.operation(x, x.magnitude)
            ofBeta += sums[j] * residual[j]
            ofBetaSquares += sums[j] * residual[j] * sums[j] * residual[j]
        }
        gradients.beta[t] += rounding.sum(ofBeta, squares: ofBetaSquares, count: values, isCut: false)
        leave(
            t, decay: decay, faded: faded, residual: residual, ofDelta: sums, adjoint: &adjoint, gradients: &gradients)
    }

    /// Steps 4 and 5 of the recurrence backwards.
    private mutating func leave(
        _ t: Int, decay: Double, faded: [Double], residual: [Double], ofDelta: [Double],
        adjoint: inout [Double], gradients: inout DeltaHeadGradients<Double>
    ) {
        let (keys, values, step) = (head.keyDim, head.valueDim, head.beta[t])
        var (ofDecay, ofDecaySquares) = (0.0, 0.0)
        for i in 0..<keys {
            let key = head.k[t * keys + i]
            var (ofKey, ofKeySquares) = (0.0, 0.0)
            for j in 0..<values {
                let place = i * values + j
                let (write, correction) = (
                    step * adjoint[place] * residual[j], step * faded[place] * ofDelta[j]
                )
                ofKey += write - correction
                ofKeySquares += write * write + correction * correction
                let x = adjoint[place] - key * (step * ofDelta[j])
                adjoint[place] = rounding.operation(x, x.magnitude + 0.5 * (key * step * ofDelta[j]).magnitude)
                ofDecay += adjoint[place] * faded[place]
                ofDecaySquares += adjoint[place] * faded[place] * adjoint[place] * faded[place]
                let kept = decay * adjoint[place]
                adjoint[place] = rounding.operation(kept, kept.magnitude)
            }
            gradients.k[t * keys + i] += rounding.sum(ofKey, squares: ofKeySquares, count: 2 * values, isCut: false)
        }
        gradients.logDecay[t] += rounding.sum(
            ofDecay, squares: ofDecaySquares, count: keys * values, isCut: false)
    }

    /// A gradient of normalised rows as a head hands it on to be added to those of others, or to
    /// the norm's own backward pass.
    package mutating func handedOn(_ gradient: [Double], scale: Double, isShared: Bool) -> [Double] {
        gradient.map { x in
            var value = rounding.operation(scale * x, (scale * x).magnitude)
            if normalizes { value = rounding.store(value, as: arithmetic.normalized) }
            if isShared { value = rounding.store(value, as: arithmetic.output) }
            return value
        }
    }

    /// From the gradient of r q' to that of q', for one row.
    ///
    /// - Parameters:
    ///   - unit: r q'.
    ///   - factor: r.
    package mutating func normBack(_ gradient: [Double], unit: [Double], factor: Double) -> [Double] {
        let units = arithmetic.norms.holds(arithmetic.accumulate) ? 2.0 : 3.5
        let r = rounding.perturbed(factor, units: units, of: arithmetic.norms)
        let own = unit.map { rounding.store(rounding.operation($0, 2 * $0.magnitude), as: arithmetic.normalized) }
        var (along, squares) = (0.0, 0.0)
        for (a, b) in zip(gradient, own) {
            along += a * b
            squares += a * b * a * b
        }
        along = rounding.sum(along, squares: squares, count: gradient.count, isCut: false)
        if !arithmetic.norms.holds(arithmetic.accumulate) {
            along = rounding.perturbed(along, units: units, of: arithmetic.norms)
        }
        return zip(gradient, own).map { g, q in
            let x = g - q * along
            let terms = g.magnitude + (q * along).magnitude
            let value = r * rounding.operation(x, 0.5 * (x.magnitude + terms))
            // In a narrow format each of the two terms is stored in it.
            return arithmetic.norms.holds(arithmetic.accumulate)
                ? value : value + rounding.perturbed(r * terms, units: 1, of: arithmetic.norms) - r * terms
        }
    }
}
