//  Every tensor that a configuration requires, by name, shape and number format.
//
//  With Dm the hidden size, H heads and Hkv key/value heads of dimension P, F the MLP width, V the
//  vocabulary, W taps:
//
//  | tensor                                             | shape                                   |
//  |----------------------------------------------------|-----------------------------------------|
//  | model.embed_tokens.weight                          | [V, Dm]                                 |
//  | model.layers.i.input_layernorm.weight              | [Dm], so post_attention_layernorm       |
//  |   .mlp.gate_proj.weight, .up_proj, .down_proj      | [F, Dm], [F, Dm], [Dm, F]               |
//  |   .self_attn.q_proj.weight, .k_proj, .v_proj       | [H P, Dm], [Hkv P, Dm], [Hkv P, Dm]     |
//  |   .self_attn.o_proj.weight                         | [Dm, H P]                               |
//  |   .self_attn.q_norm.weight, .k_norm.weight         | [P]                                     |
//  |   .mamba.in_proj.weight                            | [2 H P + 2 Hkv P + H, Dm]               |
//  |   .mamba.conv1d.weight, .conv1d.bias               | [H P + 2 Hkv P, 1, W], [H P + 2 Hkv P]  |
//  |   .mamba.A_log, .D, .dt_bias                       | [H]                                     |
//  |   .mamba.B_norm.weight, .C_norm.weight             | [P]                                     |
//  |   .mamba.norm.weight, .out_proj.weight             | [H P], [Dm, H P]                        |
//  | model.norm.weight                                  | [Dm]                                    |
//  | lm_head.weight, unless tied                        | [V, Dm]                                 |
//
//  SWA layers have the tensors of attention under `.swa`; those of the other kinds are in
//  WeightContract+Family.swift, with those of plain Mamba-2 models.
//
//  Source: awslabs/hybrid-model-factory, modeling_hybrid_qwen3.py, layers/mamba/mamba2.py.

/// The tensors a model is made of.
public struct WeightContract: Sendable {
    /// The part of a model that a tensor belongs to.
    public enum Component: String, Sendable, CaseIterable, Codable {
        /// The table of token embeddings.
        case embedding
        /// Attention over all tokens before.
        case attention
        /// Attention within a window.
        case slidingWindowAttention
        /// Mamba-2 mixers.
        case mamba2
        /// Gated DeltaNet mixers.
        case gatedDeltaNet
        /// Gated KalmaNet mixers.
        case gatedKalmaNet
        /// B'MOJO-F mixers, their inner mixer included.
        case bmojo
        /// Gate, up and down projections.
        case feedForward
        /// Norms of layers and the last norm.
        case norms
        /// The output head, where it is not the embedding.
        case head
    }

    /// One required tensor.
    public struct Requirement: Sendable, Equatable {
        /// What the checkpoint must call the tensor: `model.norm.weight`.
        public let name: String
        /// The length of each axis, outermost first; a matrix is `[outputs, inputs]`.
        public let shape: [Int]
        /// The part of the model that inventories count it under.
        public let component: Component
        /// The layer it belongs to; nil for the embedding, the last norm and the head.
        public let layer: Int?

        /// Elements: the product of `shape`.
        public var count: Int { shape.reduce(1, *) }
    }

    /// The number formats a weight may have. The 8-bit formats are not among them: they mean
    /// nothing without their scales.
    public static let dtypes: [DType] = [.bf16, .f16, .f32, .f64]

    /// What the embedding is called.
    public var embeddingName: String {
        configuration.plainMamba2 == nil ? "model.embed_tokens.weight" : "backbone.embeddings.weight"
    }

    /// All required tensors, from the embedding to the head.
    public private(set) var requirements: [Requirement] = []
    /// The configuration that the requirements follow from.
    public let configuration: HybridConfiguration

