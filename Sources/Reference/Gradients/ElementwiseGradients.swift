//  The derivative of the gate and activation of every layer of the family, and products along
//  tensors.
//
//      silu(z) = z sigmoid(z)          silu'(z) = sigmoid(z) (1 + z (1 - sigmoid(z)))
//
//  1 - sigmoid(z) is taken as sigmoid(-z), which does not cancel for large z.

import DualityCore

extension RealNumber {
    /// `d silu(z) / dz`.
    static func siluDerivative(_ z: Self) -> Self {
        sigmoid(z) * (1 + z * sigmoid(-z))
    }
}

extension Tensor where Element: RealNumber {
    /// Element by element with a tensor of as many: their product, or what `combine` makes of them.
    func multiplied(_ other: Tensor, _ combine: (Element, Element) -> Element = { $0 * $1 }) -> Tensor {
        precondition(count == other.count, "as many elements")
        var product = self
        for i in elements.indices { product.elements[i] = combine(elements[i], other.elements[i]) }
        return product
    }
}
