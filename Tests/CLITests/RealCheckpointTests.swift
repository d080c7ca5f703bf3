//  Checkpoints and conversations as people have them, through the command: what loads gives the
//  right numbers, what does not load is named in the first lines with the way out.

import DualityCore
import Foundation
import TestSupport
import Testing

@Suite struct RealCheckpointTests: RealCheckpoint {
    // MARK: Names

    @Test(arguments: [
        "", "_orig_mod.model.", "module.model.", "base_model.model.model.", "model.language_model.", "model.",
    ])
    func aCommonPrefixIsTakenOff(prefix: String) throws {
        let directory = try model { stored in
            for index in stored.tensors.indices {
                let name = stored.tensors[index].name
                let isHead = name == "lm_head.weight"
                let outer = prefix.hasSuffix("model.") ? String(prefix.dropLast(6)) : prefix
                stored.tensors[index].name = (isHead ? (outer == "model.language_" ? "" : outer) : prefix) + name
            }
        }
        defer { try? FileManager.default.removeItem(at: directory) }
        let (largest, run) = try difference(directory.path, from: Self.base)
        #expect(largest < 1e-9, "\(prefix): \(largest) \(run.errors)")
        #expect(run.errors.contains("The tensor names") == (prefix != "model."), "\(run.errors)")
    }

    @Test func tensorsNobodyUsesAreNamedAndLeftOut() throws {
        let directory = try model { stored in
            for name in ["scaled_fp8", "v_head.summary.weight", "layers.0.self_attn.k_scale"] {
                stored.tensors.append((name, try Tensor(shape: [2], elements: [1, 2])))
            }
        }
        defer { try? FileManager.default.removeItem(at: directory) }
        let (largest, run) = try difference(directory.path, from: Self.base)
        #expect(largest < 1e-9, "\(run.errors)")
        #expect(run.errors.contains("3 tensors are not used by this configuration: "), "\(run.errors)")
        let missing = try model { $0.tensors.removeAll { $0.name == "layers.1.mlp.up_proj.weight" } }
        defer { try? FileManager.default.removeItem(at: missing) }
        expectRefusal(try difference(missing.path, from: Self.base).run, "layers.1.mlp.up_proj.weight: missing")
    }

    @Test func shardsWhoseNamesTellTheSetNeedNoIndex() throws {
        let directory = try model(shards: 2)
        defer { try? FileManager.default.removeItem(at: directory) }
        let (largest, run) = try difference(directory.path, from: Self.base)
        #expect(largest < 1e-9, "\(run.errors)")
        #expect(run.errors.contains("the 2 shards are read by their names"), "\(run.errors)")
        try FileManager.default.removeItem(at: directory.appendingPathComponent("model-00002-of-00002.safetensors"))
        expectRefusal(
            try Duality.run("inspect", directory.path), "model-00002-of-00002.safetensors", "Is the download complete?")
    }

    @Test func aTiedModelMayCarryItsHead() throws {
        let directory = try model(
            tensors: { stored in
                let embedding = stored.tensors.first { $0.name == "embed_tokens.weight" }!.tensor
                for index in stored.tensors.indices where stored.tensors[index].name == "lm_head.weight" {
                    stored.tensors[index].tensor = embedding
                }
            }, configuration: { $0["tie_word_embeddings"] = true })
        defer { try? FileManager.default.removeItem(at: directory) }
        let run = try Duality.run("inspect", directory.path)
        #expect(run.status == 0, "\(run.errors)")
    }

    // MARK: What it is not

