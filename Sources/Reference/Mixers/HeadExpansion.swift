//  Key/value heads to as many as there are query heads.
//
//      y_h = sum over g of  R[h, g] u_g   (+ heads of  W_B silu(W_A u) )
//
//  | symbol | shape       | meaning                                                                    |
//  |--------|-------------|----------------------------------------------------------------------------|
//  | u      | [L, Hkv D]  |                                                                            |
//  | R      | [H, Hkv]    | learned, or the repetition R[h, g] = 1 where g = h div (H / Hkv), else 0   |
//  | W_A    | [ρ, Hkv D]  | of the low-rank correction, where there is one                             |
//  | W_B    | [H D, ρ]    |                                                                            |
//  | y      | [L, H D]    |                                                                            |
//
//  With as many key/value heads as query heads nothing happens, correction or not, as in the
//  official code.
//
//  Source: awslabs/hybrid-model-factory, layers/low_rank_linear.py, `_expand_kv` of
//  layers/gated_deltanet/gdn.py.

import DualityCore

/// The expansion of grouped heads.
struct HeadExpansion<Scalar: RealNumber>: Sendable {
    /// H.
    let heads: Int
    /// D.
    let headDim: Int
    /// R, `[H, Hkv]`; nil for the repetition.
    let mixture: Tensor<Scalar>?
    let correction: (down: Linear<Scalar>, up: Linear<Scalar>)?

    func callAsFunction(_ u: Tensor<Scalar>) -> Tensor<Scalar> {
        let (length, sharedHeads) = (u.shape[0], u.shape[1] / headDim)
        guard sharedHeads < heads else { return u }
        var y = Tensor<Scalar>(repeating: 0, shape: [length, heads * headDim])
        if let correction {
            var hidden = correction.down(u)
            for i in hidden.elements.indices { hidden.elements[i] = Scalar.silu(hidden.elements[i]) }
            y = correction.up(hidden)
        }
        let group = heads / sharedHeads
        withRows(of: u) { u in
            withRows(of: &y) { y in
                for t in 0..<length {
                    for head in 0..<heads {
                        let out = y + (t * heads + head) * headDim
                        if let mixture {
                            for g in 0..<sharedHeads {
                                let weight = mixture.elements[head * sharedHeads + g]
                                addScaled(weight, u + (t * sharedHeads + g) * headDim, to: out, headDim)
                            }
                        } else {
                            addScaled(1, u + (t * sharedHeads + head / group) * headDim, to: out, headDim)
                        }
                    }
                }
            }
        }
        return y
    }
}
