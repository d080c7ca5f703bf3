//  The gradients of the gated delta rule: the derivative of a scalar loss with respect to every
//  operand of DeltaOperands.swift.
//
//      given   ∂o_t = ∂ℒ/∂o_t   and   ∂S_L = ∂ℒ/∂S of the state after each sequence
//      wanted  ∂ℒ/∂q', ∂ℒ/∂k', ∂ℒ/∂v, ∂ℒ/∂g, ∂ℒ/∂β, ∂ℒ/∂S_0
//
//      recurrence   ∂q, ∂k of every head, ∂v, ∂g, ∂β, ∂S_0          DeltaRecurrentGradients.swift, DeltaChunkedGradients.swift
//      heads        ∂q̂ = scale Σ ∂q,  ∂k̂ = Σ ∂k                    over the heads that read one q, k
//      norms        ∂q' = r (∂q̂ - q̂ (q̂ · ∂q̂)),  r = 1 / sqrt(|q'|² + ε),  q̂ = r q';   ∂k' alike
//
//  Where q and k come normalised, q' = q̂ and the last step is not there.
//
//  Source: the chain rule; Yang, Kautz, Hatamizadeh (arXiv 2412.06464); flash-linear-attention,
//  ops/gated_delta_rule/chunk.py, `chunk_gated_delta_rule_bwd`, modules/l2norm.py, `l2norm_bwd`.

import DualityCore

/// What a loss says about the outputs of the gated delta rule; an absent gradient counts as zero.
package struct DeltaUpstream<Scalar: RealNumber>: Sendable {
    /// `[T, H, V]`.
    package var o: Tensor<Scalar>?
    /// `[S, H, K, V]`.
    package var finalState: Tensor<Scalar>?

    package init(o: Tensor<Scalar>? = nil, finalState: Tensor<Scalar>? = nil) {
        (self.o, self.finalState) = (o, finalState)
    }

    /// The same in another number format.
    package func converted<Other: RealNumber>(to type: Other.Type = Other.self) -> DeltaUpstream<Other> {
        DeltaUpstream<Other>(o: o?.converted(), finalState: finalState?.converted())
    }
}

/// The gradient of the loss with respect to each operand, in the shape of that operand.
package struct DeltaGradients<Scalar: RealNumber>: Sendable {
    /// `[T, Hk, K]`, of what came, before it was normalised and scaled.
    package var q: Tensor<Scalar>
    /// `[T, Hk, K]`, of what came.
    package var k: Tensor<Scalar>
    /// `[T, H, V]`.
    package var v: Tensor<Scalar>
    /// `[T, H]`.
    package var logDecay: Tensor<Scalar>
    /// `[T, H]`.
    package var beta: Tensor<Scalar>
    /// `[S, H, K, V]`, also where the state was absent, that is zero.
    package var initialState: Tensor<Scalar>

    package init(zeroLike operands: DeltaOperands<Scalar>) {
        (q, k, v) = (operands.q.map { _ in 0 }, operands.k.map { _ in 0 }, operands.v.map { _ in 0 })
        (logDecay, beta) = (operands.logDecay.map { _ in 0 }, operands.beta.map { _ in 0 })
        initialState = Tensor(
            repeating: 0,
            shape: [operands.sequences.count, operands.heads, operands.keyDim, operands.valueDim])
    }
}

/// Gradients of one head with respect to what DeltaHead holds.
package struct DeltaHeadGradients<Scalar: RealNumber>: Sendable {
    /// `[T, K]`, of q and k as products read them.
    package var q: [Scalar]
    package var k: [Scalar]
    /// `[T, V]`.
    package var v: [Scalar]
    /// `[T]`.
    package var logDecay: [Scalar]
    package var beta: [Scalar]

    package init(zeroLike head: DeltaHead<Scalar>) {
        q = [Scalar](repeating: .zero, count: head.q.count)
        k = q
        v = [Scalar](repeating: .zero, count: head.v.count)
        logDecay = [Scalar](repeating: .zero, count: head.logDecay.count)
        beta = logDecay
    }
}

