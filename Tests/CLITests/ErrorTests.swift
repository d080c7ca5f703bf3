//  Everything a person can get wrong ends with exit status 2 and a sentence that says what: never a
//  trap.

import DualityCore
import Foundation
import TestSupport
import Testing

@Suite struct ErrorTests {
    /// A copy of a small conformance model that a test may spoil.
    private func copyOfModel(_ name: String = "m2") throws -> URL {
        let directory = try Fixtures.temporaryDirectory().appendingPathComponent("model")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        for file in ["config.json", "model.safetensors", "generation_config.json"] {
            try FileManager.default.copyItem(
                atPath: Fixtures.path("models/\(name)/\(file)"), toPath: directory.appendingPathComponent(file).path)
        }
        return directory
    }

    private func expectInputError(
        _ run: Run, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(
            !run.wasSignalled && run.status == 2, "status \(run.status): \(run.errors)", sourceLocation: sourceLocation)
        let first = run.errors.split(separator: "\n").first { !$0.hasPrefix("engine ") && !$0.hasPrefix("warning: ") }
        #expect(first?.hasPrefix("error: ") == true, "\(run.errors)", sourceLocation: sourceLocation)
        for word in words {
            #expect(run.errors.contains(word), "\(word) not in: \(run.errors)", sourceLocation: sourceLocation)
        }
    }

    private func logits(_ model: URL, ids: String = "1,2,3", out: String? = nil) throws -> Run {
        try Duality.run(
            "logits", "--model", model.path, "--ids", ids, "--out",
            out ?? model.appendingPathComponent("out.safetensors").path)
    }

    private func edit(_ model: URL, _ change: (inout JSON.Object) -> Void) throws {
        let path = model.appendingPathComponent("config.json")
        var object = try #require(try JSON(contentsOf: path.path).object)
        change(&object)
        try JSON.object(object).serialized().write(to: path, atomically: true, encoding: .utf8)
    }

    @Test func aFileThatIsNotThere() throws {
        expectInputError(try Duality.run("generate", "--model", "/nowhere/at/all", "Hi"), "/nowhere/at/all")
        expectInputError(try Duality.run("perplexity", "/nowhere.txt"), "/nowhere.txt")
        expectInputError(
            try Duality.run("ssd", "--in", "/nowhere.safetensors", "--form", "recurrent", "--out", "/tmp/x"),
            "/nowhere.safetensors")
        let model = try copyOfModel()
        try FileManager.default.removeItem(at: model.appendingPathComponent("model.safetensors"))
        expectInputError(try logits(model), "model.safetensors")
    }

    @Test func aTextThatIsNone() throws {
        let directory = try Fixtures.temporaryDirectory()
        let text = directory.appendingPathComponent("latin1.txt").path
        try Data([0x63, 0x61, 0x66, 0xE9, 0x0A]).write(to: URL(fileURLWithPath: text))
        for place in [text, directory.path] {
            let words = place == text ? "UTF-8" : "a directory"
            expectInputError(try Duality.run("perplexity", place), place, words)
            expectInputError(try Duality.run("compare", "--against", "f32", place), place, words)
            expectInputError(try Duality.run("check", "--text", place), place, words)
            expectInputError(
                try Duality.run("compose", "--context", place, "--question", "Who?", "--chunks", "2"), place, words)
        }
    }

    @Test(arguments: [0, 5, 8, 100, 5000, 20000]) func aTruncatedFile(length: Int) throws {
        let model = try copyOfModel()
        let path = model.appendingPathComponent("model.safetensors")
        try Data(contentsOf: path).prefix(length).write(to: path)
        expectInputError(try logits(model), "model.safetensors")
    }

    @Test func aHeaderLongerThanTheFile() throws {
        let model = try copyOfModel()
        let path = model.appendingPathComponent("model.safetensors")
        var data = try Data(contentsOf: path)
        data[6] = 0x7f
        try data.write(to: path)
        expectInputError(try logits(model), "header")
    }

