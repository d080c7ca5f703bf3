import DualityCore

extension DeltaBackwardKernel {
    private func dot(_ a: [Float], _ b: [Float]) -> Float {
        var sum: Float = 0
        for (x, y) in zip(a, b) { sum += x * y }
        return sum
    }

    /// Token by token; all states are kept.
    func stepwise(_ run: inout Run) -> Back {
        let (keys, values) = (run.q.first?.count ?? 0, run.entering.count)
        var back = Back(run)
        var states = [run.entering]
        for t in run.g.indices {
            var state = states[t]
            let fade = Float.exp(run.g[t])
            for j in 0..<values {
                let known = fade * dot(state[j], run.k[t])
                let change = run.b[t] * (run.v[t][j] - known)
                for i in 0..<keys {
                    state[j][i] = fade * state[j][i] + change * run.k[t][i]
                    if planted("states-in-bf16") { state[j][i] = DeltaKernel.bf16(state[j][i]) }
                }
            }
            states.append(state)
        }
        for t in run.g.indices.reversed() { stepBack(t, states, &run, &back) }
        let exact = back.g
        if planted("dg-one-token-late") { for t in exact.indices { back.g[t] = t > 0 ? exact[t - 1] : 0 } }
        if planted("dg-one-token-early") {
            for t in exact.indices { back.g[t] = t + 1 < exact.count ? exact[t + 1] : 0 }
        }
        return back
    }

    private func stepBack(_ t: Int, _ states: [[[Float]]], _ run: inout Run, _ back: inout Back) {
        let (fade, b, key, query) = (Float.exp(run.g[t]), run.b[t], run.k[t], run.q[t])
        let pulled = planted("scale-missing-in-states") ? query.map { $0 / run.scale } : query
        for j in run.entering.indices {
            let (before, after) = (states[t][j], states[t + 1][j])
            let faded = before.map { $0 * fade }
            let (known, y) = (dot(faded, key), run.pull[t][j])
            let rest = run.v[t][j] - known
            if planted("misses-own-output") == false { add(&run.adjoint[j], y, pulled) }
            let change = dot(run.adjoint[j], key)
            if planted("misses-own-output") { add(&run.adjoint[j], y, pulled) }
            let read = planted("dq-of-state-before") ? faded : planted("dq-of-previous-state") ? before : after
            add(&back.q[t], y, read)
            back.v[t][j] = planted("dv-misses-beta") ? change : b * change
            switch mistake {
            case "dbeta-without-correction": back.b[t] += change * run.v[t][j]
            case "dbeta-of-delta": back.b[t] += change * b * rest
            case "dbeta-misses-value": back.b[t] -= change * known
            default: back.b[t] += change * rest
            }
            if !planted("dk-misses-write") { add(&back.k[t], b * rest, run.adjoint[j]) }
            if !planted("dk-misses-correction") {
                add(&back.k[t], -b * change, planted("dk-of-undecayed-state") ? before : faded)
            }
            var passed = run.adjoint[j]
            if planted("dg-misses-correction") { back.g[t] += dot(passed, faded) }
            if planted("dg-of-state-after") { back.g[t] += dot(passed, after) }
            add(&passed, -b * change, key)
            if planted("dg-of-undecayed-state") { back.g[t] += dot(passed, before) }
            if !["dg-misses-correction", "dg-of-state-after", "dg-of-undecayed-state"].contains(mistake) {
                back.g[t] += dot(passed, faded)
            }
            if planted("state-not-corrected") { passed = run.adjoint[j] }
            if planted("state-corrected-without-beta") {
                passed = run.adjoint[j]
                add(&passed, -change, key)
            }
            var factor = planted("state-not-decayed") ? 1 : fade
            if planted("state-decay-off-by-one") { factor = t > 0 ? Float.exp(run.g[t - 1]) : 1 }
            if planted("initial-state-not-decayed"), t == 0 { factor = 1 }
            run.adjoint[j] = passed.map { $0 * factor }
        }
    }

    private func add(_ row: inout [Float], _ factor: Float, _ other: [Float]) {
        for i in row.indices { row[i] += factor * other[i] }
    }

    /// Chunks from the end, each from the state before it.
    func chunked(_ run: inout Run, _ size: Int) -> Back {
        var back = Back(run)
        let pieces = stride(from: 0, to: run.g.count, by: size).map { $0..<min($0 + size, run.g.count) }
        var states = [run.entering]
        for piece in pieces { states.append(leaving(run, piece, states[states.count - 1])) }
        for (n, piece) in pieces.enumerated().reversed() {
            if planted("state-lost-between-chunks"), n + 1 < pieces.count {
                run.adjoint = run.adjoint.map { $0.map { _ in 0 } }
            }
            goBack(piece, states[n], &run, &back)
        }
        return back
    }

    private func leaving(_ run: Run, _ piece: Range<Int>, _ entering: [[Float]]) -> [[Float]] {
        let (rest, _) = solve(run, piece, entering)
        let sums = sums(run, piece)
        return entering.indices.map { j in
            var row = entering[j].map { $0 * Float.exp(sums[sums.count - 1]) }
            for (i, t) in piece.enumerated() {
                add(&row, narrow(rest[i][j] * Float.exp(sums[sums.count - 1] - sums[i])), run.k[t].map(narrow))
            }
            return row
        }
    }

    private func sums(_ run: Run, _ piece: Range<Int>) -> [Float] {
        var sums: [Float] = []
        for t in piece { sums.append((sums.last ?? 0) + run.g[t]) }
        return sums
    }

