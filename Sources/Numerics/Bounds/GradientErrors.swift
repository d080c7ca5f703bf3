//  How far the gradients of x, B and C may be from the exact ones, and how far they usually are.
//
//      ∂x̄_t = R_t B_t          ∂B_t = R_tᵀ x̄_t          ∂C_t = S_tᵀ g_t          R_t = g_t C_tᵀ + a_{t+1} R_{t+1}
//
//  Each of the three is the operator itself on other operands, so that its bound and sigma are the
//  operator's:
//
//      gradient   time       decay of token t   in place of x   of B     of C     of S_0   afterwards
//      ∂x         backwards  a_{t+1}            g               C        B        Ĝ        ∂x = Δ ∂x̄ + D g
//      ∂B         backwards  a_{t+1}            C               g        x̄        Ĝᵀ
//      ∂C         forwards   a_t                B               x̄        g        S_0ᵀ
//
//  Then come the sums over the heads that read the same x, B or C, and the format the gradients are
//  stored in, which is that of the operands. g = ∂ℒ/∂y silu(z) where there is a gate.
//
//  GradientBound.swift and GradientSigma.swift have the walks.

import DualityCore
import DualityReference

/// A size of error for every number of three gradients.
public struct SSDGradientErrorSizes: Sendable {
    /// For ∂x, `[B, L, Hx, P]`.
    public let x: Tensor<Double>
    /// For ∂B, `[B, L, Gb, N]`.
    public let b: Tensor<Double>
    /// For ∂C, `[B, L, Gc, N]`.
    public let c: Tensor<Double>

    /// Each under the name of its operand in files: `x`, `B`, `C`.
    public var named: [(name: String, sizes: Tensor<Double>)] { [("x", x), ("B", b), ("C", c)] }
}

/// The sum over heads of one gradient, with what is known of its errors.
struct GradientSum {
    var values: [Double]
    /// Bounds add up in it, or variances.
    var errors: [Double]
    var magnitudes: [Double]
    let shape: [Int]

    init(_ shape: [Int]) {
        self.shape = shape
        values = [Double](repeating: 0, count: shape.reduce(1, *))
        errors = values
        magnitudes = values
    }

    /// The place of the first number of one token and head.
    func place(row: Int, token: Int, head: Int) -> Int { ((row * shape[1] + token) * shape[2] + head) * shape[3] }
}

/// One head of one sequence backwards in time: the order of its tokens, and the decays between
/// them.
///
/// Token i of the reversed sequence is token L - 1 - i. The first is entered by Ĝ, which is not
/// decayed.
func reversedRows(_ rows: [Double], width: Int) -> [Double] {
    var reversed: [Double] = []
    reversed.reserveCapacity(rows.count)
    for t in stride(from: rows.count / max(width, 1) - 1, through: 0, by: -1) {
        reversed.append(contentsOf: rows[t * width..<(t + 1) * width])
    }
    return reversed
}

/// A `[rows, columns]` matrix as `[columns, rows]`.
func transposedState(_ state: [Double], rows: Int, columns: Int) -> [Double] {
    var transposed = [Double](repeating: 0, count: state.count)
    for i in 0..<rows {
        for j in 0..<columns { transposed[j * rows + i] = state[i * columns + j] }
    }
    return transposed
}

extension KernelArithmetic {
    /// The arithmetic of the backward walks: Δ is part of their operands already, and a tree goes
    /// leaf by leaf.
    var ofGradients: KernelArithmetic {
        var arithmetic = self
        arithmetic.scaledInput = nil
        if case .associative(_, let leaf) = form { arithmetic.form = .chunked(size: max(leaf, 1)) }
        return arithmetic
    }

    /// Where a reversed sequence begins, so that its chunks are those of the sequence that ends at
    /// `end` of its row.
    func reversedStart(ofSequenceEndingAt end: Int) -> Int {
        guard let size = chunkSize else { return 0 }
        return (size - end % size) % size
    }
}
