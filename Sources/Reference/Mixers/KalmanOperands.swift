//  The recurrence of Gated KalmaNet as an operator: what a kernel is called with, key and value
//  widths of their own, heads that share keys or values, packed sequences, states at both ends.
//
//      q = q' / (|q'| + ε)          k = (β + 1e-6) k' / (|k'| + ε)          v = (β + 1e-6) v'
//      G <- e^g G + k kᵀ            M <- e^g M + k vᵀ                       G [D, D], M [D, V]
//      x = K steps of Chebyshev's iteration for (G + λ I)^-1 q, λ = ridge F, F = |G|_F     RidgeSolver.swift
//      y = q + α (x - q)            o = scale Mᵀ y
//
//  The steps are part of the definition: x is not the solution, and what is left of it after K
//  steps is no error. With K = 0 y is q, and G is neither read nor moved. Without β keys and values
//  stay as they are, without g nothing decays, without α it is 1. Where F is 0 so is x.
//
//  | symbol   | shape        | meaning                                              |
//  |----------|--------------|------------------------------------------------------|
//  | q'       | [T, H, D]    |                                                      |
//  | k'       | [T, Hk, D]   | head h reads head h div (H / Hk)                     |
//  | v'       | [T, Hv, V]   | likewise                                             |
//  | g, α, β  | [T, H]       | log decay <= 0; mixing and input gates               |
//  | o        | [T, H, V]    |                                                      |
//  | G, M     | [S, H, D, D], [S, H, D, V] | one of each a sequence                 |
//
//  T counts the tokens of all rows. Source: awslabs/hybrid-model-factory, layers/gated_kalmanet.

import DualityCore

