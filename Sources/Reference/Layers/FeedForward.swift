//  The gated MLP of a decoder layer (SwiGLU).
//
//      mlp(u) = W_down ( silu(W_gate u) ⊙ W_up u )
//
//  | weight | shape   |
//  |--------|---------|
//  | gate   | [F, Dm] |
//  | up     | [F, Dm] |
//  | down   | [Dm, F] |
//
//  Source: Shazeer (arXiv 2002.05202); Qwen3MLP of the official model.

import DualityCore

/// The feed-forward half of a decoder layer.
public struct FeedForward<Scalar: RealNumber>: Sendable {
    /// W_gate, `[F, Dm]`; its output goes through SiLU.
    public let gate: Linear<Scalar>
    /// W_up, `[F, Dm]`.
    public let up: Linear<Scalar>
    /// W_down, `[Dm, F]`.
    public let down: Linear<Scalar>

    /// Layers whose widths fit together; that is not checked here.
    public init(gate: Linear<Scalar>, up: Linear<Scalar>, down: Linear<Scalar>) {
        self.gate = gate
        self.up = up
        self.down = down
    }

    /// - Parameter u: `[L, Dm]`.
    /// - Returns: `[L, Dm]`.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func callAsFunction(_ u: Tensor<Scalar>) -> Tensor<Scalar> {
        var hidden = gate(u)
        let up = up(u)
        for i in hidden.elements.indices { hidden.elements[i] = Scalar.silu(hidden.elements[i]) * up.elements[i] }
        return down(hidden)
    }
}
