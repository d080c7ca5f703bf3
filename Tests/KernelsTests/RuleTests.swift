import DualityCore
import DualityKernels
import TestSupport
import Testing

/// The recurrences over a matrix-valued state: their equations in float64, and the same bits in
/// every table however their tokens come.
@Suite struct RuleTests {
    struct Case: CustomTestStringConvertible, Sendable {
        let heads, kHeads, vHeads, dim, tokens: Int
        var testDescription: String { "H\(heads) k\(kHeads) v\(vHeads) D\(dim) L\(tokens)" }
    }

    static let cases = [
        Case(heads: 4, kHeads: 2, vHeads: 4, dim: 32, tokens: 150),
        Case(heads: 2, kHeads: 1, vHeads: 1, dim: 128, tokens: 70),
        Case(heads: 3, kHeads: 3, vHeads: 1, dim: 7, tokens: 66),
        Case(heads: 2, kHeads: 1, vHeads: 2, dim: 40, tokens: 20),
        Case(heads: 1, kHeads: 1, vHeads: 1, dim: 1, tokens: 1),
    ]

    enum Rule: CaseIterable { case delta, kalma }

    /// Operands of a sequence; `[T, …]`, a head after another.
    struct Run {
        let shape: Case
        var q, k, v, beta, alpha, decay: [Float]
        let rates, bias: [Float]
        let iterations = 9

        init(_ shape: Case) {
            self.shape = shape
            let (length, dim) = (shape.tokens, shape.dim)
            q = random(length * shape.heads * dim, seed: 60)
            k = random(length * shape.kHeads * dim, seed: 61)
            v = random(length * shape.vHeads * dim, seed: 62)
            beta = random(length * shape.heads, seed: 63)
            alpha = random(length * shape.heads, seed: 64)
            decay = random(length * shape.heads, seed: 65)
            rates = random(shape.heads, seed: 66).map { -abs($0) - 0.01 }
            bias = random(shape.heads, seed: 67).map { $0 - 2 }
        }

        /// o and the states after it, `pieces` tokens at a time (the last piece repeats), heads in
        /// ranges of `split`.
        func evaluate(_ rule: Rule, _ table: Table, pieces: [Int], split: Int) -> (o: [Float], states: [Float]) {
            let (H, D, width) = (shape.heads, shape.dim, (shape.dim + 15) / 16 * 16)
            let size = H * D * width
            let (states, sums, scratch) = (Memory<Float>(2 * size), Memory<Double>(H), workspace())
            let (q, k, v) = (Memory(self.q), Memory(self.k), Memory(self.v))
            let (beta, alpha, decay) = (Memory(self.beta), Memory(self.alpha), Memory(self.decay))
            let (rates, bias, o) = (Memory(self.rates), Memory(self.bias), Memory<Float>(shape.tokens * H * D))
            var sizes = dk_rule_shape(
                heads: H.wide, kHeads: shape.kHeads.wide, vHeads: shape.vHeads.wide, headDim: D.wide)
            var (t, turn) = (0, 0)
            while t < shape.tokens {
                let n = min(pieces[min(turn, pieces.count - 1)], shape.tokens - t)
                let (kRow, vRow) = (shape.kHeads * D, shape.vHeads * D)
                for first in stride(from: 0, to: H, by: split) {
                    let end = min(first + split, H).wide
                    switch rule {
                    case .delta:
                        var operands = dk_delta_operands(
                            tokens: n.wide, q: q.pointer + t * H * D, ldq: (H * D).wide, k: k.pointer + t * kRow,
                            ldk: kRow.wide, v: v.pointer + t * vRow, ldv: vRow.wide, beta: beta.pointer + t * H,
                            ldbeta: H.wide, decay: decay.pointer + t * H, lddecay: H.wide, rates: rates.pointer,
                            dtBias: bias.pointer, reach: 2, o: o.pointer + t * H * D, ldo: (H * D).wide)
                        table.kernels.delta_extend(
                            &sizes, states.pointer, &operands, first.wide, end, scratch.pointer)
                    case .kalma:
                        var operands = dk_kalma_operands(
                            tokens: n.wide, q: q.pointer + t * H * D, ldq: (H * D).wide, k: k.pointer + t * kRow,
                            ldk: kRow.wide, v: v.pointer + t * vRow, ldv: vRow.wide, alpha: alpha.pointer + t * H,
                            ldalpha: H.wide, beta: beta.pointer + t * H, ldbeta: H.wide,
                            decay: decay.pointer + t * H, lddecay: H.wide, rates: rates.pointer,
                            dtBias: bias.pointer, decaysGram: true, iterations: iterations.wide, ridge: 0.02,
                            scale: 0.5, logDecaySum: sums.pointer, o: o.pointer + t * H * D, ldo: (H * D).wide)
                        table.kernels.kalma_extend(
                            &sizes, states.pointer, states.pointer + size, &operands, first.wide, end,
                            scratch.pointer)
                    }
                }
                (t, turn) = (t + n, turn + 1)
            }
            keep(q, k, v, beta, alpha, decay, rates, bias, sums, scratch)
            return (o.elements, states.elements)
        }

