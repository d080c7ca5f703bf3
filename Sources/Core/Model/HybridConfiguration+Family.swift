//  gdn_config, gka_config, bmojo_config and swa_config.

extension HybridConfiguration {
    /// Whether a layer of this kind is in the pattern, or inside a B'MOJO-F layer.
    public func has(_ kind: LayerKind) -> Bool {
        layers.contains(kind) || (layers.contains(.bmojo) && bmojo.mixer == kind)
    }

    mutating func readFamily(_ fields: JSONFields, warnings: inout [String]) throws(InputError) {
        if let stored = try fields.fields("gdn_config") { try readGatedDeltaNet(stored, &warnings) }
        if let stored = try fields.fields("gka_config") { try readGatedKalmaNet(stored, &warnings) }
        // A server may override single keys (num_iter above all) without touching what the
        // checkpoint says.
        if let overrides = try fields.fields("gka_overrides") { try readGatedKalmaNet(overrides, &warnings) }
        if let stored = try fields.fields("bmojo_config") { try readBMojo(stored) }
        try readWindow(fields)
    }

    private mutating func readGatedDeltaNet(_ stored: JSONFields, _ warnings: inout [String]) throws(InputError) {
        var options = gatedDeltaNet
        options.usesGate = try stored.bool("use_gate") ?? options.usesGate
        options.usesConvolution = try stored.bool("use_short_conv") ?? options.usesConvolution
        options.allowsNegativeEigenvalues = try stored.bool("allow_neg_eigval") ?? options.allowsNegativeEigenvalues
        options.convolutionTaps = try stored.int("conv_size", in: 1...1024) ?? options.convolutionTaps
        options.convolutionBias = try stored.bool("conv_bias") ?? options.convolutionBias
        options.normEpsilon = try Self.epsilon(stored) ?? options.normEpsilon
        try Self.readExpansion(stored, into: &options.expansion)
        gatedDeltaNet = options
        try compareHeads(stored, &warnings)
    }

    private mutating func readGatedKalmaNet(_ stored: JSONFields, _ warnings: inout [String]) throws(InputError) {
        var options = gatedKalmaNet
        options.usesAlpha = try stored.bool("use_alpha_connection") ?? options.usesAlpha
        options.convolvesValues = try stored.bool("use_v_conv") ?? options.convolvesValues
        options.decays = try stored.bool("use_forgetting_gate") ?? options.decays
        options.decaysGram = try stored.bool("use_forgetting_gate_kk") ?? options.decaysGram
        options.rescales = try stored.bool("gla_rescale") ?? options.rescales
        options.usesGate = try stored.bool("use_gate") ?? options.usesGate
        options.usesBeta = try stored.bool("use_beta_gate") ?? options.usesBeta
        options.iterations = try stored.int("num_iter", in: 0...100_000) ?? options.iterations
        options.ridge = try stored.positive("ridge_strength") ?? options.ridge
        options.convolutionTaps = try stored.int("conv_size", in: 1...1024) ?? options.convolutionTaps
        options.normEpsilon = try Self.epsilon(stored) ?? options.normEpsilon
        options.chunkSize = try stored.int("chunk_size", in: 1...(1 << 20)) ?? options.chunkSize
        try Self.readExpansion(stored, into: &options.expansion)
        gatedKalmaNet = options
        try compareHeads(stored, &warnings)
        if let solver = try stored.string("solver_type"), solver != "chebyshev" {
            throw InputError(
                .unsupported, in: stored.place(of: "solver_type"), expected: "\"chebyshev\"", found: "\"\(solver)\"")
        }
    }

    private mutating func readBMojo(_ stored: JSONFields) throws(InputError) {
        bmojo.window = try stored.int("window_size", in: 1...(1 << 30)) ?? bmojo.window
        bmojo.tiesAttention = try stored.bool("tie_attn_weights") ?? bmojo.tiesAttention
        guard let name = try stored.string("ssm_mixer") else { return }
        switch name.lowercased() {
        case "mamba2": bmojo.mixer = .mamba2
        case "gdn", "gated_deltanet": bmojo.mixer = .gatedDeltaNet
        case "gka", "gated_kalmanet": bmojo.mixer = .gatedKalmaNet
        default:
            throw InputError(
                .unknown, in: stored.place(of: "ssm_mixer"), expected: "\"mamba2\", \"gdn\" or \"gka\"",
                found: "\"\(name)\"")
        }
    }

    private mutating func readWindow(_ fields: JSONFields) throws(InputError) {
        let stored = try fields.fields("swa_config")
        slidingWindow = try stored?.int("window_size", in: 1...(1 << 30))
        guard layers.contains(.slidingWindowAttention), slidingWindow == nil else { return }
        // Dense models name their window at the top; it counts only where they say that they use
        // it.
        if try fields.bool("use_sliding_window") == true || fields["layer_types"] != nil {
            slidingWindow = try fields.int("sliding_window", in: 1...(1 << 30))
        }
        guard slidingWindow == nil else { return }
        throw InputError(
            .missing, in: fields.place(of: "swa_config.window_size"),
            expected: "the window of the SWA layers, in tokens", found: "nothing")
    }

    private static func epsilon(_ stored: JSONFields) throws(InputError) -> Double? {
        try stored.double("norm_eps", expected: "a number >= 0") { $0 >= 0 && $0.isFinite }
    }

    private static func readExpansion(
        _ stored: JSONFields, into expansion: inout HeadExpansionParameters
    ) throws(InputError) {
        expansion.rank = try stored.int("kv_proj_rank", in: 1...(1 << 20)) ?? expansion.rank
        expansion.learnsResidual = try stored.bool("kv_learnable_residual") ?? expansion.learnsResidual
    }

    /// Stored head counts mean nothing to the official code, which takes the model's; a difference
    /// is told.
    private func compareHeads(_ stored: JSONFields, _ warnings: inout [String]) throws(InputError) {
        let derived = [
            ("hidden_size", hiddenSize), ("head_dim", headDim), ("num_q_heads", headCount),
            ("num_k_heads", keyValueHeadCount), ("num_v_heads", keyValueHeadCount),
        ]
        for (key, size) in derived {
            guard let number = try stored.int(key), number != size else { continue }
            warnings.append(
                "\(stored.path).\(key) is \(number) and the model's is \(size); as in the official code, the model's counts."
            )
        }
    }
}
