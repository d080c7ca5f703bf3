//  Where a checkpoint is, how long its context is, and what its configuration cannot mean.

import DualityCore
import Foundation
import TestSupport
import Testing

@Suite struct RealContextTests: RealCheckpoint {
    // MARK: Where it is

    @Test func theHubsCacheIsFoundByFolderAndByName() throws {
        let home = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: home) }
        let folder = home.appendingPathComponent("models--example--tiny")
        let snapshots = folder.appendingPathComponent("snapshots")
        let references = folder.appendingPathComponent("refs")
        try FileManager.default.createDirectory(at: references, withIntermediateDirectories: true)
        for name in ["aaaa", "bbbb"] {
            try FileManager.default.createDirectory(
                at: snapshots.appendingPathComponent(name), withIntermediateDirectories: true)
        }
        for file in ["config.json", "model.safetensors"] {
            try FileManager.default.createSymbolicLink(
                atPath: snapshots.appendingPathComponent("bbbb/\(file)").path,
                withDestinationPath: "\(Self.base)/\(file)")
        }
        expectRefusal(try Duality.run("inspect", folder.path), "refs/main", "snapshots")
        try Data("bbbb".utf8).write(to: references.appendingPathComponent("main"))
        let run = try Duality.run("inspect", folder.path)
        #expect(run.status == 0 && run.output.contains("snapshots/bbbb"), "\(run.errors)")
        let environment = ["HF_HUB_CACHE": home.path]
        #expect(try ModelFolder.resolve("example/tiny", environment: environment).hasSuffix("snapshots/bbbb"))
        #expect(try ModelFolder.resolve("example/other", environment: environment) == "example/other")
        #expect(try ModelFolder.resolve("../up", environment: environment) == "../up")
        try Data("cccc".utf8).write(to: references.appendingPathComponent("main"))
        expectRefusal(try Duality.run("inspect", folder.path), "cccc")
    }

    // MARK: Contexts and norms

    @Test func theContextIsWhatScalingStretchesItTo() throws {
        let yarn = Fixtures.path("cases/context-of-yarn")
        let (largest, run) = try difference(yarn, from: yarn)
        #expect(largest < 1e-9, "\(run.errors)")
        expectRefusal(try difference(yarn, from: yarn, "--context", "50").run, "at most 50 tokens")
        let short = try model(configuration: { $0["max_position_embeddings"] = 4 })
        defer { try? FileManager.default.removeItem(at: short) }
        expectRefusal(try difference(short.path, from: Self.base).run, "at most 4 tokens")
        let (lifted, warned) = try difference(short.path, from: Self.base, "--context", "256")
        #expect(lifted < 1e-9 && warned.errors.contains("256 are allowed as asked"), "\(warned.errors)")
        let old = try model(configuration: {
            $0["rope_scaling"] = ["type": "yarn", "factor": 4, "original_max_position_embeddings": 64]
        })
        defer { try? FileManager.default.removeItem(at: old) }
        let inspected = try Duality.run("inspect", old.path)
        #expect(inspected.status == 0 && !inspected.output.contains("old spelling"), "\(inspected.output)")
    }

    @Test func groupsInTheNormAreWarnedOfAndOffered() throws {
        let mamba = Fixtures.path("cases/mamba2-norm-groups")
        let (whole, warned) = try difference(mamba, from: mamba, name: "logits_whole_width")
        #expect(whole < 1e-9 && warned.errors.contains("Mamba2ForCausalLM"), "\(whole) \(warned.errors)")
        let (grouped, asked) = try difference(mamba, from: mamba, "--norm-groups")
        #expect(grouped < 1e-9 && !asked.errors.contains("Mamba2ForCausalLM"), "\(grouped) \(asked.errors)")
        expectRefusal(try difference(Self.base, from: Self.base, "--norm-groups").run, "--norm-groups")
    }

    @Test(arguments: ["1e308", "9223372036854775807", "1e300", "4611686018427387904", "0.5"])
    func numbersThatFitNoIntegerAreErrors(expand: String) throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        var object = try #require(try JSON(contentsOf: Fixtures.path("cases/mamba2-norm-groups/config.json")).object)
        object["expand"] = .number(expand)
        try Data(JSON.object(object).serialized().utf8).write(to: directory.appendingPathComponent("config.json"))
        expectRefusal(try Duality.run("inspect", directory.path), "expand")
    }
}
