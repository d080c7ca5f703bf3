import Foundation
import TestSupport
import Testing

@testable import DualityCore

@Suite struct SafetensorsTests {
    /// A file made of a header text and data, for the mistakes no writer makes.
    static func file(_ header: String, data: [UInt8] = [], length: UInt64? = nil, in directory: URL) throws -> String {
        let path = directory.appendingPathComponent("case.safetensors").path
        var length = (length ?? UInt64(header.utf8.count)).littleEndian
        let bytes = withUnsafeBytes(of: &length) { Array($0) } + Array(header.utf8) + data
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        return path
    }

    @Test func readsAnOfficialFile() throws {
        let file = try SafetensorsFile(path: Fixtures.path("models/m2/model.safetensors"))
        #expect(file.metadata == ["format": "pt"])
        #expect(file.names.count == file.tensors.count)
        let info = try file.info("model.layers.1.mamba.conv1d.weight")
        #expect(info.dtype == .bf16)
        #expect(info.shape == [256, 1, 4])
        let single: Tensor<Float> = try file.tensor(info.name)
        let double: Tensor<Double> = try file.tensor(info.name)
        #expect(single.shape == [256, 1, 4])
        #expect(zip(single.elements, double.elements).allSatisfy { Double($0) == $1 })
        #expect(single.elements.contains { $0 != 0 } && single.elements.allSatisfy { abs($0) < 10 })
    }

    @Test func integersAreReadAsIntegers() throws {
        let file = try SafetensorsFile(path: Fixtures.path("models/m2/expected.safetensors"))
        let ids = try file.integers("input_ids")
        #expect(ids.shape == [1, 83])
        #expect(ids.elements.allSatisfy { 0..<512 ~= $0 })
        let error = #expect(throws: InputError.self) { try file.integers("logits_f64") }
        #expect(error?.kind == .dtype)
    }

