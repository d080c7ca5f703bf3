import DualityKernels
import Testing

/// Products of int8 matrices: exact integers in every table, whatever the size, the split and the
/// company.
@Suite struct Int8ProductTests {
    /// Outputs, inputs, tokens, group.
    struct Case: CustomTestStringConvertible, Sendable {
        let rows, columns, tokens, group: Int
        var testDescription: String { "\(rows)x\(columns), \(tokens) tokens, group \(group)" }
    }

    static let cases = [
        Case(rows: 1, columns: 1, tokens: 1, group: 0), Case(rows: 33, columns: 31, tokens: 5, group: 0),
        Case(rows: 70, columns: 100, tokens: 13, group: 32), Case(rows: 32, columns: 640, tokens: 25, group: 128),
        Case(rows: 31, columns: 1300, tokens: 14, group: 0), Case(rows: 290, columns: 70, tokens: 3, group: 64),
        Case(rows: 40, columns: 48, tokens: 530, group: 0), Case(rows: 40, columns: 600, tokens: 13, group: 32),
        Case(rows: 64, columns: 96, tokens: 7, group: 32), Case(rows: 64, columns: 64, tokens: 12, group: 64),
        // Tiles of sixteen tokens and 64 columns.
        Case(rows: 70, columns: 1024, tokens: 33, group: 0), Case(rows: 230, columns: 4224, tokens: 18, group: 0),
        Case(rows: 40, columns: 640, tokens: 49, group: 128), Case(rows: 1, columns: 128, tokens: 16, group: 64),
    ]

    /// A packed matrix and what was packed.
    struct Matrix {
        let weights: Memory<UInt8>, scales: Memory<Float>, shape: Case

        init(_ table: Table, _ shape: Case, _ source: [Float]) {
            let (m, k, g) = (shape.rows.wide, shape.columns.wide, shape.group.wide)
            self.shape = shape
            weights = Memory(Int(dk_int8_weight_bytes(m, k, g)))
            scales = Memory(Int(dk_int8_scale_count(m, k, g)))
            // In two parts, as a streaming quantizer does.
            let first = min(m, 32)
            table.kernels.int8_pack(source, k, m, k, g, 0, first, weights.pointer, scales.pointer)
            if m > 32 {
                source.withUnsafeBufferPointer {
                    table.kernels.int8_pack(
                        $0.baseAddress! + 32 * shape.columns, k, m, k, g, 32, m - 32, weights.pointer, scales.pointer)
                }
            }
        }

        var matrix: dk_int8_matrix {
            dk_int8_matrix(
                rows: shape.rows.wide, columns: shape.columns.wide, group: shape.group.wide, weights: weights.pointer,
                scales: scales.pointer)
        }

        /// y of the tokens `tokens` of x, panels `split` at a time.
        func product(_ table: Table, _ x: [Float], _ tokens: Range<Int>, split: Int = 1000) -> [Float] {
            let (k, g, count) = (shape.columns, shape.group.wide, tokens.count)
            let packed = Memory<UInt8>(Int(dk_int8_activation_bytes(count.wide, k.wide, g)))
            let rows = Array(x[tokens.lowerBound * k..<tokens.upperBound * k])
            table.kernels.int8_activations(rows, k.wide, count.wide, k.wide, g, 0, count.wide / 2, packed.pointer)
            table.kernels.int8_activations(
                rows, k.wide, count.wide, k.wide, g, count.wide / 2, count.wide - count.wide / 2, packed.pointer)
            let y = Memory<Float>(count * shape.rows)
            let space = workspace()
            defer { keep(packed, y, space, weights, scales) }
            var matrix = matrix
            for panel in stride(from: 0, to: dk_panels(shape.rows.wide), by: split) {
                table.kernels.int8_matmul(
                    &matrix, packed.pointer, count.wide, panel, min(panel + split.wide, dk_panels(shape.rows.wide)),
                    y.pointer, shape.rows.wide, space.pointer)
            }
            return y.elements
        }
    }

