//  One decoder layer: a mixer over time and an MLP over channels, each behind a norm and around a residual.
//
//      h = h + mixer( rms(h; inputNorm) )
//      h = h + mlp( rms(h; feedForwardNorm) )
//
//  Source: Qwen3DecoderLayer, Qwen3HybridDecoderLayerBase of the official model.

import DualityCore

/// What mixes tokens in a decoder layer.
public enum Mixer<Scalar: RealNumber>: Sendable {
    case attention(Attention<Scalar>)
    case mamba2(Mamba2Mixer<Scalar>)
}

/// A mixer and an MLP, pre-normalised, with residuals.
public struct DecoderLayer<Scalar: RealNumber>: Sendable {
    public let inputNorm: RMSNorm<Scalar>
    public var mixer: Mixer<Scalar>
    /// `post_attention_layernorm` in checkpoints.
    public let feedForwardNorm: RMSNorm<Scalar>
    public let feedForward: FeedForward<Scalar>

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
        switch mixer {
        case .attention(let attention):
            h.add(attention.extend(u, rotation: rotation, cache: &cache.keyValues!))
        case .mamba2(let mamba2):
            h.add(
                try mamba2.extend(u, rotation: rotation, cache: &cache.scan!) { inputs in
                    observe?(.scanInputs(inputs))
                })
        }
        h.add(feedForward(feedForwardNorm(h)))
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
