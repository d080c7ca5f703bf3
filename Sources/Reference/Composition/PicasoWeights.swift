//  The weights of fused states: the average, over all orders of the chunks, of what composing them
//  exactly would give.
//
//  In the order π the exact composition of states that start from zero is S = sum over k of
//  (product of a_j, j after k in π) S_k, where a_j is all that chunk j leaves of a state before it.
//  Averaged over the N! orders, state k has the weight
//
//      c_k = (1/N) sum over i in 0 ..< N of  e_i({a_j : j ≠ k}) / binom(N - 1, i)          e_i elementary symmetric polynomials
//
//  since the number of chunks after k is uniform, and so is the set of them. c_k does not depend on
//  a_k. For a = 1 the states are added, for a = 0 averaged. The decay of a long chunk is e^-100 and
//  less, so everything is done in logarithms:
//
//      LE_0 = 0,   LE_i[j] = logaddexp( LE_i[j-1], ln b_j + LE_{i-1}[j-1] )                 b = a without a_k
//      ln c_k = logsumexp_i( LE_i[N-1] - ln binom(N-1, i) ) - ln N
//
//  All terms are positive: nothing cancels. Where transitions are matrices Π_j (Gated DeltaNet) the
//  same recurrence gives the average over subsets in the order of the chunks, later factors on the
//  left; it is not invariant under their permutation.
//
//  Source: Liu et al., PICASO (arXiv 2502.17605); awslabs/hybrid-model-factory,
//  models/cache_compose.py (get_coef_for_picaso_log, get_matrix_coef_for_picaso).

import DualityCore

/// The weights of PICASO.
public enum PicasoWeights {
    /// `ln c_k` for every chunk.
    ///
    /// - Parameter logDecays: `ln a_j` of every chunk, at most 0; minus infinity is allowed.
    /// - Complexity: O(N³).
    public static func logWeights(_ logDecays: [Double]) -> [Double] {
        let count = logDecays.count
        return (0..<count).map { k in
            var others = logDecays
            others.remove(at: k)
            // sums[i] = ln e_i of the decays seen so far.
            var sums = [0.0] + Array(repeating: -Double.infinity, count: count - 1)
            for decay in others {
                for i in stride(from: count - 1, through: 1, by: -1) {
                    sums[i] = logAdd(sums[i], decay + sums[i - 1])
                }
            }
            var total = -Double.infinity
            for (i, sum) in sums.enumerated() { total = logAdd(total, sum - logBinomial(count - 1, i)) }
            return total - Double.log(Double(count))
        }
    }

    /// `C_k` for every chunk, where what a chunk leaves of a state before it is a matrix.
    ///
    /// - Parameter transitions: Π_j of every chunk, `[D, D]` row-major.
    /// - Returns: one `[D, D]` matrix a chunk.
    /// - Complexity: O(N³ D³).
    public static func matrixWeights<Scalar: RealNumber>(_ transitions: [[Scalar]], width: Int) -> [[Scalar]] {
        let count = transitions.count
        var identity = [Scalar](repeating: 0, count: width * width)
        for i in 0..<width { identity[i * width + i] = 1 }
        return (0..<count).map { k in
            var others = transitions
            others.remove(at: k)
            var sums = [identity] + Array(repeating: [Scalar](repeating: 0, count: width * width), count: count - 1)
            for factor in others {
                for i in stride(from: count - 1, through: 1, by: -1) {
                    let product = matrixProduct(factor, sums[i - 1], width, width)
                    for m in product.indices { sums[i][m] += product[m] }
                }
            }
            var weight = [Scalar](repeating: 0, count: width * width)
            for (i, sum) in sums.enumerated() {
                let scale = Scalar(Double.exp(-logBinomial(count - 1, i)) / Double(count))
                for m in weight.indices { weight[m] += scale * sum[m] }
            }
            return weight
        }
    }

    private static func logAdd(_ a: Double, _ b: Double) -> Double {
        let (large, small) = (max(a, b), min(a, b))
        return small == -.infinity ? large : large + Double.log(onePlus: Double.exp(small - large))
    }

    private static func logBinomial(_ n: Int, _ k: Int) -> Double {
        (0..<k).reduce(0.0) { $0 + Double.log(Double(n - $1)) - Double.log(Double($1 + 1)) }
    }
}

/// A B for A `[D, D]` and B `[D, columns]`, row-major.
func matrixProduct<Scalar: RealNumber>(_ a: [Scalar], _ b: [Scalar], _ width: Int, _ columns: Int) -> [Scalar] {
    var product = [Scalar](repeating: 0, count: width * columns)
    product.withUnsafeMutableBufferPointer { product in
        b.withUnsafeBufferPointer { b in
            guard let product = product.baseAddress, let b = b.baseAddress else { return }
            for i in 0..<width {
                for m in 0..<width {
                    addScaled(a[i * width + m], b + m * columns, to: product + i * columns, columns)
                }
            }
        }
    }
    return product
}
