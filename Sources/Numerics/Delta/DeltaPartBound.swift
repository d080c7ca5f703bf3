//  Heads of the gated delta rule that read one q and k, backwards: their bounds together, and one
//  run of an imitated kernel.
//
//      ∂q̂ = Σ_h fl(scale ∂q_h)              |Δ∂q̂| <= Σ_h |scale| |Δ∂q_h| + what storing and adding rounds
//      ∂q' = r (∂q̂ - q̂ (q̂ · ∂q̂))           |Δ∂q'| <= r (|Δ∂q̂| + |q̂| Σ|q̂ Δ∂q̂|) + roundings of both terms
//
//  with r = 1 / sqrt(|q'|² + ε), and ∂k alike.

import DualityCore
import DualityReference

/// Bounds of the gradients of heads that share keys.
package struct DeltaPartBound {
    /// The bounds, in the place of the gradients.
    package private(set) var gradients: DeltaGradients<Double>
    /// The largest ρ of a token.
    package private(set) var growth = 1.0

    package init(
        _ operands: DeltaOperands<Double>, _ upstream: DeltaUpstream<Double>, _ arithmetic: DeltaArithmetic
    ) {
        gradients = DeltaGradients(zeroLike: operands)
        var (q, k) = (SharedGradient(operands, scale: operands.scale), SharedGradient(operands, scale: 1))
        for h in 0..<operands.heads {
            let (head, pull) = (operands.head(h), operands.pull(h, upstream))
            var bounds = DeltaAdjointBound(head, arithmetic, normalizes: operands.epsilon != nil, pull: pull)
            var exact = DeltaHeadGradients(zeroLike: head)
            for (s, tokens) in operands.sequences.enumerated() {
                let state = operands.entering(s, h)
                var adjoint = operands.leaving(s, h, upstream)
                let ends = bounds.run(tokens, state: state, adjoint: adjoint)
                head.addGradients(.recurrent, tokens, state: state, pull: pull, adjoint: &adjoint, to: &exact)
                let first = (s * operands.heads + h) * ends.count
                gradients.initialState.elements.replaceSubrange(first..<first + ends.count, with: ends)
            }
            growth = max(growth, bounds.growth)
            q.add(exact.q, bounds.gradients.q, operands, arithmetic)
            k.add(exact.k, bounds.gradients.k, operands, arithmetic)
            gradients.place(bounds.gradients, of: h, heads: operands.heads, width: operands.valueDim)
        }
        gradients.q.elements = q.bounds(operands.q, operands, arithmetic)
        gradients.k.elements = k.bounds(operands.k, operands, arithmetic)
    }
}

/// The gradient of q or k while heads add to it.
private struct SharedGradient {
    private let scale: Double
    private var value: [Double]
    private var error: [Double]

    init(_ operands: DeltaOperands<Double>, scale: Double) {
        self.scale = scale
        value = [Double](repeating: 0, count: operands.q.count)
        error = value
    }

    mutating func add(
        _ exact: [Double], _ bound: [Double], _ operands: DeltaOperands<Double>, _ arithmetic: DeltaArithmetic
    ) {
        let unit = arithmetic.accumulate.unitRoundoff
        func storing(_ format: NumberFormat) -> Double { format.holds(arithmetic.accumulate) ? 0 : format.unitRoundoff }
        let stored =
            (operands.epsilon != nil ? storing(arithmetic.normalized) : 0)
            + (operands.heads > 1 ? storing(arithmetic.output) : 0)
        for i in value.indices {
            let own = (scale * exact[i]).magnitude
            let bound = scale.magnitude * bound[i]
            value[i] += scale * exact[i]
            error[i] += bound + (stored + unit * Double(operands.heads + 1)) * (own + bound)
        }
    }