    @Test(arguments: Table.vector, cases)
    func everyTableHasTheBitsOfTheScalarOne(table: Table, shape: Case) {
        let w = random(shape.rows * shape.columns, seed: 1)
        let x = random(shape.tokens * shape.columns, seed: 2)
        let (expected, found) = (Matrix(.scalar, shape, w), Matrix(table, shape, w))
        #expect(found.weights.elements == expected.weights.elements)
        #expect(found.scales.elements == expected.scales.elements)
        let y = found.product(table, x, 0..<shape.tokens)
        #expect(differences(y, expected.product(.scalar, x, 0..<shape.tokens)) == 0)
    }

    @Test(arguments: Table.all, cases)
    func aTokenHasTheSameBitsAloneAndARangeInParts(table: Table, shape: Case) {
        let matrix = Matrix(table, shape, random(shape.rows * shape.columns, seed: 3))
        let x = random(shape.tokens * shape.columns, seed: 4)
        let y = matrix.product(table, x, 0..<shape.tokens)
        let last = matrix.product(table, x, shape.tokens - 1..<shape.tokens)
        #expect(differences(last, Array(y.suffix(shape.rows))) == 0)
        #expect(differences(matrix.product(table, x, 0..<shape.tokens, split: 1), y) == 0)
    }

    /// What ranks send each other: parts of rows as bytes, and the largest of their groups. The
    /// numbers that come out are packed as those that went in.
    @Test(arguments: Table.all, cases)
    func numbersFromBytesArePackedAsTheirOriginals(table: Table, shape: Case) {
        let (k, count) = (shape.columns, shape.tokens)
        var x = random(count * k, seed: 7)
        // Rows of zeros, of subnormal, tiny and huge numbers, and with one that is not finite.
        let odd: [(Float) -> Float] = [
            { _ in -0.0 }, { $0 * 0x1p-130 }, { $0 * 0x1p-98 }, { $0 * 0x1p125 }, { $0 },
        ]
        for t in 1..<max(count, 1) {
            for i in t * k..<(t + 1) * k { x[i] = odd[t % odd.count](x[i]) }
            // 127 scales of the largest float are infinite.
            if t % 7 == 3 { x[t * k + t % k] = -.greatestFiniteMagnitude }
            if t % 7 == 4 { x[t * k + t % k] = [.nan, .infinity, -.infinity][t % 3] }
        }
        func packed(_ x: [Float]) -> [UInt8] {
            let g = shape.group.wide
            let packed = Memory<UInt8>(Int(dk_int8_activation_bytes(count.wide, k.wide, g)))
            table.kernels.int8_activations(x, k.wide, count.wide, k.wide, g, 0, count.wide, packed.pointer)
            return packed.elements
        }
        #expect(packed(sent(table, x, shape)) == packed(x))
    }

    /// Through two ranks, of which the first has a part of the columns, whole groups.
    private func sent(_ table: Table, _ x: [Float], _ shape: Case) -> [Float] {
        let (k, count) = (shape.columns, shape.tokens)
        let unit = max(shape.group, 1)
        let first = k / 3 / unit * unit
        var y = [Float](repeating: 7, count: count * k)
        var (largest, bytes) = ([[Float]](), [[Int8]]())
        let parts = [0..<first, first..<k].filter { !$0.isEmpty }
        for part in parts {
            let groups = shape.group == 0 ? 1 : (part.count + unit - 1) / unit
            var m = [Float](repeating: 0, count: count * groups)
            table.kernels.int8_largest(
                Array(x[part.lowerBound...]), k.wide, count.wide, part.count.wide, shape.group.wide, &m, groups.wide)
            largest.append(m)
        }
        if shape.group == 0 {
            // The larger of both, a NaN first.
            let top = (0..<count).map { t in largest.map { $0[t].bitPattern }.max().map(Float.init(bitPattern:)) ?? 0 }
            largest = parts.map { _ in top }
        }
        for (part, m) in zip(parts, largest) {
            var q = [Int8](repeating: 3, count: count * part.count)
            let (width, groups) = (part.count.wide, (m.count / count).wide)
            table.kernels.int8_bytes(
                Array(x[part.lowerBound...]), k.wide, count.wide, width, shape.group.wide, m, groups, &q, width)
            bytes.append(q)
            y.withUnsafeMutableBufferPointer {
                table.kernels.int8_numbers(
                    q, width, count.wide, width, shape.group.wide, m, groups, $0.baseAddress! + part.lowerBound, k.wide)
            }
        }
        return y
    }

