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
    public let gate: Linear<Scalar>
    public let up: Linear<Scalar>
    public let down: Linear<Scalar>

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
