//  Every tensor that a configuration requires, by name, shape and number format.
//
//  With Dm the hidden size, H heads and Hkv key/value heads of dimension P, F the MLP width, V the vocabulary, W taps:
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
//  Source: awslabs/hybrid-model-factory, modeling_hybrid_qwen3.py, layers/mamba/mamba2.py.

/// The tensors a model is made of.
public struct WeightContract: Sendable {
    /// The part of a model that a tensor belongs to.
    public enum Component: String, Sendable, CaseIterable, Codable {
        case embedding
        case attention
        case mamba2
        case feedForward
        case norms
        case head
    }

    /// One required tensor.
    public struct Requirement: Sendable, Equatable {
        public let name: String
        public let shape: [Int]
        public let component: Component
        /// The layer it belongs to; nil for the embedding, the last norm and the head.
        public let layer: Int?

        public var count: Int { shape.reduce(1, *) }
    }

    /// The number formats a weight may have. The 8-bit formats are not among them: they mean nothing without their scales.
    public static let dtypes: [DType] = [.bf16, .f16, .f32, .f64]

    /// All required tensors, from the embedding to the head.
    public private(set) var requirements: [Requirement] = []
    public let configuration: HybridConfiguration

    /// - Throws: `InputError` (`.unsupported`) for a layer of a kind that is not built yet, named.
    public init(_ configuration: HybridConfiguration) throws(InputError) {
        self.configuration = configuration
        let (width, vocabulary) = (configuration.hiddenSize, configuration.vocabularySize)
        require("model.embed_tokens.weight", [vocabulary, width], .embedding)
        for (i, kind) in configuration.layers.enumerated() {
            let layer = "model.layers.\(i)."
            require("\(layer)input_layernorm.weight", [width], .norms, i)
            switch kind {
            case .attention: requireAttention("\(layer)\(kind.attribute).", i)
            case .mamba2: requireMamba2("\(layer)\(kind.attribute).", i)
            case .gatedDeltaNet, .gatedKalmaNet, .bmojo, .slidingWindowAttention:
                throw InputError(
                    .unsupported, in: "model.layers.\(i)", expected: "a layer * or M2",
                    found: kind.rawValue, remedy: "Layers of this kind are not built yet.")
            }
            require("\(layer)post_attention_layernorm.weight", [width], .norms, i)
            requireLinear("\(layer)mlp.gate_proj", [configuration.intermediateSize, width], .feedForward, i)
            requireLinear("\(layer)mlp.up_proj", [configuration.intermediateSize, width], .feedForward, i)
            requireLinear("\(layer)mlp.down_proj", [width, configuration.intermediateSize], .feedForward, i)
        }
        require("model.norm.weight", [width], .norms)
        if !configuration.tiedEmbeddings { require("lm_head.weight", [vocabulary, width], .head) }
    }

    private mutating func requireAttention(_ prefix: String, _ layer: Int) {
        let (width, inner) = (configuration.hiddenSize, configuration.innerSize)
        let (keyValue, bias) = (configuration.keyValueSize, configuration.attentionBias)
        requireLinear("\(prefix)q_proj", [inner, width], .attention, layer, bias: bias)
        requireLinear("\(prefix)k_proj", [keyValue, width], .attention, layer, bias: bias)
        requireLinear("\(prefix)v_proj", [keyValue, width], .attention, layer, bias: bias)
        requireLinear("\(prefix)o_proj", [width, inner], .attention, layer, bias: bias)
        require("\(prefix)q_norm.weight", [configuration.headDim], .attention, layer)
        require("\(prefix)k_norm.weight", [configuration.headDim], .attention, layer)
    }

    private mutating func requireMamba2(_ prefix: String, _ layer: Int) {
        let (width, inner, heads) = (configuration.hiddenSize, configuration.innerSize, configuration.headCount)
        let convolved = inner + 2 * configuration.keyValueSize
        let options = configuration.mamba2
        requireLinear(
            "\(prefix)in_proj", [inner + convolved + heads, width], .mamba2, layer, bias: options.projectionBias)
        require("\(prefix)conv1d.weight", [convolved, 1, options.convolutionTaps], .mamba2, layer)
        if options.convolutionBias { require("\(prefix)conv1d.bias", [convolved], .mamba2, layer) }
        for name in ["A_log", "D", "dt_bias"] { require(prefix + name, [heads], .mamba2, layer) }
        if options.normalizesBC {
            require("\(prefix)B_norm.weight", [configuration.headDim], .mamba2, layer)
            require("\(prefix)C_norm.weight", [configuration.headDim], .mamba2, layer)
        }
        require("\(prefix)norm.weight", [inner], .mamba2, layer)
        requireLinear("\(prefix)out_proj", [width, inner], .mamba2, layer, bias: options.projectionBias)
    }

    private mutating func requireLinear(
        _ name: String, _ shape: [Int], _ component: Component, _ layer: Int, bias: Bool = false
    ) {
        require("\(name).weight", shape, component, layer)
        if bias { require("\(name).bias", [shape[0]], component, layer) }
    }

    private mutating func require(_ name: String, _ shape: [Int], _ component: Component, _ layer: Int? = nil) {
        requirements.append(Requirement(name: name, shape: shape, component: component, layer: layer))
    }
}
