//  The Mamba-2 mixer of the hybrid models, and of plain ones.
//
//      1  z | x | B | C | dt = W_in u                      widths  H P | Hkv P | Hkv N | H N | H
//      2  B, C = rms(B), rms(C)                            each head; if the model normalises B and C
//      3  B, C = rope(B), rope(C)                          if the model rotates B and C
//      4  x | B | C = silu( conv(x | B | C) )              depthwise, causal, over x, B and C together
//      5  y = SSD(x, dt, A = -e^A_log, B, C, D, dt_bias)   x and B have the key/value heads, C and dt have all
//      6  out = W_out gatednorm(y, z)                      each head is a group; the gate comes before the norm
//
//  In plain Mamba-2 models x has all H heads, B and C have G groups each and N of their own,
//  nothing is normalised or rotated in steps 2 and 3, the step is clamped to a range, and the
//  norm's group is wider (Mamba2Shape tells the widths).
//
//  Against attention: x plays the part of v, B of k, C of q; the state replaces the cache of keys
//  and values.
//
//  | symbol | shape      | meaning                                    |
//  |--------|------------|--------------------------------------------|
//  | u, out | [L, Dm]    | the residual stream, normalised            |
//  | x, B   | [L, Hkv P] | P = N in these models                      |
//  | C, z, y| [L, H P]   |                                            |
//
//  Source: Mamba-2 (arXiv 2405.21060) section 7; awslabs/hybrid-model-factory,
//  layers/mamba/mamba2.py.

import DualityCore

/// The Mamba-2 mixer of a decoder layer.
public struct Mamba2Mixer<Scalar: RealNumber>: Sendable {
    /// W_in, `[z|x|B|C|dt, Dm]` (step 1).
    public let inputProjection: Linear<Scalar>
    /// Norm of each head of B, before the convolution; nil where the model has none (step 2).
    public let bNorm: RMSNorm<Scalar>?
    /// Norm of each head of C, before the convolution; nil where the model has none (step 2).
    public let cNorm: RMSNorm<Scalar>?
    /// Whether B and C turn with the position before the convolution (step 3).
    public let rotatesBC: Bool
    /// The convolution over the channels of x, B and C together (step 4).
    public let convolution: CausalConvolution<Scalar>
    /// A = -e^A_log, `[H]`, negative.
    public let a: Tensor<Scalar>
    /// `[H]`.
    public let dtBias: Tensor<Scalar>
    /// Skip weight, `[H]`.
    public let d: Tensor<Scalar>
    /// The norm of y and its gate z (step 6).
    public let gatedNorm: GatedGroupNorm<Scalar>
    /// W_out, `[Dm, H P]` (step 6).
    public let outputProjection: Linear<Scalar>
    /// Head counts and widths of x, B, C and the state.
    public let shape: Mamba2Shape
    /// What the step is clamped to after its softplus.
    public let stepLimit: ClosedRange<Double>
    /// How SSD is evaluated; every form gives the same answer up to rounding.
    public var form: SSDForm

    /// Heads of z, dt and y.
    public var headCount: Int { shape.heads }
    /// Heads of x and B in a hybrid model.
    public var keyValueHeadCount: Int { shape.xHeads }
    /// P.
    public var headDim: Int { shape.headDim }

    init(
        inputProjection: Linear<Scalar>, bNorm: RMSNorm<Scalar>?, cNorm: RMSNorm<Scalar>?, rotatesBC: Bool,
        convolution: CausalConvolution<Scalar>, a: Tensor<Scalar>, dtBias: Tensor<Scalar>, d: Tensor<Scalar>,
        gatedNorm: GatedGroupNorm<Scalar>, outputProjection: Linear<Scalar>, shape: Mamba2Shape,
        stepLimit: ClosedRange<Double> = 0...Double.infinity, form: SSDForm
    ) {
        self.inputProjection = inputProjection
        self.bNorm = bNorm
        self.cNorm = cNorm
        self.rotatesBC = rotatesBC
        self.convolution = convolution
        self.a = a
        self.dtBias = dtBias
        self.d = d
        self.gatedNorm = gatedNorm
        self.outputProjection = outputProjection
        self.shape = shape
        self.stepLimit = stepLimit
        self.form = form
    }

