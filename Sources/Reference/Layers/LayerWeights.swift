//  Layers from the named tensors of a checkpoint.

import DualityCore

/// The tensors below one prefix of a checkpoint, made into layers.
struct Weights<Scalar: RealNumber> {
    let source: any TensorSource
    let prefix: String
    var allowsNonFinite = false

    func with(prefix: String) -> Weights { Weights(source: source, prefix: prefix, allowsNonFinite: allowsNonFinite) }
    func under(_ part: String) -> Weights { with(prefix: prefix + part) }

    func tensor(_ name: String) throws -> Tensor<Scalar> {
        let tensor = try source.tensor(prefix + name, as: Scalar.self)
        if !allowsNonFinite { try tensor.requireFinite("\(source.place): \(prefix + name)") }
        return tensor
    }

    /// `name.weight` and, if there is one, `name.bias`.
    func linear(_ name: String, bias: Bool = false) throws -> Linear<Scalar> {
        try Linear(weight: tensor("\(name).weight"), bias: bias ? tensor("\(name).bias") : nil)
    }

    func norm(_ name: String, _ epsilon: Double) throws -> RMSNorm<Scalar> {
        RMSNorm(weight: try tensor(name), epsilon: epsilon)
    }

    func layer(_ kind: LayerKind, _ configuration: HybridConfiguration) throws -> DecoderLayer<Scalar> {
        if configuration.plainMamba2 != nil {
            return DecoderLayer(
                inputNorm: try norm("norm.weight", configuration.normEpsilon),
                mixer: .mamba2(try under("mixer.").mamba2(configuration)), feedForwardNorm: nil, feedForward: nil)
        }
        return DecoderLayer(
            inputNorm: try norm("input_layernorm.weight", configuration.normEpsilon),
            mixer: try under("\(kind.attribute).").mixer(kind, configuration),
            feedForwardNorm: try norm("post_attention_layernorm.weight", configuration.normEpsilon),
            feedForward: FeedForward(
                gate: try linear("mlp.gate_proj"), up: try linear("mlp.up_proj"), down: try linear("mlp.down_proj")))
    }

    private func mixer(_ kind: LayerKind, _ configuration: HybridConfiguration) throws -> Mixer<Scalar> {
        switch kind {
        case .attention: .attention(try attention(configuration))
        case .slidingWindowAttention: .attention(try attention(configuration, window: configuration.slidingWindow))
        case .mamba2: .mamba2(try mamba2(configuration))
        case .gatedDeltaNet: .gatedDeltaNet(try gatedDeltaNet(configuration))
        case .gatedKalmaNet: .gatedKalmaNet(try gatedKalmaNet(configuration))
        case .bmojo: .bmojo(try bmojo(configuration))
        }
    }

    /// - Parameter suffix: behind the names of q, k, v and their norms, for the second set of an
    ///   untied B'MOJO-F layer.
    func attention(
        _ configuration: HybridConfiguration, window: Int? = nil, suffix: String = ""
    ) throws -> Attention<Scalar> {
        let bias = configuration.attentionBias
        return Attention(
            query: try linear("q_proj\(suffix)", bias: bias), key: try linear("k_proj\(suffix)", bias: bias),
            value: try linear("v_proj\(suffix)", bias: bias), output: try linear("o_proj", bias: bias),
            queryNorm: try norm("q_norm\(suffix).weight", configuration.normEpsilon),
            keyNorm: try norm("k_norm\(suffix).weight", configuration.normEpsilon), headDim: configuration.headDim,
            window: window)
    }

    func mamba2(_ configuration: HybridConfiguration) throws -> Mamba2Mixer<Scalar> {
        let options = configuration.mamba2
        return Mamba2Mixer(
            inputProjection: try linear("in_proj", bias: options.projectionBias),
            bNorm: options.normalizesBC ? try norm("B_norm.weight", options.bcNormEpsilon) : nil,
            cNorm: options.normalizesBC ? try norm("C_norm.weight", options.bcNormEpsilon) : nil,
            rotatesBC: options.rotatesBC,
            convolution: try CausalConvolution(
                weight: tensor("conv1d.weight"), bias: options.convolutionBias ? tensor("conv1d.bias") : nil),
            a: Mamba2Mixer.decayRates(logarithms: try tensor("A_log")),
            dtBias: try tensor("dt_bias"),
            d: try tensor("D"),
            gatedNorm: try GatedGroupNorm(
                weight: tensor("norm.weight"),
                groupSize: configuration.plainMamba2?.gatedNormGroup ?? configuration.headDim,
                epsilon: options.gatedNormEpsilon),
            outputProjection: try linear("out_proj", bias: options.projectionBias),
            shape: configuration.mamba2Shape,
            stepLimit: configuration.plainMamba2?.stepLimit ?? 0...Double.infinity, form: .chunked(size: 64))
    }
}
