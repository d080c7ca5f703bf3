import DualityCore
import DualityNumerics

@testable import DualityVerify

extension KalmanKernel {
    static let plants = [
        "scale-missing", "scale-twice", "l2norm-missing", "l2norm-of-q-missing", "l2norm-of-k-missing",
        "l2norm-not-wanted", "l2norm-epsilon-inside", "l2norm-by-the-mean", "q-and-k-swapped", "heads-tiled",
        "alpha-missing", "alpha-reversed", "alpha-added", "alpha-sigmoid-twice", "alpha-one-token-late",
        "beta-missing", "beta-twice", "beta-on-keys-alone", "beta-on-values-alone", "beta-once-in-products",
        "beta-sigmoid-twice", "beta-epsilon-missing", "beta-one-token-late", "decay-missing", "decay-of-gram-missing",
        "decay-of-memory-missing", "decay-of-gram-not-wanted", "decay-twice", "decay-after-update", "decay-base-two",
        "decay-one-token-late", "iteration-missing", "iteration-more", "solved-exactly", "momentum-missing",
        "omega-constant", "omega-one-step-late", "omega-from-one", "start-at-zero", "start-at-q", "ridge-missing",
        "ridge-not-scaled", "ridge-by-the-trace", "ridge-missing-in-product", "ridge-missing-in-bounds",
        "bounds-end-at-f", "bounds-by-the-trace", "norm-squared", "norm-before-update", "solved-before-update",
        "read-before-update", "output-before-update", "memory-transposed", "across-boundary",
        "initial-states-ignored", "initial-gram-ignored", "initial-memory-ignored", "initial-memory-transposed",
        "initial-states-of-first-sequence", "final-memory-transposed", "final-states-swapped",
        "final-states-miss-last-token", "final-states-not-written", "solver-in-bf16", "solver-in-tf32",
        "solution-in-bf16", "states-in-bf16", "states-in-f16", "gram-in-bf16", "memory-in-bf16",
    ].map { "kalman-" + $0 }

    /// Right kernels with operands in a format, and what each declares; nil for nothing.
    static func right(_ format: NumberFormat, chunk: Int) -> [(KalmanKernel, String?)] {
        let wide = [KalmanKernel(), KalmanKernel(chunk: chunk), KalmanKernel(solver: .directions)]
        let inferred = wide.map { ($0, nil as String?) }
        guard format != .f32 else { return inferred }
        return inferred + [
            (KalmanKernel(narrowness: .operands), "gated_kalmanet_bf16_operands"),
            (KalmanKernel(chunk: chunk, narrowness: .operands), "gated_kalmanet_bf16_operands,form=chunked:\(chunk)"),
            (KalmanKernel(narrowness: .everything), "hmf_gated_kalmanet_step"),
            (KalmanKernel(chunk: chunk, narrowness: .everything), "hmf_gated_kalmanet,form=chunked:\(chunk)"),
        ]
    }

    func stepwise(_ head: Head, _ state: inout State, _ before: inout State) -> [[Float]] {
        var rows: [[Float]] = []
        for t in head.q.indices {
            before = state
            move(head, t, &state)
            let stale = has(any: "solved-before-update", "output-before-update")
            let gram = stale ? before.gram : state.gram
            let norm = length(stale || has("norm-before-update") ? before.gram : state.gram)
            let solve = { x in self.times(gram, x) }
            let y = mixed(head, t, norm: norm, trace: trace(gram), gram: gram, multiply: solve)
            let memory = has(any: "read-before-update", "output-before-update") ? before.memory : state.memory
            rows.append(
                memory.indices.map { j in
                    var sum: Float = 0
                    for i in y.indices { sum += (has("memory-transposed") ? memory[i][j] : memory[j][i]) * y[i] }
                    return sum * head.scale
                })
            keep(&state)
        }
        return rows
    }

    private func move(_ head: Head, _ t: Int, _ state: inout State) {
        let (key, value, late) = (head.k[t], head.v[t], has("decay-after-update"))
        if head.solves {
            let fade = head.decaysGram ? head.fade[t] : 1
            for i in key.indices {
                for j in 0...i {
                    let (old, new) = (state.gram[i][j], key[i] * key[j])
                    state.gram[i][j] = late ? fade * (old + new) : fade * old + new
                }
            }
        }
        let fade = has("decay-of-memory-missing") ? 1 : head.fade[t]
        for j in value.indices {
            for i in key.indices {
                let (old, new) = (state.memory[j][i], value[j] * key[i])
                state.memory[j][i] = late ? fade * (old + new) : fade * old + new
            }
        }
    }

    private func keep(_ state: inout State) {
        func round(_ rows: inout [[Float]], _ bits: UInt32) {
            for i in rows.indices { rows[i] = rows[i].map { Self.short($0, bits: bits) } }
        }
        if has(any: "states-in-bf16", "gram-in-bf16") { round(&state.gram, 16) }
        if has(any: "states-in-bf16", "memory-in-bf16") { round(&state.memory, 16) }
        if has("states-in-f16") {
            round(&state.gram, 13)
            round(&state.memory, 13)
        }
    }

