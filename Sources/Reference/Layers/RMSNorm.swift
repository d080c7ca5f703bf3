//  Root-mean-square normalisation of each group of channels.
//
//      y[i] = weight[i] u[i] / sqrt( mean over the group of u² + epsilon )
//
//  The group is the whole row in layer norms and one head in the norms of q, k, B and C, which
//  share one weight among all heads.
//
//  Source: Zhang and Sennrich (arXiv 1910.07467); Qwen3RMSNorm of the official model.

import DualityCore

/// RMSNorm over consecutive groups of `width` channels, one weight for all groups.
public struct RMSNorm<Scalar: RealNumber>: Sendable {
    /// `[width]`.
    public let weight: Tensor<Scalar>
    /// What is added to the mean square before its root.
    public let epsilon: Scalar

    /// Channels in a group.
    public var width: Int { weight.count }

    /// A norm over groups of `weight.count` channels; epsilon is rounded to `Scalar`.
    public init(weight: Tensor<Scalar>, epsilon: Double) {
        self.weight = weight
        self.epsilon = Scalar(epsilon)
    }

    /// - Parameter u: any shape whose element count is a multiple of `width`; groups are
    ///   consecutive elements.
    /// - Returns: the same shape.
    public func callAsFunction(_ u: Tensor<Scalar>) -> Tensor<Scalar> {
        var y = u
        withRows(of: &y) { normalize($0, count: u.count) }
        return y
    }

    /// Normalises `count` numbers in place.
    func normalize(_ u: UnsafeMutablePointer<Scalar>, count: Int) {
        withRows(of: weight) { weight in
            for group in stride(from: 0, to: count, by: width) {
                let row = u + group
                let scale = 1 / Scalar.sqrt(dot(row, row, width) / Scalar(width) + epsilon)
                for i in 0..<width { row[i] = weight[i] * (row[i] * scale) }
            }
        }
    }
}