    @Test func quantizedWeightsAreSaidFirst() throws {
        let cases: [(JSON, [String])] = [
            (["quantization_config": ["quant_method": "gptq", "bits": 4]], ["gptq, 4 bits", "original checkpoint"]),
            (["quantization": ["group_size": 16, "bits": 4]], ["mlx, 4 bits"]),
            (
                ["quantization_config": ["quant_method": "fp8", "weight_block_size": [128, 128]]],
                ["fp8", "duality prime"]
            ),
            (
                ["quantization_config": ["quant_method": "bitsandbytes", "load_in_4bit": true]],
                ["bitsandbytes, 4 bits"]
            ),
        ]
        for (members, words) in cases {
            let directory = try model(
                tensors: { stored in
                    for index in stored.tensors.indices where stored.tensors[index].name.contains("_proj") {
                        stored.tensors[index].name = stored.tensors[index].name.replacingOccurrences(
                            of: ".weight", with: ".qweight")
                    }
                }, configuration: { for (name, value) in members.object?.members ?? [] { $0[name] = value } })
            defer { try? FileManager.default.removeItem(at: directory) }
            let run = try Duality.run("inspect", directory.path)
            for word in words { expectRefusal(run, word) }
            // The word of the configuration alone, beside plain numbers, is a warning.
            let plain = try model(configuration: {
                for (name, value) in members.object?.members ?? [] { $0[name] = value }
            })
            defer { try? FileManager.default.removeItem(at: plain) }
            let (largest, plainRun) = try difference(plain.path, from: Self.base)
            #expect(largest < 1e-9 && plainRun.errors.contains("they are plain numbers"), "\(plainRun.errors)")
        }
    }

    @Test func otherArchitecturesAreNamed() throws {
        func refusal(_ edit: (inout JSON.Object) -> Void) throws -> Run {
            let directory = try model(configuration: edit)
            defer { try? FileManager.default.removeItem(at: directory) }
            return try Duality.run("inspect", directory.path)
        }
        expectRefusal(
            try refusal {
                $0["model_type"] = "llama"
                $0["architectures"] = ["LlamaForCausalLM"]
            }, "\"llama\" (LlamaForCausalLM)", "hybrid_qwen3")
        expectRefusal(
            try refusal {
                $0["model_type"] = "qwen3_vl"
                $0["text_config"] = ["model_type": "qwen3_vl_text"]
            }, "qwen3_vl", "text part")
        expectRefusal(
            try refusal {
                $0["model_type"] = "my_model"
                $0["auto_map"] = ["AutoModelForCausalLM": "modeling.Mine"]
            }, "auto_map")
        let headless = try model { $0.tensors.removeAll { $0.name == "lm_head.weight" } }
        defer { try? FileManager.default.removeItem(at: headless) }
        let run = try Duality.run("generate", "--model", headless.path, "x")
        #expect(run.status == 2, "\(run.errors)")
        expectRefusal(try difference(headless.path, from: Self.base).run, "lm_head.weight")
    }

    @Test func foldersThatHoldSomethingElseSaySo() throws {
        let cases: [([String: String], [String])] = [
            (
                [
                    "adapter_config.json": #"{"base_model_name_or_path": "Qwen/Qwen3-0.6B"}"#,
                    "adapter_model.safetensors": "",
                ],
                ["LoRA adapter of Qwen/Qwen3-0.6B", "merge_and_unload"]
            ),
            (["model-Q4_K_M.gguf": "GGUF"], ["GGUF", "original checkpoint"]),
            (["config.json": "CONFIG", "pytorch_model.bin": "x"], ["pickle", "save_pretrained"]),
            (["config.json": "CONFIG", "weights.npz": "PK"], ["weights.npz", "safetensors"]),
            (
                ["config.json": "CONFIG", "consolidated.safetensors": "x"],
                ["consolidated.safetensors", "model.safetensors"]
            ),
        ]
        for (files, words) in cases {
            let directory = try Fixtures.temporaryDirectory()
            defer { try? FileManager.default.removeItem(at: directory) }
            for (name, text) in files {
                let text =
                    text == "CONFIG" ? try String(contentsOfFile: "\(Self.base)/config.json", encoding: .utf8) : text
                try Data(text.utf8).write(to: directory.appendingPathComponent(name))
            }
            let run = try Duality.run("logits", "--model", directory.path, "--ids", "1", "--out", "/dev/null")
            for word in words { expectRefusal(run, word) }
        }
    }
}
