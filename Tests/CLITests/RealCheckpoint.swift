//  A small checkpoint in the states in which people have theirs.

import DualityCore
import Foundation
import TestSupport
import Testing

/// The tensors of a file, to be changed and written again.
struct StoredTensors {
    var tensors: [(name: String, tensor: Tensor<Float>)]

    init(_ path: String) throws {
        let file = try SafetensorsFile(path: path)
        tensors = try file.names.map { ($0, try file.tensor($0, as: Float.self)) }
    }

    func write(to path: String, where isPart: (Int) -> Bool = { _ in true }) throws {
        var writer = SafetensorsWriter()
        for (index, one) in tensors.enumerated() where isPart(index) { try writer.add(one.name, one.tensor) }
        try writer.write(to: path)
    }
}

/// What tests of real checkpoints share.
protocol RealCheckpoint {}

extension RealCheckpoint {
    static var base: String { Fixtures.path("cases/checkpoint-base-names") }

    /// A copy of the model of base names: with its tensors renamed, and its configuration changed.
    func model(
        tensors change: (inout StoredTensors) throws -> Void = { _ in },
        configuration edit: (inout JSON.Object) -> Void = { _ in },
        shards: Int = 1
    ) throws -> URL {
        let directory = try Fixtures.temporaryDirectory()
        var object = try #require(try JSON(contentsOf: "\(Self.base)/config.json").object)
        edit(&object)
        try Data(JSON.object(object).serialized().utf8).write(to: directory.appendingPathComponent("config.json"))
        var stored = try StoredTensors("\(Self.base)/model.safetensors")
        try change(&stored)
        for shard in 0..<shards {
            let name = shards == 1 ? "model" : "model-0000\(shard + 1)-of-0000\(shards)"
            try stored.write(to: directory.appendingPathComponent("\(name).safetensors").path) { $0 % shards == shard }
        }
        return directory
    }

    /// The largest difference between the logits of a model and those of a case.
    func difference(
        _ model: String, from answer: String, _ more: String..., name: String = "logits"
    ) throws -> (largest: Double, run: Run) {
        let files = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: files) }
        let out = files.appendingPathComponent("out.safetensors").path
        let run = try Duality.run(
            arguments: ["logits", "--model", model, "--ids", "@\(answer)/answer/ids.json", "--out", out] + more)
        guard run.status == 0 else { return (.infinity, run) }
        let found = try SafetensorsFile(path: out).tensor("logits", as: Double.self)
        let wanted = try SafetensorsFile(path: "\(answer)/answer/logits.safetensors").tensor(name, as: Double.self)
        guard found.count == wanted.count else { return (.infinity, run) }
        return (zip(found.elements, wanted.elements).map { abs($0 - $1) }.max() ?? .infinity, run)
    }

    func expectRefusal(_ run: Run, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(!run.wasSignalled && run.status == 2, "\(run.status): \(run.errors)", sourceLocation: sourceLocation)
        let head = run.errors.split(separator: "\n").prefix(3).joined(separator: "\n")
        for word in words { #expect(head.contains(word), "\(word) not in: \(head)", sourceLocation: sourceLocation) }
    }
}
