import DualityKernels
import Testing

/// Products of matrices in four bits: the bits of the int8 matrix with the same weights, in every
/// table, whatever the size, the split and the company.
@Suite struct Int4ProductTests {
    /// Outputs, inputs, tokens, group.
    struct Case: CustomTestStringConvertible, Sendable {
        let rows, columns, tokens, group: Int
        var testDescription: String { "\(rows)x\(columns), \(tokens) tokens, group \(group)" }
    }

    static let cases = [
        Case(rows: 1, columns: 1, tokens: 1, group: 32), Case(rows: 33, columns: 31, tokens: 5, group: 32),
        Case(rows: 70, columns: 100, tokens: 13, group: 64), Case(rows: 32, columns: 640, tokens: 25, group: 128),
        Case(rows: 31, columns: 1300, tokens: 14, group: 32), Case(rows: 290, columns: 70, tokens: 3, group: 64),
        Case(rows: 40, columns: 48, tokens: 530, group: 32), Case(rows: 64, columns: 600, tokens: 6, group: 128),
        Case(rows: 64, columns: 96, tokens: 7, group: 32), Case(rows: 330, columns: 1056, tokens: 12, group: 32),
    ]

    /// A packed matrix and what was packed.
    struct Matrix {
        let codes: Memory<UInt8>, scales: Memory<UInt8>, shape: Case

        init(_ table: Table, _ shape: Case, _ source: [Float], importance: [Float]? = nil) {
            let (m, k, g) = (shape.rows.wide, shape.columns.wide, shape.group.wide)
            self.shape = shape
            codes = Memory(Int(dk_int4_code_bytes(m, k, g)))
            scales = Memory(Int(dk_int4_scale_bytes(m, k, g)))
            // In two parts, as a streaming quantizer does.
            let first = min(m, 32)
            table.kernels.int4_pack(source, k, m, k, g, 0, first, importance, codes.pointer, scales.pointer)
            if m > 32 {
                source.withUnsafeBufferPointer {
                    table.kernels.int4_pack(
                        $0.baseAddress! + 32 * shape.columns, k, m, k, g, 32, m - 32, importance, codes.pointer,
                        scales.pointer)
                }
            }
        }

        var matrix: dk_int4_matrix {
            dk_int4_matrix(
                rows: shape.rows.wide, columns: shape.columns.wide, group: shape.group.wide, codes: codes.pointer,
                scales: scales.pointer)
        }

        /// The weights as they are read back, [M][K].
        func weights(_ table: Table) -> [Float] {
            let row = Memory<Float>(shape.columns)
            defer { keep(row, codes, scales) }
            var matrix = matrix
            return (0..<shape.rows).flatMap { m -> [Float] in
                table.kernels.int4_row(&matrix, m.wide, row.pointer)
                return row.elements
            }
        }

        /// The int8 matrix with the same weights, byte by byte as the layouts say.
        func widened() -> (weights: Memory<UInt8>, scales: Memory<Float>) {
            let (m, k, g) = (shape.rows.wide, shape.columns.wide, shape.group.wide)
            let weights = Memory<UInt8>(Int(dk_int8_weight_bytes(m, k, g)))
            let floats = Memory<Float>(Int(dk_int8_scale_count(m, k, g)))
            let alphabet = [-127, -99, -78, -61, -47, -33, -21, -9, 3, 15, 27, 41, 55, 72, 92, 121]
            for (place, byte) in codes.elements.enumerated() {
                let (unit, within) = (place / 64 * 128, place % 64)
                weights.pointer[unit + within] = UInt8(alphabet[Int(byte & 15)] + 128)
                weights.pointer[unit + 64 + within] = UInt8(alphabet[Int(byte >> 4)] + 128)
            }
            let groups = floats.count / 32 / Int(dk_panels(m))
            for panel in 0..<Int(dk_panels(m)) {
                let base = UnsafeRawPointer(scales.pointer) + panel * (4 + groups) * 32
                for g in 0..<groups {
                    for row in 0..<32 {
                        let integer = (base + 128 + g * 32 + row).load(as: Int8.self)
                        floats.pointer[(panel * groups + g) * 32 + row] =
                            Float(integer) * (base + 4 * row).load(as: Float.self)
                    }
                }
            }
            return (weights, floats)
        }

        /// y of the tokens `tokens` of x, panels `split` at a time.
        func product(_ table: Table, _ x: [Float], _ tokens: Range<Int>, split: Int = 1000, widened: Bool = false)
            -> [Float]
        {
            let (k, g, count) = (shape.columns, shape.group.wide, tokens.count)
            let packed = Memory<UInt8>(Int(dk_int8_activation_bytes(count.wide, k.wide, g)))
            let rows = Array(x[tokens.lowerBound * k..<tokens.upperBound * k])
            table.kernels.int8_activations(rows, k.wide, count.wide, k.wide, g, 0, count.wide, packed.pointer)
            let y = Memory<Float>(count * shape.rows)
            let space = workspace()
            let (bytes, floats) = widened ? self.widened() : (Memory<UInt8>(1), Memory<Float>(1))
            defer { keep(packed, y, space, codes, scales, bytes, floats) }
            var matrix = matrix
            var other = dk_int8_matrix(
                rows: matrix.rows, columns: matrix.columns, group: g, weights: bytes.pointer, scales: floats.pointer)
            for panel in stride(from: 0, to: dk_panels(shape.rows.wide), by: split) {
                let end = min(panel + split.wide, dk_panels(shape.rows.wide))
                if widened {
                    table.kernels.int8_matmul(
                        &other, packed.pointer, count.wide, panel, end, y.pointer, shape.rows.wide, space.pointer)
                } else {
                    table.kernels.int4_matmul(
                        &matrix, packed.pointer, count.wide, panel, end, y.pointer, shape.rows.wide, space.pointer)
                }
            }
            return y.elements
        }
    }

