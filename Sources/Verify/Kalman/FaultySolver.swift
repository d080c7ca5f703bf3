//  Chebyshev's iteration in float64 with one fault.

import DualityCore
import DualityNumerics
import DualityReference

struct FaultySolver {
    let gram: [Double]
    /// F, as the kernel has it.
    let norm: Double
    let ridge: Double
    let iterations: Int
    let fault: KalmanFault

    func solve(_ query: [Double]) -> [Double] {
        guard norm > 0 else { return query.map { _ in 0 } }
        let trace = query.indices.reduce(0.0) { $0 + gram[$1 * query.count + $1] }
        var lambda: Double =
            switch fault {
            case .ridgeMissing: 0
            case .ridgeNotScaled: ridge
            case .ridgeOfTrace: ridge * trace
            default: ridge * norm
            }
        if fault == .solvedExactly { return direct(query, lambda) }
        // The ends of the spectrum.
        var (low, high) = (lambda, lambda + norm)
        switch fault {
        case .ridgeMissingInBounds: (low, high) = (0, norm)
        case .boundsWithoutRidgeAbove: high = norm
        case .boundsOfTrace: high = lambda + trace
        default: break
        }
        if fault == .ridgeMissingInProduct { lambda = 0 }
        return iterate(query, lambda, step: 2 / (low + high), rho: (high - low) / (high + low))
    }

    private func iterate(_ query: [Double], _ lambda: Double, step: Double, rho: Double) -> [Double] {
        var omega = fault == .omegaFromOne ? 1.0 : 2
        var before = query.map { _ in 0.0 }
        var x = query.map { fault == .startAtZero ? 0 : fault == .startAtQuery ? $0 : step * $0 }
        let steps = iterations + (fault == .iterationMore ? 1 : fault == .iterationMissing ? -1 : 0)
        for _ in 0..<max(steps, 0) {
            let next = 1 / (1 - rho * rho * omega / 4)
            let own = fault == .omegaConstant ? 1 : fault == .omegaLate ? omega : next
            omega = next
            let product = product(x)
            for i in x.indices {
                let moved = own * (x[i] - step * (product[i] + lambda * x[i] - query[i]))
                let kept = fault == .momentumMissing ? 0 : (1 - own) * before[i]
                (before[i], x[i]) = (x[i], moved + kept)
            }
        }
        return x
    }

    private func product(_ x: [Double]) -> [Double] {
        let format: NumberFormat? = fault == .solverBFloat16 ? .bf16 : fault == .solverTF32 ? .tf32 : nil
        let read = format.map { format in x.map { format.round($0) } } ?? x
        var result = x
        for i in x.indices {
            var sum = 0.0
            for j in x.indices {
                let g = gram[i * x.count + j]
                sum += (format?.round(g) ?? g) * read[j]
            }
            result[i] = sum
        }
        return result
    }

    /// By Cholesky's decomposition; NaN where there is none.
    private func direct(_ query: [Double], _ lambda: Double) -> [Double] {
        let size = query.count
        var factor = gram
        for i in 0..<size { factor[i * size + i] += lambda }
        for j in 0..<size {
            for i in j..<size {
                var sum = factor[i * size + j]
                for m in 0..<j { sum -= factor[i * size + m] * factor[j * size + m] }
                factor[i * size + j] = i == j ? sum.squareRoot() : sum / factor[j * size + j]
            }
        }
        var x = query
        for i in 0..<size {
            for m in 0..<i { x[i] -= factor[i * size + m] * x[m] }
            x[i] /= factor[i * size + i]
        }
        for i in stride(from: size - 1, through: 0, by: -1) {
            for m in i + 1..<size { x[i] -= factor[m * size + i] * x[m] }
            x[i] /= factor[i * size + i]
        }
        return x
    }
}
