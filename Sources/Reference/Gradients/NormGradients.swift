//  RMSNorm and the gated group norm backwards.
//
//      y = w ⊙ û,  û = u r,  r = 1 / sqrt( mean of u² + epsilon )          over a group of G channels
//
//      ∂w_i = sum over groups of ∂y_i û_i
//      ∂u_i = r ( w_i ∂y_i - û_i mean over the group of (w ∂y û) )
//
//  The second term is there because every channel of the group pulls on r: ∂u is (w ∂y) r without
//  its part along û, but for epsilon. Around it the gate is a product, v = y ⊙ silu(z) before the
//  norm or out = norm(y) ⊙ silu(z) after it.
//
//  Source: the definitions in RMSNorm.swift and GatedGroupNorm.swift, differentiated;
//  state-spaces/mamba, ops/triton/layernorm_gated.py, `_layer_norm_bwd_kernel`.

import DualityCore

extension RMSNorm {
    /// The gradient of the loss with respect to what the layer was given and what it is made of.
    public struct Gradients: Sendable {
        /// The shape of the input.
        public var input: Tensor<Scalar>
        /// `[width]`.
        public var weight: Tensor<Scalar>
    }

    /// Runs the layer backwards.
    ///
    /// - Parameters:
    ///   - u: its input, groups of `width` consecutive elements.
    ///   - outputGradient: ∂ℒ/∂y, as many elements.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func gradients(of u: Tensor<Scalar>, output outputGradient: Tensor<Scalar>) -> Gradients {
        let (input, weight) = normBack(
            u, weight: weight, groupSize: width, epsilon: epsilon, outputGradient: outputGradient)
        return Gradients(input: input, weight: weight)
    }
}

extension GatedGroupNorm {
    /// The gradient of the loss with respect to what the layer was given and what it is made of.
    public struct Gradients: Sendable {
        /// `[L, channels]`.
        public var y: Tensor<Scalar>
        /// `[L, channels]`; nil without a gate.
        public var gate: Tensor<Scalar>?
        /// `[channels]`.
        public var weight: Tensor<Scalar>
    }

    /// Runs the layer backwards.
    ///
    /// - Parameters:
    ///   - y: its input, `[L, channels]`.
    ///   - z: the gate, `[L, channels]`; nil for no gate.
    ///   - outputGradient: ∂ℒ/∂out, `[L, channels]`.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func gradients(
        of y: Tensor<Scalar>, gate z: Tensor<Scalar>?, output outputGradient: Tensor<Scalar>
    ) -> Gradients {
        precondition(z == nil || z?.count == y.count, "the gate has the shape of y")
        guard let z else {
            let (input, weight) = normBack(
                y, weight: weight, groupSize: groupSize, epsilon: epsilon, outputGradient: outputGradient)
            return Gradients(y: input, weight: weight)
        }
        if normBeforeGate {
            let normed = callAsFunction(y, gate: nil)
            let (input, weight) = normBack(
                y, weight: weight, groupSize: groupSize, epsilon: epsilon,
                outputGradient: outputGradient.multiplied(z) { $0 * .silu($1) })
            return Gradients(
                y: input, gate: outputGradient.multiplied(normed).multiplied(z) { $0 * .siluDerivative($1) },
                weight: weight)
        }
        let (gated, weight) = normBack(
            y.multiplied(z) { $0 * .silu($1) }, weight: weight, groupSize: groupSize, epsilon: epsilon,
            outputGradient: outputGradient)
        return Gradients(
            y: gated.multiplied(z) { $0 * .silu($1) },
            gate: gated.multiplied(y).multiplied(z) { $0 * .siluDerivative($1) },
            weight: weight)
    }
}

/// ∂u and ∂w of y = w ⊙ u / rms(u); the weight has one number for each channel, and the groups tile
/// the channels.
private func normBack<Scalar: RealNumber>(
    _ u: Tensor<Scalar>, weight: Tensor<Scalar>, groupSize: Int, epsilon: Scalar, outputGradient: Tensor<Scalar>
) -> (input: Tensor<Scalar>, weight: Tensor<Scalar>) {
    let channels = weight.count
    precondition(u.count % channels == 0 && outputGradient.count == u.count, "the gradient has the shape of the output")
    var input = Tensor<Scalar>(repeating: .zero, shape: u.shape)
    var weightGradient = Tensor<Scalar>(repeating: .zero, shape: weight.shape)
    for group in stride(from: 0, to: u.count, by: groupSize) {
        var squares = Scalar.zero
        for i in 0..<groupSize { squares += u.elements[group + i] * u.elements[group + i] }
        let scale = 1 / Scalar.sqrt(squares / Scalar(groupSize) + epsilon)
        var sum = Scalar.zero  // of w ∂y û
        for i in 0..<groupSize {
            let channel = (group + i) % channels
            let product = outputGradient.elements[group + i] * (u.elements[group + i] * scale)
            weightGradient.elements[channel] += product
            sum += weight.elements[channel] * product
        }
        let mean = sum / Scalar(groupSize)
        for i in 0..<groupSize {
            let pull = weight.elements[(group + i) % channels] * outputGradient.elements[group + i]
            input.elements[group + i] = scale * (pull - u.elements[group + i] * scale * mean)
        }
    }
    return (input, weightGradient)
}
