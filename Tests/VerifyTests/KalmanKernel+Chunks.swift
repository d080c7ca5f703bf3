import DualityCore

@testable import DualityVerify

extension KalmanKernel {
    static let chunkPlants = [
        "states-lost-between-chunks", "states-not-decayed-by-chunk", "decay-missing-across-chunks",
        "decay-missing-inside-chunk", "keys-not-decayed-to-chunk-end", "norm-of-chunk-start",
        "norm-cross-term-missing", "norm-cross-term-once", "chunk-states-in-bf16",
    ].map { "kalman-" + $0 }

    private func inner(_ a: [Float], _ b: [Float]) -> Float {
        var sum: Float = 0
        for i in a.indices { sum += a[i] * b[i] }
        return sum
    }

    private func pressed(_ rows: [[Float]]) -> [[Float]] {
        narrowness == .everything ? rows.map { $0.map { narrow($0) } } : rows
    }

    /// Tokens of a chunk from the states before it.
    func chunked(_ head: Head, _ state: inout State, _ size: Int) -> [[Float]] {
        var rows: [[Float]] = []
        for first in stride(from: 0, to: head.q.count, by: size) {
            let tokens = Array(first..<min(first + size, head.q.count))
            if first > 0, has("states-lost-between-chunks") {
                state = State(keys: head.k[0].count, values: head.v[0].count)
            }
            var (sums, sum) = ([Float](), Float(0))
            for t in tokens {
                sum += head.logs[t]
                sums.append(sum)
            }
            let grams = head.decaysGram ? sums : sums.map { _ in 0 }
            let (gram, memory) = (pressed(state.gram), pressed(state.memory))
            for i in tokens.indices {
                let norm = norm(head, tokens, i, grams, gram)
                let y = mixed(head, tokens[i], norm: norm, trace: 0, gram: []) { x in
                    self.times(head, tokens, i, grams, gram, x.map { narrow($0) })
                }.map { narrow($0) }
                let far: Float = has("decay-missing-across-chunks") ? 1 : Float.exp(sums[i])
                var row = memory.map { far * inner($0, y) }
                for j in 0...i {
                    let near: Float = has("decay-missing-inside-chunk") ? 1 : Float.exp(sums[i] - sums[j])
                    let weight = narrow(near * inner(head.k[tokens[j]], y))
                    for c in row.indices { row[c] += weight * head.v[tokens[j]][c] }
                }
                rows.append(row.map { $0 * head.scale })
            }
            pass(head, tokens, sums, grams, &state)
        }
        return rows
    }

    /// G_i x.
    private func times(
        _ head: Head, _ tokens: [Int], _ i: Int, _ sums: [Float], _ gram: [[Float]], _ x: [Float]
    ) -> [Float] {
        let far: Float = has("decay-missing-across-chunks") ? 1 : Float.exp(sums[i])
        var y = times(gram, x).map { far * $0 }
        for j in 0...i {
            let key = head.k[tokens[j]]
            let near: Float = has("decay-missing-inside-chunk") ? 1 : Float.exp(sums[i] - sums[j])
            let weight = narrow(near * inner(key, x))
            for m in y.indices { y[m] += weight * key[m] }
        }
        return y
    }

    private func norm(_ head: Head, _ tokens: [Int], _ i: Int, _ sums: [Float], _ gram: [[Float]]) -> Float {
        let own = length(gram)
        if has("norm-of-chunk-start") { return own }
        let far: Float = has("decay-missing-across-chunks") ? 1 : Float.exp(sums[i])
        func near(_ j: Int) -> Float { has("decay-missing-inside-chunk") ? 1 : Float.exp(sums[i] - sums[j]) }
        var sum = far * far * own * own
        for j in 0...i {
            let key = head.k[tokens[j]]
            let cross = 2 * far * near(j) * inner(key, times(gram, key))
            if has("norm-cross-term-once") { sum += cross / 2 } else if !has("norm-cross-term-missing") { sum += cross }
            for l in 0...i {
                let overlap = inner(key, head.k[tokens[l]])
                sum += near(j) * near(l) * overlap * overlap
            }
        }
        return sum.squareRoot()
    }

    private func pass(_ head: Head, _ tokens: [Int], _ sums: [Float], _ grams: [Float], _ state: inout State) {
        let last = tokens.count - 1
        func kept(_ sums: [Float]) -> Float { has("states-not-decayed-by-chunk") ? 1 : Float.exp(sums[last]) }
        func weight(_ sums: [Float], _ j: Int) -> Float {
            has("keys-not-decayed-to-chunk-end") ? 1 : Float.exp(sums[last] - sums[j])
        }
        for i in state.gram.indices where head.solves {
            for m in 0...i {
                var sum = kept(grams) * state.gram[i][m]
                for (j, t) in tokens.enumerated() { sum += narrow(weight(grams, j) * head.k[t][i]) * head.k[t][m] }
                state.gram[i][m] = sum
            }
        }
        for c in state.memory.indices {
            for m in state.memory[c].indices {
                var sum = kept(sums) * state.memory[c][m]
                for (j, t) in tokens.enumerated() { sum += narrow(weight(sums, j) * head.v[t][c]) * head.k[t][m] }
                state.memory[c][m] = sum
            }
        }
        if has("chunk-states-in-bf16") {
            state.gram = state.gram.map { $0.map { Self.bf16($0) } }
            state.memory = state.memory.map { $0.map { Self.bf16($0) } }
        }
    }
}
