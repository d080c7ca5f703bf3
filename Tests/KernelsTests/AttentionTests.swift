import DualityCore
import DualityKernels
import TestSupport
import Testing

/// Attention over pages: softmax of scores, and the same bits in one piece, in pieces and split
/// over segments.
@Suite struct AttentionTests {
    /// Sizes of attention.
    struct Case: CustomTestStringConvertible, Sendable {
        let heads, kvHeads, dim: Int
        let format: dk_kv_format
        let window, tokens: Int
        var testDescription: String {
            "H\(heads) kv\(kvHeads) D\(dim) format \(format.rawValue) window \(window) L\(tokens)"
        }
    }

    static let cases = [
        Case(heads: 4, kvHeads: 2, dim: 16, format: DK_KV_F32, window: 0, tokens: 300),
        Case(heads: 2, kvHeads: 1, dim: 40, format: DK_KV_BF16, window: 0, tokens: 140),
        Case(heads: 3, kvHeads: 3, dim: 7, format: DK_KV_INT8, window: 0, tokens: 130),
        Case(heads: 2, kvHeads: 1, dim: 20, format: DK_KV_F32, window: 50, tokens: 290),
        Case(heads: 1, kvHeads: 1, dim: 4, format: DK_KV_INT8, window: 129, tokens: 280),
        Case(heads: 2, kvHeads: 1, dim: 8, format: DK_KV_F32, window: 0, tokens: 1100),
        // Keys by whole blocks of 16 tokens, and five and nine rows a token: one more than read a
        // page at once, and than are few.
        Case(heads: 5, kvHeads: 1, dim: 32, format: DK_KV_BF16, window: 0, tokens: 150),
        Case(heads: 9, kvHeads: 1, dim: 16, format: DK_KV_INT8, window: 0, tokens: 150),
        Case(heads: 4, kvHeads: 1, dim: 80, format: DK_KV_INT8, window: 0, tokens: 270),
    ]

    /// Queries, keys and values, and what attention makes of them.
    struct Run {
        let shape: Case
        let q, k, v: [Float]

        init(_ shape: Case) {
            self.shape = shape
            q = random(shape.tokens * shape.heads * shape.dim, seed: 50, scale: 1.5)
            k = random(shape.tokens * shape.kvHeads * shape.dim, seed: 51)
            v = random(shape.tokens * shape.kvHeads * shape.dim, seed: 52)
        }

        init(_ shape: Case, q: [Float], k: [Float], v: [Float]) {
            (self.shape, self.q, self.k, self.v) = (shape, q, k, v)
        }

        var sizes: dk_attention_shape {
            dk_attention_shape(
                heads: shape.heads.wide, kvHeads: shape.kvHeads.wide, headDim: shape.dim.wide, format: shape.format,
                scale: 1 / Float(shape.dim).squareRoot(), window: shape.window.wide)
        }

        /// The rows of all tokens, `pieces` at a time (the last repeats); single tokens by segments
        /// if asked.
        func evaluate(_ table: Table, pieces: [Int], bySegments: Bool = false) -> [Float] {
            var sizes = sizes
            let (row, kvRow) = (shape.heads * shape.dim, shape.kvHeads * shape.dim)
            let pageCount = (shape.tokens + Int(DK_KV_PAGE) - 1) / Int(DK_KV_PAGE)
            let pages = (0..<pageCount).map { _ in Memory<UInt8>(Int(dk_kv_page_bytes(&sizes))) }
            let addresses = pages.map { UnsafeMutableRawPointer($0.pointer) }
            let (q, k, v, out) = (Memory(q), Memory(k), Memory(v), Memory<Float>(shape.tokens * row))
            let space = workspace()
            defer {
                keep(q, k, v, out, space)
                withExtendedLifetime(pages) {}
            }
            var (first, piece) = (0, 0)
            while first < shape.tokens {
                let count = min(pieces[min(piece, pieces.count - 1)], shape.tokens - first)
                for head in 0..<shape.kvHeads {
                    table.kernels.kv_store(
                        &sizes, addresses, first.wide, count.wide, k.pointer + first * kvRow, kvRow.wide,
                        v.pointer + first * kvRow, kvRow.wide, head.wide, head.wide + 1)
                }
                if bySegments && count == 1 {
                    let segments = first / Int(DK_KV_SEGMENT) + 1
                    let partial = Memory<Float>(
                        segments * shape.heads * Int(dk_attention_partial_floats(&sizes)))
                    defer { keep(partial) }
                    for segment in (0..<segments).reversed() {
                        table.kernels.attention_partial(
                            &sizes, addresses, first.wide, q.pointer + first * row, segment.wide, 0,
                            shape.kvHeads.wide, partial.pointer, space.pointer)
                    }
                    table.kernels.attention_merge(
                        &sizes, segments.wide, partial.pointer, out.pointer + first * row, 0, shape.heads.wide)
                } else {
                    for tokens in [0..<count / 3, count / 3..<count] {
                        table.kernels.attention(
                            &sizes, addresses, first.wide, q.pointer + first * row, row.wide, out.pointer + first * row,
                            row.wide, tokens.lowerBound.wide, tokens.upperBound.wide, 0, shape.kvHeads.wide,
                            space.pointer)
                    }
                }
                (first, piece) = (first + count, piece + 1)
            }
            return out.elements
        }

