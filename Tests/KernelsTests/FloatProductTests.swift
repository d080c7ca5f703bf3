import DualityCore
import DualityKernels
import TestSupport
import Testing

/// Products of float32 and bfloat16 matrices with float32 activations.
@Suite struct FloatProductTests {
    /// Outputs, inputs, tokens.
    struct Case: CustomTestStringConvertible, Sendable {
        let rows, columns, tokens: Int
        var testDescription: String { "\(rows)x\(columns), \(tokens) tokens" }
    }

    static let cases = [
        Case(rows: 1, columns: 1, tokens: 1), Case(rows: 33, columns: 31, tokens: 5),
        Case(rows: 70, columns: 257, tokens: 13), Case(rows: 300, columns: 515, tokens: 2),
        Case(rows: 40, columns: 33, tokens: 530), Case(rows: 32, columns: 512, tokens: 12),
        Case(rows: 70, columns: 320, tokens: 37), Case(rows: 64, columns: 64, tokens: 16),
    ]

    enum Format: String, CaseIterable, Sendable {
        case f32, bf16, dot, split
    }

    /// y of some tokens, weights rounded to bfloat16 whatever the format.
    static func product(_ table: Table, _ format: Format, _ shape: Case, _ w: [Float], _ x: [Float]) -> [Float] {
        let (m, k, t) = (shape.rows.wide, shape.columns.wide, shape.tokens.wide)
        let kernels = table.kernels
        let packed = Memory<Float>(Int(dk_f32_activation_bytes(t, k)) / 4)
        let y = Memory<Float>(shape.tokens * shape.rows)
        let narrow = Memory<UInt16>(w.count)
        let space = workspace()
        defer { keep(packed, y, narrow, space) }
        kernels.f32_to_bf16(w, narrow.pointer, w.count.wide)
        if format == .f32 {
            let wide = Memory<Float>(w.count)
            let weights = Memory<Float>(Int(dk_f32_weight_bytes(m, k)) / 4)
            defer { keep(wide, weights) }
            kernels.bf16_to_f32(narrow.pointer, wide.pointer, w.count.wide)
            kernels.f32_pack(wide.pointer, k, m, k, 0, m, weights.pointer)
            kernels.f32_activations(x, k, t, k, 0, t, packed.pointer)
            var matrix = dk_f32_matrix(rows: m, columns: k, weights: weights.pointer)
            kernels.f32_matmul(&matrix, packed.pointer, t, 0, dk_panels(m), y.pointer, m, space.pointer)
        } else {
            let (pack, product) =
                switch format {
                case .f32, .bf16: (kernels.f32_activations, kernels.bf16_matmul)
                case .dot: (kernels.bf16_dot_activations, kernels.bf16_dot_matmul)
                case .split: (kernels.bf16_split_activations, kernels.bf16_split_matmul)
                }
            let weights = Memory<UInt16>(Int(dk_bf16_weight_bytes(m, k)) / 2)
            let row = Memory<Float>(shape.columns)
            defer { keep(weights, row) }
            kernels.bf16_pack(narrow.pointer, k, m, k, 0, m, weights.pointer)
            pack(x, k, t, k, 0, t, packed.pointer)
            var matrix = dk_bf16_matrix(rows: m, columns: k, weights: weights.pointer)
            product(&matrix, packed.pointer, t, 0, dk_panels(m), y.pointer, m, space.pointer)
            kernels.bf16_row(&matrix, m - 1, row.pointer)
            let kept = zip(row.elements, w.suffix(shape.columns)).allSatisfy { row, w in
                !w.isNormal || abs(row - w) <= abs(w) / 256
            }
            #expect(kept, "the last row is not its weights")
        }
        return y.elements
    }

