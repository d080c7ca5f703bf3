//  The bound of a chunk of tokens, computed from the states before it:
//
//      G_i x  = e_i G_c x + Σ_{j<=i} e_ij (k_j · x) k_j
//      F_i²   = e_i² |G_c|² + 2 e_i Σ_j e_ij k_jᵀ G_c k_j + Σ_j Σ_l e_ij e_il (k_j · k_l)²
//      o_i    = scale ( e_i M_cᵀ y + Σ_j e_ij (k_j · y) v_j )
//
//  e_i = e^ℓ_i and e_ij = e^(ℓ_i - ℓ_j), ℓ the running sum of the log decays, whose own error makes
//  an exponential's relative one. No G_i is put together; what it would err by is a sum of norms.

import DualityCore
import DualityReference

extension KalmanBound {
    /// The decays of a chunk and what they err by, relatively.
    struct ChunkDecays {
        /// e^ℓ_i, its relative error, and both of e^(ℓ_i - ℓ_j), `[Q, Q]`.
        var (fromStart, ofStart) = ([Double](), [Double]())
        var (between, ofBetween): ([Double], [Double])

        init(_ logs: [Double], _ bound: KalmanBound) {
            let size = logs.count
            between = [Double](repeating: 0, count: size * size)
            ofBetween = between
            var sums: [Double] = []
            for (i, log) in logs.enumerated() {
                sums.append((i > 0 ? sums[i - 1] : 0) + log)
                let drift = bound.growth(i + 1) * sums[i].magnitude
                fromStart.append(Double.exp(sums[i]))
                ofStart.append(bound.exponential(sums[i]) + drift)
                for j in 0...i {
                    between[i * size + j] = Double.exp(sums[i] - sums[j])
                    ofBetween[i * size + j] = bound.exponential(sums[i] - sums[j]) + (i == j ? 0 : 2 * drift)
                }
            }
        }
    }

    mutating func chunk(_ tokens: Range<Int>, _ out: inout [Double], _ row: Int) {
        let (size, solves) = (tokens.count, head.iterations > 0)
        let logs = tokens.map { head.logDecay[$0] }
        let decays = ChunkDecays(logs, self)
        let ofGram = head.decaysGram ? decays : ChunkDecays(logs.map { _ in 0 }, self)
        let (keys, values) = (tokens.map { key($0) }, tokens.map { value($0) })
        let (entering, entered) = (state, errors)
        let lengths = keys.map { Self.norm($0) }
        let sizes = (Self.norm(entering.gram), Self.norm(entered.gram))
        for i in 0..<size {
            advance(logs[i], keys[i], values[i])
            let seen = solves ? reading(i, size: size, decays: ofGram, lengths: lengths, entering: sizes) : .nothing
            let (y, ofY) = solution(tokens.lowerBound + i, seen)
            read(
                y, ofY: ofY, at: i, decays: decays, entering: (entering, entered), rows: (keys, values, lengths),
                out: &out, row: row + i)
        }
        let pair = 2 * ofKeys + ofKeys * ofKeys
        let mixed = ofKeys + ofValues + ofKeys * ofValues
        errors.memory = passed(
            entering.memory, entered: entered.memory, leaving: state.memory, keys: keys, values: values, decays: decays,
            ofProduct: mixed, format: arithmetic.state)
        if solves {
            errors.gram = passed(
                entering.gram, entered: entered.gram, leaving: state.gram, keys: keys, values: keys, decays: ofGram,
                ofProduct: pair, format: arithmetic.state)
        }
    }

    /// The exact states of the next token.
    private mutating func advance(_ log: Double, _ key: [Double], _ value: [Double]) {
        let decay = Double.exp(log)
        func move(_ state: inout [Double], _ decay: Double, _ b: [Double]) {
            for i in key.indices {
                for j in b.indices { state[i * b.count + j] = decay * state[i * b.count + j] + key[i] * b[j] }
            }
        }
        move(&state.memory, decay, value)
        guard head.iterations > 0 else { return }
        move(&state.gram, head.decaysGram ? decay : 1, key)
        if head.decaysGram { defect *= decay }
    }

