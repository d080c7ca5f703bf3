//  The bound of what the solver makes of a query, and what the condition of its matrix is.

import DualityCore
import DualityReference

/// What the solver knows of a Gram matrix.
struct GramReading {
    /// At least |G|_F of the kernel's, sums of magnitudes where it is never put together.
    var size: Double
    /// |ΔG|_F.
    var error: Double
    /// What a product with it loses, in units of `size` and of the vector's norm.
    var relative: Double
    /// |ΔF|.
    var norm: Double

    /// Of a solver that makes no step.
    static let nothing = GramReading(size: 0, error: 0, relative: 0, norm: 0)
}

extension KalmanBound {
    /// G x.
    static func product(_ gram: [Double], _ x: [Double]) -> [Double] {
        var result = [Double](repeating: 0, count: x.count)
        gram.withUnsafeBufferPointer { gram in
            x.withUnsafeBufferPointer { x in
                for i in 0..<x.count {
                    var sum = 0.0
                    for j in 0..<x.count { sum += gram[i * x.count + j] * x[j] }
                    result[i] = sum
                }
            }
        }
        return result
    }

    /// y of a token, exact for the states as they are, and |Δy|₂.
    func solution(_ t: Int, _ reading: GramReading) -> (y: [Double], error: Double) {
        let query = Array(head.q[t * head.keyDim..<(t + 1) * head.keyDim])
        let (length, kept) = (Self.norm(query), storing(arithmetic.solution))
        guard head.iterations > 0 else { return (query, length * (ofQueries + kept)) }
        let norm = Self.norm(state.gram)
        let alpha = head.alpha[t]
        guard norm > 0 else {
            let y = query.map { $0 + alpha * (0 - $0) }
            return (y, length * (1 + alpha.magnitude) * (ofQueries + 3 * unit + kept))
        }
        // Where squares of G overflow, or underflow by more than a rounding of their sum, nothing
        // is promised of what is solved with it.
        let isLost = !(reading.size * reading.size < arithmetic.accumulate.largest) || lost(norm) > unit * norm
        let (x, ofX) = isLost ? (query, .infinity) : iterate(query, length, norm, reading)
        let y = query.indices.map { query[$0] + alpha * (x[$0] - query[$0]) }
        let apart = Self.norm(query.indices.map { x[$0] - query[$0] })
        let stored = kept * (Self.norm(x) + ofX)
        var error = (1 - alpha).magnitude * length * ofQueries + alpha.magnitude * (ofX + stored)
        error += 3 * unit * alpha.magnitude * (apart + ofX)
        error += (unit + kept) * (Self.norm(y) + error)
        return (y, error.isNaN ? .infinity : error)
    }

    /// x behind the last step, and |Δx|₂.
    private func iterate(
        _ query: [Double], _ length: Double, _ norm: Double, _ reading: GramReading
    ) -> ([Double], Double) {
        let lambda = head.ridge * norm
        let (step, ofLambda) = (2 / (2 * lambda + norm), head.ridge * reading.norm + 2 * unit * lambda)
        let linear = (2 * ofLambda + reading.norm) / (2 * lambda + norm) + 4 * unit
        let ofStep = linear < 0.25 ? linear / (1 - linear) : .infinity
        let rho = 1 / (1 + 2 * head.ridge)
        let whole = norm + lambda + defect
        var x = query.map { step * $0 }
        var before = x.map { _ in 0.0 }
        var errors = SolverErrors(
            ridge: head.ridge, first: step * length * (ofStep + 2 * unit + ofQueries * (1 + ofStep)))
        var (earlier, ofOmega, last) = (0.0, 0.0, 2.0)
        for _ in 0..<head.iterations {
            let omega = errors.advance()
            ofOmega = omega * omega * rho * rho / 4 * (ofOmega + last * 20 * unit) + 3 * unit * omega
            last = omega
            let (product, e) = (Self.product(state.gram, x), errors.size)
            let residual = x.indices.map { product[$0] + lambda * x[$0] - query[$0] }
            let moved = x.indices.map { x[$0] - step * residual[$0] }
            let next = x.indices.map { omega * moved[$0] + (1 - omega) * before[$0] }
            let reach = Self.norm(x) + e
            let magnitude = Self.norm(product) + lambda * reach + length + norm * e
            let ofResidual =
                (reading.error + ofLambda + reading.relative * reading.size) * reach + defect * e
                + length * ofQueries + 3 * unit * magnitude
            let left = Self.norm(residual) + whole * e
            let change = Self.norm(x.indices.map { moved[$0] - before[$0] }) + 2 * e + earlier
            let local =
                omega * step * (ofResidual * (1 + ofStep) + ofStep * left) + ofOmega * change
                + 4 * unit
                * (omega * (Self.norm(moved) + e + step * (left + ofResidual)) + Self.norm(before) + earlier)
            earlier = e
            errors.add(local)
            (before, x) = (x, next)
        }
        return (x, errors.size)
    }
}

/// How far a matrix is from one of the form X Xᵀ.
enum GramDefect {
    /// The norm of the part that is not symmetric, and how much of the unit matrix is missing.
    static func size(of gram: [Double], _ width: Int) -> Double {
        var (odd, squares) = (0.0, 0.0)
        for i in 0..<width {
            for j in 0..<width {
                let half = (gram[i * width + j] - gram[j * width + i]) / 2
                odd += half * half
                squares += gram[i * width + j] * gram[i * width + j]
            }
        }
        let norm = squares.squareRoot()
        guard norm > 0, norm.isFinite else { return 0 }
        var missing = norm * 0x1p-45
        while missing < norm, !isPositive(gram, width, missing) { missing *= 2 }
        return odd.squareRoot() + min(missing, norm)
    }

    /// Whether (G + Gᵀ) / 2 + shift I has a decomposition of Cholesky's.
    private static func isPositive(_ gram: [Double], _ width: Int, _ shift: Double) -> Bool {
        var factor = [Double](repeating: 0, count: width * width)
        for j in 0..<width {
            for i in j..<width {
                var sum = (gram[i * width + j] + gram[j * width + i]) / 2 + (i == j ? shift : 0)
                for m in 0..<j { sum -= factor[i * width + m] * factor[j * width + m] }
                if i == j {
                    guard sum > 0 else { return false }
                    factor[i * width + j] = sum.squareRoot()
                } else {
                    factor[i * width + j] = sum / factor[j * width + j]
                }
            }
        }
        return true
    }
}

extension KalmanBound {
    /// The condition of G + λ I: its largest eigenvalue over its smallest, to some percent. 1 + 1 /
    /// ridge where G is of low rank; infinite without a ridge.
    ///
    /// - Complexity: O(D²).
    package static func condition(of gram: [Double], _ width: Int, ridge: Double) -> Double {
        let norm = Self.norm(gram)
        guard norm > 0, norm.isFinite else { return 1 }
        let largest = eigenvalue(gram, width, shift: 0)
        let smallest = max(0, largest - eigenvalue(gram, width, shift: largest))
        return (largest + ridge * norm) / (smallest + ridge * norm)
    }

    /// The largest |eigenvalue| of G - shift I, by the power method.
    private static func eigenvalue(_ gram: [Double], _ width: Int, shift: Double) -> Double {
        var random = RandomSource(seed: 1)
        var x = (0..<width).map { _ in random.normal() }
        var length = norm(x)
        for _ in 0..<60 where length > 0 {
            x = x.map { $0 / length }
            x = zip(product(gram, x), x).map { $0 - shift * $1 }
            length = norm(x)
        }
        return length
    }
}
