import DualityCore
import DualityKernels
import TestSupport
import Testing

/// bfloat16 in twelve bits: the same numbers, and the same products, bit for bit.
@Suite struct CompactMatrixTests {
    /// A packed matrix and what it takes.
    final class Packed {
        let rows, columns: Int
        let units: Memory<UInt32>
        let exponents: Memory<UInt32>
        let starts: Memory<UInt32>
        let exceptions: Memory<UInt32>

        /// In pieces of two panels, as threads do it.
        init(_ numbers: [UInt16], rows: Int, columns: Int) {
            (self.rows, self.columns) = (rows, columns)
            let (m, k) = (rows.wide, columns.wide)
            let panels = Int(dk_panels(m))
            units = Memory(Int(dk_compact_unit_bytes(m, k)) / 4)
            exponents = Memory(panels * 16)
            starts = Memory(panels + 1)
            let counts = Memory<UInt32>(panels)
            dk_compact_survey(numbers, k, k, m, exponents.pointer, counts.pointer)
            for panel in 0..<panels { starts.pointer[panel + 1] = starts.pointer[panel] + counts.pointer[panel] }
            exceptions = Memory(Int(starts.pointer[panels]))
            for first in stride(from: 0, to: rows, by: 64) {
                let part = Array(numbers[(first * columns)...])
                dk_compact_pack(
                    part, k, k, first.wide, min(64, rows - first).wide, exponents.pointer, starts.pointer,
                    units.pointer,
                    exceptions.pointer)
            }
            keep(counts)
        }

        var matrix: dk_compact_matrix {
            dk_compact_matrix(
                rows: rows.wide, columns: columns.wide, units: units.pointer, exponents: exponents.pointer,
                exceptions: exceptions.pointer, starts: starts.pointer)
        }

        /// The rows as float32 bits.
        func bits(_ table: Table) -> [UInt32] {
            let row = Memory<Float>(columns)
            defer { keep(row, self) }
            var matrix = matrix
            return (0..<rows).flatMap { index in
                table.kernels.compact_row(&matrix, index.wide, row.pointer)
                return row.elements.map(\.bitPattern)
            }
        }
    }

    /// What weights are like.
    enum Kind: String, CaseIterable, Sendable {
        case normal, zeros, fewExceptions, allPatterns

        func numbers(_ count: Int) -> [UInt16] {
            switch self {
            case .normal: return random(count, seed: 21, scale: 0.02).map { BFloat16($0).bitPattern }
            case .zeros: return [UInt16](repeating: 0, count: count)
            case .allPatterns: return (0..<count).map { UInt16(truncatingIfNeeded: $0 * 40503) }
            case .fewExceptions:
                // Sixteen exponents are frequent; a few others stand in the first and last places
                // and in between.
                var numbers = (0..<count).map { (i: Int) -> UInt16 in
                    let magnitude = 0x3c00 + (i * 37) % 0x0800
                    return UInt16(i % 2 == 0 ? magnitude : magnitude | 0x8000)
                }
                for (i, place) in [0, 1, count / 3, count / 2, count - 2, count - 1].enumerated() where place >= 0 {
                    numbers[place % count] = [0x7fc1, 0x0001, 0xff80, 0x4480, 0x8000, 0x4a55][i]
                }
                return numbers
            }
        }
    }

    @Test(arguments: Table.all, Kind.allCases)
    func rowsComeBackBitForBit(table: Table, kind: Kind) {
        for rows in [1, 31, 33, 100] {
            for columns in [1, 2, 3, 4, 5, 255, 257, 1030] {
                let numbers = kind.numbers(rows * columns)
                let packed = Packed(numbers, rows: rows, columns: columns)
                let different = zip(packed.bits(table), numbers).count { $0 != UInt32($1) << 16 }
                #expect(different == 0, "\(rows)x\(columns): \(different) of \(numbers.count)")
            }
        }
    }

