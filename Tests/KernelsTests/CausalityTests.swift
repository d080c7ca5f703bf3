import DualityCore
import DualityKernels
import TestSupport
import Testing

/// A token changes nothing before it, whatever numbers it has: the scan, attention and the
/// convolution, every table.
@Suite struct CausalityTests {
    static let numbers: [Float] = [.nan, .infinity, -.infinity, .leastNonzeroMagnitude, 1e-40]

    /// Rows before `token` of two results, compared bit by bit, zeros' signs included; and all rows
    /// of the whole and of the pieces, any NaN like any other.
    private static func compare(
        _ plain: [Float], _ planted: [Float], _ pieces: [Float], row: Int, token: Int, _ name: String
    ) {
        let before = zip(plain[..<(token * row)], planted[..<(token * row)])
        let changed = before.count { $0.bitPattern != $1.bitPattern }
        #expect(changed == 0, "\(name) at token \(token): \(changed) numbers before it changed")
        let different = zip(planted, pieces).count { $0.bitPattern != $1.bitPattern && !($0.isNaN && $1.isNaN) }
        #expect(different == 0, "\(name) at token \(token): \(different) numbers differ in pieces")
    }

    enum ScanOperand: CaseIterable { case x, b, c, dt }

    @Test(arguments: Table.all, ScanOperand.allCases)
    func aTokenOfTheScanChangesNothingBeforeIt(table: Table, operand: ScanOperand) {
        let shape = ScanTests.Case(heads: 4, xHeads: 2, bHeads: 2, cHeads: 4, dim: 20, state: 18, tokens: 70)
        let run = ScanTests.Run(shape)
        let plain = run.evaluate(table, pieces: [70], split: 4).y
        for token in 0..<shape.tokens {
            for number in [Float.nan, Self.numbers[token % Self.numbers.count]] {
                var planted = run
                switch operand {
                case .x: planted.x[token * 40 + token % 40] = number
                case .b: planted.b[token * 36 + token % 36] = number
                case .c: planted.c[token * 72 + token % 72] = number
                case .dt: planted.dt[token * 4 + token % 4] = number
                }
                let whole = planted.evaluate(table, pieces: [70], split: 4).y
                let pieces = planted.evaluate(table, pieces: token == 0 ? [1, 13] : [token, 1, 7], split: 2).y
                Self.compare(plain, whole, pieces, row: 80, token: token, "\(operand) \(number)")
            }
        }
    }

    enum AttentionOperand: CaseIterable { case q, k, v }

    @Test(
        arguments: Table.all,
        [
            AttentionTests.Case(heads: 4, kvHeads: 2, dim: 20, format: DK_KV_F32, window: 0, tokens: 140),
            AttentionTests.Case(heads: 2, kvHeads: 1, dim: 16, format: DK_KV_BF16, window: 0, tokens: 140),
            AttentionTests.Case(heads: 2, kvHeads: 2, dim: 24, format: DK_KV_INT8, window: 0, tokens: 140),
            AttentionTests.Case(heads: 2, kvHeads: 1, dim: 16, format: DK_KV_F32, window: 20, tokens: 140),
        ])
    func aTokenOfAttentionChangesNothingBeforeIt(table: Table, shape: AttentionTests.Case) {
        let run = AttentionTests.Run(shape)
        let plain = run.evaluate(table, pieces: [shape.tokens])
        let (row, kvRow) = (shape.heads * shape.dim, shape.kvHeads * shape.dim)
        for token in stride(from: 0, to: shape.tokens, by: 3) {
            for operand in AttentionOperand.allCases {
                let number = Self.numbers[(token / 3) % Self.numbers.count]
                var (q, k, v) = (run.q, run.k, run.v)
                switch operand {
                case .q: q[token * row + token % row] = number
                case .k: k[token * kvRow + token % kvRow] = number
                case .v: v[token * kvRow + token % kvRow] = number
                }
                let planted = AttentionTests.Run(shape, q: q, k: k, v: v)
                let whole = planted.evaluate(table, pieces: [shape.tokens])
                let pieces = planted.evaluate(table, pieces: token == 0 ? [1, 3] : [token, 1, 2, 5], bySegments: true)
                Self.compare(plain, whole, pieces, row: row, token: token, "\(operand) \(number)")
                if shape.window > 0 && operand != .q {
                    // Rows whose window has passed the token do not know of it either.
                    let first = min(token + shape.window, shape.tokens) * row
                    let changed = zip(plain[first...], whole[first...]).count { $0.bitPattern != $1.bitPattern }
                    #expect(
                        changed == 0, "\(operand) \(number) at token \(token): \(changed) numbers behind its window")
                }
            }
        }
    }

    @Test(arguments: Table.all, [3, 4])
    func aTokenOfTheConvolutionChangesNothingBeforeIt(table: Table, taps: Int) {
        let (channels, tokens) = (70, 9)
        let x = random(tokens * channels, seed: 61)
        let weight = Memory(random(taps * channels, seed: 62))
        func convolve(_ x: [Float], pieces: [Int]) -> [Float] {
            let (window, source) = (Memory<Float>((taps - 1) * channels), Memory(x))
            let y = Memory<Float>(x.count)
            defer { keep(window, source, y) }
            var first = 0
            for count in pieces {
                table.kernels.conv_silu(
                    source.pointer + first * channels, channels.wide, y.pointer + first * channels, channels.wide,
                    count.wide, window.pointer, channels.wide, taps.wide, weight.pointer, nil, 0, channels.wide)
                first += count
            }
            return y.elements
        }
        let plain = convolve(x, pieces: [tokens])
        for token in 0..<tokens {
            for number in Self.numbers {
                var planted = x
                for channel in [0, 40, 69] { planted[token * channels + channel] = number }
                Self.compare(
                    plain, convolve(planted, pieces: [tokens]),
                    convolve(planted, pieces: [token, 1, tokens - token - 1]),
                    row: channels, token: token, "x \(number)")
            }
        }
        keep(weight)
    }
}
