import Foundation
import TestSupport
import Testing

@testable import DualityCore

@Suite struct NumPyFileTests {
    static let counted = (0..<12).map { Double($0 - 3) }

    @Test(arguments: [
        "little_f2_c", "little_f4_c", "little_f8_c", "big_f2_c", "big_f4_c", "big_f8_c", "little_f4_fortran",
        "big_f8_fortran",
        "version2", "version3",
    ])
    func realNumbersOfEveryLayoutAreRead(name: String) throws {
        let file = try NumPyFile(path: Fixtures.path("npy/\(name).npy"))
        #expect(try file.tensor() == Tensor(shape: [2, 3, 2], elements: Self.counted.map { $0 / 2 }))
        #expect(try file.tensor(as: Float.self).elements == Self.counted.map { Float($0) / 2 })
    }

    @Test(arguments: [
        ("little_i2_c", -3), ("big_i4_c", -3), ("little_i8_c", -3), ("big_i8_c", -3), ("i1_c", -3),
        ("little_i4_fortran", -3),
        ("u1", 0), ("little_u8", 0),
    ])
    func integersOfEveryLayoutAreRead(name: String, first: Int) throws {
        let file = try NumPyFile(path: Fixtures.path("npy/\(name).npy"))
        #expect(try file.integers() == Tensor(shape: [2, 3, 2], elements: Array(first..<first + 12)))
        #expect(try file.tensor(as: Double.self).elements == (first..<first + 12).map(Double.init))
    }

    @Test func truthValuesAreZeroAndOne() throws {
        let file = try NumPyFile(path: Fixtures.path("npy/bool.npy"))
        #expect(try file.integers().elements == (0..<12).map { ($0 - 3) % 2 == 0 ? 1 : 0 })
    }

    @Test func anArrayMayHaveAnyNumberOfAxesOrNoElements() throws {
        #expect(try NumPyFile(path: Fixtures.path("npy/number.npy")).tensor() == Tensor(shape: [], elements: [1.25]))
        #expect(try NumPyFile(path: Fixtures.path("npy/vector.npy")).tensor() == Tensor<Float>([1.25, -3]))
        #expect(
            try NumPyFile(path: Fixtures.path("npy/empty.npy")).tensor() == Tensor<Float>(repeating: 0, shape: [0, 4]))
    }

    @Test func writingGivesTheBytesOfNumPy() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        func expectSameBytes(_ name: String, _ write: (String) throws -> Void) throws {
            let path = directory.appendingPathComponent("\(name).npy").path
            try write(path)
            let expected = try Data(contentsOf: URL(fileURLWithPath: Fixtures.path("npy/\(name).npy")))
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == expected, "\(name)")
        }
        let halves = try Tensor(shape: [2, 3, 2], elements: Self.counted.map { $0 / 2 })
        try expectSameBytes("little_f8_c") { try NumPyFile.write(halves, to: $0) }
        try expectSameBytes("little_f4_c") { try NumPyFile.write(halves.converted(to: Float.self), to: $0) }
        try expectSameBytes("number") { try NumPyFile.write(Tensor(shape: [], elements: [1.25]), to: $0) }
        try expectSameBytes("vector") { try NumPyFile.write(Tensor<Float>([1.25, -3]), to: $0) }
        try expectSameBytes("empty") { try NumPyFile.write(Tensor<Float>(repeating: 0, shape: [0, 4]), to: $0) }
        try expectSameBytes("integers") {
            try NumPyFile.write(Tensor(shape: [2, 1], elements: [-1, 1 << 62]), to: $0)
        }
    }

    @Test(arguments: ["complex", "record", "text"]) func arraysOfOtherThingsAreUnsupported(name: String) throws {
        let error = #expect(throws: InputError.self) { try NumPyFile(path: Fixtures.path("npy/\(name).npy")) }
        #expect(error?.kind == .unsupported)
    }

    @Test func realNumbersAreNotIntegers() throws {
        let error = #expect(throws: InputError.self) {
            try NumPyFile(path: Fixtures.path("npy/version2.npy")).integers()
        }
        #expect(error?.kind == .dtype)
    }

    /// Cutting a file anywhere and changing any byte of its header gives an error or a consistent
    /// array; never a trap.
    @Test(arguments: ["big_f8_fortran", "version3", "little_i2_c"]) func damageNeverTraps(name: String) throws {
        let whole = [UInt8](try Data(contentsOf: URL(fileURLWithPath: Fixtures.path("npy/\(name).npy"))))
        var random = RandomSource(seed: 3)
        func isRefused(_ bytes: [UInt8]) throws -> Bool {
            do {
                let header = try bytes.withUnsafeBytes { try NumPyHeader($0, place: "damaged") }
                #expect(header.dtype.byteCount(of: header.shape.reduce(1, *)) == header.dataRange.count)
                return false
            } catch is InputError {
                return true
            }
        }
        for length in 0..<whole.count {
            #expect(try isRefused(Array(whole[..<length])), "cut to \(length)")
        }
        for position in 0..<128 {
            for _ in 0..<8 {
                var bytes = whole
                bytes[position] = UInt8(truncatingIfNeeded: random.next())
                _ = try isRefused(bytes)
            }
        }
    }

    @Test func anOutputThatCannotBeWrittenIsNamed() throws {
        let error = #expect(throws: InputError.self) {
            try NumPyFile.write(Tensor<Float>([1]), to: Fixtures.path("none/at/all.npy"))
        }
        #expect(error?.kind == .missingFile)
    }
}
