//  The Mamba-2 mixer backwards: its six steps, each transposed, from the last to the first.
//
//      6  out = W_out gatednorm(y, z)                ∂W_out, ∂norm, ∂y, ∂z
//      5  y = SSD(x, dt, A, B, C, D, dt_bias)        ∂x, ∂dt, ∂A, ∂B, ∂C, ∂D, ∂dt_bias, ∂state
//      4  x | B | C = silu( conv(x | B | C) )        ∂taps, ∂bias, ∂window
//      3  B, C = rope(B), rope(C)
//      2  B, C = rms(B), rms(C)                      the norms' weights
//      1  z | x | B | C | dt = W_in u                ∂W_in, ∂u
//
//  What the steps were given is computed anew first; nothing has to be kept from the forward pass
//  but its arguments.
//
//  Source: Mamba2Mixer.swift, differentiated.

import DualityCore

extension Mamba2Mixer {
    /// What the loss says about the results of `extend`; nil where it does not look at one.
    public struct Upstream: Sendable {
        /// ∂ℒ/∂out, `[L, Dm]`.
        public var output: Tensor<Scalar>?
        /// With respect to the SSM state after the last token, `[H, P, N]`.
        public var state: Tensor<Scalar>?
        /// With respect to the convolution window after the last token, `[W-1, C]`.
        public var window: Tensor<Scalar>?

        /// An absent gradient counts as zero; shapes are checked by `gradients`.
        public init(output: Tensor<Scalar>? = nil, state: Tensor<Scalar>? = nil, window: Tensor<Scalar>? = nil) {
            self.output = output
            self.state = state
            self.window = window
        }
    }

    /// The gradient of the loss with respect to what the mixer was given and what it is made of.
    public struct Gradients: Sendable {
        /// ∂u, `[L, Dm]`.
        public var input: Tensor<Scalar>
        /// With respect to the SSM state before the first token, `[H, P, N]`.
        public var state: Tensor<Scalar>
        /// With respect to the convolution window before the first token, `[W-1, C]`.
        public var window: Tensor<Scalar>
        /// `[z|x|B|C|dt, Dm]`.
        public var inputProjectionWeight: Tensor<Scalar>
        /// `[z|x|B|C|dt]`; nil where the projection in has no bias.
        public var inputProjectionBias: Tensor<Scalar>?
        /// `[N]`; nil where B is not normalised.
        public var bNormWeight: Tensor<Scalar>?
        /// `[N]`; nil where C is not normalised.
        public var cNormWeight: Tensor<Scalar>?
        /// `[C, W]`.
        public var convolutionWeight: Tensor<Scalar>
        /// `[C]`.
        public var convolutionBias: Tensor<Scalar>
        /// With respect to A itself, `[H]`.
        public var a: Tensor<Scalar>
        /// With respect to A_log, the parameter of the checkpoint, `[H]`: A ∂A.
        public var aLogarithm: Tensor<Scalar>
        /// `[H]`.
        public var dtBias: Tensor<Scalar>
        /// `[H]`.
        public var d: Tensor<Scalar>
        /// `[H P]`.
        public var gatedNormWeight: Tensor<Scalar>
        /// `[Dm, H P]`.
        public var outputProjectionWeight: Tensor<Scalar>
        /// `[Dm]`; nil where the projection out has no bias.
        public var outputProjectionBias: Tensor<Scalar>?
    }

