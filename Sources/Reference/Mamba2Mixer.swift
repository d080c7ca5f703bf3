//  The Mamba-2 mixer of the hybrid models.
//
//      1  z | x | B | C | dt = W_in u                      widths  H P | Hkv P | Hkv N | H N | H
//      2  B, C = rms(B), rms(C)                            each head; if the model normalises B and C
//      3  B, C = rope(B), rope(C)                          if the model rotates B and C
//      4  x | B | C = silu( conv(x | B | C) )              depthwise, causal, over x, B and C together
//      5  y = SSD(x, dt, A = -e^A_log, B, C, D, dt_bias)   x and B have the key/value heads, C and dt have all
//      6  out = W_out gatednorm(y, z)                      each head is a group; the gate comes before the norm
//
//  Against attention: x plays the part of v, B of k, C of q; the state replaces the cache of keys and values.
//
//  | symbol | shape      | meaning                                    |
//  |--------|------------|--------------------------------------------|
//  | u, out | [L, Dm]    | the residual stream, normalised            |
//  | x, B   | [L, Hkv P] | P = N in these models                      |
//  | C, z, y| [L, H P]   |                                            |
//
//  Source: Mamba-2 (arXiv 2405.21060) section 7; awslabs/hybrid-model-factory, layers/mamba/mamba2.py.

import DualityCore

/// The Mamba-2 mixer of a decoder layer.
public struct Mamba2Mixer<Scalar: RealNumber>: Sendable {
    public let inputProjection: Linear<Scalar>
    public let bNorm: RMSNorm<Scalar>?
    public let cNorm: RMSNorm<Scalar>?
    public let rotatesBC: Bool
    public let convolution: CausalConvolution<Scalar>
    /// A = -e^A_log, `[H]`, negative.
    public let a: Tensor<Scalar>
    /// `[H]`.
    public let dtBias: Tensor<Scalar>
    /// Skip weight, `[H]`.
    public let d: Tensor<Scalar>
    public let gatedNorm: GatedGroupNorm<Scalar>
    public let outputProjection: Linear<Scalar>
    /// Heads of z, C, dt and y.
    public let headCount: Int
    /// Heads of x and B.
    public let keyValueHeadCount: Int
    /// P = N.
    public let headDim: Int
    /// How SSD is evaluated; every form gives the same answer up to rounding.
    public var form: SSDForm

    /// A from the `A_log` of a checkpoint, exponentiated in `Scalar` (float32 or wider).
    public static func decayRates(logarithms: Tensor<Scalar>) -> Tensor<Scalar> {
        logarithms.map { -Scalar.exp($0) }
    }

    /// Extends the sequence by the tokens of `u`.
    ///
    /// - Parameters:
    ///   - u: `[L, Dm]`, L >= 0.
    ///   - rotation: the rotary table of their positions, used only if the mixer rotates B and C.
    ///   - cache: convolution window, SSM state and log decay of the tokens before; advanced by L tokens.
    ///   - observe: is shown the inputs of the scan.
    /// - Returns: `[L, Dm]`.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func extend(
        _ u: Tensor<Scalar>, rotation: RotaryTable<Scalar>, cache: inout ScanCache<Scalar>,
        observe: ((SSDInputs<Scalar>) -> Void)? = nil
    ) throws -> Tensor<Scalar> {
        let (z, inputs) = try scanInputs(u, rotation: rotation, cache: &cache)
        observe?(inputs)
        let outputs = try form.evaluate(inputs)
        cache.state = try outputs.finalState.reshaped(cache.state.shape)
        for (head, sum) in outputs.logDecay.elements.enumerated() { cache.logDecay[head] += sum }
        let y = try outputs.y.reshaped(z.shape)
        return outputProjection(gatedNorm(y, gate: z))
    }

    /// Steps 1 to 4: the gate, and what SSD is applied to. Advances the convolution window, not the state.
    func scanInputs(
        _ u: Tensor<Scalar>, rotation: RotaryTable<Scalar>, cache: inout ScanCache<Scalar>
    ) throws -> (z: Tensor<Scalar>, inputs: SSDInputs<Scalar>) {
        let length = u.shape[0]
        let (inner, shared) = (headCount * headDim, keyValueHeadCount * headDim)

        let projected = inputProjection(u)
        let z = projected.columns(0..<inner)
        let x = projected.columns(inner..<inner + shared)
        var b = projected.columns(inner + shared..<inner + 2 * shared)
        var c = projected.columns(inner + 2 * shared..<2 * inner + 2 * shared)
        let dt = projected.columns(2 * inner + 2 * shared..<2 * inner + 2 * shared + headCount)

        if let bNorm { b = bNorm(b) }
        if let cNorm { c = cNorm(c) }
        if rotatesBC {
            rotation.rotate(&b)
            rotation.rotate(&c)
        }
        var convolved = convolution.extend(joined([x, b, c]), window: &cache.window)
        for i in convolved.elements.indices { convolved.elements[i] = Scalar.silu(convolved.elements[i]) }

        let inputs = try SSDInputs(
            x: convolved.columns(0..<shared).reshaped([1, length, keyValueHeadCount, headDim]),
            dt: dt.reshaped([1, length, headCount]),
            a: a,
            b: convolved.columns(shared..<2 * shared).reshaped([1, length, keyValueHeadCount, headDim]),
            c: convolved.columns(2 * shared..<2 * shared + inner).reshaped([1, length, headCount, headDim]),
            d: d,
            dtBias: dtBias,
            initialState: cache.state.reshaped([1, headCount, headDim, headDim]),
            // Weights are checked when they are loaded; a NaN that was let through there shows in the logits.
            allowsNonFinite: true)
        return (z, inputs)
    }

    /// Matrices with the same rows, side by side.
    func joined(_ parts: [Tensor<Scalar>]) -> Tensor<Scalar> {
        let (length, width) = (parts[0].shape[0], parts.reduce(0) { $0 + $1.shape[1] })
        var whole = Tensor<Scalar>(repeating: 0, shape: [length, width])
        var first = 0
        for part in parts {
            let columns = part.shape[1]
            for t in 0..<length {
                for i in 0..<columns { whole.elements[t * width + first + i] = part.elements[t * columns + i] }
            }
            first += columns
        }
        return whole
    }
}
