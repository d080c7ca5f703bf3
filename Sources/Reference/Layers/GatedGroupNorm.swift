//  The gated norm at the end of a Mamba-2 mixer.
//
//      v = y ⊙ silu(z)                                          the gate comes first (norm_before_gate = false)
//      out[i] = weight[i] v[i] / sqrt( mean over the group of v² + epsilon )
//
//  | symbol | shape      | meaning                                             |
//  |--------|------------|-----------------------------------------------------|
//  | y, z   | [L, H P]   | output of SSD, and the gate from in_proj            |
//  | weight | [H P]      | one number per channel, unlike RMSNorm's one per group  |
//
//  A group is one head (P channels) in the hybrid models. With the gate after the norm
//  (norm_before_gate = true, which the original library also offers), out = norm(y) ⊙ silu(z).
//
//  Source: state-spaces/mamba, ops/triton/layernorm_gated.py; Mamba-2 (arXiv 2405.21060) section 7.

import DualityCore

/// RMSNorm over groups of channels, with a SiLU gate.
public struct GatedGroupNorm<Scalar: RealNumber>: Sendable {
    /// `[channels]`.
    public let weight: Tensor<Scalar>
    /// Channels in a group: P where a head is a group.
    public let groupSize: Int
    /// What is added to the mean square before its root.
    public let epsilon: Scalar
    /// Whether the gate multiplies the normalised value instead of being normalised with it.
    public let normBeforeGate: Bool

    /// - Throws: `InputError` (`.shape`) when the groups do not tile the channels.
    public init(weight: Tensor<Scalar>, groupSize: Int, epsilon: Double, normBeforeGate: Bool = false)
        throws(InputError)
    {
        guard groupSize > 0, weight.count % groupSize == 0 else {
            throw InputError(
                .shape, in: "gated norm weight", expected: "a multiple of the group size \(groupSize)",
                found: "\(weight.shape)")
        }
        self.weight = weight
        self.groupSize = groupSize
        self.epsilon = Scalar(epsilon)
        self.normBeforeGate = normBeforeGate
    }

    /// - Parameters:
    ///   - y: `[L, channels]`.
    ///   - z: the gate, `[L, channels]`; nil for no gate.
    /// - Returns: `[L, channels]`.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func callAsFunction(_ y: Tensor<Scalar>, gate z: Tensor<Scalar>?) -> Tensor<Scalar> {
        let channels = weight.count
        precondition(y.count % channels == 0 && (z == nil || z?.count == y.count), "the gate has the shape of y")
        var out = y
        if let z, !normBeforeGate { out.multiplyBySiLU(of: z) }
        withRows(of: weight) { weight in
            withRows(of: &out) { out in
                for group in stride(from: 0, to: y.count, by: groupSize) {
                    let row = out + group
                    let scale = 1 / Scalar.sqrt(dot(row, row, groupSize) / Scalar(groupSize) + epsilon)
                    let first = group % channels
                    for i in 0..<groupSize { row[i] = weight[first + i] * (row[i] * scale) }
                }
            }
        }
        if let z, normBeforeGate { out.multiplyBySiLU(of: z) }
        return out
    }
}

extension Tensor where Element: RealNumber {
    fileprivate mutating func multiplyBySiLU(of gate: Tensor) {
        for i in elements.indices { elements[i] *= Element.silu(gate.elements[i]) }
    }
}
