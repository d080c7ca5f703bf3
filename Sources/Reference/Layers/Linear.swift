//  A linear layer on a sequence.
//
//      y[t, o] = sum over i of  weight[o, i] u[t, i]   (+ bias[o])
//
//  | symbol | shape     | meaning                         |
//  |--------|-----------|---------------------------------|
//  | u      | [L, in]   | one row a token                 |
//  | weight | [out, in] | as checkpoints store it         |
//  | bias   | [out]     | absent in most layers           |
//  | y      | [L, out]  |                                 |

import DualityCore

/// `y = u Wᵀ + bias`, row by row.
public struct Linear<Scalar: RealNumber>: Sendable {
    /// `[out, in]`.
    public let weight: Tensor<Scalar>
    /// `[out]`.
    public let bias: Tensor<Scalar>?

    /// The columns of the weight, `in`.
    public var inputSize: Int { weight.shape[1] }
    /// The rows of the weight, `out`.
    public var outputSize: Int { weight.shape[0] }

    /// - Throws: `InputError` (`.shape`) when the weight is not a matrix or the bias is not one
    ///   number per row of it.
    public init(weight: Tensor<Scalar>, bias: Tensor<Scalar>? = nil) throws(InputError) {
        guard weight.shape.count == 2 else {
            throw InputError(.shape, in: "linear weight", expected: "[out, in]", found: "\(weight.shape)")
        }
        if let bias { try bias.requireShape([weight.shape[0]], "linear bias") }
        self.weight = weight
        self.bias = bias
    }

    /// - Parameter u: `[L, in]`.
    /// - Returns: `[L, out]`. A row of it depends on the same row of `u` alone, bit for bit.
    /// - Complexity: O(L out in).
    public func callAsFunction(_ u: Tensor<Scalar>) -> Tensor<Scalar> {
        let (length, inner, outer) = (u.shape[0], inputSize, outputSize)
        precondition(u.shape == [length, inner], "a linear layer of [\(outer), \(inner)] was given \(u.shape)")
        var y = Tensor<Scalar>(repeating: 0, shape: [length, outer])
        withRows(weight, u) { weight, u in
            withRows(of: &y) { y in
                // A block of tokens meets each row of the weight while both are in the first-level
                // cache.
                for block in stride(from: 0, to: length, by: 16) {
                    for o in 0..<outer {
                        for t in block..<min(block + 16, length) {
                            y[t * outer + o] = dot(weight + o * inner, u + t * inner, inner)
                        }
                    }
                }
            }
        }
        if let bias { y.addToEachRow(bias) }
        return y
    }
}

extension Tensor where Element: RealNumber {
    /// Adds one vector to every row of a matrix.
    fileprivate mutating func addToEachRow(_ vector: Tensor) {
        let width = vector.count
        for i in elements.indices { elements[i] += vector.elements[i % width] }
    }
}