    /// |G|_F of a lower half.
    func length(_ gram: [[Float]]) -> Float {
        var sum: Float = 0
        for i in gram.indices {
            for j in 0..<i { sum += 2 * gram[i][j] * gram[i][j] }
            sum += gram[i][i] * gram[i][i]
        }
        return has("norm-squared") ? sum : sum.squareRoot()
    }

    func trace(_ gram: [[Float]]) -> Float { gram.indices.reduce(0) { $0 + gram[$1][$1] } }

    func times(_ gram: [[Float]], _ x: [Float]) -> [Float] {
        var y = [Float](repeating: 0, count: x.count)
        func cut(_ a: Float) -> Float {
            has("solver-in-bf16") ? Self.bf16(a) : has("solver-in-tf32") ? Self.short(a, bits: 13) : a
        }
        for i in x.indices {
            for j in 0..<i {
                y[i] += cut(gram[i][j]) * cut(x[j])
                y[j] += cut(gram[i][j]) * cut(x[i])
            }
            y[i] += cut(gram[i][i]) * cut(x[i])
        }
        return y
    }

    /// q, moved towards the solution.
    func mixed(
        _ head: Head, _ t: Int, norm: Float, trace: Float, gram: [[Float]], multiply: ([Float]) -> [Float]
    ) -> [Float] {
        let (q, alpha) = (head.q[t], head.alpha[t])
        guard head.solves else { return q }
        let lambda: Float =
            has("ridge-missing")
            ? 0 : head.ridge * (has("ridge-not-scaled") ? 1 : has("ridge-by-the-trace") ? trace : norm)
        var x = q.map { _ in Float(0) }
        if norm > 0 {
            if has("solved-exactly") {
                x = direct(gram, lambda, q)
            } else {
                var (low, high) = (lambda, lambda + norm)
                if has("ridge-missing-in-bounds") { (low, high) = (0, norm) }
                if has("bounds-end-at-f") { high = norm }
                if has("bounds-by-the-trace") { high = lambda + trace }
                let own = has("ridge-missing-in-product") ? 0 : lambda
                let run = solver == .threeTerms ? threeTerms : directions
                x = run(q, own, (high + low) / 2, (high - low) / 2, head.steps, multiply)
            }
        }
        if has("solution-in-bf16") { x = x.map { Self.bf16($0) } }
        return q.indices.map { i in
            let solved = narrow(x[i])
            if has("alpha-reversed") { return narrow(alpha * q[i] + (1 - alpha) * solved) }
            if has("alpha-added") { return narrow(alpha * solved + q[i]) }
            return narrow(alpha * solved + (1 - alpha) * q[i])
        }
    }

    /// By what is known of Chebyshev's polynomials at the middle over half the width.
    private func threeTerms(
        _ q: [Float], _ lambda: Float, _ middle: Float, _ half: Float, _ steps: Int, _ multiply: ([Float]) -> [Float]
    ) -> [Float] {
        var old = q.map { _ in Float(0) }
        var x = q.map { has("start-at-zero") ? 0 : has("start-at-q") ? $0 : $0 / middle }
        let quarter = half / middle * (half / middle) / 4
        var weight: Float = has("omega-from-one") ? 1 : 2
        for _ in 0..<steps {
            let last = weight
            weight = 1 / (1 - quarter * weight)
            let own: Float = has("omega-constant") ? 1 : has("omega-one-step-late") ? last : weight
            let product = multiply(x)
            let next = x.indices.map { i -> Float in
                let left = q[i] - product[i] - lambda * x[i]
                let moved = own * (x[i] + left / middle)
                return has("momentum-missing") ? moved : moved - (own - 1) * old[i]
            }
            (old, x) = (x, next)
        }
        return x
    }

    /// The residual is carried along; K steps behind the first.
    private func directions(
        _ q: [Float], _ lambda: Float, _ middle: Float, _ half: Float, _ steps: Int, _ multiply: ([Float]) -> [Float]
    ) -> [Float] {
        let ratio = middle / half
        var (rho, x, left) = (1 / ratio, q.map { _ in Float(0) }, q)
        var way = q.map { $0 / middle }
        for step in 0...steps {
            for i in x.indices { x[i] += way[i] }
            guard step < steps else { break }
            let product = multiply(way)
            for i in x.indices { left[i] -= product[i] + lambda * way[i] }
            let next = 1 / (2 * ratio - rho)
            for i in x.indices { way[i] = next * rho * way[i] + 2 * next / half * left[i] }
            rho = next
        }
        return x
    }

    /// Gauss' elimination.
    private func direct(_ gram: [[Float]], _ lambda: Float, _ q: [Float]) -> [Float] {
        var rows = gram.indices.map { i in
            gram.indices.map { j in gram[max(i, j)][min(i, j)] + (i == j ? lambda : 0) } + [q[i]]
        }
        for i in rows.indices {
            for m in rows.indices where m != i {
                let factor = rows[m][i] / rows[i][i]
                for j in i..<rows[m].count { rows[m][j] -= factor * rows[i][j] }
            }
        }
        return rows.indices.map { rows[$0][rows.count] / rows[$0][$0] }
    }
}