/// A call of the recurrence of Gated KalmaNet.
package struct KalmanOperands<Scalar: RealNumber>: Sendable {
    /// `[T, H, D]`.
    package var q: Tensor<Scalar>
    /// `[T, Hk, D]`.
    package var k: Tensor<Scalar>
    /// `[T, Hv, V]`.
    package var v: Tensor<Scalar>
    /// `[T, H]`; nil for 1.
    package var alpha: Tensor<Scalar>?
    /// `[T, H]`; nil where keys and values keep their size.
    package var beta: Tensor<Scalar>?
    /// `[T, H]`; nil where nothing decays.
    package var logDecay: Tensor<Scalar>?
    /// `[S, H, D, D]`; nil for zeros.
    package var gram: Tensor<Scalar>?
    /// `[S, H, D, V]`; nil for zeros.
    package var memory: Tensor<Scalar>?
    /// The tokens of each sequence.
    package var sequences: [Range<Int>]
    /// ε of the normalisation of q and k; nil where there is none.
    package var epsilon: Double? = 1e-6
    /// Whether G decays, as M does.
    package var decaysGram = true
    package var ridge = 0.02
    package var iterations = 30
    /// What the output is multiplied with.
    package var scale: Double

    package init(
        q: Tensor<Scalar>, k: Tensor<Scalar>, v: Tensor<Scalar>, alpha: Tensor<Scalar>?, beta: Tensor<Scalar>?,
        logDecay: Tensor<Scalar>?, gram: Tensor<Scalar>?, memory: Tensor<Scalar>?, sequences: [Range<Int>],
        scale: Double
    ) {
        (self.q, self.k, self.v) = (q, k, v)
        (self.alpha, self.beta, self.logDecay) = (alpha, beta, logDecay)
        (self.gram, self.memory, self.sequences, self.scale) = (gram, memory, sequences, scale)
    }

    package var heads: Int { q.shape[1] }
    package var keyDim: Int { q.shape[2] }
    package var valueDim: Int { v.shape[2] }
    package var tokens: Int { q.shape[0] }

    /// The same call in another number format.
    package func converted<Other: RealNumber>(to type: Other.Type) -> KalmanOperands<Other> {
        var other = KalmanOperands<Other>(
            q: q.converted(), k: k.converted(), v: v.converted(), alpha: alpha?.converted(), beta: beta?.converted(),
            logDecay: logDecay?.converted(), gram: gram?.converted(), memory: memory?.converted(),
            sequences: sequences, scale: scale)
        (other.epsilon, other.decaysGram, other.ridge, other.iterations) = (epsilon, decaysGram, ridge, iterations)
        return other
    }

    /// What head h is computed from, q and k normalised.
    package func head(_ h: Int) -> KalmanHead<Scalar> {
        var head = KalmanHead<Scalar>(keyDim: keyDim, valueDim: valueDim)
        head.q = normalized(Self.rows(q, h))
        head.k = normalized(Self.rows(k, h / (heads / k.shape[1])))
        head.v = Self.rows(v, h / (heads / v.shape[1]))
        func column(_ gates: Tensor<Scalar>?, else value: Scalar) -> [Scalar] {
            (0..<tokens).map { gates?.elements[$0 * heads + h] ?? value }
        }
        head.alpha = column(alpha, else: 1)
        head.gate = beta == nil ? column(nil, else: 1) : column(beta, else: 1).map { $0 + 1e-6 }
        head.logDecay = column(logDecay, else: 0)
        head.decaysGram = decaysGram
        (head.ridge, head.iterations, head.scale) = (Scalar(ridge), iterations, Scalar(scale))
        return head
    }

    private func normalized(_ rows: [Scalar]) -> [Scalar] {
        guard let epsilon else { return rows }
        var rows = rows
        for first in stride(from: 0, to: rows.count, by: keyDim) {
            var squares = Scalar.zero
            for i in first..<first + keyDim { squares += rows[i] * rows[i] }
            let factor = 1 / (Scalar.sqrt(squares) + Scalar(epsilon))
            // Zeros stay zeros where nothing is added to their norm.
            for i in first..<first + keyDim where squares > 0 { rows[i] *= factor }
        }
        return rows
    }

    /// The rows of a head of `[T, heads, width]`.
    private static func rows(_ tensor: Tensor<Scalar>, _ head: Int) -> [Scalar] {
        tensor.selecting([head], axis: 1).elements
    }

    /// The states of a sequence and head before its tokens.
    package func entering(_ sequence: Int, _ head: Int) -> KalmanState<Scalar> {
        func part(_ states: Tensor<Scalar>?, _ size: Int) -> [Scalar] {
            guard let states else { return [Scalar](repeating: 0, count: size) }
            let first = (sequence * heads + head) * size
            return Array(states.elements[first..<first + size])
        }
        return KalmanState(gram: part(gram, keyDim * keyDim), memory: part(memory, keyDim * valueDim))
    }

    /// Outputs `[T, H, V]`, and G `[S, H, D, D]` and M `[S, H, D, V]` after each sequence.
    ///
    /// - Complexity: O(T H K D²) for K iterations, and O(T H K Q D) more in chunks of Q.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    package func evaluate(
        _ form: RecurrenceForm
    ) -> (o: Tensor<Scalar>, gram: Tensor<Scalar>, memory: Tensor<Scalar>) {
        let count = sequences.count
        var o = Tensor<Scalar>(repeating: 0, shape: [tokens, heads, valueDim])
        var grams = Tensor<Scalar>(repeating: 0, shape: [count, heads, keyDim, keyDim])
        var memories = Tensor<Scalar>(repeating: 0, shape: [count, heads, keyDim, valueDim])
        for h in 0..<heads {
            let head = head(h)
            for (s, tokens) in sequences.enumerated() {
                var state = entering(s, h)
                let rows = head.evaluate(form, tokens, state: &state)
                for (i, t) in tokens.enumerated() {
                    for j in 0..<valueDim { o.elements[(t * heads + h) * valueDim + j] = rows[i * valueDim + j] }
                }
                let (ofGram, ofMemory) = (keyDim * keyDim, keyDim * valueDim)
                let place = s * heads + h
                grams.elements.replaceSubrange(place * ofGram..<(place + 1) * ofGram, with: state.gram)
                memories.elements.replaceSubrange(place * ofMemory..<(place + 1) * ofMemory, with: state.memory)
            }
        }
        return (o, grams, memories)
    }
}