    @Test(arguments: Table.all, cases)
    func theProductIsWithinRounding(table: Table, shape: Case) {
        let w = random(shape.rows * shape.columns, seed: 11)
        let x = random(shape.tokens * shape.columns, seed: 12)
        let narrow = Memory<UInt16>(w.count)
        let wide = Memory<Float>(w.count)
        defer { keep(narrow, wide) }
        Table.scalar.kernels.f32_to_bf16(w, narrow.pointer, w.count.wide)
        Table.scalar.kernels.bf16_to_f32(narrow.pointer, wide.pointer, w.count.wide)
        var exact = [Double](repeating: 0, count: shape.tokens * shape.rows)
        for t in 0..<shape.tokens {
            for m in 0..<shape.rows {
                for k in 0..<shape.columns {
                    exact[t * shape.rows + m] +=
                        Double(wide.pointer[m * shape.columns + k]) * Double(x[t * shape.columns + k])
                }
            }
        }
        for format in Format.allCases {
            let error = relativeL2(Self.product(table, format, shape, w, x), exact)
            // Activations of the dot product are bfloat16 too: half of the last of eight bits, at
            // most 2^-8; the sum of two such numbers is within 2^-17.
            let limit =
                switch format {
                case .f32, .bf16: 5e-7
                case .dot: 4e-3
                case .split: 5e-6
                }
            #expect(error < limit, "\(format): \(error)")
        }
    }

    @Test(arguments: Table.vector, cases)
    func everyTableHasTheBitsOfTheScalarOne(table: Table, shape: Case) {
        let w = random(shape.rows * shape.columns, seed: 13)
        let x = random(shape.tokens * shape.columns, seed: 14)
        let expected = Self.product(.scalar, .f32, shape, w, x)
        for format in [Format.f32, .bf16] {
            #expect(differences(Self.product(table, format, shape, w, x), expected) == 0, "\(format)")
        }
        for format in [Format.dot, .split] {
            let expected = Self.product(.scalar, format, shape, w, x)
            #expect(differences(Self.product(table, format, shape, w, x), expected) == 0, "\(format)")
        }
    }

    /// `vdpbf16ps` and the fused multiply-adds that stand for it, over numbers at the ends of the
    /// range: infinite, subnormal, sums that underflow or overflow.
    @Test(arguments: Table.all)
    func roundedActivationsFollowTheInstructionAtTheEndsOfTheRange(table: Table) {
        let ends: [UInt32] = [
            0, 0x8000, 1, 0x8001, 0x7f, 0x80, 0x8080, 0x7f80, 0xff80, 0x7fc0, 0x3f80, 0xbf80, 0x7f7f, 0xff7f, 0x2000,
            0x2001, 0xa000, 0x1fff, 0x3f7f, 0x0100,
        ]
        var source = RandomSource(seed: 27)
        func numbers(_ count: Int) -> [Float] {
            (0..<count).map { _ in
                // Products of numbers of opposite exponents lie where results become subnormal.
                let exponent = UInt32(source.integer(in: 30...90))
                let narrow =
                    source.integer(in: 0...2) == 0
                    ? ends[source.integer(in: 0...ends.count - 1)]
                    : exponent << 7 | UInt32(source.integer(in: 0...127)) | UInt32(source.integer(in: 0...1)) << 15
                return Float(bitPattern: narrow << 16)
            }
        }
        for columns in [1, 2, 3, 8] {
            let shape = Case(rows: 64, columns: columns, tokens: 40)
            let (w, x) = (numbers(64 * columns), numbers(40 * columns))
            let y = Self.product(table, .dot, shape, w, x)
            var wrong = 0
            for t in 0..<40 {
                for m in 0..<64 {
                    let expected = Self.pairs(
                        Array(w[m * columns..<(m + 1) * columns]), Array(x[t * columns..<(t + 1) * columns]))
                    let got = y[t * 64 + m]
                    // Whether a result is subnormal the processor decides after rounding it to 24
                    // bits, so the largest of them become zero and not the smallest normal number.
                    let flushed = got == 0 && abs(expected) == .leastNormalMagnitude
                    if expected != got && !(expected.isNaN && got.isNaN) && !flushed { wrong += 1 }
                }
            }
            #expect(wrong == 0, "\(columns) columns: \(wrong) of \(40 * 64) numbers differ from the description")
        }
    }