    /// - Throws: nothing at present; every kind of layer that a configuration can name is known.
    public init(_ configuration: HybridConfiguration) throws(InputError) {
        self.configuration = configuration
        if let plain = configuration.plainMamba2 {
            requirePlainMamba2(plain)
            return
        }
        let (width, vocabulary) = (configuration.hiddenSize, configuration.vocabularySize)
        require(embeddingName, [vocabulary, width], .embedding)
        for (i, kind) in configuration.layers.enumerated() {
            let layer = "model.layers.\(i)."
            require("\(layer)input_layernorm.weight", [width], .norms, i)
            let mixer = "\(layer)\(kind.attribute)."
            switch kind {
            case .attention: requireAttention(mixer, i, .attention)
            case .slidingWindowAttention: requireAttention(mixer, i, .slidingWindowAttention)
            case .mamba2: requireMamba2(mixer, i, .mamba2)
            case .gatedDeltaNet: requireGatedDeltaNet(mixer, i, .gatedDeltaNet)
            case .gatedKalmaNet: requireGatedKalmaNet(mixer, i, .gatedKalmaNet)
            case .bmojo: requireBMojo(mixer, i)
            }
            require("\(layer)post_attention_layernorm.weight", [width], .norms, i)
            requireLinear("\(layer)mlp.gate_proj", [configuration.intermediateSize, width], .feedForward, i)
            requireLinear("\(layer)mlp.up_proj", [configuration.intermediateSize, width], .feedForward, i)
            requireLinear("\(layer)mlp.down_proj", [width, configuration.intermediateSize], .feedForward, i)
        }
        require("model.norm.weight", [width], .norms)
        if !configuration.tiedEmbeddings { require("lm_head.weight", [vocabulary, width], .head) }
    }

    mutating func requireAttention(_ prefix: String, _ layer: Int, _ component: Component) {
        let (width, inner) = (configuration.hiddenSize, configuration.innerSize)
        let (keyValue, bias) = (configuration.keyValueSize, configuration.attentionBias)
        requireLinear("\(prefix)q_proj", [inner, width], component, layer, bias: bias)
        requireLinear("\(prefix)k_proj", [keyValue, width], component, layer, bias: bias)
        requireLinear("\(prefix)v_proj", [keyValue, width], component, layer, bias: bias)
        requireLinear("\(prefix)o_proj", [width, inner], component, layer, bias: bias)
        require("\(prefix)q_norm.weight", [configuration.headDim], component, layer)
        require("\(prefix)k_norm.weight", [configuration.headDim], component, layer)
    }

    mutating func requireMamba2(_ prefix: String, _ layer: Int, _ component: Component) {
        let (width, shape, options) = (configuration.hiddenSize, configuration.mamba2Shape, configuration.mamba2)
        requireLinear(
            "\(prefix)in_proj", [shape.projectedSize, width], component, layer, bias: options.projectionBias)
        require("\(prefix)conv1d.weight", [shape.channels, 1, options.convolutionTaps], component, layer)
        if options.convolutionBias { require("\(prefix)conv1d.bias", [shape.channels], component, layer) }
        for name in ["A_log", "D", "dt_bias"] { require(prefix + name, [shape.heads], component, layer) }
        if options.normalizesBC {
            require("\(prefix)B_norm.weight", [configuration.headDim], component, layer)
            require("\(prefix)C_norm.weight", [configuration.headDim], component, layer)
        }
        require("\(prefix)norm.weight", [shape.innerSize], component, layer)
        requireLinear("\(prefix)out_proj", [width, shape.innerSize], component, layer, bias: options.projectionBias)
    }

    mutating func requireLinear(
        _ name: String, _ shape: [Int], _ component: Component, _ layer: Int, bias: Bool = false
    ) {
        require("\(name).weight", shape, component, layer)
        if bias { require("\(name).bias", [shape[0]], component, layer) }
    }

    mutating func require(_ name: String, _ shape: [Int], _ component: Component, _ layer: Int? = nil) {
        requirements.append(Requirement(name: name, shape: shape, component: component, layer: layer))
    }
}
