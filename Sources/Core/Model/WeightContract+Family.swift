//  The tensors of the mixers beside attention and Mamba-2, and of plain Mamba-2 models.
//
//  With ρ the rank of the key/value expansion and the other symbols of WeightContract.swift:
//
//  | .gdn. and .gka.                                    | shape                                   |
//  |----------------------------------------------------|-----------------------------------------|
//  | q_proj.weight, k_proj, v_proj                      | [H P, Dm], [Hkv P, Dm], [Hkv P, Dm]     |
//  | q_conv1d.weight, k_conv1d, v_conv1d                | [H P, 1, W], [Hkv P, 1, W], [Hkv P, 1, W] |
//  | b_proj.weight (.bias in GKA)                       | [H, Dm], [H]                            |
//  | gk_proj.weight in GDN, a_proj.weight in GKA        | [H, Dm]                                 |
//  | alpha_proj.weight, .bias in GKA                    | [H, Dm], [H]                            |
//  | A_log, dt_bias                                     | [H]                                     |
//  | g_proj.weight, o_norm.weight, o_proj.weight        | [H P, Dm], [P], [Dm, H P]               |
//  | proj_k.linearA.weight, .linearB.weight, so proj_v  | [ρ, Hkv P], [H P, ρ]                    |
//  | k_rep, v_rep                                       | [H, Hkv]                                |
//
//  | .bmojo_f.                                          |                                         |
//  |----------------------------------------------------|-----------------------------------------|
//  | bmojo_attn.*                                       | attention                               |
//  | bmojo_attn.q_proj_.weight and so on, if not tied   | q, k, v and their norms a second time   |
//  | mamba.*, gdn.* or gka.*                            | the mixer                               |
//
//  | plain Mamba-2                                      |                                         |
//  |----------------------------------------------------|-----------------------------------------|
//  | backbone.embeddings.weight (or .embedding.weight)  | [V, Dm]                                 |
//  | backbone.layers.i.norm.weight                      | [Dm]                                    |
//  | backbone.layers.i.mixer.*                          | as .mamba.*, without B_norm and C_norm  |
//  | backbone.norm_f.weight                             | [Dm]                                    |
//  | lm_head.weight, unless tied                        | [V, Dm]                                 |
//
//  Source: awslabs/hybrid-model-factory, layers/*; transformers, modeling_mamba2.py;
//  state-spaces/mamba, mixer_seq_simple.py.

extension WeightContract {
    mutating func requireGatedDeltaNet(_ prefix: String, _ layer: Int, _ component: Component) {
        let options = configuration.gatedDeltaNet
        requireQueryKeyValue(prefix, layer, component)
        if options.usesConvolution {
            requireConvolutions(
                prefix, ["q", "k", "v"], taps: options.convolutionTaps, bias: options.convolutionBias, layer, component)
        }
        requireLinear("\(prefix)b_proj", [configuration.headCount, configuration.hiddenSize], component, layer)
        requireLinear("\(prefix)gk_proj", [configuration.headCount, configuration.hiddenSize], component, layer)
        requireDecayAndOutput(prefix, gate: options.usesGate, layer, component)
        requireExpansion(prefix, options.expansion, layer, component)
    }

    mutating func requireGatedKalmaNet(_ prefix: String, _ layer: Int, _ component: Component) {
        let options = configuration.gatedKalmaNet
        let perHead = [configuration.headCount, configuration.hiddenSize]
        requireQueryKeyValue(prefix, layer, component)
        requireConvolutions(
            prefix, options.convolvesValues ? ["q", "k", "v"] : ["q", "k"], taps: options.convolutionTaps, bias: false,
            layer, component)
        if options.usesBeta { requireLinear("\(prefix)b_proj", perHead, component, layer, bias: true) }
        if options.usesAlpha { requireLinear("\(prefix)alpha_proj", perHead, component, layer, bias: true) }
        requireLinear("\(prefix)a_proj", perHead, component, layer)
        requireDecayAndOutput(prefix, gate: options.usesGate, layer, component)
        requireExpansion(prefix, options.expansion, layer, component)
    }

    mutating func requireBMojo(_ prefix: String, _ layer: Int) {
        let attention = "\(prefix)bmojo_attn."
        requireAttention(attention, layer, .bmojo)
        if !configuration.bmojo.tiesAttention {
            let (width, bias) = (configuration.hiddenSize, configuration.attentionBias)
            requireLinear("\(attention)q_proj_", [configuration.innerSize, width], .bmojo, layer, bias: bias)
            requireLinear("\(attention)k_proj_", [configuration.keyValueSize, width], .bmojo, layer, bias: bias)
            requireLinear("\(attention)v_proj_", [configuration.keyValueSize, width], .bmojo, layer, bias: bias)
            require("\(attention)q_norm_.weight", [configuration.headDim], .bmojo, layer)
            require("\(attention)k_norm_.weight", [configuration.headDim], .bmojo, layer)
        }
        let mixer = "\(prefix)\(configuration.bmojo.mixer.attribute)."
        switch configuration.bmojo.mixer {
        case .gatedDeltaNet: requireGatedDeltaNet(mixer, layer, .bmojo)
        case .gatedKalmaNet: requireGatedKalmaNet(mixer, layer, .bmojo)
        default: requireMamba2(mixer, layer, .bmojo)
        }
    }