    @Test(arguments: Table.vector, cases)
    func everyTableHasTheBitsOfTheScalarOne(table: Table, shape: Case) {
        let w = random(shape.rows * shape.columns, seed: 1)
        let x = random(shape.tokens * shape.columns, seed: 2)
        let importance = random(shape.columns, seed: 3).map { $0 * $0 }
        for importance in [nil, importance] {
            let expected = Matrix(.scalar, shape, w, importance: importance)
            let found = Matrix(table, shape, w, importance: importance)
            #expect(found.codes.elements == expected.codes.elements)
            #expect(found.scales.elements == expected.scales.elements)
            let y = found.product(table, x, 0..<shape.tokens)
            #expect(differences(y, expected.product(.scalar, x, 0..<shape.tokens)) == 0)
        }
    }

    @Test(arguments: Table.all, cases)
    func theProductIsThatOfTheInt8MatrixWithTheSameWeights(table: Table, shape: Case) {
        let matrix = Matrix(table, shape, random(shape.rows * shape.columns, seed: 3))
        let x = random(shape.tokens * shape.columns, seed: 4)
        let y = matrix.product(table, x, 0..<shape.tokens)
        #expect(differences(y, matrix.product(table, x, 0..<shape.tokens, widened: true)) == 0)
        let last = matrix.product(table, x, shape.tokens - 1..<shape.tokens)
        #expect(differences(last, Array(y.suffix(shape.rows))) == 0)
        #expect(differences(matrix.product(table, x, 0..<shape.tokens, split: 1), y) == 0)
    }

    /// Normal numbers: what the alphabet and the search promise, and what sixteen even steps up to
    /// the largest number lose.
    @Test(arguments: Table.all, [(32, 0.0055), (64, 0.0067), (128, 0.0077)])
    func theErrorIsWhatTheAlphabetPromises(table: Table, promise: (group: Int, error: Double)) {
        let shape = Case(rows: 64, columns: 1024, tokens: 1, group: promise.group)
        let w = random(shape.rows * shape.columns, seed: 5)
        let found = Matrix(table, shape, w).weights(table)
        let norm = w.reduce(0) { $0 + Double($1) * Double($1) }
        let error = zip(found, w).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) } / norm
        #expect(error < promise.error, "\(error)")
        if promise.group == 32 { #expect(error < 0.75 * evenSteps(w)) }
    }

    /// The error of the largest of 32 numbers as the last of sixteen even steps.
    private func evenSteps(_ w: [Float]) -> Double {
        var (error, norm) = (0.0, 0.0)
        for start in stride(from: 0, to: w.count, by: 32) {
            let group = w[start..<start + 32]
            let largest = group.max { abs($0) < abs($1) } ?? 1
            for x in group {
                let code = min(max((x / (largest / -8)).rounded(), -8), 7)
                error += Double(x - code * (largest / -8)) * Double(x - code * (largest / -8))
                norm += Double(x) * Double(x)
            }
        }
        return error / norm
    }

    /// An input that counts more is kept better, at the others' cost.
    @Test(arguments: Table.all) func importanceMovesTheError(table: Table) {
        let shape = Case(rows: 64, columns: 64, tokens: 1, group: 32)
        let w = random(shape.rows * shape.columns, seed: 6)
        let importance = (0..<64).map { $0 % 8 == 0 ? Float(50) : 1 }
        func error(_ found: [Float]) -> (Double, Double) {
            var (weighted, plain) = (0.0, 0.0)
            for i in w.indices {
                let square = Double(found[i] - w[i]) * Double(found[i] - w[i])
                weighted += square * Double(importance[i % 64])
                plain += square
            }
            return (weighted, plain)
        }
        let even = error(Matrix(table, shape, w).weights(table))
        let weighted = error(Matrix(table, shape, w, importance: importance).weights(table))
        #expect(weighted.0 < 0.8 * even.0 && weighted.1 > even.1)
    }

    @Test(arguments: Table.all)
    func zerosTinyAndHugeNumbersAndNaN(table: Table) {
        let shape = Case(rows: 40, columns: 64, tokens: 1, group: 32)
        var w = random(40 * 64, seed: 9)
        for k in 0..<64 {
            w[k] = 0
            w[64 + k] = Float.leastNormalMagnitude / 8
            w[128 + k] = k < 32 ? 0 : w[128 + k]
            w[192 + k] *= 1e37
        }
        w[4 * 64 + 5] = .nan
        w[5 * 64 + 40] = .infinity
        let matrix = Matrix(table, shape, w)
        let found = matrix.weights(table)
        #expect(found[0..<128].allSatisfy { $0 == 0 })
        #expect(found[128..<160].allSatisfy { $0 == 0 })
        #expect(found[160..<256].allSatisfy { $0.isFinite && $0 != 0 })
        #expect(found[4 * 64..<6 * 64].allSatisfy { $0.isNaN })
        let y = matrix.product(table, [Float](repeating: 1, count: 64), 0..<1)
        #expect(y[0] == 0 && y[1] == 0 && y[4].isNaN && y[5].isNaN && y[6].isFinite)
        // Weights that count for nothing are rounded as if all counted alike.
        let dead = Matrix(table, shape, w, importance: [Float](repeating: 0, count: 64))
        #expect(dead.codes.elements == matrix.codes.elements)
    }
}