    /// The operation as Intel describes it: odd, then even products, fused, subnormals zero.
    private static func pairs(_ w: [Float], _ x: [Float]) -> Float {
        func flushed(_ v: Float) -> Float { v.isSubnormal ? Float(sign: v.sign, exponent: 0, significand: 0) : v }
        var sum: Float = 0
        for first in stride(from: 0, to: w.count, by: 2) {
            for k in [first + 1, first] where k < w.count {
                sum = flushed(sum.addingProduct(flushed(w[k]), flushed(x[k])))
            }
        }
        return sum
    }

    /// `tdpbf16ps` as Intel describes it, step after step, for the high and the low parts of
    /// activations.
    @Test(arguments: Table.all, [40, 96])
    func splitActivationsFollowTheDescriptionOfTheTileUnit(table: Table, columns: Int) {
        let shape = Case(rows: 33, columns: columns, tokens: 18)
        let (w, x) = (random(33 * columns, seed: 28), random(18 * columns, seed: 29))
        let y = Self.product(table, .split, shape, w, x)
        func narrow(_ v: Float) -> Float {
            let bits = v.bitPattern
            return Float(bitPattern: (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
        }
        for t in 0..<18 {
            let high = x[t * columns..<(t + 1) * columns].map(narrow)
            let low = zip(x[t * columns..<(t + 1) * columns], high).map { narrow($0 - $1) }
            for m in 0..<33 {
                let row = w[m * columns..<(m + 1) * columns].map(narrow)
                var sum: Float = 0
                for step in stride(from: 0, to: columns, by: 32) {
                    for part in [high, low] {
                        var (even, odd): (Float, Float) = (0, 0)
                        for k in stride(from: step, to: min(step + 32, columns), by: 2) {
                            even.addProduct(row[k], part[k])
                            odd.addProduct(row[k + 1], part[k + 1])
                        }
                        sum += even + odd
                    }
                }
                #expect(y[t * 33 + m] == sum, "token \(t), row \(m)")
            }
        }
    }

    @Test(arguments: Table.all, cases)
    func aTokenHasTheSameBitsAlone(table: Table, shape: Case) {
        let w = random(shape.rows * shape.columns, seed: 15)
        let x = random(shape.tokens * shape.columns, seed: 16)
        let alone = Case(rows: shape.rows, columns: shape.columns, tokens: 1)
        for format in Format.allCases {
            let y = Self.product(table, format, shape, w, x)
            let last = Self.product(table, format, alone, w, Array(x.suffix(shape.columns)))
            #expect(differences(last, Array(y.suffix(shape.rows))) == 0, "\(format)")
        }
    }

    @Test(arguments: Table.all, [(1, 1, 1), (13, 37, 50), (25, 64, 3), (7, 129, 128)])
    func generalProductsAddToWhatIsThere(table: Table, size: (Int, Int, Int)) {
        let (m, n, k) = size
        let (a, b) = (random(m * k, seed: 17), random(k * n, seed: 18))
        let start = random(m * n, seed: 19)
        let (plain, added) = (Memory<Float>(m * n), Memory(start))
        defer { keep(plain, added) }
        table.kernels.f32_gemm(m.wide, n.wide, k.wide, a, k.wide, b, n.wide, plain.pointer, n.wide, false)
        table.kernels.f32_gemm(m.wide, n.wide, k.wide, a, k.wide, b, n.wide, added.pointer, n.wide, true)
        // The definition: one fused multiply-add a term, in order.
        for i in 0..<m {
            for j in 0..<n {
                var (sum, onto) = (Float(0), start[i * n + j])
                for p in 0..<k {
                    sum.addProduct(a[i * k + p], b[p * n + j])
                    onto.addProduct(a[i * k + p], b[p * n + j])
                }
                #expect(plain.pointer[i * n + j] == sum)
                #expect(added.pointer[i * n + j] == onto)
            }
        }
    }
}
