//  The config.json of a primed or converted model.
//
//      base's members, less model_type's value, quantization_config and the layer keys
//      + model_type, architectures, hybrid_override_pattern, layer_types, and one *_config a kind of layer
//
//  Source: awslabs/hybrid-model-factory, priming/utils.py (setup_layer_config),
//  layers/*/…_config.py.

import DualityCore

struct PrimedConfiguration {
    private(set) var object = JSON.Object()

    /// - Throws: `InputError` (`.missing`) for a window that a layer needs and nobody gives.
    init(
        _ base: JSONFields, symbols: [String], isConversion: Bool, _ options: Priming.Options
    ) throws(InputError) {
        for (name, value) in base.object.members where name != "quantization_config" { object[name] = value }
        object["model_type"] = "hybrid_qwen3"
        object["architectures"] = ["HybridQwen3ForCausalLM"]
        object["hybrid_override_pattern"] = .string(symbols.joined(separator: "-"))
        object["layer_types"] = .array(symbols.map { .string($0) })
        if let dtype = options.dtype ?? (isConversion ? "bfloat16" : nil) {
            object[object["torch_dtype"] != nil && object["dtype"] == nil ? "torch_dtype" : "dtype"] = .string(dtype)
        }
        if !isConversion { try addLayerConfigurations(base, Set(symbols), options) }
        for (name, value) in options.overrides.members { merge(name, value) }
    }

    private mutating func addLayerConfigurations(
        _ base: JSONFields, _ kinds: Set<String>, _ options: Priming.Options
    ) throws(InputError) {
        let heads = try base.int("num_attention_heads") ?? 32
        let shared = try base.int("num_key_value_heads") ?? heads
        let headDim = try base.int("head_dim") ?? 128
        let width = try base.int("hidden_size") ?? 4096
        let (epsilon, count) = (base["rms_norm_eps"] ?? JSON(1e-6), try base.int("num_hidden_layers") ?? 32)
        let mixer = kinds.contains("BMF") ? options.bmojoMixer : ""
        func window(_ kind: String) throws(InputError) -> JSON {
            let config = kind == "BMF" ? "bmojo_config" : "swa_config"
            if let given = options.window.map({ JSON($0) }) ?? options.overrides[config]?["window_size"] {
                return given
            }
            throw InputError(
                .missing, in: "\(config).window_size", expected: "the window of the \(kind) layers, in tokens",
                found: "nothing", remedy: "Give it with --window-size.")
        }
        if kinds.contains("M2") || mixer == "mamba2" {
            object["mamba2_config"] = [
                "d_model": JSON(width), "d_inner": JSON(heads * headDim), "d_xb": JSON(shared * headDim),
                "intermediate_size": base["intermediate_size"] ?? 22016, "hidden_act": "silu",
                "rms_norm_eps": epsilon, "n_layer": JSON(count),
                "ssm_cfg": ["expand": 1, "ngroups": JSON(heads), "d_state": JSON(headDim)], "use_qk_norm": true,
                "use_pos_emb": false,
            ]
        }
        let sizes: JSON.Object = [
            "hidden_size": JSON(width), "head_dim": JSON(headDim), "num_q_heads": JSON(heads),
            "num_k_heads": JSON(shared), "num_v_heads": JSON(shared),
        ]
        if kinds.contains("GDN") || ["gdn", "gated_deltanet"].contains(mixer) { object["gdn_config"] = .object(sizes) }
        if kinds.contains("GKA") || ["gka", "gated_kalmanet"].contains(mixer) { object["gka_config"] = .object(sizes) }
        if kinds.contains("BMF") {
            object["bmojo_config"] = [
                "hidden_size": JSON(width), "num_heads": JSON(heads), "num_key_value_heads": JSON(shared),
                "head_dim": JSON(headDim), "rms_norm_eps": epsilon, "window_size": try window("BMF"),
                "tie_attn_weights": .bool(options.tiesAttention), "ssm_mixer": .string(mixer),
            ]
        }
        if kinds.contains("SWA") { object["swa_config"] = ["window_size": try window("SWA")] }
    }

    /// Objects are merged member by member; anything else replaces what was there.
    private mutating func merge(_ name: String, _ value: JSON) {
        guard case .object(var mine)? = object[name], case .object(let theirs) = value else {
            object[name] = value
            return
        }
        for (key, value) in theirs.members { mine[key] = value }
        object[name] = .object(mine)
    }
}

extension LayerPattern {
    /// The symbols of the inference model that a model in distillation becomes; nil for a model
    /// that is none.
    ///
    /// - Throws: `InputError` (`.json`) for a pattern that is not text.
    static func standard(_ fields: JSONFields) throws(InputError) -> [String]? {
        guard let pattern = try fields.string("hybrid_override_pattern") else { return nil }
        let symbols = pattern.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        guard symbols.contains(where: fused.contains) else { return nil }
        return symbols.map { symbol in
            guard fused.contains(symbol) else { return symbol }
            if symbol == "*DA" { return "*" }
            return String(symbol.split(separator: ">").last ?? "").replacing("*", with: "")
        }
    }
}