    /// Of what was normalised.
    func bounds(
        _ raw: Tensor<Double>, _ operands: DeltaOperands<Double>, _ arithmetic: DeltaArithmetic
    ) -> [Double] {
        guard let epsilon = operands.epsilon else { return error }
        let (unit, width) = (arithmetic.accumulate.unitRoundoff, operands.keyDim)
        func storing(_ format: NumberFormat) -> Double { format.holds(arithmetic.accumulate) ? 0 : format.unitRoundoff }
        let norms = storing(arithmetic.norms)
        // r and r q as the kernel has them; see DeltaBound.
        let ofFactor = (Double(width) / 2 + 6) * unit + 4.5 * norms
        let ofUnit = ofFactor + storing(arithmetic.normalized) + unit
        let tiny = arithmetic.accumulate.smallestNormal * Double(width + 4)
        var result = error
        for first in stride(from: 0, to: raw.count, by: width) {
            let row = first..<first + width
            let factor = 1 / raw.elements[row].reduce(epsilon) { $0 + $1 * $1 }.squareRoot()
            var (along, size, ofAlong) = (0.0, 0.0, 0.0)
            for i in row {
                let own = factor * raw.elements[i]
                along += own * value[i]
                size += (own * value[i]).magnitude
                // Products of 0 and infinity are 0.
                if own != 0 { ofAlong += own.magnitude * error[i] * (1 + ofUnit) }
            }
            ofAlong += (ofUnit + (Double(width) + 2) * unit + norms) * size + tiny
            for i in row {
                let own = (factor * raw.elements[i]).magnitude
                let back = own == 0 ? 0 : own * ofAlong * (1 + ofUnit)
                let terms = value[i].magnitude + own * along.magnitude
                let changes = error[i] + back
                result[i] =
                    factor
                    * (changes + (ofFactor + 3 * unit + 3 * norms) * (terms + changes) + ofUnit * own * along.magnitude
                        + tiny)
            }
        }
        return result
    }
}

extension DeltaGradients<Double> {
    /// The gradients of v, g and β of one head.
    fileprivate mutating func place(_ own: DeltaHeadGradients<Double>, of h: Int, heads: Int, width: Int) {
        for (i, x) in own.v.enumerated() { v.elements[(i / width * heads + h) * width + i % width] = x }
        for t in own.beta.indices {
            (logDecay.elements[t * heads + h], beta.elements[t * heads + h]) = (own.logDecay[t], own.beta[t])
        }
    }
}

extension DeltaOperands<Double> {
    /// What a kernel of an arithmetic makes of the gradients of heads that read one q and k.
    ///
    /// - Parameter seed: of random roundings; nil for roundings to the nearest.
    package func imitatedGradients(
        _ upstream: DeltaUpstream<Double>, _ arithmetic: DeltaArithmetic, seed: UInt64?
    ) -> DeltaGradients<Double> {
        var result = DeltaGradients(zeroLike: self)
        var last: DeltaAdjointWalk?
        for h in 0..<heads {
            let (head, pull) = (head(h), pull(h, upstream))
            var own = DeltaHeadGradients(zeroLike: head)
            var walk = DeltaAdjointWalk(
                head, arithmetic, normalizes: epsilon != nil, seed: seed.map { $0 &+ UInt64(h) &* 104_729 })
            for (s, tokens) in sequences.enumerated() {
                var adjoint = leaving(s, h, upstream)
                walk.run(tokens, state: entering(s, h), pull: pull, adjoint: &adjoint, to: &own)
                let first = (s * heads + h) * adjoint.count
                result.initialState.elements.replaceSubrange(first..<first + adjoint.count, with: adjoint)
            }
            let (q, k) = (
                walk.handedOn(own.q, scale: scale, isShared: heads > 1),
                walk.handedOn(own.k, scale: 1, isShared: heads > 1)
            )
            for i in q.indices {
                result.q.elements[i] += q[i]
                result.k.elements[i] += k[i]
            }
            result.place(own, of: h, heads: heads, width: valueDim)
            last = walk
        }
        guard let epsilon, var walk = last else { return result }
        walk.unnormalize(&result.q, of: q, epsilon)
        walk.unnormalize(&result.k, of: k, epsilon)
        return result
    }
}

extension DeltaAdjointWalk {
    /// From gradients of what was normalised to those of what came.
    fileprivate mutating func unnormalize(_ gradient: inout Tensor<Double>, of raw: Tensor<Double>, _ epsilon: Double) {
        for first in stride(from: 0, to: raw.count, by: head.keyDim) {
            let row = first..<first + head.keyDim
            let factor = 1 / raw.elements[row].reduce(epsilon) { $0 + $1 * $1 }.squareRoot()
            let back = normBack(
                Array(gradient.elements[row]), unit: raw.elements[row].map { $0 * factor }, factor: factor)
            gradient.elements.replaceSubrange(row, with: back)
        }
    }
}
