//  config.json of a plain Mamba-2 language model, in both spellings in use.
//
//  | here                 | transformers (model_type "mamba2") | mamba_ssm (no model_type, d_model)        |
//  |----------------------|------------------------------------|-------------------------------------------|
//  | hiddenSize           | hidden_size                        | d_model                                   |
//  | layers               | num_hidden_layers                  | n_layer                                   |
//  | headDim P, heads H   | head_dim, num_heads                | ssm_cfg.headdim, expand d_model / headdim |
//  | stateDim N, groups G | state_size, n_groups               | ssm_cfg.d_state, ssm_cfg.ngroups          |
//  | gated norm over      | the whole width                    | each group's channels                     |
//  | vocabularySize       | vocab_size                         | vocab_size, rounded up to a multiple      |
//
//  Absent keys have the defaults of the classes that read them.
//
//  Source: transformers, configuration_mamba2.py; state-spaces/mamba, models/config_mamba.py,
//  modules/mamba2.py.

extension HybridConfiguration {
    /// Whether a config.json is that of a plain Mamba-2 model.
    static func isPlainMamba2(_ fields: JSONFields) throws(InputError) -> Bool {
        if let family = try fields.string("model_type") { return family == "mamba2" }
        return fields["d_model"] != nil && fields["n_layer"] != nil
    }

    init(plainMamba2 fields: JSONFields) throws(InputError) {
        if try fields.string("model_type") == "mamba2" {
            try self.init(transformers: fields)
        } else {
            try self.init(mambaSSM: fields)
        }
    }

    private static let widths = 1...(1 << 20)
    private static let counts = 1...Int(Int32.max)

    private init(transformers fields: JSONFields) throws(InputError) {
        let hiddenSize = try fields.int("hidden_size", in: Self.widths) ?? 4096
        let headDim = try fields.int("head_dim", in: Self.widths) ?? 64
        let heads = try fields.int("num_heads", in: Self.widths) ?? 128
        let expand = try fields.double("expand", expected: "a number greater than 0") { $0 > 0 && $0.isFinite } ?? 2
        let width = (expand * Double(hiddenSize)).rounded(.towardZero)
        guard let inner = Int(exactly: width), Self.widths.contains(inner) else {
            throw InputError(
                .value, in: fields.place(of: "expand"),
                expected: "expand * hidden_size from 1 to \(Self.widths.upperBound)",
                found: "\(expand) * \(hiddenSize)")
        }
        guard inner == heads * headDim else {
            throw InputError(
                .value, in: fields.place(of: "num_heads"),
                expected: "num_heads * head_dim equal to expand * hidden_size, \(inner)",
                found: "\(heads) * \(headDim)")
        }
        if let activation = try fields.string("hidden_act"), activation != "silu" && activation != "swish" {
            throw InputError(
                .unsupported, in: fields.place(of: "hidden_act"), expected: "\"silu\"", found: "\"\(activation)\"")
        }
        let groups = try Self.groups(fields, "n_groups", heads) ?? 8
        try self.init(
            plain: PlainMamba2Parameters(
                stateDim: fields.int("state_size", in: Self.widths) ?? 128, groups: groups,
                gatedNormGroup: inner, stepLimit: Self.stepLimit(fields, "time_step_limit")),
            fields, vocabularySize: fields.int("vocab_size", in: Self.counts) ?? 32768, hiddenSize: hiddenSize,
            layerCount: fields.int("num_hidden_layers", in: 1...(1 << 16)) ?? 64, heads: heads, headDim: headDim,
            normEpsilon: fields.positive("layer_norm_epsilon") ?? 1e-5,
            tied: fields.bool("tie_word_embeddings") ?? false)
        if groups > 1 {
            warnings.append(
                "Mamba2ForCausalLM of transformers norms the whole width of \(inner), and so do we; a model of \(groups) groups that mamba_ssm trained, such as Codestral-Mamba, norms each group: give --norm-groups for that."
            )
        }
        mamba2.gatedNormEpsilon = normEpsilon
        mamba2.convolutionTaps = try fields.int("conv_kernel", in: 1...1024) ?? 4
        mamba2.chunkSize = try fields.int("chunk_size", in: Self.widths) ?? 256
        mamba2.convolutionBias = try fields.bool("use_conv_bias") ?? true
        mamba2.projectionBias = try fields.bool("use_bias") ?? false
    }

