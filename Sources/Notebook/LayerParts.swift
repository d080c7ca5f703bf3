//  The parts of a layer that a notebook computes by hand.

import DualityReference

extension DecoderLayer {
    /// The mixer, the MLP and the MLP's norm of a Mamba-2 layer; another layer ends the script.
    public func mamba2Parts() -> (mixer: Mamba2Mixer<Scalar>, mlp: FeedForward<Scalar>, norm: RMSNorm<Scalar>) {
        guard case .mamba2(let mixer) = mixer, let mlp = feedForward, let norm = feedForwardNorm else {
            stop("the layer is no Mamba-2 layer with an MLP; take the embedded model")
        }
        return (mixer, mlp, norm)
    }
}