    @Test(arguments: ["[0,4],[2,6]", "[0,4],[4,80]", "[4,0],[4,8]", "[0,4],[8,12]"]) func badOffsets(offsets: String)
        throws
    {
        let model = try copyOfModel()
        let pairs = offsets.split(separator: "],").map { $0.hasSuffix("]") ? String($0) : $0 + "]" }
        let header =
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":\#(pairs[0])},"b":{"dtype":"F32","shape":[1],"data_offsets":\#(pairs[1])}}"#
        var data = withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Data($0) }
        data += Data(header.utf8) + Data(count: 8)
        try data.write(to: model.appendingPathComponent("model.safetensors"))
        expectInputError(try logits(model), "model.safetensors")
    }

    @Test func aShardThatIsMissing() throws {
        let model = try copyOfModel()
        try FileManager.default.removeItem(at: model.appendingPathComponent("model.safetensors"))
        try #"{"metadata":{},"weight_map":{"model.norm.weight":"model-00001-of-00002.safetensors"}}"#.write(
            to: model.appendingPathComponent("model.safetensors.index.json"), atomically: true, encoding: .utf8)
        expectInputError(try logits(model), "model-00001-of-00002.safetensors")
    }

    @Test func aTensorThatIsMissingMisnamedOrMisshapen() throws {
        let model = try copyOfModel()
        let path = model.appendingPathComponent("model.safetensors").path
        let file = try SafetensorsFile(path: path)
        var writer = SafetensorsWriter()
        for name in file.names {
            let tensor: Tensor<Float> = try file.tensor(name)
            switch name {
            case "model.norm.weight": try writer.add("model.norm.weigth", tensor)
            case "model.layers.1.mamba.D": try writer.add(name, Tensor<Float>(repeating: 1, shape: [5]))
            case "model.layers.0.self_attn.q_norm.weight":
                try writer.add(name, Tensor<Int>(repeating: 1, shape: tensor.shape))
            default: try writer.add(name, tensor)
            }
        }
        try writer.write(to: path)
        expectInputError(
            try logits(model), "model.norm.weight", "model.norm.weigth", "model.layers.1.mamba.D",
            "model.layers.0.self_attn.q_norm.weight")
    }

    @Test func aWeightThatIsNotANumber() throws {
        let model = try copyOfModel()
        let path = model.appendingPathComponent("model.safetensors").path
        let file = try SafetensorsFile(path: path)
        var writer = SafetensorsWriter()
        for name in file.names {
            var tensor: Tensor<Float> = try file.tensor(name)
            if name == "model.layers.2.mlp.up_proj.weight" { tensor.elements[7] = .nan }
            try writer.add(name, tensor)
        }
        try writer.write(to: path)
        expectInputError(try logits(model), "model.layers.2.mlp.up_proj.weight", "7")
        let allowed = try Duality.run(
            "logits", "--model", model.path, "--allow-non-finite", "--ids", "1", "--out", path + ".out")
        #expect(allowed.status == 0, "\(allowed.errors)")
    }

    @Test func aConfigurationThatCannotBe() throws {
        let changes: [(String, (inout JSON.Object) -> Void)] = [
            ("XYZ", { $0["hybrid_override_pattern"] = "*-XYZ-M2-*-M2" }),
            ("hybrid_override_pattern", { $0["hybrid_override_pattern"] = "*-M2" }),
            ("num_key_value_heads", { $0["num_key_value_heads"] = 3 }),
            ("hidden_size", { $0["hidden_size"] = "wide" }),
        ]
        for (word, change) in changes {
            let model = try copyOfModel()
            try edit(model, change)
            expectInputError(try logits(model), word)
        }
        let model = try copyOfModel()
        try "{\"hidden_size\": 12,\n  oops}".write(
            to: model.appendingPathComponent("config.json"), atomically: true, encoding: .utf8)
        expectInputError(try logits(model), "config.json:2:")
    }

    @Test func tokensThatCannotBe() throws {
        let model = try copyOfModel()
        expectInputError(try logits(model, ids: "1,512"), "512", "511")
        expectInputError(try logits(model, ids: "1,-2"), "-2")
        expectInputError(try logits(model, ids: ""), "token")
        expectInputError(try logits(model, ids: "1,two"), "--ids")
        expectInputError(try logits(model, ids: "@/nowhere.json"), "/nowhere.json")
        expectInputError(try logits(model, ids: Array(repeating: "1", count: 2049).joined(separator: ",")), "2048")
        expectInputError(try Duality.run("generate", ""), "prompt")
        expectInputError(try Duality.run("generate", input: ""), "prompt")
        expectInputError(try Duality.run("generate", String(repeating: "word ", count: 9000)), "8192")
    }

    @Test func aTokenizerOfAnotherKind() throws {
        let model = try copyOfModel()
        expectInputError(try Duality.run("generate", "--model", model.path, "Hi"), "tokenizer")
        try #"{"model": {"type": "WordPiece", "vocab": {}}, "pre_tokenizer": null, "normalizer": null}"#.write(
            to: model.appendingPathComponent("tokenizer.json"), atomically: true, encoding: .utf8)
        expectInputError(try Duality.run("generate", "--model", model.path, "Hi"), "WordPiece")
    }

    @Test func anOutputThatCannotBeWritten() throws {
        let model = try copyOfModel()
        expectInputError(try logits(model, out: "/nowhere/at/all/out.safetensors"), "/nowhere/at/all")
    }

    @Test func usageMistakesExitWithTwo() throws {
        for arguments in [["--no-such-flag"], ["logits", "--out", "x"], ["nonsense"]] {
            let run = try Duality.run(arguments[0], arguments.count > 1 ? arguments[1] : "", arguments.last ?? "")
            #expect(run.status == 2 && !run.wasSignalled, "\(arguments): \(run.status)")
        }
        let help = try Duality.run("--help")
        #expect(help.status == 0 && help.output.contains("generate"))
    }
}
