import DualityCore
import DualityKernels
import TestSupport
import Testing

/// The chunked scan: the recurrence of the paper, and the same bits however its tokens come.
@Suite struct ScanTests {
    /// Sizes of a scan.
    struct Case: CustomTestStringConvertible, Sendable {
        let heads, xHeads, bHeads, cHeads, dim, state, tokens: Int
        var testDescription: String { "H\(heads) x\(xHeads) B\(bHeads) C\(cHeads) P\(dim) N\(state) L\(tokens)" }
    }

    static let cases = [
        Case(heads: 4, xHeads: 2, bHeads: 2, cHeads: 4, dim: 32, state: 128, tokens: 200),
        Case(heads: 4, xHeads: 4, bHeads: 1, cHeads: 1, dim: 24, state: 40, tokens: 64),
        Case(heads: 9, xHeads: 3, bHeads: 9, cHeads: 3, dim: 7, state: 5, tokens: 129),
        Case(heads: 1, xHeads: 1, bHeads: 1, cHeads: 1, dim: 1, state: 1, tokens: 1),
    ]

    /// A sequence of operands and what the scan makes of them.
    struct Run {
        let shape: Case
        var x, b, c, dt: [Float]
        let a, bias, d: [Float]

        /// - Parameters:
        ///   - rate: -A, where it is not random.
        ///   - bias: of the steps, where it is not random.
        ///   - fading: x is zero from the fifth token on, so that states only decay, each head's at
        ///     its own pace; D is zero.
        init(_ shape: Case, rate: Float? = nil, bias step: Float? = nil, fading: Bool = false) {
            self.shape = shape
            let length = shape.tokens
            var x = random(length * shape.xHeads * shape.dim, seed: 40)
            if fading { for i in 5 * shape.xHeads * shape.dim..<x.count { x[i] = 0 } }
            self.x = x
            b = random(length * shape.bHeads * shape.state, seed: 41)
            c = random(length * shape.cHeads * shape.state, seed: 42)
            dt = random(length * shape.heads, seed: 43)
            a = random(shape.heads, seed: 44).enumerated().map { h, number in
                rate.map { -$0 / Float(1 << (2 * h)) } ?? -abs(number) - 0.01
            }
            bias = random(shape.heads, seed: 45).map { step ?? $0 - 1 }
            d = random(shape.heads, seed: 46).map { fading ? 0 : $0 }
        }

        var sizes: dk_ssd_shape {
            dk_ssd_shape(
                heads: shape.heads.wide, xHeads: shape.xHeads.wide, bHeads: shape.bHeads.wide,
                cHeads: shape.cHeads.wide, headDim: shape.dim.wide, stateDim: shape.state.wide)
        }

        /// y and the final states, `pieces` tokens at a time (the last piece repeats), heads in
        /// ranges of `split`.
        func evaluate(_ table: Table, pieces: [Int], split: Int) -> (y: [Float], state: [Float], decay: [Double]) {
            let (H, P, N, Q) = (shape.heads, shape.dim, shape.state, Int(DK_SSD_CHUNK))
            let width = (P + 15) / 16 * 16
            let (state, keptX) = (Memory<Float>(H * N * width), Memory<Float>(shape.xHeads * Q * width))
            let keptB = Memory<Float>(shape.bHeads * N * Q)
            let (delta, decay) = (Memory<Float>(H * Q), Memory<Float>(H * Q))
            let (sums, y) = (Memory<Double>(H), Memory<Float>(shape.tokens * H * P))
            var (sizes, first, fill, piece) = (sizes, 0, 0, 0)
            var cache = dk_ssd_cache(
                state: state.pointer, x: keptX.pointer, b: keptB.pointer, delta: delta.pointer, logDecay: decay.pointer)
            let (x, b, c, dt) = (Memory(x), Memory(b), Memory(c), Memory(dt))
            let (a, bias, d) = (Memory(a), Memory(bias), Memory(d))
            let space = workspace()
            defer { keep(state, keptX, keptB, delta, decay, sums, y, x, b, c, dt, a, bias, d, space) }
            while first < shape.tokens {
                let count = min(pieces[min(piece, pieces.count - 1)], shape.tokens - first)
                var operands = dk_ssd_operands(
                    tokens: count.wide, x: x.pointer + first * shape.xHeads * P, ldx: (shape.xHeads * P).wide,
                    b: b.pointer + first * shape.bHeads * N, ldb: (shape.bHeads * N).wide,
                    c: c.pointer + first * shape.cHeads * N, ldc: (shape.cHeads * N).wide,
                    dt: dt.pointer + first * H, lddt: H.wide, a: a.pointer, dtBias: bias.pointer, d: d.pointer,
                    softplus: true, dtLow: 0, dtHigh: .infinity, y: y.pointer + first * H * P, ldy: (H * P).wide,
                    logDecaySum: sums.pointer)
                table.kernels.ssd_prepare(&sizes, &cache, fill.wide, &operands)
                for head in stride(from: 0, to: H, by: split) {
                    let end = min(H, head + split)
                    table.kernels.ssd_extend(
                        &sizes, &cache, fill.wide, &operands, head.wide, end.wide, space.pointer)
                }
                table.kernels.ssd_retain(&sizes, &cache, fill.wide, &operands)
                (first, fill, piece) = (first + count, (fill + count) % Q, piece + 1)
            }
            let final = Memory<Float>(H * P * N)
            defer { keep(final) }
            for head in 0..<H {
                table.kernels.ssd_state(
                    &sizes, &cache, fill.wide, head.wide, final.pointer + head * P * N, space.pointer)
            }
            return (y.elements, final.elements, sums.elements)
        }

