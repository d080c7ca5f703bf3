//  One head of the gated delta rule, token by token and in chunks: the equations of
//  DeltaOperands.swift.

import DualityCore

/// What one head is computed from.
package struct DeltaHead<Scalar: RealNumber>: Sendable {
    package let keyDim: Int
    package let valueDim: Int
    /// `[T, K]`, normalised and scaled; so is `k`, but for the scale.
    package var q: [Scalar] = []
    package var k: [Scalar] = []
    /// `[T, V]`.
    package var v: [Scalar] = []
    /// `[T]`.
    package var logDecay: [Scalar] = []
    package var beta: [Scalar] = []

    package init(keyDim: Int, valueDim: Int) {
        (self.keyDim, self.valueDim) = (keyDim, valueDim)
    }

    /// Outputs of some tokens, `[tokens, V]`.
    ///
    /// - Parameter state: before them, `[K, V]`; after them on return.
    package func evaluate(_ form: RecurrenceForm, _ tokens: Range<Int>, state: inout [Scalar]) -> [Scalar] {
        var out = [Scalar](repeating: 0, count: tokens.count * valueDim)
        switch form {
        case .recurrent:
            for (i, t) in tokens.enumerated() { step(t, &state, &out, row: i) }
        case .chunked(let size):
            for first in stride(from: tokens.lowerBound, to: tokens.upperBound, by: max(size, 1)) {
                let part = first..<min(first + max(size, 1), tokens.upperBound)
                chunk(part, &state, &out, row: first - tokens.lowerBound)
            }
        }
        return out
    }

    private func step(_ t: Int, _ state: inout [Scalar], _ out: inout [Scalar], row: Int) {
        let decay = Scalar.exp(logDecay[t])
        var delta = Array(v[t * valueDim..<(t + 1) * valueDim])
        for i in 0..<keyDim {
            let key = k[t * keyDim + i]
            for j in 0..<valueDim {
                state[i * valueDim + j] *= decay
                delta[j] -= key * state[i * valueDim + j]
            }
        }
        for j in 0..<valueDim { delta[j] *= beta[t] }
        for i in 0..<keyDim {
            let (key, query) = (k[t * keyDim + i], q[t * keyDim + i])
            for j in 0..<valueDim {
                state[i * valueDim + j] += key * delta[j]
                out[row * valueDim + j] += query * state[i * valueDim + j]
            }
        }
    }

    func overlap(_ a: [Scalar], _ b: [Scalar], _ s: Int, _ t: Int) -> Scalar {
        var sum = Scalar.zero
        for i in 0..<keyDim { sum += a[s * keyDim + i] * b[t * keyDim + i] }
        return sum
    }

    /// (I + A)^-1 of a chunk, `[Q, Q]`, by forward substitution of the rows of I.
    func inverse(_ tokens: Range<Int>, _ decays: SegmentDecays<Scalar>) -> [Scalar] {
        let (size, start) = (tokens.count, tokens.lowerBound)
        var inverse = [Scalar](repeating: 0, count: size * size)
        for i in 0..<size {
            inverse[i * size + i] = 1
            for j in 0..<i {
                let a = beta[start + i] * overlap(k, k, start + i, start + j) * decays.between[i * size + j]
                for m in 0...j { inverse[i * size + m] -= a * inverse[j * size + m] }
            }
        }
        return inverse
    }

    private func chunk(_ tokens: Range<Int>, _ state: inout [Scalar], _ out: inout [Scalar], row: Int) {
        let (size, start) = (tokens.count, tokens.lowerBound)
        let decays = SegmentDecays(tokens.map { logDecay[$0] })
        let inverse = inverse(tokens, decays)
        // β (V - e^ℓ K S_in), and T of it.
        var right = [Scalar](repeating: 0, count: size * valueDim)
        for i in 0..<size {
            for j in 0..<valueDim { right[i * valueDim + j] = v[(start + i) * valueDim + j] }
            for m in 0..<keyDim {
                let key = decays.fromStart[i] * k[(start + i) * keyDim + m]
                for j in 0..<valueDim { right[i * valueDim + j] -= key * state[m * valueDim + j] }
            }
            for j in 0..<valueDim { right[i * valueDim + j] *= beta[start + i] }
        }
        var delta = [Scalar](repeating: 0, count: size * valueDim)
        for i in 0..<size {
            for m in 0...i {
                for j in 0..<valueDim {
                    delta[i * valueDim + j] += inverse[i * size + m] * right[m * valueDim + j]
                }
            }
        }
        for i in 0..<size {
            for m in 0..<keyDim {
                let query = decays.fromStart[i] * q[(start + i) * keyDim + m]
                for j in 0..<valueDim { out[(row + i) * valueDim + j] += query * state[m * valueDim + j] }
            }
            for s in 0...i {
                let weight = decays.between[i * size + s] * overlap(q, k, start + i, start + s)
                for j in 0..<valueDim { out[(row + i) * valueDim + j] += weight * delta[s * valueDim + j] }
            }
        }
        for m in 0..<keyDim {
            for j in 0..<valueDim { state[m * valueDim + j] *= decays.fromStart[size - 1] }
            for i in 0..<size {
                let key = decays.between[(size - 1) * size + i] * k[(start + i) * keyDim + m]
                for j in 0..<valueDim { state[m * valueDim + j] += key * delta[i * valueDim + j] }
            }
        }
    }
}