        /// The same in float64, by the equations.
        func exact(_ rule: Rule) -> [Double] {
            let (H, D) = (shape.heads, shape.dim)
            var o = [Double](repeating: 0, count: shape.tokens * H * D)
            for h in 0..<H {
                var (first, second) = ([[Double]](repeating: Array(repeating: 0, count: D), count: D), [[Double]]())
                second = first
                for t in 0..<shape.tokens {
                    let gate = t * H + h
                    let query = row(q, t * H + h)
                    let key = row(k, t * shape.kHeads + h / (H / shape.kHeads))
                    let value = row(v, t * shape.vHeads + h / (H / shape.vHeads))
                    let fade = Double.exp(
                        Double(rates[h]) * Double.log(1 + Double.exp(Double(decay[gate]) + Double(bias[h]))))
                    let weight = 1 / (1 + Double.exp(-Double(beta[gate])))
                    let out =
                        rule == .delta
                        ? delta(query, key, value, fade, 2 * weight, &first)
                        : kalma(
                            query, key, value, fade, weight + 1e-6, 1 / (1 + Double.exp(-Double(alpha[gate]))), &first,
                            &second)
                    for d in 0..<D { o[(t * H + h) * D + d] = out[d] }
                }
            }
            return o
        }

        private func row(_ x: [Float], _ index: Int) -> [Double] {
            x[index * shape.dim..<(index + 1) * shape.dim].map { Double($0) }
        }

        private func delta(
            _ q: [Double], _ k: [Double], _ v: [Double], _ fade: Double, _ beta: Double, _ state: inout [[Double]]
        ) -> [Double] {
            let range = q.indices
            let (nq, nk) = (
                (q.reduce(0) { $0 + $1 * $1 } + 1e-6).squareRoot() * Double(q.count).squareRoot(),
                (k.reduce(0) { $0 + $1 * $1 } + 1e-6).squareRoot()
            )
            for i in range { for j in range { state[i][j] *= fade } }
            let change = range.map { j in beta * (v[j] - range.reduce(0) { $0 + state[$1][j] * k[$1] / nk }) }
            for i in range { for j in range { state[i][j] += k[i] / nk * change[j] } }
            return range.map { j in range.reduce(0) { $0 + state[$1][j] * q[$1] / nq } }
        }

