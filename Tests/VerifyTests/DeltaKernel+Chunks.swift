import DualityCore

extension DeltaKernel {
    private static func dot(_ a: [Float], _ b: [Float]) -> Float {
        var (x, y) = (Float(0), Float(0))
        for i in stride(from: 0, to: a.count - 1, by: 2) {
            x += a[i] * b[i]
            y += a[i + 1] * b[i + 1]
        }
        return a.count % 2 == 1 ? x + y + a[a.count - 1] * b[a.count - 1] : x + y
    }

    /// The strict lower triangle of the system of a chunk, row by row.
    private func system(_ head: Head, _ sums: [Float], _ first: Int, _ keys: [[Float]]) -> [[Float]] {
        keys.indices.map { i in
            keys.indices.map { j in
                guard j < i || (j == i && plant == "delta-wy-diagonal-kept") else { return 0 }
                var between = sums[i] - sums[j]
                if plant == "delta-wy-decay-missing" { between = 0 }
                if plant == "delta-wy-decay-one-token-late" { between += head.g[first + j] }
                if plant == "delta-wy-decay-one-token-early" { between -= head.g[first + i] }
                let b = plant == "delta-wy-beta-missing" ? 1 : head.b[first + i]
                return b * Float.exp(between) * Self.dot(keys[i], keys[j])
            }
        }
    }

    /// The inverse of I + A, column by column.
    private func inverse(_ a: [[Float]]) -> [[Float]] {
        let n = a.count
        var t = [[Float]](repeating: [Float](repeating: 0, count: n), count: n)
        if ["delta-inverse-first-order", "delta-inverse-truncated"].contains(plant) {
            // The series, by Horner: I - A (I - A (I - A)).
            for i in 0..<n { t[i][i] = 1 }
            for _ in 0..<(plant == "delta-inverse-first-order" ? 1 : 3) {
                var next = [[Float]](repeating: [Float](repeating: 0, count: n), count: n)
                for i in 0..<n {
                    for m in 0..<n {
                        var sum: Float = i == m ? 1 : 0
                        for j in 0..<i { sum -= a[i][j] * t[j][m] }
                        next[i][m] = sum
                    }
                }
                t = next
            }
            return t
        }
        for m in 0..<n {
            for i in m..<n {
                var sum: Float = i == m ? 1 : 0
                for j in m..<i where !(plant == "delta-inverse-blocks-not-merged" && i / 16 != j / 16) {
                    sum -= a[i][j] * t[j][m]
                }
                t[i][m] = sum / (1 + a[i][i])
            }
        }
        return t.map { row in
            row.map { x in
                switch plant {
                case "delta-inverse-in-bf16": Self.bf16(x)
                case "delta-inverse-in-tf32": Self.short(x, bits: 13)
                default: narrow(x)
                }
            }
        }
    }

    func chunked(_ head: Head, _ state: inout [[Float]], _ size: Int) -> [[Float]] {
        var rows: [[Float]] = []
        for first in stride(from: 0, to: head.g.count, by: size) {
            let count = min(size, head.g.count - first)
            if plant == "delta-state-lost-between-chunks", first > 0 {
                for j in state.indices { for i in state[j].indices { state[j][i] = 0 } }
            }
            var (sum, sums) = (Float(0), [Float]())
            for t in first..<first + count {
                sum += head.g[t]
                sums.append(sum)
            }
            let keys = (first..<first + count).map { head.k[$0].map(narrow) }
            let queries = (first..<first + count).map { head.q[$0].map(narrow) }
            let t = inverse(system(head, sums, first, keys))
            let copy = state.map { $0.map(narrow) }
            var changes: [[Float]] = []
            for i in 0..<count {
                var w = [Float](repeating: 0, count: keys[0].count)
                var u = [Float](repeating: 0, count: state.count)
                for s in 0...i {
                    let fade = plant == "delta-entering-decay-missing" ? 1 : Float.exp(sums[s])
                    let b = head.b[first + s]
                    for m in w.indices { w[m] += t[i][s] * narrow(b * fade * keys[s][m]) }
                    for j in u.indices { u[j] += t[i][s] * narrow(b * head.v[first + s][j]) }
                }
                let kept = w.map(narrow)
                changes.append(
                    u.indices.map { j in
                        plant == "delta-entering-state-not-corrected"
                            ? narrow(u[j]) : narrow(narrow(u[j]) - Self.dot(kept, copy[j]))
                    })
            }
            for i in 0..<count {
                let across = plant == "delta-decay-missing-across-chunks" ? 1 : Float.exp(sums[i])
                var row = copy.map { across * Self.dot(queries[i], $0) }
                for s in 0...i where !(s == i && plant == "delta-output-before-update") {
                    let fade = plant == "delta-decay-missing-inside-chunk" ? 1 : Float.exp(sums[i] - sums[s])
                    let weight = narrow(fade * Self.dot(queries[i], keys[s]))
                    for j in row.indices { row[j] += weight * narrow(changes[s][j]) }
                }
                rows.append(row)
            }
            let whole = plant == "delta-state-not-decayed-by-chunk" ? 1 : Float.exp(sum)
            for j in state.indices {
                for m in state[j].indices {
                    var added: Float = 0
                    for i in 0..<count {
                        let fade = plant == "delta-keys-not-decayed-to-chunk-end" ? 1 : Float.exp(sum - sums[i])
                        added += keys[i][m] * narrow(fade * changes[i][j])
                    }
                    state[j][m] = whole * state[j][m] + added
                    if plant == "delta-chunk-state-in-bf16" { state[j][m] = Self.bf16(state[j][m]) }
                }
            }
        }
        return rows
    }
}
