//  Queries, keys and values of the mixers that keep a matrix of D x D numbers per head: Gated
//  DeltaNet and Gated KalmaNet.
//
//      q, k, v = silu( conv(W_q u) ), silu( conv(W_k u) ), silu( conv(W_v u) )        three depthwise causal convolutions
//      k, v -> H heads                                                              see HeadExpansion.swift
//
//  | symbol | shape       | meaning                                                     |
//  |--------|-------------|-------------------------------------------------------------|
//  | u      | [L, Dm]     | the residual stream, normalised                             |
//  | q      | [L, H D]    |                                                             |
//  | k, v   | [L, Hkv D]  | before the expansion, [L, H D] after it                     |
//
//  There is no position embedding and no learned norm of q and k. Without short convolutions their
//  activation remains (GDN); a v that is not convolved is not activated either (GKA).
//
//  Source: awslabs/hybrid-model-factory, layers/gated_deltanet/gdn.py,
//  layers/gated_kalmanet/gka.py; the short convolution of flash-linear-attention.

import DualityCore

/// The projections, short convolutions and head expansion in front of a matrix-valued state.
public struct QueryKeyValue<Scalar: RealNumber>: Sendable {
    let query: ShortConvolution<Scalar>
    let key: ShortConvolution<Scalar>
    let value: ShortConvolution<Scalar>
    let keyExpansion: HeadExpansion<Scalar>
    let valueExpansion: HeadExpansion<Scalar>

    /// - Parameters:
    ///   - u: `[L, Dm]`.
    ///   - windows: the inputs of the convolutions before it; advanced.
    /// - Returns: three matrices `[L, H D]`.
    func extend(
        _ u: Tensor<Scalar>, windows: inout ShortWindows<Scalar>
    ) -> (q: Tensor<Scalar>, k: Tensor<Scalar>, v: Tensor<Scalar>) {
        let q = query.extend(u, window: &windows.q)
        let k = key.extend(u, window: &windows.k)
        let v = value.extend(u, window: &windows.v)
        return (q, keyExpansion(k), valueExpansion(v))
    }
}

/// `silu(conv(W u))`, or without one or both of the two outer functions.
struct ShortConvolution<Scalar: RealNumber>: Sendable {
    let projection: Linear<Scalar>
    let convolution: CausalConvolution<Scalar>?
    let activates: Bool

    func extend(_ u: Tensor<Scalar>, window: inout Tensor<Scalar>) -> Tensor<Scalar> {
        var y = projection(u)
        if let convolution { y = convolution.extend(y, window: &window) }
        if activates { for i in y.elements.indices { y.elements[i] = Scalar.silu(y.elements[i]) } }
        return y
    }
}
