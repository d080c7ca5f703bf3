//  One decoder layer: a mixer over time and an MLP over channels, each behind a norm and around a
//  residual.
//
//      h = h + mixer( rms(h; inputNorm) )
//      h = h + mlp( rms(h; feedForwardNorm) )
//
//  Layers of plain Mamba-2 models have the mixer alone, without an MLP.
//
//  Source: Qwen3DecoderLayer, Qwen3HybridDecoderLayerBase of the official model.

import DualityCore

/// What mixes tokens in a decoder layer.
public enum Mixer<Scalar: RealNumber>: Sendable {
    /// Attention to everything before, or within a sliding window.
    case attention(Attention<Scalar>)
    /// Mamba-2.
    case mamba2(Mamba2Mixer<Scalar>)
    /// Gated DeltaNet.
    case gatedDeltaNet(GatedDeltaNet<Scalar>)
    /// Gated KalmaNet.
    case gatedKalmaNet(GatedKalmaNet<Scalar>)
    /// B'MOJO-F.
    case bmojo(BMojo<Scalar>)
}

/// A mixer and an MLP, pre-normalised, with residuals.
public struct DecoderLayer<Scalar: RealNumber>: Sendable {
    /// The norm in front of the mixer; `input_layernorm` in the checkpoints of hybrids.
    public let inputNorm: RMSNorm<Scalar>
    /// What mixes the tokens, `[L, Dm]` to `[L, Dm]`.
    public var mixer: Mixer<Scalar>
    /// `post_attention_layernorm` in checkpoints; nil in a layer without an MLP.
    public let feedForwardNorm: RMSNorm<Scalar>?
    /// The MLP; nil in the layers of plain Mamba-2 models.
    public let feedForward: FeedForward<Scalar>?

    /// Extends the sequence by the tokens of `h`.
    ///
    /// - Parameters:
    ///   - h: the residual stream, `[L, Dm]`; advanced through the layer in place.
    ///   - rotation: the rotary table of the tokens' positions.
    ///   - cache: the layer's memory of the tokens before, of this layer's kind; advanced.
    ///   - observe: is shown what goes into the mixer and into its scan.
    func extend(
        _ h: inout Tensor<Scalar>, rotation: RotaryTable<Scalar>, cache: inout LayerCache<Scalar>,
        observe: ((LayerObservation<Scalar>) -> Void)?
    ) throws {
        let u = inputNorm(h)
        observe?(.mixerInput(u))
        h.add(try mixer.extend(u, rotation: rotation, cache: &cache) { observe?(.scanInputs($0)) })
        if let feedForward, let feedForwardNorm { h.add(feedForward(feedForwardNorm(h))) }
    }
}

extension Mixer {
    /// Extends the sequence by the tokens of `u`.
    ///
    /// - Parameters:
    ///   - u: `[L, Dm]`, normalised.
    ///   - rotation: the rotary table of the tokens' positions.
    ///   - cache: the layer's memory of the tokens before, of this mixer's kind; advanced.
    ///   - observe: is shown what SSD is applied to, where it is.
    /// - Returns: `[L, Dm]`.
    func extend(
        _ u: Tensor<Scalar>, rotation: RotaryTable<Scalar>, cache: inout LayerCache<Scalar>,
        observe: ((SSDInputs<Scalar>) -> Void)? = nil
    ) throws -> Tensor<Scalar> {
        switch self {
        case .attention(let attention): attention.extend(u, rotation: rotation, cache: &cache.keyValues!)
        case .mamba2(let mixer): try mixer.extend(u, rotation: rotation, cache: &cache.scan!, observe: observe)
        case .gatedDeltaNet(let mixer): mixer.extend(u, cache: &cache.deltaNet!)
        case .gatedKalmaNet(let mixer): mixer.extend(u, cache: &cache.kalmaNet!)
        case .bmojo(let mixer): try mixer.extend(u, rotation: rotation, cache: &cache, observe: observe)
        }
    }
}

/// Something seen inside a decoder layer on the way.
public enum LayerObservation<Scalar: RealNumber>: Sendable {
    /// What the mixer is given, `[L, Dm]`.
    case mixerInput(Tensor<Scalar>)
    /// What SSD is applied to, in a Mamba-2 layer.
    case scanInputs(SSDInputs<Scalar>)
    /// The residual stream after the layer, `[L, Dm]`.
    case output(Tensor<Scalar>)
}

extension Tensor where Element: RealNumber {
    /// Adds a tensor of the same shape, element by element.
    fileprivate mutating func add(_ other: Tensor) {
        precondition(shape == other.shape, "the residual has the shape of the stream")
        for i in elements.indices { elements[i] += other.elements[i] }
    }
}
