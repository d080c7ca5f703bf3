//  One head of the recurrence of Gated KalmaNet, token by token and in chunks: the equations of
//  KalmanOperands.swift, and those of chunks in GatedKalmaRule.swift.

import DualityCore

/// What a head remembers.
package struct KalmanState<Scalar: RealNumber>: Sendable {
    /// G, `[D, D]`.
    package var gram: [Scalar]
    /// M, `[D, V]`.
    package var memory: [Scalar]

    package init(gram: [Scalar], memory: [Scalar]) {
        (self.gram, self.memory) = (gram, memory)
    }
}

/// What one head is computed from.
package struct KalmanHead<Scalar: RealNumber>: Sendable {
    package let keyDim: Int
    package let valueDim: Int
    /// `[T, D]`, normalised; so is `k`.
    package var q: [Scalar] = []
    package var k: [Scalar] = []
    /// `[T, V]`.
    package var v: [Scalar] = []
    /// `[T]`: what keys and values are multiplied with, β + 1e-6.
    package var gate: [Scalar] = []
    /// `[T]`.
    package var alpha: [Scalar] = []
    package var logDecay: [Scalar] = []
    package var decaysGram = true
    package var ridge: Scalar = 0
    package var iterations = 0
    package var scale: Scalar = 1

    package init(keyDim: Int, valueDim: Int) {
        (self.keyDim, self.valueDim) = (keyDim, valueDim)
    }

    private var solver: RidgeSolver { .chebyshev(iterations: iterations) }

    /// Outputs of some tokens, `[tokens, V]`.
    ///
    /// - Parameter state: before them; after them on return.
    package func evaluate(
        _ form: RecurrenceForm, _ tokens: Range<Int>, state: inout KalmanState<Scalar>
    ) -> [Scalar] {
        // Tokens before the range are not read.
        let keys = gated(k, keyDim, tokens)
        let values = gated(v, valueDim, tokens)
        var out = [Scalar](repeating: 0, count: tokens.count * valueDim)
        switch form {
        case .recurrent:
            for (i, t) in tokens.enumerated() { step(t, row: i, keys: keys, values: values, state: &state, out: &out) }
        case .chunked(let size):
            for first in stride(from: tokens.lowerBound, to: tokens.upperBound, by: max(size, 1)) {
                let part = first..<min(first + max(size, 1), tokens.upperBound)
                chunk(part, first: first - tokens.lowerBound, keys: keys, values: values, state: &state, out: &out)
            }
        }
        return out
    }

    private func gated(_ rows: [Scalar], _ width: Int, _ tokens: Range<Int>) -> [Scalar] {
        var result = Array(rows[tokens.lowerBound * width..<tokens.upperBound * width])
        for i in result.indices { result[i] *= gate[tokens.lowerBound + i / width] }
        return result
    }

    /// `q + α (x - q)`.
    private func mixed(
        _ t: Int, norm: Scalar, multiply: (UnsafePointer<Scalar>, UnsafeMutablePointer<Scalar>) -> Void
    ) -> [Scalar] {
        let query = Array(q[t * keyDim..<(t + 1) * keyDim])
        guard iterations > 0 else { return query }
        let x = solver.solve(query, norm: norm, ridge: ridge, multiply: multiply)
        return zip(query, x).map { $0 + alpha[t] * ($1 - $0) }
    }

    /// One token, by the definition; `row` counts from the first of `keys` and `values`.
    private func step(
        _ t: Int, row: Int, keys: [Scalar], values: [Scalar], state: inout KalmanState<Scalar>,
        out: inout [Scalar]
    ) {
        let decay = Scalar.exp(logDecay[t])
        Self.add(
            keys, from: row * keyDim, times: values, from: row * valueDim, decay: decay, rows: keyDim,
            columns: valueDim, to: &state.memory)
        if iterations > 0 {
            let own = decaysGram ? decay : 1
            Self.add(
                keys, from: row * keyDim, times: keys, from: row * keyDim, decay: own, rows: keyDim, columns: keyDim,
                to: &state.gram)
        }
        let (gram, width) = (state.gram, keyDim)
        var squares = Scalar.zero
        for g in gram { squares += g * g }
        let y = mixed(t, norm: Scalar.sqrt(squares)) { x, product in
            gram.withUnsafeBufferPointer { gram in
                guard let gram = gram.baseAddress else { return }
                for i in 0..<width { product[i] = dot(gram + i * width, x, width) }
            }
        }
        for i in 0..<keyDim {
            let factor = scale * y[i]
            for j in 0..<valueDim { out[row * valueDim + j] += factor * state.memory[i * valueDim + j] }
        }
    }

    /// S <- decay S + a bᵀ.
    private static func add(
        _ a: [Scalar], from first: Int, times b: [Scalar], from second: Int, decay: Scalar, rows: Int, columns: Int,
        to state: inout [Scalar]
    ) {
        for i in 0..<rows {
            let factor = a[first + i]
            for j in 0..<columns {
                state[i * columns + j] = decay * state[i * columns + j] + factor * b[second + j]
            }
        }
    }

    private func overlap(_ a: [Scalar], _ s: Int, _ b: [Scalar], _ t: Int) -> Scalar {
        var sum = Scalar.zero
        for i in 0..<keyDim { sum += a[s * keyDim + i] * b[t * keyDim + i] }
        return sum
    }

    /// Several tokens from the states before them.
    private func chunk(
        _ tokens: Range<Int>, first: Int, keys: [Scalar], values: [Scalar],
        state: inout KalmanState<Scalar>, out: inout [Scalar]
    ) {
        let size = tokens.count
        let decays = SegmentDecays(tokens.map { logDecay[$0] })
        let ofGram = decaysGram ? decays : SegmentDecays([Scalar](repeating: 0, count: size))
        let (norms, before) = (norms(first: first, size: size, keys: keys, decays: ofGram, gram: state.gram), state)
        let width = keyDim
        for i in 0..<size {
            let start = ofGram.fromStart[i]
            let y = mixed(tokens.lowerBound + i, norm: norms[i]) { x, product in
                before.gram.withUnsafeBufferPointer { gram in
                    guard let gram = gram.baseAddress else { return }
                    for m in 0..<width { product[m] = start * dot(gram + m * width, x, width) }
                }
                keys.withUnsafeBufferPointer { keys in
                    guard let keys = keys.baseAddress else { return }
                    for j in 0...i {
                        let key = keys + (first + j) * width
                        addScaled(ofGram.between[i * size + j] * dot(key, x, width), key, to: product, width)
                    }
                }
            }
            let row = (first + i) * valueDim
            for m in 0..<keyDim {
                let factor = scale * decays.fromStart[i] * y[m]
                for j in 0..<valueDim { out[row + j] += factor * before.memory[m * valueDim + j] }
            }
            for s in 0...i {
                let weight = scale * decays.between[i * size + s] * overlap(y, 0, keys, first + s)
                for j in 0..<valueDim { out[row + j] += weight * values[(first + s) * valueDim + j] }
            }
        }
        pass(
            first: first, size: size, keys: keys, values: values, decays: decays, state: &state.memory,
            columns: valueDim)
        if iterations > 0 {
            pass(
                first: first, size: size, keys: keys, values: keys, decays: ofGram, state: &state.gram, columns: keyDim)
        }
    }

    /// |G_i|_F of every token of a chunk.
    private func norms(
        first: Int, size: Int, keys: [Scalar], decays: SegmentDecays<Scalar>, gram: [Scalar]
    ) -> [Scalar] {
        guard iterations > 0 else { return [Scalar](repeating: 0, count: size) }
        var entering = Scalar.zero
        for g in gram { entering += g * g }
        var energies = [Scalar](repeating: 0, count: size)
        for j in 0..<size {
            for m in 0..<keyDim {
                var sum = Scalar.zero
                for i in 0..<keyDim { sum += gram[m * keyDim + i] * keys[(first + j) * keyDim + i] }
                energies[j] += keys[(first + j) * keyDim + m] * sum
            }
        }
        let overlaps = (0..<size * size).map { overlap(keys, first + $0 / size, keys, first + $0 % size) }
        return (0..<size).map { i in
            let start = decays.fromStart[i]
            var squares = start * start * entering
            for j in 0...i {
                let between = decays.between[i * size + j]
                squares += 2 * start * between * energies[j]
                for l in 0...i {
                    let overlap = overlaps[j * size + l]
                    squares += between * decays.between[i * size + l] * overlap * overlap
                }
            }
            return Scalar.sqrt(squares)
        }
    }

    /// A state after a chunk.
    private func pass(
        first: Int, size: Int, keys: [Scalar], values: [Scalar], decays: SegmentDecays<Scalar>,
        state: inout [Scalar], columns: Int
    ) {
        for i in state.indices { state[i] *= decays.fromStart[size - 1] }
        for s in 0..<size {
            let between = decays.between[(size - 1) * size + s]
            for i in 0..<keyDim {
                let factor = between * keys[(first + s) * keyDim + i]
                for j in 0..<columns { state[i * columns + j] += factor * values[(first + s) * columns + j] }
            }
        }
    }
}
