//  The shapes of published models, for measuring without their weights.
//
//  `qwen3-*` are the dense models of that name; `hqwen3-*` have the same widths with another mixer
//  in every second layer, as the primed hybrids do (which layers a released hybrid gives to which
//  mixer is said by its own config.json; the cost does not depend on it): Mamba-2, or the one that
//  the name ends with, `hqwen3-8b-gdn`. Windows of SWA and B'MOJO-F are 2048 tokens, and B'MOJO-F's
//  mixer is Gated KalmaNet.
//
//  Source: the config.json files of Qwen3 (arXiv 2505.09388); Mamba2-primed-HQwen3-8B-Instruct.

import DualityCore
import DualityQuant

/// A model shape with a name.
public struct KnownShape: Sendable {
    public let name: String
    public let configuration: HybridConfiguration

    public static let all: [KnownShape] = sizes.flatMap { size in
        kinds.map { KnownShape(size, $0) } + [KnownShape(size, nil)]
    }

    /// - Throws: `InputError` (`.unknown`) that lists the names.
    public static func named(_ name: String) throws(InputError) -> KnownShape {
        guard let shape = all.first(where: { $0.name == name.lowercased() }) else {
            throw InputError(
                .unknown, in: "--shape", expected: "one of \(all.map(\.name).joined(separator: ", "))",
                found: "\"\(name)\"", remedy: "Any other shape can be given as a config.json with --config.")
        }
        return shape
    }

    /// The config.json of the shape.
    public var json: JSON {
        let model = configuration
        let symbols = model.layers.map(\.rawValue)
        let isHybrid = model.layers.contains { $0 != .attention }
        var json = JSON.Object()
        json["architectures"] = .array([isHybrid ? "HybridQwen3ForCausalLM" : "Qwen3ForCausalLM"])
        json["model_type"] = isHybrid ? "hybrid_qwen3" : "qwen3"
        json["vocab_size"] = JSON(model.vocabularySize)
        json["hidden_size"] = JSON(model.hiddenSize)
        json["intermediate_size"] = JSON(model.intermediateSize)
        json["num_hidden_layers"] = JSON(model.layers.count)
        json["num_attention_heads"] = JSON(model.headCount)
        json["num_key_value_heads"] = JSON(model.keyValueHeadCount)
        json["head_dim"] = JSON(model.headDim)
        json["hidden_act"] = "silu"
        json["max_position_embeddings"] = JSON(model.maxPositions)
        json["rms_norm_eps"] = JSON(model.normEpsilon)
        json["tie_word_embeddings"] = .bool(model.tiedEmbeddings)
        json["rope_parameters"] = ["rope_theta": JSON(model.rope.theta), "rope_type": "default"]
        json["dtype"] = "bfloat16"
        if isHybrid {
            json["hybrid_override_pattern"] = .string(symbols.joined(separator: "-"))
            json["layer_types"] = .array(symbols.map { .string($0) })
        }
        if model.has(.mamba2) { json["mamba2_config"] = ["use_qk_norm": true, "use_pos_emb": false] }
        if let window = model.slidingWindow { json["swa_config"] = ["window_size": JSON(window)] }
        if model.layers.contains(.bmojo) {
            json["bmojo_config"] = [
                "window_size": JSON(model.bmojo.window), "tie_attn_weights": .bool(model.bmojo.tiesAttention),
                "ssm_mixer": "gka",
            ]
        }
        return .object(json)
    }

    private struct Size {
        let name: String
        let hidden, intermediate, layers, heads, keyValueHeads: Int
        let isTied: Bool
    }

    private static let sizes = [
        Size(
            name: "0.6b", hidden: 1024, intermediate: 3072, layers: 28, heads: 16, keyValueHeads: 8, isTied: true),
        Size(
            name: "1.7b", hidden: 2048, intermediate: 6144, layers: 28, heads: 16, keyValueHeads: 8, isTied: true),
        Size(name: "4b", hidden: 2560, intermediate: 9728, layers: 36, heads: 32, keyValueHeads: 8, isTied: true),
        Size(name: "8b", hidden: 4096, intermediate: 12288, layers: 36, heads: 32, keyValueHeads: 8, isTied: false),
        Size(name: "14b", hidden: 5120, intermediate: 17408, layers: 40, heads: 40, keyValueHeads: 8, isTied: false),
        Size(name: "32b", hidden: 5120, intermediate: 25600, layers: 64, heads: 64, keyValueHeads: 8, isTied: false),
    ]

    /// What hybrids have in every second layer.
    private static let kinds: [LayerKind] = [
        .mamba2, .gatedDeltaNet, .gatedKalmaNet, .bmojo, .slidingWindowAttention,
    ]

    /// - Parameter kind: of every second layer; nil for the dense model.
    private init(_ size: Size, _ kind: LayerKind?) {
        let suffix = kind == .mamba2 ? "" : kind.map { "-" + $0.rawValue.lowercased() } ?? ""
        name = (kind == nil ? "qwen3-" : "hqwen3-") + size.name + suffix
        var made = HybridConfiguration(
            vocabularySize: 151_936, hiddenSize: size.hidden, intermediateSize: size.intermediate,
            layers: (0..<size.layers).map { $0 % 2 == 1 ? kind ?? .attention : .attention },
            headCount: size.heads, keyValueHeadCount: size.keyValueHeads, headDim: 128,
            maxPositions: kind == nil ? 40960 : 131_072, tiedEmbeddings: size.isTied,
            rope: RopeParameters(theta: kind == nil ? 1e6 : 5e6), dtype: "bfloat16")
        if kind == .slidingWindowAttention { made.slidingWindow = 2048 }
        if kind == .bmojo {
            made.bmojo.window = 2048
            made.bmojo.mixer = .gatedKalmaNet
        }
        configuration = made
    }
}