    /// A mixer of a hybrid model: P = N, x and B with the key/value heads, C with all.
    init(
        inputProjection: Linear<Scalar>, bNorm: RMSNorm<Scalar>?, cNorm: RMSNorm<Scalar>?, rotatesBC: Bool,
        convolution: CausalConvolution<Scalar>, a: Tensor<Scalar>, dtBias: Tensor<Scalar>, d: Tensor<Scalar>,
        gatedNorm: GatedGroupNorm<Scalar>, outputProjection: Linear<Scalar>, headCount: Int, keyValueHeadCount: Int,
        headDim: Int, form: SSDForm
    ) {
        self.init(
            inputProjection: inputProjection, bNorm: bNorm, cNorm: cNorm, rotatesBC: rotatesBC,
            convolution: convolution, a: a, dtBias: dtBias, d: d, gatedNorm: gatedNorm,
            outputProjection: outputProjection,
            shape: Mamba2Shape(
                heads: headCount, headDim: headDim, stateDim: headDim, xHeads: keyValueHeadCount,
                bHeads: keyValueHeadCount, cHeads: headCount), form: form)
    }

    /// A from the `A_log` of a checkpoint, exponentiated in `Scalar` (float32 or wider).
    public static func decayRates(logarithms: Tensor<Scalar>) -> Tensor<Scalar> {
        logarithms.map { -Scalar.exp($0) }
    }

    /// Extends the sequence by the tokens of `u`.
    ///
    /// - Parameters:
    ///   - u: `[L, Dm]`, L >= 0.
    ///   - rotation: the rotary table of their positions, used only if the mixer rotates B and C.
    ///   - cache: convolution window, SSM state and log decay of the tokens before; advanced by L
    ///     tokens.
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
        let outputs = try form.evaluate(inputs)  // 5
        cache.state = try outputs.finalState.reshaped(cache.state.shape)
        for (head, sum) in outputs.logDecay.elements.enumerated() { cache.logDecay[head] += sum }
        let y = try outputs.y.reshaped(z.shape)
        return outputProjection(gatedNorm(y, gate: z))  // 6
    }

    /// Steps 1 to 4: the gate, and what SSD is applied to. Advances the convolution window, not the
    /// state.
    func scanInputs(
        _ u: Tensor<Scalar>, rotation: RotaryTable<Scalar>, cache: inout ScanCache<Scalar>
    ) throws -> (z: Tensor<Scalar>, inputs: SSDInputs<Scalar>) {
        var (z, x, b, c, dt) = split(inputProjection(u))  // 1
        if let bNorm { b = bNorm(b) }  // 2
        if let cNorm { c = cNorm(c) }
        if rotatesBC {  // 3
            rotation.rotate(&b)
            rotation.rotate(&c)
        }
        var convolved = convolution.extend(joined([x, b, c]), window: &cache.window)  // 4
        for i in convolved.elements.indices { convolved.elements[i] = Scalar.silu(convolved.elements[i]) }
        return (z, try scanInputs(convolved: convolved, dt: dt, initialState: cache.state))
    }

    /// The columns of the projection in, `[L, H P + Hkv P + Hkv N + H N + H]`, by name.
    ///
    /// - Returns: z, x, B, C and dt, each `[L, width]`.
    public func split(
        _ projected: Tensor<Scalar>
    ) -> (z: Tensor<Scalar>, x: Tensor<Scalar>, b: Tensor<Scalar>, c: Tensor<Scalar>, dt: Tensor<Scalar>) {
        var first = 0
        func next(_ width: Int) -> Tensor<Scalar> {
            defer { first += width }
            return projected.columns(first..<first + width)
        }
        return (
            next(shape.innerSize), next(shape.xSize), next(shape.bSize), next(shape.cSize), next(shape.heads)
        )
    }

    /// What SSD is applied to in step 5.
    ///
    /// - Parameters:
    ///   - convolved: x | B | C after step 4, `[L, C]`.
    ///   - dt: the raw steps, `[L, H]`.
    ///   - initialState: `[H, P, N]`; nil for an empty memory.
    /// - Throws: `InputError` (`.shape`) when they are not of this mixer.
    public func scanInputs(
        convolved: Tensor<Scalar>, dt: Tensor<Scalar>, initialState: Tensor<Scalar>? = nil
    ) throws -> SSDInputs<Scalar> {
        let length = convolved.shape[0]
        let (xEnd, bEnd) = (shape.xSize, shape.xSize + shape.bSize)
        return try SSDInputs(
            x: convolved.columns(0..<xEnd).reshaped([1, length, shape.xHeads, shape.headDim]),
            dt: dt.reshaped([1, length, shape.heads]),
            a: a,
            b: convolved.columns(xEnd..<bEnd).reshaped([1, length, shape.bHeads, shape.stateDim]),
            c: convolved.columns(bEnd..<shape.channels).reshaped([1, length, shape.cHeads, shape.stateDim]),
            d: d,
            dtBias: dtBias,
            initialState: initialState?.reshaped([1, shape.heads, shape.headDim, shape.stateDim]),
            dtLimit: stepLimit,
            // Weights are checked when they are loaded; a NaN that was let through there shows in
            // the logits.
            allowsNonFinite: true)
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