    /// The strongest statement about the writer: the official writer's bytes, from the official
    /// file's tensors.
    @Test(arguments: ["models/m2/model", "models/m2/expected", "ssd/packed", "layers/rope_32"])
    func rewritingAnOfficialFileGivesItsBytes(name: String) throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = Fixtures.path("\(name).safetensors")
        let original = try SafetensorsFile(path: path)
        var writer = SafetensorsWriter(metadata: original.metadata)
        for name in original.names.reversed() { try writer.add(name, from: original) }
        let copy = directory.appendingPathComponent("copy.safetensors").path
        try writer.write(to: copy)
        #expect(try Data(contentsOf: URL(fileURLWithPath: copy)) == Data(contentsOf: URL(fileURLWithPath: path)))
    }

    @Test func everyElementTypeRoundTrips() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appendingPathComponent("t.safetensors").path
        let single = try Tensor<Float>(
            shape: [2, 3], elements: [0, -1.5, .infinity, 0x1p-140, .greatestFiniteMagnitude, -0.0])
        let double = Tensor<Double>([.pi, -0x1p-1050])
        let integers = try Tensor<Int>(shape: [2, 1], elements: [.min, .max])
        let brain = Tensor<BFloat16>([BFloat16(Float(1.5)), BFloat16(Float(-3e38))])
        let scalar = Tensor<Double>(repeating: 7, shape: [])
        let empty = Tensor<Float>(repeating: 0, shape: [0, 4])
        var writer = SafetensorsWriter(metadata: ["b": "2", "a": "\"1\"\n"])
        try writer.add("single", single)
        try writer.add("double", double)
        try writer.add("integers", integers)
        try writer.add("brain", brain)
        try writer.add("scalar", scalar)
        try writer.add("empty", empty)
        try writer.add("odd/é", dtype: .u8, shape: [3], bytes: [1, 2, 255])
        try writer.write(to: path)

        let file = try SafetensorsFile(path: path)
        #expect(file.metadata == ["b": "2", "a": "\"1\"\n"])
        #expect(try file.tensor("single") == single)
        #expect(try file.tensor("double") == double)
        #expect(try file.integers("integers") == integers)
        #expect(try file.tensor("brain") == brain.widened(to: Double.self))
        #expect(try file.tensor("scalar") == scalar)
        #expect(try file.tensor("empty") == empty)
        #expect(try file.tensor("odd/é", as: Float.self).elements == [1, 2, 255])
        let aligned = file.tensors.values.allSatisfy { $0.byteRange.lowerBound % ($0.dtype.bits / 8) == 0 }
        #expect(aligned)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["t.safetensors"])
    }

    @Test(arguments: [
        ("{}", 0, 0, InputError.Kind?.none),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}   "#, 4, 0, nil),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 3, 0, .truncated),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 5, 0, .malformed),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, 4, 100, .truncated),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}"#, 8, 0, .shape),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 8, 0, .malformed),
        (#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#, 8, 0, .malformed),
        (#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4, 0, .json),
        (#"{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}"#, 4, 0, .json),
        (#"{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}"#, 4, 0, .dtype),
        (#"{"a":{"dtype":"F32","shape":"1","data_offsets":[0,4]}}"#, 4, 0, .json),
        (
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[2,6]}}"#,
            6, 0,
            .malformed
        ),
        (
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#,
            4, 0,
            .malformed
        ),
        (
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}"#,
            12, 0,
            .malformed
        ),
        (
            #"{"a":{"dtype":"F32","shape":[9223372036854775807,9223372036854775807],"data_offsets":[0,4]}}"#, 4, 0,
            .shape
        ),
        (#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}}"#, 0, 0, .shape),
        (#"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,2]}}"#, 2, 0, .shape),
        (#"{"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}"#, 2, 0, nil),
        (
            #"{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}"#,
            1, 0, .json
        ),
        (#"{"a":{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,1]}}"#, 1, 0, .json),
        (#"{"__metadata__":{"a":1}}"#, 0, 0, .json), (#"{"a":[]}"#, 0, 0, .json), (#"["a"]"#, 0, 0, .malformed),
        (#"{"a":"#, 0, 0, .json), ("", 0, 0, .malformed),
    ])
    func aFileThatBreaksTheFormatIsNamed(header: String, data: Int, extraLength: UInt64, kind: InputError.Kind?) throws
    {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = try Self.file(
            header, data: [UInt8](repeating: 0, count: data), length: UInt64(header.utf8.count) + extraLength,
            in: directory)
        do {
            _ = try SafetensorsFile(path: path)
            #expect(kind == nil)
        } catch {
            #expect(error.kind == kind, "\(error)")
            #expect(error.place.hasPrefix(path), "\(error)")
        }
    }

    @Test func filesThatAreNoFilesAreNamed() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        #expect(throws: InputError.self) { try SafetensorsFile(path: directory.path) }
        #expect(throws: InputError.self) { try SafetensorsFile(path: "/dev/null") }
        let error = #expect(throws: InputError.self) { try SafetensorsFile(path: directory.path + "/none") }
        #expect(error?.kind == .missingFile)
    }

    @Test func aMissingTensorBringsTheNearestName() throws {
        let file = try SafetensorsFile(path: Fixtures.path("models/m2/model.safetensors"))
        let error = #expect(throws: InputError.self) { try file.tensor("model.norm.wieght", as: Float.self) }
        #expect(error?.kind == .missing)
        #expect(error?.remedy == "Is it model.norm.weight?")
    }

    /// Cutting a file at any length and flipping any byte of its header gives an error or a
    /// consistent file; never a trap.
    @Test func damageOfAnyKindIsAnErrorOrAConsistentFile() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appendingPathComponent("t.safetensors")
        var writer = SafetensorsWriter(metadata: ["format": "pt"])
        try writer.add("first", Tensor<Float>([1, 2, 3]))
        try writer.add("second", try Tensor<Int>(shape: [2, 1], elements: [5, 6]))
        try writer.add("third", Tensor<BFloat16>([BFloat16(Float(1))]))
        try writer.write(to: path.path)
        let whole = [UInt8](try Data(contentsOf: path))
        let headerEnd = 8 + Int(whole[0]) + Int(whole[1]) << 8
        var (damaged, refused) = (0, 0)

        /// The header's reader on bytes in memory, and every tensor it promises.
        func open(_ bytes: [UInt8]) throws {
            damaged += 1
            do {
                var header = SafetensorsHeader(place: "damaged")
                try bytes.withUnsafeBytes { try header.read($0) }
                for info in header.tensors {
                    #expect(info.dtype.byteCount(of: info.count) == info.byteCount)
                    #expect(info.byteRange.clamped(to: bytes.indices) == info.byteRange)
                }
            } catch is InputError {
                refused += 1
            }
        }
        for length in 0..<whole.count {
            try open(Array(whole[..<length]))
            #expect(refused == damaged, "a file cut to \(length) of \(whole.count) bytes was taken")
        }
        var random = RandomSource(seed: 1)
        for position in 0..<headerEnd {
            for bit in 0..<8 {
                var bytes = whole
                bytes[position] ^= 1 << bit
                try open(bytes)
            }
            var bytes = whole
            bytes[position] = UInt8(truncatingIfNeeded: random.next())
            try open(bytes)
        }
        #expect(refused > damaged / 2, "\(refused) of \(damaged)")
    }

    @Test func anOutputThatCannotBeWrittenIsNamedAndLeavesNothing() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        var writer = SafetensorsWriter()
        try writer.add("a", Tensor<Float>([1]))
        #expect(throws: InputError.self) { try writer.write(to: directory.path) }
        #expect(throws: InputError.self) { try writer.write(to: directory.path + "/no/such/place.safetensors") }
        #expect(throws: InputError.self) { try writer.write(to: "/dev/null") }

        struct Interruption: Error {}
        let path = directory.appendingPathComponent("old.safetensors").path
        try writer.write(to: path)
        let old = try Data(contentsOf: URL(fileURLWithPath: path))
        var interrupted = writer
        try interrupted.add("b", dtype: .u8, shape: [1], byteCount: 1) { _ in throw Interruption() }
        #expect(throws: Interruption.self) { try interrupted.write(to: path) }
        var short = writer
        try short.add("b", dtype: .u8, shape: [2], byteCount: 2) { try $0.write("1") }
        #expect(throws: InputError.self) { try short.write(to: path) }
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == old)
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory.path) == ["old.safetensors"])
    }

    @Test func aWriterRefusesWhatWouldNotBeAFile() throws {
        var writer = SafetensorsWriter()
        try writer.add("a", Tensor<Float>([1]))
        #expect(throws: InputError.self) { try writer.add("a", Tensor<Float>([1])) }
        #expect(throws: InputError.self) { try writer.add("__metadata__", Tensor<Float>([1])) }
        #expect(throws: InputError.self) { try writer.add("b", dtype: .f32, shape: [2], bytes: [0, 0, 0, 0]) }
        #expect(throws: InputError.self) { try writer.add("b", dtype: .u8, shape: [Int.max, 3], bytes: []) }
        #expect(throws: InputError.self) { try writer.add("b", dtype: .u8, shape: [-1, -1], bytes: [0]) }
    }
}