    mutating func requirePlainMamba2(_ plain: PlainMamba2Parameters) {
        let (width, vocabulary) = (configuration.hiddenSize, configuration.vocabularySize)
        require(embeddingName, [vocabulary, width], .embedding)
        for i in configuration.layers.indices {
            require("backbone.layers.\(i).norm.weight", [width], .norms, i)
            requireMamba2("backbone.layers.\(i).mixer.", i, .mamba2)
        }
        require("backbone.norm_f.weight", [width], .norms)
        if !configuration.tiedEmbeddings { require("lm_head.weight", [vocabulary, width], .head) }
    }

    private mutating func requireQueryKeyValue(_ prefix: String, _ layer: Int, _ component: Component) {
        let width = configuration.hiddenSize
        requireLinear("\(prefix)q_proj", [configuration.innerSize, width], component, layer)
        requireLinear("\(prefix)k_proj", [configuration.keyValueSize, width], component, layer)
        requireLinear("\(prefix)v_proj", [configuration.keyValueSize, width], component, layer)
    }

    private mutating func requireConvolutions(
        _ prefix: String, _ names: [String], taps: Int, bias: Bool, _ layer: Int, _ component: Component
    ) {
        for name in names {
            let channels = name == "q" ? configuration.innerSize : configuration.keyValueSize
            require("\(prefix)\(name)_conv1d.weight", [channels, 1, taps], component, layer)
            if bias { require("\(prefix)\(name)_conv1d.bias", [channels], component, layer) }
        }
    }

    private mutating func requireDecayAndOutput(
        _ prefix: String, gate: Bool, _ layer: Int, _ component: Component
    ) {
        let (width, inner) = (configuration.hiddenSize, configuration.innerSize)
        for name in ["A_log", "dt_bias"] { require(prefix + name, [configuration.headCount], component, layer) }
        if gate { requireLinear("\(prefix)g_proj", [inner, width], component, layer) }
        require("\(prefix)o_norm.weight", [configuration.headDim], component, layer)
        requireLinear("\(prefix)o_proj", [width, inner], component, layer)
    }

    private mutating func requireExpansion(
        _ prefix: String, _ expansion: HeadExpansionParameters, _ layer: Int, _ component: Component
    ) {
        guard let rank = expansion.rank else { return }
        for name in ["k", "v"] {
            requireLinear("\(prefix)proj_\(name).linearA", [rank, configuration.keyValueSize], component, layer)
            requireLinear("\(prefix)proj_\(name).linearB", [configuration.innerSize, rank], component, layer)
        }
        guard expansion.learnsResidual else { return }
        for name in ["k_rep", "v_rep"] {
            require(prefix + name, [configuration.headCount, configuration.keyValueHeadCount], component, layer)
        }
    }
}

// MARK: - Other names

extension WeightContract {
    /// The same tensors under the names of the contract, where a checkpoint uses another of the
    /// names in use: `self_attn` in an SWA layer, and `backbone.embedding` in a plain Mamba-2 model
    /// of the original library.
    public func adapted(_ source: any TensorSource) -> any TensorSource {
        var originals: [String: String] = [:]
        for requirement in requirements where !source.contains(requirement.name) {
            var other = requirement.name
            if requirement.component == .slidingWindowAttention {
                other = other.replacing(".swa.", with: ".self_attn.")
            } else if requirement.component == .embedding {
                other = other.replacing("backbone.embeddings.", with: "backbone.embedding.")
            }
            if other != requirement.name, source.contains(other) { originals[requirement.name] = other }
        }
        return originals.isEmpty ? source : RenamedSource(source, originals: originals)
    }
}

/// A source with some of its tensors under other names.
struct RenamedSource: TensorSource {
    let source: any TensorSource
    /// The source's name of every renamed tensor.
    let originals: [String: String]
    let names: [String]
    /// Names that are taken no more.
    private let hidden: Set<String>

    init(_ source: any TensorSource, originals: [String: String]) {
        self.source = source
        self.originals = originals
        hidden = Set(originals.values)
        let renamed = Dictionary(originals.map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        names = source.names.map { renamed[$0] ?? $0 }
    }

    var place: String { source.place }

    func find(_ name: String) -> TensorInfo? {
        guard originals[name] != nil || !hidden.contains(name), let info = source.find(originals[name] ?? name) else {
            return nil
        }
        return TensorInfo(name: name, dtype: info.dtype, shape: info.shape, byteRange: info.byteRange)
    }

    func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        try source.withBytes(of: originals[name] ?? name, body)
    }
}