        /// Softmax over all that is seen, in float64.
        func exact() -> [Double] {
            let (H, G, D) = (shape.heads, shape.kvHeads, shape.dim)
            var out = [Double](repeating: 0, count: shape.tokens * H * D)
            for t in 0..<shape.tokens {
                let first = shape.window > 0 ? max(0, t - shape.window + 1) : 0
                for h in 0..<H {
                    let g = h / (H / G)
                    var weights = (first...t).map { s in
                        (0..<D).reduce(0.0) { $0 + Double(q[(t * H + h) * D + $1]) * Double(k[(s * G + g) * D + $1]) }
                            / Double(D).squareRoot()
                    }
                    let largest = weights.max() ?? 0
                    weights = weights.map { Double.exp($0 - largest) }
                    let sum = weights.reduce(0, +)
                    for (i, weight) in weights.enumerated() {
                        for d in 0..<D {
                            out[(t * H + h) * D + d] += weight / sum * Double(v[((first + i) * G + g) * D + d])
                        }
                    }
                }
            }
            return out
        }
    }

    @Test(arguments: Table.all, cases)
    func itIsTheSoftmaxOfTheScores(table: Table, shape: Case) {
        let run = Run(shape)
        let error = relativeL2(run.evaluate(table, pieces: [shape.tokens]), run.exact())
        let limit = shape.format == DK_KV_F32 ? 1e-6 : shape.format == DK_KV_BF16 ? 5e-3 : 1.5e-2
        #expect(error < limit, "\(error)")
    }

    @Test(arguments: Table.all, cases)
    func piecesAndSegmentsDoNotChangeABit(table: Table, shape: Case) {
        let run = Run(shape)
        let whole = run.evaluate(table, pieces: [shape.tokens])
        let ways = [([5, 128, 1, 3, 127], false), ([shape.tokens - 9, 1], true), ([100, 1, 99], true)]
        for (pieces, bySegments) in ways {
            let other = run.evaluate(table, pieces: pieces, bySegments: bySegments)
            #expect(differences(whole, other) == 0, "\(pieces)")
        }
    }

    /// The first token's score is 92 above all others', whose weights e^-92 are below the normal
    /// numbers; only they have values.
    @Test(arguments: Table.all)
    func weightsBelowTheNormalNumbersAreZero(table: Table) {
        let shape = Case(heads: 1, kvHeads: 1, dim: 16, format: DK_KV_F32, window: 0, tokens: 40)
        func rows(_ first: Float, _ others: Float, everywhere: Bool) -> [Float] {
            (0..<40 * 16).map { i in everywhere || i % 16 == 0 ? (i < 16 ? first : others) : 0 }
        }
        let run = Run(
            shape, q: rows(16, 16, everywhere: false), k: rows(23, 0, everywhere: false),
            v: rows(0, 1, everywhere: true))
        #expect(run.exact().contains { $0 > 0 && $0 < Double(Float.leastNormalMagnitude) })
        #expect(run.evaluate(table, pieces: [40]).allSatisfy { $0 == 0 })
        #expect(run.evaluate(table, pieces: [1], bySegments: true).allSatisfy { $0 == 0 })
        #expect(halved(.leastNormalMagnitude) > 0, "the caller's numbers are flushed, too")
    }

    @Test(arguments: Table.vector, cases)
    func everyTableHasTheBitsOfTheScalarOne(table: Table, shape: Case) {
        let run = Run(shape)
        #expect(differences(run.evaluate(table, pieces: [90]), run.evaluate(.scalar, pieces: [90])) == 0)
    }
}