    /// Runs the mixer backwards, its scan in the mixer's own form.
    ///
    /// - Parameters:
    ///   - u: the tokens that `extend` was given, `[L, Dm]`.
    ///   - rotation: the rotary table of their positions.
    ///   - cache: the cache as it was before them.
    ///   - upstream: the gradients of what `extend` made.
    /// - Throws: `InputError` (`.shape`) when an upstream gradient has another shape than what it
    ///   belongs to.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func gradients(
        of u: Tensor<Scalar>, rotation: RotaryTable<Scalar>, cache: ScanCache<Scalar>, upstream: Upstream
    ) throws -> Gradients {
        let length = u.shape[0]
        let (inner, shared) = (headCount * headDim, keyValueHeadCount * headDim)
        let outputGradient = try outputGradient(upstream, length, cache)

        // Forward once more: what each step is given.
        let projected = inputProjection(u)
        let rawB = projected.columns(inner + shared..<inner + 2 * shared)
        let rawC = projected.columns(inner + 2 * shared..<2 * inner + 2 * shared)
        let convolutionInput = convolutionInput(projected, b: rawB, c: rawC, rotation: rotation)
        var window = cache.window
        let preActivation = convolution.extend(convolutionInput, window: &window)
        var advanced = cache
        let (z, inputs) = try scanInputs(u, rotation: rotation, cache: &advanced)
        let y = try form.evaluate(inputs).y.reshaped(z.shape)

        // 6
        let output = outputProjection.gradients(of: gatedNorm(y, gate: z), output: outputGradient)
        let norm = gatedNorm.gradients(of: y, gate: z, output: output.input)
        // 5
        let scan = try form.gradients(
            of: inputs,
            upstream: SSDUpstream(
                y: norm.y.reshaped([1, length, headCount, headDim]),
                finalState: upstream.state?.reshaped([1, headCount, headDim, headDim])))
        guard let gate = norm.gate, let dtBias = scan.dtBias, let d = scan.d else {
            preconditionFailure("the scan of the mixer has a gate, a step bias and a skip")
        }
        // 4
        let activated = try joined([
            scan.x.reshaped([length, shared]), scan.b.reshaped([length, shared]), scan.c.reshaped([length, inner]),
        ])
        let convolved = convolution.gradients(
            of: convolutionInput, window: cache.window,
            output: activated.multiplied(preActivation) { $0 * .siluDerivative($1) }, nextWindow: upstream.window)
        // 3 and 2
        var b = convolved.input.columns(shared..<2 * shared)
        var c = convolved.input.columns(2 * shared..<2 * shared + inner)
        if rotatesBC {
            rotation.rotateBack(&b)
            rotation.rotateBack(&c)
        }
        let bNormed = bNorm?.gradients(of: rawB, output: b)
        let cNormed = cNorm?.gradients(of: rawC, output: c)
        // 1
        let projectedGradient = try joined([
            gate, convolved.input.columns(0..<shared), bNormed?.input ?? b, cNormed?.input ?? c,
            scan.dt.reshaped([length, headCount]),
        ])
        let input = inputProjection.gradients(of: u, output: projectedGradient)

        return Gradients(
            input: input.input, state: try scan.initialState.reshaped(cache.state.shape), window: convolved.window,
            inputProjectionWeight: input.weight, inputProjectionBias: input.bias, bNormWeight: bNormed?.weight,
            cNormWeight: cNormed?.weight, convolutionWeight: convolved.weight, convolutionBias: convolved.bias,
            a: scan.a, aLogarithm: scan.logarithmicRate(a), dtBias: dtBias, d: d,
            gatedNormWeight: norm.weight, outputProjectionWeight: output.weight, outputProjectionBias: output.bias)
    }

    /// The gradient of the output, zero where none is given, once all upstream gradients fit.
    private func outputGradient(
        _ upstream: Upstream, _ length: Int, _ cache: ScanCache<Scalar>
    ) throws(InputError) -> Tensor<Scalar> {
        let shape = [length, outputProjection.outputSize]
        let gradient = upstream.output ?? Tensor(repeating: .zero, shape: shape)
        try gradient.requireShape(shape, "gradient of the mixer's output")
        try upstream.window?.requireShape(cache.window.shape, "gradient of the convolution window")
        try upstream.state?.requireShape(cache.state.shape, "gradient of the SSM state")
        return gradient
    }

    /// Steps 2 and 3: x | B | C as the convolution gets them, `[L, C]`.
    private func convolutionInput(
        _ projected: Tensor<Scalar>, b: Tensor<Scalar>, c: Tensor<Scalar>, rotation: RotaryTable<Scalar>
    ) -> Tensor<Scalar> {
        let (inner, shared) = (headCount * headDim, keyValueHeadCount * headDim)
        var (b, c) = (bNorm?(b) ?? b, cNorm?(c) ?? c)
        if rotatesBC {
            rotation.rotate(&b)
            rotation.rotate(&c)
        }
        return joined([projected.columns(inner..<inner + shared), b, c])
    }
}
