//  Chunks of an imitated kernel: the equations of KalmanBound+Chunks.swift.

import DualityCore
import DualityReference

extension KalmanWalk {
    /// The operands of a chunk as its products read them, and its decays.
    private struct Chunk {
        var keys: [Double]
        var values: [Double]
        var gram: [Double]
        var memory: [Double]
        /// e^ℓ_i and e^(ℓ_i - ℓ_j).
        var fromStart: [Double]
        var between: [Double]
        /// Those of G.
        var gramFromStart: [Double]
        var gramBetween: [Double]
    }

    mutating func chunk(
        _ tokens: Range<Int>, _ state: inout KalmanState<Double>, _ out: inout [Double], _ row: Int
    ) {
        let (size, keys, values, start) = (tokens.count, head.keyDim, head.valueDim, tokens.lowerBound)
        let chunk = prepared(tokens, state)
        let squares = head.iterations > 0 ? norms(chunk, size) : []
        for i in 0..<size {
            var y = Array(q[(start + i) * keys..<(start + i + 1) * keys])
            if head.iterations > 0 {
                let norm = norm(
                    (squares[i], squares[i] * squares[i] / Double(keys)), count: keys * keys + (i + 1) * (i + 1))
                solve(&y, alpha: head.alpha[start + i], norm: norm) { walk, x in
                    walk.product(chunk, i, size, walk.multiplied(x))
                }
            }
            let read = multiplied(y)
            var weights = [Double](repeating: 0, count: i + 1)
            for s in 0...i {
                let weight =
                    chunk.between[i * size + s]
                    * dot(chunk.keys, from: s * keys, step: 1, with: read, from: 0, count: keys)
                weights[s] = rounding.store(
                    rounding.operation(weight, weight.magnitude), as: arithmetic.products)
            }
            for j in 0..<values {
                let before =
                    chunk.fromStart[i] * dot(chunk.memory, from: j, step: values, with: read, from: 0, count: keys)
                var (inside, squares) = (0.0, 0.0)
                for s in 0...i {
                    let term = chunk.values[s * values + j] * weights[s]
                    inside += term
                    squares += term * term
                }
                let sum = head.scale * added(inside, squares: squares, count: i + 1, to: before)
                out[(row + i) * values + j] = rounding.operation(sum, 2 * sum.magnitude)
            }
        }
        pass(&state.memory, width: values, b: v, tokens: tokens, fromStart: chunk.fromStart, between: chunk.between)
        if head.iterations > 0 {
            pass(
                &state.gram, width: keys, b: k, tokens: tokens, fromStart: chunk.gramFromStart,
                between: chunk.gramBetween)
        }
    }

    private mutating func prepared(_ tokens: Range<Int>, _ state: KalmanState<Double>) -> Chunk {
        let size = tokens.count
        var sums = [Double](repeating: 0, count: size)
        for (i, t) in tokens.enumerated() {
            let sum = (i > 0 ? sums[i - 1] : 0) + head.logDecay[t]
            sums[i] = rounding.operation(sum, sum.magnitude)
        }
        let fromStart = sums.map { rounding.exp($0) }
        var between = [Double](repeating: 0, count: size * size)
        for i in 0..<size {
            for s in 0...i { between[i * size + s] = s == i ? 1 : rounding.exp(sums[i] - sums[s]) }
        }
        let ones = head.decaysGram ? fromStart : fromStart.map { _ in 1 }
        let spans = head.decaysGram ? between : between.map { $0 == 0 ? 0 : 1 }
        func kept(_ state: [Double]) -> [Double] {
            var result = state
            for i in result.indices { result[i] = rounding.store(result[i], as: arithmetic.chunkStates) }
            return multiplied(result)
        }
        func rows(_ all: [Double], _ width: Int) -> [Double] {
            multiplied(Array(all[tokens.lowerBound * width..<tokens.upperBound * width]))
        }
        return Chunk(
            keys: rows(k, head.keyDim), values: rows(v, head.valueDim), gram: kept(state.gram),
            memory: kept(state.memory), fromStart: fromStart, between: between, gramFromStart: ones,
            gramBetween: spans)
    }