    /// What the solver knows of G_i.
    ///
    /// - Parameter entering: |G_c|_F and |ΔG_c|_F.
    private func reading(
        _ i: Int, size: Int, decays: ChunkDecays, lengths: [Double], entering: (Double, Double)
    ) -> GramReading {
        let (products, keeping) = (storing(arithmetic.products), storing(arithmetic.chunkStates))
        let start = decays.fromStart[i]
        var error = start * (entering.1 * (1 + decays.ofStart[i]) + entering.0 * (decays.ofStart[i] + keeping))
        var whole = start * (entering.0 + entering.1)
        let pair = 2 * ofKeys + ofKeys * ofKeys
        for j in 0...i {
            let part = decays.between[i * size + j] * lengths[j] * lengths[j]
            whole += part
            error += part * (decays.ofBetween[i * size + j] + pair)
        }
        whole += error
        let (wide, long) = (growth(head.keyDim), growth(size))
        let norm = Self.norm(state.gram)
        // Of F_i², in units of the square of the sum of magnitudes.
        let ofSquare = growth(head.keyDim * head.keyDim) + 2 * wide + 2 * long + 6 * products + 6 * unit
        let relative = 2 * wide + long + 4 * products + 4 * unit
        let lost = lost(norm)
        return GramReading(
            size: whole, error: error, relative: relative,
            norm: norm > 0 ? error * (1 + error / norm) + whole * whole * ofSquare / (2 * norm) + lost : 0)
    }

    private func read(
        _ y: [Double], ofY: Double, at i: Int, decays: ChunkDecays,
        entering: (state: KalmanState<Double>, errors: KalmanState<Double>),
        rows: (keys: [[Double]], values: [[Double]], lengths: [Double]), out: inout [Double], row: Int
    ) {
        let (width, size, reach) = (head.valueDim, rows.keys.count, Self.norm(y) + ofY)
        let (products, keeping) = (storing(arithmetic.products), storing(arithmetic.chunkStates))
        let (wide, long) = (growth(head.keyDim), growth(size))
        let (start, ofStart) = (decays.fromStart[i], decays.ofStart[i])
        var inside = [Double](repeating: 0, count: width)
        let mixed = ofKeys + ofValues + ofKeys * ofValues
        for j in 0...i {
            let weight = decays.between[i * size + j] * rows.lengths[j] * reach
            let relative = decays.ofBetween[i * size + j] + mixed + wide + long + 4 * products + 4 * unit
            for c in 0..<width { inside[c] += weight * rows.values[j][c].magnitude * relative }
        }
        for c in 0..<width {
            var (column, before, error, magnitude) = (0.0, 0.0, 0.0, 0.0)
            for m in 0..<head.keyDim {
                let (now, was) = (state.memory[m * width + c], entering.state.memory[m * width + c])
                let e = entering.errors.memory[m * width + c]
                column += now * now
                before += was * was
                error += e * e
                magnitude += (was * y[m]).magnitude
            }
            let (of, was) = (error.squareRoot(), before.squareRoot())
            let entered = start * (of * (1 + ofStart) + was * (ofStart + keeping)) * reach
            // Tokens of the chunk may be added to what was read one by one.
            let read = start * (wide + long + 2 * products + 4 * unit) * (magnitude + was * ofY)
            out[row * width + c] =
                head.scale.magnitude
                * (column.squareRoot() * ofY + entered + read + inside[c] + Double(head.keyDim + size) * tiny) + tiny
        }
    }

    /// What the numbers of a state may be off by behind the chunk, whose tokens may be added to it
    /// one by one.
    private func passed(
        _ entering: [Double], entered: [Double], leaving: [Double], keys: [[Double]], values: [[Double]],
        decays: ChunkDecays, ofProduct: Double, format: NumberFormat
    ) -> [Double] {
        let (size, width) = (keys.count, values[0].count)
        let (last, long, products) = (size - 1, growth(size), storing(arithmetic.products))
        let (start, ofStart) = (decays.fromStart[last], decays.ofStart[last])
        var result = entering.indices.map { i in
            start * (entered[i] * (1 + ofStart + 2 * unit) + entering[i].magnitude * (ofStart + long + 2 * unit))
                + tiny * Double(size + 2)
        }
        for s in 0..<size {
            let between = decays.between[last * size + s]
            let relative = decays.ofBetween[last * size + s] + ofProduct + long + 2.01 * products + 2 * unit
            for i in keys[s].indices {
                let factor = between * keys[s][i].magnitude * relative
                for j in 0..<width { result[i * width + j] += factor * values[s][j].magnitude }
            }
        }
        let storing = storing(format)
        for i in result.indices {
            result[i] += 2 * unit * leaving[i].magnitude + storing * (leaving[i].magnitude + result[i])
        }
        return result
    }
}