    @Test func onlyOtherExponentsAreExceptions() {
        let numbers = Kind.normal.numbers(96 * 1000)
        let rate = Double(Packed(numbers, rows: 96, columns: 1000).exceptions.count) / Double(numbers.count)
        #expect(rate < 2e-4, "\(rate) of normal weights")
        #expect(Packed(Kind.zeros.numbers(640), rows: 32, columns: 20).exceptions.count == 0)
        // 256 exponents, all alike frequent, of which 16 have an index.
        let all = Packed((0..<65536).map { UInt16($0) }, rows: 32, columns: 2048)
        #expect(all.exceptions.count == 65536 / 16 * 15)
    }

    @Test func exceptionsAreNamedByTheirPlace() {
        var numbers = [UInt16](repeating: 0x3f80, count: 70 * 10)
        for i in 0..<numbers.count { numbers[i] += UInt16(i % 16) << 7 }
        numbers[33 * 10 + 6] = 0x0080
        numbers[69 * 10 + 9] = 0xffff
        let packed = Packed(numbers, rows: 70, columns: 10)
        #expect(packed.starts.elements == [0, 0, 1, 2])
        func exception(unit: UInt32, column: UInt32, row: UInt32, exponent: UInt32) -> UInt32 {
            unit << 15 | column << 13 | row << 8 | exponent
        }
        let expected = [
            exception(unit: 1, column: 2, row: 1, exponent: 1), exception(unit: 2, column: 1, row: 5, exponent: 255),
        ]
        #expect(packed.exceptions.elements == expected)
    }

    static let shapes = [(1, 1), (31, 5), (33, 257), (100, 1030), (64, 512), (40, 255), (32, 3)]

    @Test(arguments: Table.all, [Kind.normal, .zeros, .fewExceptions])
    func productsHaveTheBitsOfThePlainForm(table: Table, kind: Kind) {
        let kernels = table.kernels
        for (rows, columns) in Self.shapes {
            // Of the exceptions no NaN or infinity: they would make everything alike.
            let numbers = kind.numbers(rows * columns).map { $0 & 0x7f80 == 0x7f80 ? 0x4b12 : $0 }
            let (m, k) = (rows.wide, columns.wide)
            let packed = Packed(numbers, rows: rows, columns: columns)
            let plain = Memory<UInt16>(Int(dk_bf16_weight_bytes(m, k)) / 2)
            let space = workspace()
            kernels.bf16_pack(numbers, k, m, k, 0, m, plain.pointer)
            for tokens in [1, 2, 5, 12, 13, 40] {
                let x = random(tokens * columns, seed: 22)
                let t = tokens.wide
                let activations = Memory<Float>(Int(dk_f32_activation_bytes(t, k)) / 4)
                let (expected, got) = (Memory<Float>(tokens * rows), Memory<Float>(tokens * rows))
                let products = [
                    (kernels.f32_activations, kernels.bf16_matmul, kernels.compact_matmul),
                    (kernels.bf16_dot_activations, kernels.bf16_dot_matmul, kernels.compact_dot_matmul),
                    (kernels.bf16_split_activations, kernels.bf16_split_matmul, kernels.compact_split_matmul),
                ]
                for (number, (pack, multiply, multiplyCompact)) in products.enumerated() {
                    pack(x, k, t, k, 0, t, activations.pointer)
                    var (compact, reference) = (
                        packed.matrix, dk_bf16_matrix(rows: m, columns: k, weights: plain.pointer)
                    )
                    let panels = dk_panels(m)
                    multiply(&reference, activations.pointer, t, 0, panels, expected.pointer, m, space.pointer)
                    multiplyCompact(&compact, activations.pointer, t, 0, panels, got.pointer, m, space.pointer)
                    let different = differences(got.elements, expected.elements)
                    #expect(different == 0, "\(rows)x\(columns), \(tokens) tokens, product \(number): \(different)")
                }
                keep(activations, expected, got)
            }
            keep(packed, plain, space)
        }
    }
}
