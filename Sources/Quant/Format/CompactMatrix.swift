//  bfloat16 weights in twelve bits: what a matrix has beside its units.
//
//      exponents      [panels, 16]      the alphabet of each panel: the sixteen exponents that it has most of
//      starts         [panels + 1]      the first exception of each panel, and the end
//      exceptions     [starts.last]     weights with another exponent: unit << 15 | column << 13 | row << 8 | exponent
//
//  The bits and the kernels are those of DualityKernels.h. In memory and in files the last two fill
//  up lines of 64 bytes with zeros.

import DualityCore
import DualityKernels

/// The tables of a compact matrix.
struct CompactTables: Sendable {
    let exponents: WeightBytes
    let starts: WeightBytes
    let exceptions: WeightBytes

    /// Numbers of 32 bits that fill lines.
    static func filled(_ count: Int) -> Int { max((count + 15) / 16, 1) * 16 }

    static func exponentCount(rows: Int) -> Int { PackedMatrix.panels(rows) * 16 }
    static func startCount(rows: Int) -> Int { filled(PackedMatrix.panels(rows) + 1) }

    /// The exceptions of normal weights, about 7 in 100,000, for whoever cannot count yet.
    static func expectedExceptions(rows: Int, columns: Int) -> Int { rows * columns / 14_000 }

    var byteCount: Int { exponents.byteCount + starts.byteCount + exceptions.byteCount }

    /// The addresses, without a hold on the bytes.
    struct View: @unchecked Sendable {
        let exponents, starts, exceptions: UnsafePointer<UInt32>
    }

    var view: View {
        View(
            exponents: exponents.base.assumingMemoryBound(to: UInt32.self),
            starts: starts.base.assumingMemoryBound(to: UInt32.self),
            exceptions: exceptions.base.assumingMemoryBound(to: UInt32.self))
    }

    /// That the kernels can follow these numbers: they look at none of them again.
    ///
    /// - Parameters:
    ///   - place: the tensor, for messages.
    /// - Throws: `InputError` (`.malformed`) for numbers that no packing writes.
    /// - Complexity: O(panels + exceptions).
    func check(rows: Int, columns: Int, place: String) throws(InputError) {
        let panels = PackedMatrix.panels(rows)
        func damaged(_ table: String, _ expected: String, _ found: String) -> InputError {
            InputError(
                .malformed, in: "\(place).\(table)", expected: expected, found: found,
                remedy: "The file is damaged; quantize the original checkpoint again.")
        }
        let view = view
        for i in 0..<panels * 16 where view.exponents[i] & ~0x7f80_0000 != 0 {
            throw damaged(
                "exponents", "exponents at bits 23 to 30", "0x\(String(view.exponents[i], radix: 16)) at \(i)")
        }
        let limit = exceptions.byteCount / 4
        guard view.starts[0] == 0 else { throw damaged("exceptionStarts", "0 at the beginning", "\(view.starts[0])") }
        for panel in 0..<panels {
            let (first, end) = (Int(view.starts[panel]), Int(view.starts[panel + 1]))
            guard first <= end, end <= limit else {
                throw damaged(
                    "exceptionStarts", "numbers that ascend to at most \(limit)",
                    "\(first), then \(end) for panel \(panel)")
            }
            for i in first..<end {
                let exception = view.exceptions[i]
                let column = Int(exception >> 15) * 4 + Int(exception >> 13 & 3)
                guard column < columns, i == first || view.exceptions[i - 1] >> 8 < exception >> 8 else {
                    throw damaged(
                        "exceptions", "places that ascend within \(columns) columns",
                        "0x\(String(exception, radix: 16)) at \(i)")
                }
            }
        }
    }
}

/// What the weights of a matrix are like, which decides how large its tables are.
struct CompactSurvey: Sendable {
    let exponents: AlignedMemory
    let starts: AlignedMemory
    let exceptionCount: Int
    private let rows: Int
    private let columns: Int

    /// - Parameter count: writes the alphabets, [panels, 16], and the numbers of exceptions,
    ///   [panels].
    init(
        rows: Int, columns: Int,
        count: (UnsafeMutablePointer<UInt32>, UnsafeMutablePointer<UInt32>) throws -> Void
    ) rethrows {
        (self.rows, self.columns) = (rows, columns)
        exponents = AlignedMemory(byteCount: 4 * CompactTables.exponentCount(rows: rows))
        starts = AlignedMemory(byteCount: 4 * CompactTables.startCount(rows: rows))
        starts.clear()
        let numbers = starts.base.assumingMemoryBound(to: UInt32.self)
        try count(exponents.base.assumingMemoryBound(to: UInt32.self), numbers + 1)
        for panel in 0..<PackedMatrix.panels(rows) { numbers[panel + 1] += numbers[panel] }
        exceptionCount = Int(numbers[PackedMatrix.panels(rows)])
    }

    /// Whether the matrix gets smaller and faster. A unit of 128 weights that has an exception
    /// takes a slower way: with one weight in 1000 products of one token are 1.25 times as fast as
    /// in the plain form, with one in 500 1.2, with one in 200 no faster (measured with AVX-512).
    /// And a row of a few columns is no longer than its panel's alphabet.
    var pays: Bool {
        exceptionCount <= rows * columns / 250 && columns >= 32 && columns <= Int(DK_COMPACT_COLUMNS)
    }

    /// Memory for the exceptions, filled up with zeros.
    func exceptionMemory() -> AlignedMemory {
        let memory = AlignedMemory(byteCount: 4 * CompactTables.filled(exceptionCount))
        memory.clear()
        return memory
    }

    func tables(_ exceptions: AlignedMemory) -> CompactTables {
        CompactTables(
            exponents: WeightBytes(exponents, byteCount: 4 * CompactTables.exponentCount(rows: rows)),
            starts: WeightBytes(starts, byteCount: 4 * CompactTables.startCount(rows: rows)),
            exceptions: WeightBytes(exceptions, byteCount: 4 * CompactTables.filled(exceptionCount)))
    }

    /// Packs `count` rows from row `first`, a multiple of 32, on.
    func pack(
        _ numbers: [UInt16], first: Int, count: Int, into units: UnsafeMutableRawPointer, exceptions: AlignedMemory
    ) {
        let width = Int64(columns)
        dk_compact_pack(
            numbers, width, width, Int64(first), Int64(count), exponents.base.assumingMemoryBound(to: UInt32.self),
            starts.base.assumingMemoryBound(to: UInt32.self), units.assumingMemoryBound(to: UInt32.self),
            exceptions.base.assumingMemoryBound(to: UInt32.self))
    }
}