    /// δ and v - e^ℓ S k, a row a token, by substitution.
    private func solve(_ run: Run, _ piece: Range<Int>, _ state: [[Float]]) -> (delta: [[Float]], rest: [[Float]]) {
        let sums = sums(run, piece)
        var (delta, rests) = ([[Float]](), [[Float]]())
        for (i, t) in piece.enumerated() {
            var row = state.indices.map { j in
                run.v[t][j] - Float.exp(sums[i]) * dot(state[j].map(narrow), run.k[t].map(narrow))
            }
            rests.append(row)
            for s in 0..<i {
                let overlap = dot(run.k[t].map(narrow), run.k[piece.lowerBound + s].map(narrow))
                add(&row, -narrow(overlap * Float.exp(sums[i] - sums[s])), delta[s])
            }
            delta.append(row.map { narrow(run.b[t] * $0) })
        }
        return (delta, rests)
    }

    private func goBack(_ piece: Range<Int>, _ state: [[Float]], _ run: inout Run, _ back: inout Back) {
        let (first, count, values) = (piece.lowerBound, piece.count, state.count)
        let sums = sums(run, piece)
        let (delta, rests) = solve(run, piece, state)
        func e(_ i: Int, _ j: Int) -> Float { Float.exp(sums[i] - sums[j]) }
        let pull = piece.map { run.pull[$0].map(narrow) }
        let (q, k) = (piece.map { run.q[$0].map(narrow) }, piece.map { run.k[$0].map(narrow) })
        // The system backwards, from the last token.
        var solved = [[Float]](repeating: [Float](repeating: 0, count: values), count: count)
        for j in (0..<count).reversed() {
            for c in 0..<values { solved[j][c] = e(count - 1, j) * dot(run.adjoint[c].map(narrow), k[j]) }
            for i in j..<count {
                add(&solved[j], narrow(e(i, j) * dot(q[i], k[j])), pull[i])
                if i > j { add(&solved[j], -narrow(run.b[first + i] * e(i, j) * dot(k[i], k[j])), solved[i]) }
            }
            solved[j] = solved[j].map(narrow)
        }
        var ofSums = [Float](repeating: 0, count: count)
        for i in 0..<count {
            let (t, b) = (first + i, run.b[first + i])
            for c in 0..<values {
                back.v[t][c] = b * solved[i][c]
                back.b[t] += solved[i][c] * rests[i][c]
            }
            pairs(i, first, e, q, k, pull, delta, solved, run, &ofSums, &back)
            for c in 0..<values {
                add(&back.q[t], Float.exp(sums[i]) * pull[i][c], state[c])
                add(&back.k[t], e(count - 1, i) * delta[i][c], run.adjoint[c])
                add(&back.k[t], -b * Float.exp(sums[i]) * solved[i][c], state[c])
                ofSums[i] +=
                    Float.exp(sums[i]) * (pull[i][c] * dot(q[i], state[c]) - b * solved[i][c] * dot(k[i], state[c]))
                let written = e(count - 1, i) * delta[i][c] * dot(k[i], run.adjoint[c])
                ofSums[i] -= written
                ofSums[count - 1] += written
            }
        }
        for c in 0..<values { ofSums[count - 1] += Float.exp(sums[count - 1]) * dot(run.adjoint[c], state[c]) }
        var total: Float = 0
        for i in planted("dg-summed-forwards") ? Array(0..<count) : (0..<count).reversed() {
            total = planted("dg-not-summed") ? ofSums[i] : total + ofSums[i]
            back.g[first + i] = total
        }
        for c in 0..<values {
            var row = run.adjoint[c].map { $0 * Float.exp(sums[count - 1]) }
            for i in 0..<count {
                add(&row, Float.exp(sums[i]) * pull[i][c], q[i])
                add(&row, -run.b[first + i] * Float.exp(sums[i]) * solved[i][c], k[i])
            }
            run.adjoint[c] = row
        }
    }

    /// What token i and those before it in the chunk give.
    private func pairs(
        _ i: Int, _ first: Int, _ e: (Int, Int) -> Float, _ q: [[Float]], _ k: [[Float]], _ pull: [[Float]],
        _ delta: [[Float]], _ solved: [[Float]], _ run: Run, _ ofSums: inout [Float], _ back: inout Back
    ) {
        for j in 0...i {
            let (fade, b) = (e(i, j), run.b[first + i])
            let pulled = dot(pull[i], delta[j])
            var (forQ, forK) = (fade, fade)
            if planted("dq-inside-missing") || planted("dq-misses-diagonal") && i == j { forQ = 0 }
            if planted("dk-inside-missing") || planted("dk-misses-diagonal") && i == j { forK = 0 }
            if planted("dq-inside-not-decayed") { forQ = 1 }
            if planted("dk-inside-not-decayed") { forK = 1 }
            add(&back.q[first + i], narrow(forQ * pulled), k[j])
            add(&back.k[first + j], narrow(forK * pulled), q[i])
            let weight = fade * pulled * dot(q[i], k[j])
            ofSums[i] += weight
            ofSums[j] -= weight
            guard j < i, !planted("system-missing") else { continue }
            var system = -dot(solved[i], delta[j]) * (planted("system-not-decayed") ? 1 : fade)
            if planted("system-sign") { system = -system }
            let overlap = dot(k[i], k[j])
            back.b[first + i] += system * overlap
            if !planted("system-without-beta") { system *= b }
            add(&back.k[first + i], narrow(system), k[j])
            add(&back.k[first + j], narrow(system), k[i])
            ofSums[i] += system * overlap
            ofSums[j] -= system * overlap
        }
    }
}