    private init(mambaSSM fields: JSONFields) throws(InputError) {
        guard let hiddenSize = try fields.int("d_model", in: Self.widths),
            let layerCount = try fields.int("n_layer", in: 1...(1 << 16))
        else {
            throw InputError(.missing, in: fields.place, expected: "d_model and n_layer", found: "null")
        }
        let absent = try JSONFields(.object([:]), place: fields.place, path: "ssm_cfg")
        let mixer = try fields.fields("ssm_cfg") ?? absent
        let kind = try mixer.string("layer")
        guard kind == "Mamba2" else {
            throw InputError(
                .unsupported, in: mixer.place(of: "layer"), expected: "\"Mamba2\"",
                found: kind.map { "\"\($0)\"" } ?? "nothing, which means the first Mamba")
        }
        if let layers = try fields.integers("attn_layer_idx"), !layers.isEmpty {
            throw InputError(
                .unsupported, in: fields.place(of: "attn_layer_idx"), expected: "no attention layers",
                found: "\(layers.count) of them")
        }
        if let width = try fields.int("d_intermediate"), width != 0 {
            throw InputError(
                .unsupported, in: fields.place(of: "d_intermediate"), expected: "0, layers without an MLP",
                found: "\(width)")
        }
        try Self.checkFixed(fields, mixer)
        let expand = try mixer.int("expand", in: 1...1024) ?? 2
        let headDim = try mixer.int("headdim", in: Self.widths) ?? 64
        let inner = expand * hiddenSize
        guard inner % headDim == 0 else {
            throw InputError(
                .value, in: mixer.place(of: "headdim"), expected: "a divisor of expand * d_model, \(inner)",
                found: "\(headDim)")
        }
        if let width = try mixer.int("d_ssm"), width != inner {
            throw InputError(
                .unsupported, in: mixer.place(of: "d_ssm"), expected: "the whole inner width, \(inner)",
                found: "\(width)")
        }
        let heads = inner / headDim
        let groups = try Self.groups(mixer, "ngroups", heads) ?? 1
        let vocabulary = try fields.int("vocab_size", in: Self.counts) ?? 50277
        let multiple = try fields.int("pad_vocab_size_multiple", in: 1...(1 << 16)) ?? 8
        try self.init(
            plain: PlainMamba2Parameters(
                stateDim: mixer.int("d_state", in: Self.widths) ?? 128, groups: groups,
                gatedNormGroup: inner / groups, stepLimit: Self.stepLimit(mixer, "dt_limit")),
            fields, vocabularySize: (vocabulary + multiple - 1) / multiple * multiple, hiddenSize: hiddenSize,
            layerCount: layerCount, heads: heads, headDim: headDim, normEpsilon: 1e-5,
            tied: fields.bool("tie_embeddings") ?? true)
        mamba2.convolutionTaps = try mixer.int("d_conv", in: 1...1024) ?? 4
        mamba2.chunkSize = try mixer.int("chunk_size", in: Self.widths) ?? 256
        mamba2.convolutionBias = try mixer.bool("conv_bias") ?? true
        mamba2.projectionBias = try mixer.bool("bias") ?? false
    }

    private init(
        plain: PlainMamba2Parameters, _ fields: JSONFields, vocabularySize: Int, hiddenSize: Int, layerCount: Int,
        heads: Int, headDim: Int, normEpsilon: Double, tied: Bool
    ) throws(InputError) {
        var warnings: [String] = []
        self.init(
            vocabularySize: vocabularySize, hiddenSize: hiddenSize, intermediateSize: 0,
            layers: Array(repeating: .mamba2, count: layerCount), headCount: heads, keyValueHeadCount: heads,
            headDim: headDim, maxPositions: Self.unlimited, normEpsilon: normEpsilon, tiedEmbeddings: tied,
            dtype: try Self.dtype(fields),
            beginToken: try Self.tokens(fields, "bos_token_id", vocabularySize, &warnings).first,
            endTokens: try Self.tokens(fields, "eos_token_id", vocabularySize, &warnings),
            padToken: try Self.tokens(fields, "pad_token_id", vocabularySize, &warnings).first)
        mamba2.normalizesBC = false
        plainMamba2 = plain
        self.warnings = warnings
    }

    /// `maxPositions` of a model that has no positions.
    static let unlimited = Int(Int32.max)

    private static func groups(_ fields: JSONFields, _ key: String, _ heads: Int) throws(InputError) -> Int? {
        guard let groups = try fields.int(key, in: widths) else { return nil }
        guard heads % groups == 0 else {
            throw InputError(
                .value, in: fields.place(of: key), expected: "a divisor of the \(heads) heads", found: "\(groups)")
        }
        return groups
    }

    /// Options of the original mixer that this package has no other value for.
    private static func checkFixed(_ fields: JSONFields, _ mixer: JSONFields) throws(InputError) {
        let fixed: [(JSONFields, String, Bool)] = [
            (fields, "rms_norm", true), (mixer, "rmsnorm", true), (mixer, "norm_before_gate", false),
            (mixer, "D_has_hdim", false),
        ]
        for (object, key, value) in fixed {
            guard let found = try object.bool(key), found != value else { continue }
            throw InputError(.unsupported, in: object.place(of: key), expected: "\(value)", found: "\(found)")
        }
    }

    /// `[low, high]`; no limit when absent.
    private static func stepLimit(_ fields: JSONFields, _ key: String) throws(InputError) -> ClosedRange<Double> {
        guard let bounds = try fields.array(key) else { return 0...Double.infinity }
        let numbers = bounds.compactMap(\.double)
        guard bounds.count == 2, numbers.count == 2, numbers[0] >= 0, numbers[0] <= numbers[1] else {
            throw InputError(
                .value, in: fields.place(of: key), expected: "two numbers, 0 <= low <= high",
                found: bounds.count == 2 ? "\(numbers)" : "\(bounds.count) values")
        }
        return numbers[0]...numbers[1]
    }
}
