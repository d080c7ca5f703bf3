//  The gradients of one head over one run of tokens, and their way back into the tensors.
//
//      S_t = a_t S_{t-1} + x̄_t B_tᵀ          y_t = S_t C_t          a_t = exp(Δ_t A),  x̄_t = Δ_t x_t
//
//  A form is a function from a `HeadSequence` and the upstream gradients g `[L, P]` and Ĝ `[P, N]`
//  to `HeadGradients`. The decay appears by its logarithm alone, as everywhere: λ_t = ∂ℒ/∂(ln a_t).

import DualityCore

/// The gradients with respect to what a `HeadSequence` holds.
package struct HeadGradients<Scalar: RealNumber> {
    /// ∂x̄, `[L, P]`.
    package var x: [Scalar]
    /// ∂B, `[L, N]`.
    package var b: [Scalar]
    /// ∂C, `[L, N]`.
    package var c: [Scalar]
    /// λ = ∂ℒ/∂(ln a), `[L]`.
    package var logDecay: [Scalar]
    /// ∂S_0, `[P, N]`. Until the first token is reached: the gradient of the state after the tokens
    /// still to come.
    package var initialState: [Scalar]

    package init(x: [Scalar], b: [Scalar], c: [Scalar], logDecay: [Scalar], initialState: [Scalar]) {
        (self.x, self.b, self.c, self.logDecay, self.initialState) = (x, b, c, logDecay, initialState)
    }

    /// Where every form starts: nothing yet, but the upstream gradient of the final state.
    init(of sequence: HeadSequence<Scalar>, finalState: [Scalar]) {
        x = [Scalar](repeating: .zero, count: sequence.x.count)
        b = [Scalar](repeating: .zero, count: sequence.b.count)
        c = [Scalar](repeating: .zero, count: sequence.c.count)
        logDecay = [Scalar](repeating: .zero, count: sequence.length)
        initialState = finalState
    }
}

extension HeadSequence {
    /// The gradients in the given form.
    ///
    /// - Parameters:
    ///   - g: ∂ℒ/∂(S_t C_t), `[L, P]`.
    ///   - finalState: Ĝ, `[P, N]`.
    /// - Throws: `InputError` (`.unsupported`) for the convolution form.
    func gradients(
        in form: SSDForm, y g: [Scalar], finalState: [Scalar]
    ) throws(InputError) -> HeadGradients<Scalar> {
        switch form {
        case .recurrent: return recurrentGradients(y: g, finalState: finalState)
        case .chunked(let size): return chunkedGradients(size: size, y: g, finalState: finalState)
        case .quadratic: return chunkedGradients(size: .max, y: g, finalState: finalState)
        // The leaves, one after another: a tree leaning to the left.
        case .associative(_, let leaf): return chunkedGradients(size: leaf, y: g, finalState: finalState)
        case .convolution:
            throw InputError(
                .unsupported, in: "gradients", expected: "the recurrent, chunked, quadratic or associative form",
                found: form.name)
        }
    }
}

extension SSDGradients {
    /// Adds one head's gradients: ∂x += Δ ∂x̄ and ∂A += Δ λ here, ∂Δ = x · ∂x̄ + A λ to
    /// `stepGradient`, `[B, L, H]`.
    mutating func add(
        _ result: HeadGradients<Scalar>, of run: SSDRun, head: Int, in inputs: SSDInputs<Scalar>,
        steps: Tensor<Scalar>, to stepGradient: inout Tensor<Scalar>
    ) {
        let (length, heads, headDim, stateDim) = (inputs.length, inputs.heads, inputs.headDim, inputs.stateDim)
        let (xHead, bHead, cHead) = (inputs.headMap.x[head], inputs.headMap.b[head], inputs.headMap.c[head])
        let (xHeads, bHeads, cHeads) = (inputs.x.shape[2], inputs.b.shape[2], inputs.c.shape[2])
        let rate = inputs.a.elements[head]
        for (i, t) in run.tokens.enumerated() {
            let token = run.row * length + t
            let step = steps.elements[token * heads + head]
            let xFirst = (token * xHeads + xHead) * headDim
            var sum = Scalar.zero  // x · ∂x̄
            for p in 0..<headDim {
                let gradient = result.x[i * headDim + p]
                sum += inputs.x.elements[xFirst + p] * gradient
                x.elements[xFirst + p] += step * gradient
            }
            let bFirst = (token * bHeads + bHead) * stateDim
            let cFirst = (token * cHeads + cHead) * stateDim
            for n in 0..<stateDim {
                b.elements[bFirst + n] += result.b[i * stateDim + n]
                c.elements[cFirst + n] += result.c[i * stateDim + n]
            }
            a.elements[head] += step * result.logDecay[i]
            stepGradient.elements[token * heads + head] = sum + rate * result.logDecay[i]
        }
        if let place = inputs.initialState == nil ? run.sequence : run.initialState {
            let first = (place * heads + head) * headDim * stateDim
            initialState.elements.replaceSubrange(
                first..<first + headDim * stateDim, with: result.initialState)
        }
    }
}