        private func kalma(
            _ q: [Double], _ k: [Double], _ v: [Double], _ fade: Double, _ beta: Double, _ alpha: Double,
            _ gram: inout [[Double]], _ memory: inout [[Double]]
        ) -> [Double] {
            let range = q.indices
            let query = q.map { $0 / (q.reduce(0) { $0 + $1 * $1 }.squareRoot() + 1e-6) }
            let key = k.map { beta * $0 / (k.reduce(0) { $0 + $1 * $1 }.squareRoot() + 1e-6) }
            var squares = 0.0
            for i in range {
                for j in range {
                    gram[i][j] = fade * gram[i][j] + key[i] * key[j]
                    memory[i][j] = fade * memory[i][j] + key[i] * beta * v[j]
                    squares += gram[i][j] * gram[i][j]
                }
            }
            let norm = squares.squareRoot()
            let lambda = 0.02 * norm
            let (step, rho) = (2 / (2 * lambda + norm), norm / (2 * lambda + norm))
            var omega = 2.0
            var (x, before) = (query.map { step * $0 }, [Double](repeating: 0, count: q.count))
            for _ in 0..<iterations {
                omega = 1 / (1 - rho * rho / 4 * omega)
                let next = range.map { i in
                    let product = range.reduce(0) { $0 + gram[i][$1] * x[$1] }
                    return omega * (x[i] - step * (product + lambda * x[i] - query[i])) + (1 - omega) * before[i]
                }
                (before, x) = (x, next)
            }
            let mixed = range.map { query[$0] + alpha * (x[$0] - query[$0]) }
            return range.map { j in 0.5 * range.reduce(0) { $0 + memory[$1][j] * mixed[$1] } }
        }
    }

    @Test(arguments: Rule.allCases, cases) func theEquationsHold(rule: Rule, shape: Case) {
        let run = Run(shape)
        let expected = run.exact(rule)
        for table in Table.all {
            let error = relativeL2(
                run.evaluate(rule, table, pieces: [shape.tokens], split: shape.heads).o, expected)
            // Chebyshev amplifies what it starts from by the condition of the problem.
            #expect(error < (rule == .delta ? 2e-6 : 2e-5), "\(table.testDescription): \(error)")
        }
    }

    @Test(arguments: Rule.allCases, cases) func tablesPiecesAndHeadsChangeNoBit(rule: Rule, shape: Case) {
        let run = Run(shape)
        let whole = run.evaluate(rule, .scalar, pieces: [shape.tokens], split: shape.heads)
        for table in Table.all {
            for (pieces, split) in [([shape.tokens], 1), ([1], 2), ([63, 2, 1], shape.heads), ([5, 64], 3)] {
                let parts = run.evaluate(rule, table, pieces: pieces, split: split)
                #expect(differences(parts.o, whole.o) == 0, "\(table.testDescription), pieces \(pieces)")
                #expect(differences(parts.states, whole.states) == 0, "\(table.testDescription), pieces \(pieces)")
            }
        }
    }

    /// What comes later changes nothing, whatever it is.
    @Test(arguments: Rule.allCases) func laterTokensOfAnyNumberChangeNoBit(rule: Rule) {
        let shape = Self.cases[0]
        let (run, from) = (Run(shape), 71)
        let row = shape.heads * shape.dim
        for bad in [Float.nan, .infinity, -3e38, Float.leastNonzeroMagnitude] {
            var spoilt = run
            for i in from * row..<spoilt.q.count { spoilt.q[i] = bad }
            for i in from * shape.kHeads * shape.dim..<spoilt.k.count { spoilt.k[i] = bad }
            for i in from * shape.vHeads * shape.dim..<spoilt.v.count { spoilt.v[i] = bad }
            for i in from * shape.heads..<spoilt.beta.count { (spoilt.beta[i], spoilt.decay[i]) = (bad, bad) }
            for table in Table.all {
                let (a, b) = (
                    run.evaluate(rule, table, pieces: [shape.tokens], split: 4).o,
                    spoilt.evaluate(rule, table, pieces: [shape.tokens], split: 4).o
                )
                #expect(differences(Array(a[..<(from * row)]), Array(b[..<(from * row)])) == 0, "\(bad)")
                if bad.isNaN { #expect(b[from * row].isNaN, "a NaN does not vanish") }
            }
        }
    }
}