    /// F_i² of every token, before its sums are rounded.
    private mutating func norms(_ chunk: Chunk, _ size: Int) -> [Double] {
        let keys = head.keyDim
        let entering = squares(chunk.gram).sum
        var energies = [Double](repeating: 0, count: size)
        var overlaps = [Double](repeating: 0, count: size * size)
        for j in 0..<size {
            let key = Array(chunk.keys[j * keys..<(j + 1) * keys])
            let turned = multiplied(product(chunk.gram, key))
            energies[j] = dot(turned, from: 0, step: 1, with: key, from: 0, count: keys)
            for l in 0...j {
                let overlap = dot(chunk.keys, from: l * keys, step: 1, with: key, from: 0, count: keys)
                overlaps[j * size + l] = rounding.store(overlap, as: arithmetic.products)
            }
        }
        return (0..<size).map { i in
            let start = chunk.gramFromStart[i]
            var sum = start * start * entering
            for j in 0...i {
                let own = chunk.gramBetween[i * size + j]
                sum += 2 * start * own * energies[j]
                for l in 0...j {
                    let overlap = overlaps[j * size + l]
                    sum += (l == j ? 1 : 2) * own * chunk.gramBetween[i * size + l] * overlap * overlap
                }
            }
            return sum
        }
    }

    /// G_i x.
    private mutating func product(_ chunk: Chunk, _ i: Int, _ size: Int, _ x: [Double]) -> [Double] {
        let keys = head.keyDim
        var result = x
        for m in 0..<keys {
            result[m] = chunk.gramFromStart[i] * dot(chunk.gram, from: m * keys, step: 1, with: x, from: 0, count: keys)
        }
        var (sums, squares) = ([Double](repeating: 0, count: keys), [Double](repeating: 0, count: keys))
        for j in 0...i {
            let overlap =
                chunk.gramBetween[i * size + j]
                * dot(chunk.keys, from: j * keys, step: 1, with: x, from: 0, count: keys)
            let weight = rounding.store(rounding.operation(overlap, overlap.magnitude), as: arithmetic.products)
            for m in 0..<keys {
                let term = weight * chunk.keys[j * keys + m]
                sums[m] += term
                squares[m] += term * term
            }
        }
        for m in 0..<keys { result[m] = added(sums[m], squares: squares[m], count: i + 1, to: result[m]) }
        return result
    }

    /// A sum of `count` products of which the squares are known, added one by one to a number that
    /// was itself rounded before.
    private mutating func added(_ sum: Double, squares: Double, count: Int, to first: Double) -> Double {
        let start = rounding.operation(first, first.magnitude)
        return rounding.sum(start + sum, squares: squares + start * start, count: count + 1, isCut: isCut)
    }

    /// A state behind the chunk.
    private mutating func pass(
        _ state: inout [Double], width: Int, b: [Double], tokens: Range<Int>, fromStart: [Double],
        between: [Double]
    ) {
        let (size, keys, start) = (tokens.count, head.keyDim, tokens.lowerBound)
        let last = (size - 1) * size
        let rows = multiplied(Array(k[start * keys..<(start + size) * keys]))
        var weighted = Array(b[start * width..<(start + size) * width])
        for i in weighted.indices {
            let value = between[last + i / width] * weighted[i]
            weighted[i] = rounding.store(rounding.operation(value, value.magnitude), as: arithmetic.products)
        }
        for m in 0..<keys {
            for j in 0..<width {
                var (sum, squares) = (0.0, 0.0)
                for s in 0..<size {
                    let term = rows[s * keys + m] * weighted[s * width + j]
                    sum += term
                    squares += term * term
                }
                let next = added(sum, squares: squares, count: size, to: fromStart[size - 1] * state[m * width + j])
                state[m * width + j] = rounding.store(next, as: arithmetic.state)
            }
        }
    }
}
