//  x = (G + λ I)^-1 q, for a Gram matrix G that is only ever multiplied with vectors, and λ = ridge
//  F, F = |G|_F.
//
//  Chebyshev iteration on the spectrum [λ, λ + F] (F bounds the largest eigenvalue of G), from its
//  first step on:
//
//      s = 2 / (2 λ + F),   ρ = F / (2 λ + F),   ω = 2,   x_prev = 0,   x = s q
//      K times:   ω <- 1 / (1 - ρ² ω / 4)
//                 x, x_prev <- ω (x - s (G x + λ x - q)) + (1 - ω) x_prev,  x
//
//  After K iterations |x - x*| / |x*| <= 1 / cosh((K + 1) arccosh(1 / ρ)), and 1/ρ = 1 + 2 ridge
//  whatever the data: 3.2e-4 for ridge 0.02 and K = 30. The model is trained with that x; the exact
//  one, by Cholesky's decomposition, is its oracle.
//
//  Where F = 0 nothing has been seen, and any x gives the same output, zero; x = 0 is taken (the
//  official code divides by zero).
//
//  Source: awslabs/hybrid-model-factory, layers/gated_kalmanet/ops/chebyshev.

import DualityCore

/// How the ridge regression of a Gated KalmaNet layer is solved.
public enum RidgeSolver: Sendable, Hashable {
    /// The iteration the models are trained with; 0 iterations leave the query as it is.
    case chebyshev(iterations: Int)
    /// The direct solution.
    case cholesky

    /// Whether the Gram matrix matters at all.
    var usesGram: Bool { self != .chebyshev(iterations: 0) }

    /// - Parameters:
    ///   - q: `[D]`.
    ///   - norm: F.
    ///   - ridge: λ / F.
    ///   - multiply: writes G x for an x, `[D]` both.
    /// - Returns: x, `[D]`.
    func solve<Scalar: RealNumber>(
        _ q: [Scalar], norm: Scalar, ridge: Scalar,
        multiply: (UnsafePointer<Scalar>, UnsafeMutablePointer<Scalar>) -> Void
    ) -> [Scalar] {
        guard norm > 0 else { return Array(repeating: 0, count: q.count) }
        switch self {
        case .chebyshev(let iterations): return chebyshev(q, norm, ridge * norm, iterations: iterations, multiply)
        case .cholesky: return cholesky(q, ridge * norm, multiply)
        }
    }

    private func chebyshev<Scalar: RealNumber>(
        _ q: [Scalar], _ norm: Scalar, _ lambda: Scalar, iterations: Int,
        _ multiply: (UnsafePointer<Scalar>, UnsafeMutablePointer<Scalar>) -> Void
    ) -> [Scalar] {
        let step = 2 / (2 * lambda + norm)
        let rho = norm / (2 * lambda + norm)
        var omega: Scalar = 2
        var previous = [Scalar](repeating: 0, count: q.count)
        var x = q.map { step * $0 }
        var product = previous
        for _ in 0..<iterations {
            omega = 1 / (1 - rho * rho / 4 * omega)
            x.withUnsafeBufferPointer { x in
                product.withUnsafeMutableBufferPointer { product in
                    if let x = x.baseAddress, let product = product.baseAddress { multiply(x, product) }
                }
            }
            for i in q.indices {
                let next =
                    omega * (x[i] - step * (product[i] + lambda * x[i] - q[i])) + (1 - omega) * previous[i]
                previous[i] = x[i]
                x[i] = next
            }
        }
        return x
    }

    /// G + λ I = L Lᵀ, then L y = q and Lᵀ x = y. The matrix is read off its products with the unit
    /// vectors.
    private func cholesky<Scalar: RealNumber>(
        _ q: [Scalar], _ lambda: Scalar, _ multiply: (UnsafePointer<Scalar>, UnsafeMutablePointer<Scalar>) -> Void
    ) -> [Scalar] {
        let size = q.count
        var factor = [Scalar](repeating: 0, count: size * size)
        var unit = [Scalar](repeating: 0, count: size)
        factor.withUnsafeMutableBufferPointer { factor in
            for column in 0..<size {
                unit[column] = 1
                unit.withUnsafeBufferPointer { unit in
                    if let unit = unit.baseAddress, let factor = factor.baseAddress {
                        multiply(unit, factor + column * size)
                    }
                }
                unit[column] = 0
                factor[column * size + column] += lambda
            }
        }
        for j in 0..<size {
            for i in j..<size {
                var sum = factor[i * size + j]
                for m in 0..<j { sum -= factor[i * size + m] * factor[j * size + m] }
                factor[i * size + j] = i == j ? Scalar.sqrt(sum) : sum / factor[j * size + j]
            }
        }
        var x = q
        for i in 0..<size {
            for m in 0..<i { x[i] -= factor[i * size + m] * x[m] }
            x[i] /= factor[i * size + i]
        }
        for i in stride(from: size - 1, through: 0, by: -1) {
            for m in i + 1..<max(size, i + 1) { x[i] -= factor[m * size + i] * x[m] }
            x[i] /= factor[i * size + i]
        }
        return x
    }
}