extension DeltaHead {
    /// Adds the gradients of the tokens of a sequence.
    ///
    /// - Parameters:
    ///   - entering: the state before them, `[K, V]`.
    ///   - pull: ∂ℒ/∂o of all tokens, `[T, V]`.
    ///   - adjoint: ∂ℒ/∂S behind them, `[K, V]`; on return that before them.
    package func addGradients(
        _ form: RecurrenceForm, _ tokens: Range<Int>, state entering: [Scalar], pull: [Scalar],
        adjoint: inout [Scalar], to gradients: inout DeltaHeadGradients<Scalar>
    ) {
        switch form {
        case .recurrent:
            addRecurrentGradients(tokens, state: entering, pull: pull, adjoint: &adjoint, to: &gradients)
        case .chunked(let size):
            addChunkedGradients(
                tokens, size: max(size, 1), state: entering, pull: pull, adjoint: &adjoint, to: &gradients)
        }
    }
}

extension DeltaOperands {
    /// The gradients of Σ o ∂o + Σ S ∂S.
    ///
    /// - Complexity: O(T H K V); in chunks of Q O(T H Q (K + V) + T H Q²) more.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    package func gradients(
        _ form: RecurrenceForm = .recurrent, upstream: DeltaUpstream<Scalar>
    ) -> DeltaGradients<Scalar> {
        var result = DeltaGradients(zeroLike: self)
        for h in 0..<heads {
            let head = head(h)
            var gradients = DeltaHeadGradients(zeroLike: head)
            let pull = pull(h, upstream)
            for (s, tokens) in sequences.enumerated() {
                var adjoint = leaving(s, h, upstream)
                head.addGradients(
                    form, tokens, state: entering(s, h), pull: pull, adjoint: &adjoint, to: &gradients)
                let first = (s * heads + h) * adjoint.count
                result.initialState.elements.replaceSubrange(first..<first + adjoint.count, with: adjoint)
            }
            add(gradients, of: h, to: &result)
        }
        unnormalize(&result)
        return result
    }

    /// ∂ℒ/∂o of a head, `[T, V]`.
    package func pull(_ head: Int, _ upstream: DeltaUpstream<Scalar>) -> [Scalar] {
        guard let o = upstream.o else { return [Scalar](repeating: .zero, count: v.shape[0] * valueDim) }
        var rows: [Scalar] = []
        rows.reserveCapacity(v.shape[0] * valueDim)
        for t in 0..<v.shape[0] {
            let first = (t * heads + head) * valueDim
            rows += o.elements[first..<first + valueDim]
        }
        return rows
    }

    /// ∂ℒ/∂S behind a sequence, `[K, V]`.
    package func leaving(_ sequence: Int, _ head: Int, _ upstream: DeltaUpstream<Scalar>) -> [Scalar] {
        let size = keyDim * valueDim
        guard let states = upstream.finalState else { return [Scalar](repeating: .zero, count: size) }
        let first = (sequence * heads + head) * size
        return Array(states.elements[first..<first + size])
    }

    /// Adds what one head says: to q and k beside the other heads that read them.
    private func add(_ head: DeltaHeadGradients<Scalar>, of h: Int, to result: inout DeltaGradients<Scalar>) {
        let shared = h / (heads / keyHeads)
        for t in 0..<v.shape[0] {
            let row = (t * keyHeads + shared) * keyDim
            for i in 0..<keyDim {
                result.q.elements[row + i] += head.q[t * keyDim + i] * Scalar(scale)
                result.k.elements[row + i] += head.k[t * keyDim + i]
            }
            for j in 0..<valueDim { result.v.elements[(t * heads + h) * valueDim + j] = head.v[t * valueDim + j] }
            result.logDecay.elements[t * heads + h] = head.logDecay[t]
            result.beta.elements[t * heads + h] = head.beta[t]
        }
    }

    /// From gradients of q̂ and k̂ to those of what was normalised.
    private func unnormalize(_ result: inout DeltaGradients<Scalar>) {
        guard let epsilon else { return }
        for first in stride(from: 0, to: q.count, by: keyDim) {
            let row = first..<first + keyDim
            normBack(q.elements, row, Scalar(epsilon), &result.q.elements)
            normBack(k.elements, row, Scalar(epsilon), &result.k.elements)
        }
    }

    private func normBack(
        _ raw: [Scalar], _ row: Range<Int>, _ epsilon: Scalar, _ gradient: inout [Scalar]
    ) {
        var (squares, along) = (epsilon, Scalar.zero)
        for i in row {
            squares += raw[i] * raw[i]
            along += raw[i] * gradient[i]
        }
        let factor = 1 / Scalar.sqrt(squares)
        for i in row { gradient[i] = factor * (gradient[i] - raw[i] * factor * (factor * along)) }
    }
}