    /// Integers of a product are known: scales of 1 come from rows whose largest number is 127.
    @Test(arguments: Table.all, [0, 32, 64])
    func theIntegersAreExact(table: Table, group: Int) {
        let shape = Case(rows: 37, columns: 192, tokens: 15, group: group)
        func integers(_ rows: Int, seed: UInt64) -> [Float] {
            random(rows * 192, seed: seed, scale: 60).enumerated().map {
                $0.offset % 32 == 0 ? 127 : max(-127, min(127, $0.element.rounded()))
            }
        }
        let (w, x) = (integers(shape.rows, seed: 5), integers(shape.tokens, seed: 6))
        let y = Matrix(table, shape, w).product(table, x, 0..<shape.tokens)
        for t in 0..<shape.tokens {
            for m in 0..<shape.rows {
                let exact = (0..<192).reduce(0) { $0 + Int(w[m * 192 + $1]) * Int(x[t * 192 + $1]) }
                #expect(y[t * shape.rows + m] == Float(exact))
            }
        }
    }

    /// All products at their largest: sixteen bits would saturate after two.
    @Test(arguments: Table.all, [(1, 1), (1, -1), (-1, -1)] as [(Float, Float)])
    func theLargestProductsDoNotSaturate(table: Table, signs: (Float, Float)) {
        let shape = Case(rows: 32, columns: 8192, tokens: 2, group: 0)
        let matrix = Matrix(table, shape, [Float](repeating: 127 * signs.0, count: 32 * 8192))
        let y = matrix.product(table, [Float](repeating: 127 * signs.1, count: 2 * 8192), 0..<2)
        #expect(y.allSatisfy { $0 == signs.0 * signs.1 * 127 * 127 * 8192 }, "\(y[0])")
    }

    @Test(arguments: Table.all, [0, 32, 128])
    func theProductIsThatOfTheRoundedNumbers(table: Table, group: Int) {
        let shape = Case(rows: 50, columns: 300, tokens: 4, group: group)
        let w = random(shape.rows * shape.columns, seed: 7)
        let x = random(shape.tokens * shape.columns, seed: 8)
        let packed = Matrix(table, shape, w)
        let y = packed.product(table, x, 0..<shape.tokens)
        var (error, norm) = (0.0, 0.0)
        var matrix = packed.matrix
        defer { keep(packed.weights, packed.scales) }
        for m in 0..<shape.rows {
            let row = Memory<Float>(shape.columns)
            defer { keep(row) }
            table.kernels.int8_row(&matrix, m.wide, row.pointer)
            for k in 0..<shape.columns { #expect(abs(row.pointer[k] - w[m * shape.columns + k]) < 0.02) }
            for t in 0..<shape.tokens {
                let exact = (0..<shape.columns).reduce(0.0) {
                    $0 + Double(row.pointer[$1]) * Double(x[t * shape.columns + $1])
                }
                error += (Double(y[t * shape.rows + m]) - exact) * (Double(y[t * shape.rows + m]) - exact)
                norm += exact * exact
            }
        }
        // Activations have 127 steps to their largest number, about three times their deviation: 3
        // / 127 / sqrt(12).
        #expect((error / norm).squareRoot() < 0.01, "\((error / norm).squareRoot())")
    }

    @Test(arguments: Table.all)
    func rowsOfZerosAndOfTinyNumbersAreZeroAndNaNIsSeen(table: Table) {
        let shape = Case(rows: 32, columns: 64, tokens: 4, group: 32)
        var x = random(4 * 64, seed: 9)
        for k in 0..<64 {
            x[k] = 0
            x[64 + k] = Float.leastNormalMagnitude / 8
        }
        x[2 * 64 + 5] = .nan
        x[3 * 64 + 5] = .infinity
        let y = Matrix(table, shape, random(32 * 64, seed: 10)).product(table, x, 0..<4)
        #expect(y[0..<64].allSatisfy { $0 == 0 })
        #expect(y[64..<128].allSatisfy { !$0.isFinite })
    }
}
