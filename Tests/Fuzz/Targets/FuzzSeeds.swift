//  Valid inputs to begin with, written by the product itself wherever it writes what it reads.

import DualityCore
import DualityInference
import DualityQuant
import DualityReference
import DualityVerify
import Foundation
import TestSupport

package enum FuzzSeeds {
    /// A hybrid of two layers, small enough to be loaded a hundred times a second.
    static let configuration = """
        {"architectures": ["HybridQwen3ForCausalLM"], "model_type": "hybrid_qwen3", "head_dim": 32,
         "hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1,
         "num_hidden_layers": 2, "hybrid_override_pattern": "*-M2", "vocab_size": 262,
         "max_position_embeddings": 256, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
         "tie_word_embeddings": true, "torch_dtype": "float32", "eos_token_id": 257,
         "mamba2_config": {"d_inner": 64, "d_model": 64, "d_xb": 32, "hidden_act": "silu", "n_layer": 2,
          "rms_norm_eps": 1e-6, "ssm_cfg": {"d_state": 32, "expand": 1, "ngroups": 2}, "use_qk_norm": true}}
        """

    /// The letter of a byte in GPT-2's alphabet: itself where it prints, else one behind U+0100.
    private static func letter(of byte: Int) -> Character {
        let prints = { (byte: Int) in 33...126 ~= byte || 161...172 ~= byte || 174...255 ~= byte }
        let code = prints(byte) ? byte : 256 + (0..<byte).count { !prints($0) }
        return Unicode.Scalar(UInt32(code)).map(Character.init) ?? "?"
    }

    /// Every byte by GPT-2's letter, and one merged token.
    static let vocabulary: String = {
        let bytes = (0...255).map { byte in "\(JSON.string(String(letter(of: byte))).serialized()): \(byte)" }
        return "{\((bytes + ["\"he\": 256"]).joined(separator: ", "))}"
    }()

    /// A byte-level tokenizer: every byte, one merge, and the markers of turns.
    static let tokenizer: String = {
        let cutter = try? JSON(contentsOf: "\(Fixtures.embeddedModel)/tokenizer.json")["pre_tokenizer"]
        let added = ["<|im_end|>", "<|im_start|>", "<think>", "</think>", "<tool_call>"].enumerated().map { i, text in
            """
            {"id": \(257 + i), "content": "\(text)", "single_word": false, "lstrip": false, "rstrip": false,
             "normalized": false, "special": \(i < 2)}
            """
        }
        return """
            {"version": "1.0", "truncation": null, "padding": null, "added_tokens": [\(added.joined(separator: ", "))],
             "normalizer": {"type": "NFC"},
             "pre_tokenizer": \(cutter?.serialized() ?? "null"),
             "post_processor": null,
             "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
             "model": {"type": "BPE", "dropout": null, "unk_token": null, "fuse_unk": false,
              "vocab": \(vocabulary), "merges": ["h e"]}}
            """
    }()

    /// A call of a scan with its outputs, as kernel authors dump it.
    static func dump() throws -> SafetensorsWriter {
        var file = SafetensorsWriter(metadata: ["kind": "scan", "chunk_size": "2"])
        let inputs: SSDInputs<Double> = try SSDCase(seed: 3).inputs()
        try file.add("x", inputs.x.converted(to: Float.self))
        try file.add("dt", inputs.dt.converted(to: Float.self))
        try file.add("A", inputs.a.converted(to: Float.self))
        try file.add("B", inputs.b.converted(to: Float.self))
        try file.add("C", inputs.c.converted(to: Float.self))
        try file.add("y", inputs.x.converted(to: Float.self))
        return file
    }

    /// Writes the inputs that a target begins with into a folder, a file each.
    package static func write(for target: FuzzTarget, to folder: String) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for (index, seed) in try seeds(of: target).enumerated() {
            let path = "\(folder)/seed\(index)"
            guard FileManager.default.createFile(atPath: path, contents: Data(seed)) else {
                throw InputError(.inaccessibleFile, in: path, expected: "a place for a seed", found: "none")
            }
        }
    }

    /// The inputs that a target begins with.
    package static func seeds(of target: FuzzTarget) throws -> [[UInt8]] {
        switch target {
        case .json: texts([configuration, #"[1, -0.5e3, "\u00e9\ud83d\ude00", null, {"a": {}}]"#])
        case .safetensors, .dump: [try bytes { try dump().write(to: $0) }]
        case .index:
            texts([
                """
                {"metadata": {"total_size": 16}, "weight_map": {"tensor1": "model-00001-of-00002.safetensors",
                 "tensor2": "model-00002-of-00002.safetensors"}}
                """
            ])
        case .npy: try ["f4_c.npy", "big_f4_c.npy", "empty.npy"].compactMap(npy)
        case .npz: try ["dump.npz", "deflated.npz"].compactMap(npy)
        case .config: texts(try configurations())
        case .generation:
            texts([
                """
                {"do_sample": true, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "repetition_penalty": 1.1,
                 "eos_token_id": [257, 258]}
                """
            ])
        case .tokenizer: texts([tokenizer])
        case .vocabulary: [Array("\(vocabulary)\0#version: 0.2\nh e\n".utf8)]
        case .ranks:
            texts([(0...255).map { "\(Data([UInt8($0)]).base64EncodedString()) \($0)" }.joined(separator: "\n")])
        case .chat: texts(chats)
        case .request: texts(requests)
        case .template: texts(templates)
        case .schema: texts(schemas)
        case .pattern: texts([#"(a|b)*c{2,5}[^x-z]"#, #"\d{3}-\w+(?:foo|bar)?$"#, "(((a*)*)*)*b"])
        case .answer: texts(answers)
        case .packed: [try packed()]
        case .cache: [try cache()]
        case .manifest:
            texts([
                """
                {"schema": 1, "suite": "smoke", "dtype": "f32", "cases": [{"name": "case", "kind": "scan",
                 "file": "case.safetensors", "options": {"chunk_size": "2"}, "catches": "", "seed": "3",
                 "sha256": ""}]}
                """
            ])
        case .options:
            texts([
                #"{"form": "chunked", "chunk_size": 2, "precision": "f32", "dt_limit": [0, 1]}"#,
                #"{"precision": "mamba_ssm,products=tf32", "quantities": ["bound", "sigma"]}"#,
            ])
        }
    }

    private static func texts(_ texts: [String]) -> [[UInt8]] { texts.map { Array($0.utf8) } }

    /// What a body writes to a file.
    private static func bytes(_ body: (String) throws -> Void) throws -> [UInt8] {
        let path = "\(NSTemporaryDirectory())/duality-seed-\(UInt64.random(in: 0 ... .max))"
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
        return try MappedFile(path: path).withBytes { Array($0) }
    }

    private static func npy(_ name: String) throws -> [UInt8]? {
        let path = Fixtures.path("npy/\(name)")
        guard FileManager.default.fileExists(atPath: path) else { return nil }
        return try MappedFile(path: path).withBytes { Array($0) }
    }

    private static func configurations() throws -> [String] {
        let names = ["gdn", "gka", "m2_rope", "swa", "qwen3_dense"]
        return [configuration]
            + (try names.map { try String(contentsOfFile: Fixtures.path("models/\($0)/config.json"), encoding: .utf8) })
    }

    private static func packed() throws -> [UInt8] {
        let model = try HybridConfiguration(json: JSON(parsing: configuration))
        let folder = "\(NSTemporaryDirectory())/duality-seed-\(UInt64.random(in: 0 ... .max))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let options = QuantOptions(.int8)
        _ = try Quantizer(
            RandomCheckpoint(model), configuration: model, plan: options.plan(for: model), fingerprint: "seed"
        ).write(toDirectory: folder) { _, _, _ in }
        return try MappedFile(path: "\(folder)/model.packed.safetensors").withBytes { Array($0) }
    }

    private static func cache() throws -> [UInt8] {
        let model = try HybridConfiguration(json: JSON(parsing: configuration))
        let hybrid = try HybridModel<Float>(RandomCheckpoint(model), configuration: model)
        var cache = hybrid.makeCache()
        _ = try hybrid.extend(&cache, by: [104, 101, 32])
        return try bytes { try cache.write(to: $0) }
    }
}
