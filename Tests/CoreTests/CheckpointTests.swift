import Foundation
import TestSupport
import Testing

@testable import DualityCore

@Suite struct CheckpointTests {
    /// The official model `m2` in a fresh directory, its tensors distributed over shards.
    struct Sharded {
        let directory: URL
        let original: Checkpoint
        var map = JSON.Object()

        init(shards: Int) throws {
            directory = try Fixtures.temporaryDirectory()
            original = try Checkpoint(directory: Fixtures.path("models/m2"))
            try FileManager.default.copyItem(
                atPath: Fixtures.path("models/m2/config.json"), toPath: directory.path + "/config.json")
            var writers = [SafetensorsWriter](repeating: SafetensorsWriter(), count: shards)
            for (i, name) in original.names.enumerated() {
                try writers[i % shards].add(name, from: original)
                map[name] = .string("model-\(i % shards).safetensors")
            }
            for (i, writer) in writers.enumerated() { try writer.write(to: directory.path + "/model-\(i).safetensors") }
            try writeIndex()
        }

        func writeIndex() throws {
            let index: JSON = ["metadata": [:], "weight_map": .object(map)]
            try Data(index.serialized().utf8).write(
                to: directory.appendingPathComponent("model.safetensors.index.json"))
        }

        func remove() { try? FileManager.default.removeItem(at: directory) }
    }

    @Test func shardsReadLikeOneFile() throws {
        let sharded = try Sharded(shards: 3)
        defer { sharded.remove() }
        let checkpoint = try Checkpoint(directory: sharded.directory.path)
        #expect(Set(checkpoint.names) == Set(sharded.original.names))
        #expect(checkpoint.files.count == 3)
        #expect(checkpoint.warnings == [])
        for name in checkpoint.names {
            #expect(try checkpoint.tensor(name, as: Float.self) == sharded.original.tensor(name, as: Float.self))
        }
        try WeightContract(checkpoint.configuration).check(checkpoint, finite: true)
    }

    @Test func aMissingShardIsNamed() throws {
        let sharded = try Sharded(shards: 3)
        defer { sharded.remove() }
        try FileManager.default.removeItem(atPath: sharded.directory.path + "/model-1.safetensors")
        let error = #expect(throws: InputError.self) { try Checkpoint(directory: sharded.directory.path) }
        #expect(error?.kind == .missingFile)
        #expect(error?.found == "no model-1.safetensors")
    }

    @Test func aTensorThatIsNotInItsShardIsNamed() throws {
        var sharded = try Sharded(shards: 2)
        defer { sharded.remove() }
        sharded.map["model.norm.wieght"] = "model-0.safetensors"
        try sharded.writeIndex()
        let error = #expect(throws: InputError.self) { try Checkpoint(directory: sharded.directory.path) }
        #expect(error?.kind == .missing)
        #expect(error?.description.contains("model.norm.wieght") == true)
    }

    @Test func anIndexOfAnotherShapeIsNamed() throws {
        let sharded = try Sharded(shards: 2)
        defer { sharded.remove() }
        let path = sharded.directory.appendingPathComponent("model.safetensors.index.json")
        for text in ["[]", "{}", #"{"weight_map": []}"#, #"{"weight_map": {"a": 1}}"#, #"{"weight_map": {"a": "#] {
            try Data(text.utf8).write(to: path)
            let error = #expect(throws: InputError.self) { try Checkpoint(directory: sharded.directory.path) }
            #expect(error?.place.hasPrefix(path.path) == true)
        }
    }

    @Test func aDirectoryWithoutWeightsIsExplained() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        try FileManager.default.copyItem(
            atPath: Fixtures.path("models/m2/config.json"), toPath: directory.path + "/config.json")
        #expect(throws: InputError.self) { try Checkpoint(directory: directory.path) }
        try Data().write(to: directory.appendingPathComponent("pytorch_model.bin"))
        let error = #expect(throws: InputError.self) { try Checkpoint(directory: directory.path) }
        #expect(error?.found == "only pytorch_model.bin, a Python pickle")
    }

    @Test func aTensorThatIsNotThereBringsTheNearestName() throws {
        let checkpoint = try Checkpoint(directory: Fixtures.path("models/m2"))
        let error = #expect(throws: InputError.self) { try checkpoint.tensor("model.norm.wieght", as: Float.self) }
        #expect(error?.remedy == "Is it model.norm.weight?")
    }
}
