import TestSupport
import Testing

@testable import DualityCore

@Suite struct DecodingTests {
    #if !(os(macOS) && arch(x86_64))
        @Test func everyHalfHasItsValue() {
            for pattern in UInt16.min...UInt16.max {
                let expected = Float(Float16(bitPattern: pattern))
                let found = Float(halfBitPattern: pattern)
                if found.bitPattern != expected.bitPattern && !(found.isNaN && expected.isNaN) {
                    Issue.record("0x\(String(pattern, radix: 16)): \(found), not \(expected)")
                }
            }
        }
    #endif

    /// Every half comes back, and between two neighbours the nearer one wins, the even one in the
    /// middle.
    @Test func roundingToHalfIsToNearestEven() {
        for pattern in UInt16(0)..<0x7c00 {
            let (value, next) = (Float(halfBitPattern: pattern), Float(halfBitPattern: pattern + 1))
            let middle = next.isFinite ? (value + next) / 2 : 65520
            let even = pattern % 2 == 0 ? pattern : pattern + 1
            let found = [value, middle.nextDown, middle, middle.nextUp, -middle].map(\.halfBitPattern)
            if found != [pattern, pattern, even, pattern + 1, even | 0x8000] {
                Issue.record("0x\(String(pattern, radix: 16)): \(found.map { String($0, radix: 16) })")
            }
        }
        #expect(Float.infinity.halfBitPattern == 0x7c00 && (-Float.greatestFiniteMagnitude).halfBitPattern == 0xfc00)
        #expect(Float.leastNonzeroMagnitude.halfBitPattern == 0 && (-Float.zero).halfBitPattern == 0x8000)
        #expect(Float(halfBitPattern: Float.nan.halfBitPattern).isNaN)
    }

    /// Values from the tables of the OCP specifications and of arXiv 2206.02915.
    @Test(
        arguments: [
            (
                DType.f8e4m3,
                [(0x38, 1), (0xb8, -1), (0x7e, 448), (0x08, 0x1p-6), (0x07, 0x1.cp-7), (0x01, 0x1p-9), (0x00, 0)]
            ),
            (.f8e5m2, [(0x3c, 1), (0xbc, -1), (0x7b, 57344), (0x04, 0x1p-14), (0x01, 0x1p-16), (0x7c, .infinity)]),
            (.f8e8m0, [(0x7f, 1), (0x80, 2), (0x00, 0x1p-127), (0xfe, 0x1p127)]),
            (.f8e4m3fnuz, [(0x40, 1), (0xc0, -1), (0x7f, 240), (0x08, 0x1p-7), (0x01, 0x1p-10)]),
            (.f8e5m2fnuz, [(0x40, 1), (0xc0, -1), (0x7f, 57344), (0x04, 0x1p-15), (0x01, 0x1p-17)]),
        ] as [(DType, [(UInt8, Double)])])
    func eightBitFormatsHaveTheirValues(dtype: DType, values: [(UInt8, Double)]) {
        for (byte, expected) in values {
            let found: [Double] = [byte].withUnsafeBytes { decodeReals($0, of: dtype) }
            #expect(found == [expected], "\(dtype.rawValue) 0x\(String(byte, radix: 16))")
        }
    }

    @Test(
        arguments: [
            (DType.f8e4m3, [0x7f, 0xff]), (.f8e5m2, [0x7d, 0x7e, 0x7f, 0xff]), (.f8e8m0, [0xff]), (.f8e4m3fnuz, [0x80]),
            (.f8e5m2fnuz, [0x80]),
        ] as [(DType, [UInt8])])
    func eightBitFormatsHaveTheirNaNs(dtype: DType, patterns: [UInt8]) {
        let found = (0...255).map { UInt8($0) }.filter { dtype.value(ofByte: $0).isNaN }
        #expect(Set(found).isSuperset(of: patterns))
        #expect(found.count == (dtype == .f8e5m2 ? 6 : patterns.count))
    }

    /// A header of odd length puts every tensor at an odd address.
    @Test(arguments: [DType.f64, .f32, .bf16, .f16, .i64, .i32, .i16, .u64, .u32, .u16, .u8, .i8, .bool])
    func numbersAreReadAtAnyAddress(dtype: DType) throws {
        var random = RandomSource(seed: 4)
        let size = dtype.bits / 8
        let bytes = (0..<64 * size).map { _ in UInt8(truncatingIfNeeded: random.next() & 0x3f) }
        let expected: [Double] = bytes.withUnsafeBytes { decodeReals($0, of: dtype) }
        #expect(expected.count == 64)
        for shift in 1..<8 {
            let shifted = [UInt8](repeating: 0xff, count: shift) + bytes
            let found: [Double] = shifted.withUnsafeBytes {
                decodeReals(UnsafeRawBufferPointer(rebasing: $0[shift...]), of: dtype)
            }
            #expect(found == expected, "shifted by \(shift)")
        }
        if dtype.isInteger {
            let integers = try bytes.withUnsafeBytes { try decodeIntegers($0, of: dtype, place: "test") }
            #expect(integers.map(Double.init) == expected)
        }
    }

    @Test func anUnsignedNumberBeyondIntIsNamed() {
        let bytes = [UInt8](repeating: 0xff, count: 8)
        let error = #expect(throws: InputError.self) {
            try bytes.withUnsafeBytes { try decodeIntegers($0, of: .u64, place: "file: ids") }
        }
        #expect(error?.kind == .value)
        let real: [Double] = bytes.withUnsafeBytes { decodeReals($0, of: .u64) }
        #expect(real == [0x1p64])
    }

    @Test func aFormatKnowsHowManyBytesItTakes() {
        #expect(DType.f4.byteCount(of: 6) == 3)
        #expect(DType.f4.byteCount(of: 5) == nil)
        #expect(DType.f6e2m3.byteCount(of: 4) == 3)
        #expect(DType.c64.byteCount(of: 3) == 24)
        #expect(DType.f64.byteCount(of: .max) == nil)
        #expect(DType.allCases.allSatisfy { $0.byteCount(of: 8) == $0.bits })
    }
}
