//  A linear layer backwards.
//
//      y = u Wᵀ + bias
//      ∂u = ∂y W          ∂W = ∂yᵀ u          ∂bias = sum over t of ∂y_t

import DualityCore

extension Linear {
    /// The gradient of the loss with respect to what the layer was given and what it is made of.
    public struct Gradients: Sendable {
        /// `[L, in]`.
        public var input: Tensor<Scalar>
        /// `[out, in]`.
        public var weight: Tensor<Scalar>
        /// `[out]`; nil without a bias.
        public var bias: Tensor<Scalar>?
    }

    /// Runs the layer backwards.
    ///
    /// - Parameters:
    ///   - u: its input, `[L, in]`.
    ///   - outputGradient: ∂ℒ/∂y, `[L, out]`.
    /// - Complexity: O(L out in).
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func gradients(of u: Tensor<Scalar>, output outputGradient: Tensor<Scalar>) -> Gradients {
        let (length, inner, outer) = (u.shape[0], inputSize, outputSize)
        precondition(
            u.shape == [length, inner] && outputGradient.shape == [length, outer], "rows of the layer's widths")
        var gradients = Gradients(
            input: Tensor(repeating: .zero, shape: u.shape), weight: Tensor(repeating: .zero, shape: weight.shape),
            bias: bias.map { Tensor(repeating: .zero, shape: $0.shape) })
        addProduct(
            outputGradient.elements, as: .rows(width: outer), times: weight.elements, as: .rows(width: inner),
            to: &gradients.input.elements, as: .rows(width: inner), rows: length, depth: outer, columns: inner)
        addProduct(
            outputGradient.elements, as: .rows(width: outer).transposed, times: u.elements, as: .rows(width: inner),
            to: &gradients.weight.elements, as: .rows(width: inner), rows: outer, depth: length, columns: inner)
        for i in outputGradient.elements.indices {
            gradients.bias?.elements[i % outer] += outputGradient.elements[i]
        }
        return gradients
    }
}
