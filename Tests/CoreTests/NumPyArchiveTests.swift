import Foundation
import TestSupport
import Testing

@testable import DualityCore

/// What numpy.savez and numpy.savez_compressed write is read as it was; what is broken is refused.
@Suite struct NumPyArchiveTests {
    private func archive(_ name: String) throws -> NumPyTensors {
        try NumPyTensors(path: Fixtures.path("npy/\(name).npz"))
    }

    @Test func storedAndDeflatedMembersHoldTheSameNumbers() throws {
        let (stored, deflated) = (try archive("dump"), try archive("deflated"))
        #expect(stored.names.sorted() == deflated.names.sorted())
        // Of these x is in Fortran order, B big-endian and dt float64 in the deflated archive.
        for name in stored.names {
            let (a, b): (Tensor<Double>, Tensor<Double>) = (try stored.tensor(name), try deflated.tensor(name))
            #expect(a == b, "\(name)")
            #expect(!a.elements.allSatisfy { $0 == 0 }, "\(name)")
        }
        #expect(try stored.info("x").shape == [1, 40, 2, 4] && stored.info("x").dtype == .f32)
        #expect(deflated.skipped.map(\.name) == ["note"])
    }

    @Test func everyKindOfBlockIsUnpacked() throws {
        let blocks = try archive("blocks")
        #expect(try blocks.integers("zeros").elements == [Int](repeating: 0, count: 70_000))
        #expect(try blocks.integers("steps").elements == (0..<9000).map { $0 / 7 })
        let noise = try blocks.integers("noise").elements
        #expect(noise.count == 5000 && Set(noise).count == 256)
        #expect(try blocks.info("empty").shape == [0, 3])
    }

    @Test func damagedArchivesAreRefused() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        var random = RandomSource(seed: 5)
        var refused = 0
        for name in ["dump", "deflated", "blocks"] {
            let data = try Data(contentsOf: URL(fileURLWithPath: Fixtures.path("npy/\(name).npz")))
            for _ in 0..<120 {
                var broken = data
                if random.uniform() < 0.3 {
                    broken = data.prefix(random.integer(in: 0...data.count - 1))
                } else {
                    for _ in 0..<random.integer(in: 1...4) {
                        broken[random.integer(in: 0...data.count - 1)] = UInt8(random.integer(in: 0...255))
                    }
                }
                let place = directory.appendingPathComponent("broken.npz")
                try broken.write(to: place)
                do { _ = try NumPyTensors(path: place.path) } catch is InputError { refused += 1 }
            }
        }
        // A byte that nothing reads may change; a member's byte is found by its CRC-32.
        #expect(refused > 250, "\(refused) of 360")
    }

    @Test func oneArrayAndADirectoryOfArraysAreSources() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let values = Tensor<Float>([1, 2, 3])
        try NumPyFile.write(values, to: directory.appendingPathComponent("y.npy").path)
        try NumPyFile.write(values, to: directory.appendingPathComponent("x.npy").path)
        let one = try TensorFile(path: directory.appendingPathComponent("y.npy").path)
        let found: Tensor<Float> = try one.tensor("y", as: Float.self)
        #expect(one.names == ["y"] && found == values)
        #expect(try TensorFile(path: directory.path).names == ["x", "y"])
    }

    @Test func filesOfOtherKindsAreNamed() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        for (kind, bytes, word) in [
            (
                FileKind.gitLFSPointer, Array("version https://git-lfs.github.com/spec/v1\noid sha256:0\n".utf8),
                "git lfs"
            ),
            (.html, Array("\n <!DOCTYPE HTML><html>".utf8), "Download"),
            (.gguf, Array("GGUF\u{3}\0\0\0".utf8), "safetensors"),
            (.pickle, [0x80, 2, 0x8a, 10, 0, 0, 0, 0, 0, 0], "torch"),
            (.gzip, [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0], "gunzip"),
            (.numpyArray, [0x93] + Array("NUMPY\u{1}\0aaaaaaaa".utf8), "npy"),
        ] {
            let path = directory.appendingPathComponent("model.safetensors").path
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            #expect(try FileKind(path: path) == kind)
            let error = #expect(throws: InputError.self) { _ = try SafetensorsFile(path: path) }
            #expect(error?.description.contains(word) == true && error?.place == path, "\(kind): \(error as Any)")
        }
        #expect(try FileKind(path: Fixtures.path("ssd/len1.safetensors")) == .safetensors)
        #expect([UInt8]("{}".utf8).withUnsafeBytes { FileKind($0) } == .json)
        #expect([UInt8]().withUnsafeBytes { FileKind($0) } == .empty)
    }
}
