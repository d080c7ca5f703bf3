//  config.json to a checked configuration: keys, defaults and precedence of the official
//  configuration class.
//
//  Three families are read: "hybrid_qwen3"; dense "qwen3", which is a hybrid of `*` layers alone;
//  and plain Mamba-2 models, in HybridConfiguration+PlainMamba2.swift. What the official code
//  derives from the heads (every width of the Mamba-2 layers) is derived here too; numbers stored
//  beside them are compared and a difference is told as a warning, because some servers read those
//  instead.
//
//  Source: awslabs/hybrid-model-factory, configuration_hybrid_qwen3.py (class HybridQwen3Config),
//  mamba2_config.py.

extension HybridConfiguration {
    /// Reads `config.json` in a model's directory.
    ///
    /// - Throws: `InputError`, with the key it is about.
    public init(directory: String) throws(InputError) {
        try ModelDirectory(directory).requireConfiguration()
        let path = ModelDirectory(directory).path("config.json")
        try self.init(json: JSON(contentsOf: path), place: path)
    }

    /// Reads the contents of a `config.json`.
    ///
    /// - Parameter place: what to call the file in messages.
    /// - Throws: `InputError`: `.json` for a field of another type, `.value` for a number that
    ///   cannot be, `.missing` for one that is needed, `.unknown` for a word that means nothing,
    ///   `.unsupported` for one that means something this package does not do.
    public init(json: JSON, place: String = "config.json") throws(InputError) {
        let fields = try JSONFields(json, place: place)
        if try Self.isPlainMamba2(fields) {
            try self.init(plainMamba2: fields)
            return
        }
        var warnings: [String] = []
        try Self.checkFamily(fields)

        let layers = try LayerPattern.read(fields, warnings: &warnings)
        let headCount = try fields.int("num_attention_heads", in: 1...Self.widthLimit) ?? 32
        let keyValueHeadCount = try fields.int("num_key_value_heads", in: 1...Self.widthLimit) ?? headCount
        guard headCount % keyValueHeadCount == 0 else {
            throw InputError(
                .value, in: fields.place(of: "num_key_value_heads"),
                expected: "a divisor of num_attention_heads, which is \(headCount)", found: "\(keyValueHeadCount)")
        }
        let headDim = try fields.int("head_dim", in: 1...Self.widthLimit) ?? 128
        guard headCount * headDim <= Self.widthLimit else {
            throw InputError(
                .value, in: fields.place(of: "head_dim"),
                expected: "num_attention_heads * head_dim of at most \(Self.widthLimit)",
                found: "\(headCount) * \(headDim)")
        }
        let maxPositions = try fields.int("max_position_embeddings", in: 1...Self.countLimit) ?? 32768
        let vocabularySize = try fields.int("vocab_size", in: 1...Self.countLimit) ?? 151_936
        self.init(
            vocabularySize: vocabularySize,
            hiddenSize: try fields.int("hidden_size", in: 1...Self.widthLimit) ?? 4096,
            intermediateSize: try fields.int("intermediate_size", in: 1...Self.widthLimit) ?? 22016,
            layers: layers, headCount: headCount, keyValueHeadCount: keyValueHeadCount, headDim: headDim,
            maxPositions: maxPositions,
            normEpsilon: try fields.double("rms_norm_eps", expected: "a number >= 0") { $0 >= 0 && $0.isFinite }
                ?? 1e-6,
            tiedEmbeddings: try fields.bool("tie_word_embeddings") ?? false,
            attentionBias: try fields.bool("attention_bias") ?? false,
            rope: try RopeParameters(fields, maxPositions: maxPositions, warnings: &warnings),
            dtype: try Self.dtype(fields),
            beginToken: try Self.tokens(fields, "bos_token_id", vocabularySize, &warnings).first,
            endTokens: try Self.tokens(fields, "eos_token_id", vocabularySize, &warnings),
            padToken: try Self.tokens(fields, "pad_token_id", vocabularySize, &warnings).first)
        try readMamba2(fields, warnings: &warnings)
        try readFamily(fields, warnings: &warnings)
        try checkRotation(fields)
        try Self.checkUnused(fields, warnings: &warnings)
        quantization = Self.quantization(fields)
        self.warnings = warnings
    }

    /// Widths beyond this are a mistake in the file; below it, no product of sizes overflows.
    private static let widthLimit = 1 << 20
    private static let countLimit = Int(Int32.max)

    /// `dtype`, or `torch_dtype` as it used to be called, without a leading "torch.".
    static func dtype(_ fields: JSONFields) throws(InputError) -> String? {
        let (current, old) = (try fields.string("dtype"), try fields.string("torch_dtype"))
        guard let name = current ?? old else { return nil }
        return name.hasPrefix("torch.") ? String(name.dropFirst(6)) : name
    }