        /// The recurrence in float64.
        func recurrence() -> (y: [Double], state: [Double], decay: [Double]) {
            let (H, P, N) = (shape.heads, shape.dim, shape.state)
            var y = [Double](repeating: 0, count: shape.tokens * H * P)
            var state = [Double](repeating: 0, count: H * P * N)
            var decay = [Double](repeating: 0, count: H)
            for t in 0..<shape.tokens {
                for h in 0..<H {
                    let step = Double.log(onePlus: Double.exp(Double(dt[t * H + h]) + Double(bias[h])))
                    decay[h] += step * Double(a[h])
                    let factor = Double.exp(step * Double(a[h]))
                    let row = (t * shape.xHeads + h / (H / shape.xHeads)) * P
                    let bRow = (t * shape.bHeads + h / (H / shape.bHeads)) * N
                    let cRow = (t * shape.cHeads + h / (H / shape.cHeads)) * N
                    for p in 0..<P {
                        var sum = Double(d[h]) * Double(x[row + p])
                        for n in 0..<N {
                            let i = (h * P + p) * N + n
                            state[i] = factor * state[i] + step * Double(x[row + p]) * Double(b[bRow + n])
                            sum += state[i] * Double(c[cRow + n])
                        }
                        y[(t * H + h) * P + p] = sum
                    }
                }
            }
            return (y, state, decay)
        }
    }

    @Test(arguments: Table.all, cases)
    func theScanIsTheRecurrence(table: Table, shape: Case) {
        let run = Run(shape)
        let (found, exact) = (run.evaluate(table, pieces: [shape.tokens], split: shape.heads), run.recurrence())
        let errors = [
            relativeL2(found.y, exact.y), relativeL2(found.state, exact.state), relativeL2(found.decay, exact.decay),
        ]
        #expect(errors.allSatisfy { $0 < 1e-6 }, "\(errors)")
    }

    /// Exact replay: one piece, uneven pieces that cross chunks, and token by token; heads together
    /// and apart.
    @Test(arguments: Table.all, cases)
    func piecesAndHeadsDoNotChangeABit(table: Table, shape: Case) {
        let run = Run(shape)
        let whole = run.evaluate(table, pieces: [shape.tokens], split: shape.heads)
        for (pieces, split) in [([3, 61, 1, 70, 5, 64], 1), ([1], 2), ([64], shape.heads), ([17], 3)] {
            let other = run.evaluate(table, pieces: pieces, split: split)
            #expect(differences(whole.y, other.y) == 0, "\(pieces)")
            #expect(differences(whole.state, other.state) == 0, "\(pieces)")
            #expect(whole.decay == other.decay)
        }
    }

    @Test(arguments: Table.vector, cases)
    func everyTableHasTheBitsOfTheScalarOne(table: Table, shape: Case) {
        let run = Run(shape)
        let found = run.evaluate(table, pieces: [50], split: shape.heads)
        let expected = run.evaluate(.scalar, pieces: [50], split: shape.heads)
        #expect(differences(found.y, expected.y) == 0)
        #expect(differences(found.state, expected.state) == 0)
    }

    /// Steps near 1 and decays to e^-16 a token: states and weights pass through the subnormal
    /// numbers. They are flushed, as processors are slow with them, and in every table alike.
    @Test(arguments: Table.all)
    func whatDecaysBelowTheNormalNumbersIsZero(table: Table) {
        let run = Run(Self.cases[0], rate: 16, bias: 1, fading: true)
        let (found, expected) = (
            run.evaluate(table, pieces: [50], split: 3), run.evaluate(.scalar, pieces: [50], split: 3)
        )
        #expect(found.state.contains { $0 == 0 } && found.state.contains { $0 != 0 })
        #expect(!found.state.contains { $0.isSubnormal } && !found.y.contains { $0.isSubnormal })
        #expect(differences(found.y, expected.y) == 0 && differences(found.state, expected.state) == 0)
        #expect(halved(.leastNormalMagnitude) > 0, "the caller's numbers are flushed, too")
        let exact = run.recurrence()
        #expect(relativeL2(found.y, exact.y) < 1e-6)
        #expect(zip(found.state, exact.state).allSatisfy { abs(Double($0) - $1) <= 1e-5 * abs($1) + 1e-36 })
    }
}
