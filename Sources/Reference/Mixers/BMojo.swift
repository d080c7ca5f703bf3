//  The B'MOJO-F mixer: sliding-window attention, and behind the window attention to what a state
//  space model makes of the past.
//
//      f = mixer(u)                                                the fading tokens; a Mamba-2, GDN or GKA layer
//      in context    q  = rope(rms(W_q u)),    keys s in t-W+1 … t         k  = rope(rms(W_k u_s)),    v  = W_v u_s
//      fading        q' = rope(rms(W_q' u)),   keys s in t-2W+1 … t-W      k' = rope(rms(W_k' f_s)),   v' = W_v' f_s
//      o = one softmax over both sets,   out = W_o concat_h(o_h)
//
//  The primed projections are the same ones unless the model unties them. The mixer reaches the
//  output only through keys and values of the fading tokens: f is not added to it, and the first W
//  tokens are plain sliding-window attention.
//
//  | symbol | shape    | meaning                             |
//  |--------|----------|-------------------------------------|
//  | u, out | [L, Dm]  | the residual stream, normalised     |
//  | f      | [L, Dm]  |                                     |
//
//  Source: Zancato et al. (arXiv 2407.06324); awslabs/hybrid-model-factory, layers/bmojo_f. The
//  official decoding runs the mixer without its memory, from zero at every token; here all three
//  memories go on.

import DualityCore

/// The B'MOJO-F mixer of a decoder layer.
public struct BMojo<Scalar: RealNumber>: Sendable {
    /// What makes the fading tokens.
    public enum Mixer: Sendable {
        /// Mamba-2.
        case mamba2(Mamba2Mixer<Scalar>)
        /// Gated DeltaNet.
        case gatedDeltaNet(GatedDeltaNet<Scalar>)
        /// Gated KalmaNet.
        case gatedKalmaNet(GatedKalmaNet<Scalar>)
    }

    /// Makes the fading tokens f, `[L, Dm]`; part of the output only through their keys and values.
    public var mixer: Mixer
    /// Attention of the in-context tokens, and the output projection.
    let attention: Attention<Scalar>
    /// Queries of, and keys and values from, the fading tokens; its output projection is not used.
    let fadingAttention: Attention<Scalar>
    /// W.
    public let window: Int

    /// Extends the sequence by the tokens of `u`.
    ///
    /// - Parameters:
    ///   - u: `[L, Dm]`, L >= 0.
    ///   - rotation: the rotary table of their positions.
    ///   - cache: in-context and fading keys and values, and the mixer's memory; advanced by L
    ///     tokens.
    /// - Returns: `[L, Dm]`.
    /// - Throws: what the mixer throws.
    /// - Complexity: O(L W H D) beside the projections and the mixer.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func extend(
        _ u: Tensor<Scalar>, rotation: RotaryTable<Scalar>, cache: inout LayerCache<Scalar>,
        observe: ((SSDInputs<Scalar>) -> Void)? = nil
    ) throws -> Tensor<Scalar> {
        let f: Tensor<Scalar> =
            switch mixer {
            case .mamba2(let mixer):
                try mixer.extend(u, rotation: rotation, cache: &cache.scan!, observe: observe)
            case .gatedDeltaNet(let mixer): mixer.extend(u, cache: &cache.deltaNet!)
            case .gatedKalmaNet(let mixer): mixer.extend(u, cache: &cache.kalmaNet!)
            }
        let (q, k, v) = attention.projected(u, rotation: rotation)
        cache.keyValues!.append(keys: k, values: v)
        let fadingQueries = fadingAttention.projected(u, rotation: rotation).q
        let fading = fadingAttention.projected(f, rotation: rotation)
        cache.fadingKeyValues!.append(keys: fading.k, values: fading.v)

        let length = u.shape[0]
        let past = cache.keyValues!.count - length
        let fadingPast = cache.fadingKeyValues!.count - length
        let attended = attend(
            [
                AttendedSet(queries: q, cache: cache.keyValues!) { t in
                    max(0, past + t - window + 1)..<past + t + 1
                },
                AttendedSet(queries: fadingQueries, cache: cache.fadingKeyValues!) { t in
                    max(0, fadingPast + t - 2 * window + 1)..<max(0, fadingPast + t - window + 1)
                },
            ], headDim: attention.headDim)
        cache.keyValues!.trim()
        cache.fadingKeyValues!.trim()
        return attention.output(attended)
    }
}