    /// Token ids under a key; those outside the vocabulary are left out with a warning.
    static func tokens(
        _ fields: JSONFields, _ key: String, _ vocabularySize: Int, _ warnings: inout [String]
    ) throws(InputError) -> [Int] {
        let ids = try fields.integers(key) ?? []
        let usable = ids.filter { 0..<vocabularySize ~= $0 }
        if usable.count < ids.count {
            let others = ids.filter { !usable.contains($0) }.map(String.init).joined(separator: ", ")
            warnings.append("\(key) \(others) is outside the vocabulary of \(vocabularySize) and is ignored.")
        }
        return usable
    }

    private mutating func readMamba2(_ fields: JSONFields, warnings: inout [String]) throws(InputError) {
        guard let stored = try fields.fields("mamba2_config") else {
            if layers.contains(.mamba2) {
                warnings.append(
                    "There are M2 layers and no mamba2_config: B/C norm on and RoPE on B/C off are assumed.")
            }
            return
        }
        mamba2.normalizesBC = try stored.bool("use_qk_norm") ?? mamba2.normalizesBC
        mamba2.rotatesBC = try stored.bool("use_pos_emb") ?? mamba2.rotatesBC
        mamba2.convolutionTaps = try stored.int("d_conv", in: 1...1024) ?? mamba2.convolutionTaps
        mamba2.chunkSize = try stored.int("chunk_size", in: 1...Self.widthLimit) ?? mamba2.chunkSize
        mamba2.convolutionBias = try stored.bool("use_conv_bias") ?? mamba2.convolutionBias
        mamba2.projectionBias = try stored.bool("use_bias") ?? mamba2.projectionBias

        for key in ["use_pos_embed", "use_rotary_emb"] {
            guard let other = try stored.bool(key), other != mamba2.rotatesBC else { continue }
            warnings.append(
                "mamba2_config.\(key) is not what use_pos_emb (\(mamba2.rotatesBC)) says; training reads use_pos_emb, and so do we."
            )
        }
        let sizes = try stored.fields("ssm_cfg")
        let derived: [(JSONFields?, String, Int)] = [
            (stored, "d_model", hiddenSize), (stored, "d_inner", innerSize), (stored, "d_xb", keyValueSize),
            (stored, "intermediate_size", intermediateSize), (sizes, "d_state", headDim), (sizes, "ngroups", headCount),
            (sizes, "expand", 1),
        ]
        for (object, key, size) in derived {
            guard let object, let number = try object.int(key), number != size else { continue }
            warnings.append(
                "mamba2_config.\(key) is \(number) and the heads make it \(size); as in the official code, the heads count."
            )
        }
        if let epsilon = try stored.double("rms_norm_eps"), epsilon != mamba2.bcNormEpsilon {
            warnings.append(
                "mamba2_config.rms_norm_eps is \(epsilon); the official code fixes it at \(mamba2.bcNormEpsilon), and so do we."
            )
        }
    }

    /// Whether any layer rotates by position.
    public var rotates: Bool {
        layers.contains {
            $0 == .mamba2 ? mamba2.rotatesBC : $0 != .gatedDeltaNet && $0 != .gatedKalmaNet
        }
    }

    /// RoPE pairs channel i with channel i + P/2.
    private func checkRotation(_ fields: JSONFields) throws(InputError) {
        guard rotates else { return }
        var expected: String?
        if headDim % 2 != 0 { expected = "an even number, for RoPE" }
        if case .dynamic = rope.scaling, headDim < 4 { expected = "4 or more, for dynamic RoPE" }
        if let expected {
            throw InputError(.value, in: fields.place(of: "head_dim"), expected: expected, found: "\(headDim)")
        }
    }

    /// Keys that change nothing here are still checked for their type, and near misses of a key are
    /// told: a misspelled key is otherwise a silent default.
    private static func checkUnused(_ fields: JSONFields, warnings: inout [String]) throws(InputError) {
        _ = try fields.double("attention_dropout")
        _ = try fields.double("initializer_range")
        _ = try fields.bool("use_cache")
        for key in fields.object.names where !knownKeys.contains(key) {
            if let meant = knownKeys.first(where: { editDistance(Array(key.utf8), Array($0.utf8)) <= 2 }),
                fields[meant] == nil
            {
                warnings.append("The key \"\(key)\" means nothing; is it \"\(meant)\"?")
            }
        }
    }

    private static let knownKeys = [
        "architectures", "attention_bias", "attention_dropout", "bmojo_config", "bos_token_id", "dtype", "eos_token_id",
        "gdn_config", "gka_config", "gka_overrides", "head_dim", "hidden_act", "hidden_size", "hybrid_override_pattern",
        "initializer_range",
        "intermediate_size", "layer_types", "mamba2_config", "max_position_embeddings", "max_window_layers",
        "model_type",
        "num_attention_heads", "num_hidden_layers", "num_key_value_heads", "pad_token_id", "rms_norm_eps",
        "rope_parameters",
        "rope_scaling", "rope_theta", "sliding_window", "swa_config", "tie_word_embeddings", "torch_dtype",
        "transformers_version", "use_cache", "use_sliding_window", "vocab_size",
    ]
}
