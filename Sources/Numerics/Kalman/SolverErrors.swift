//  How errors grow in Chebyshev's iteration.
//
//  With c = 1/ρ = 1 + 2 ridge and Chebyshev's polynomials T and U, the size of step n is ω_n = 2 c
//  T_n(c) / T_{n+1}(c). An error ξ that step j makes is a polynomial of the matrix times ξ behind
//  step n, whose largest value on the spectrum [λ, λ + F] is
//
//      (n - j + 1) T_{j+1}(c) / T_{n+1}(c)            attained where U_{n-j} is n - j + 1, at its ends
//
//  so that a constant error of every step adds up to no more than a number that ridge and K alone
//  determine: some 17 for ridge 0.02, 1 / (1 - t)² with t = lim T_n / T_{n+1} = c - sqrt(c² - 1).
//  It is the condition (λ + F) / λ = 1 + 1 / ridge, of which a step takes its share.

/// Sums of what steps have added, each by how it has grown.
package struct SolverErrors {
    /// Σ T_{j+1} / T_{n+1} |ξ_j| and Σ (n - j + 1) T_{j+1} / T_{n+1} |ξ_j|.
    private var (plain, grown) = (0.0, 0.0)
    private let rho: Double
    private(set) var omega = 2.0

    package init(ridge: Double, first: Double) {
        rho = 1 / (1 + 2 * ridge)
        (plain, grown) = (first, first)
    }

    /// What x may be off by, in its 2-norm.
    package var size: Double { grown }

    /// The next ω; the error of the step that it is of is added afterwards.
    mutating func advance() -> Double {
        omega = 1 / (1 - rho * rho / 4 * omega)
        return omega
    }

    package mutating func add(_ error: Double) {
        // T_n(c) / T_{n+1}(c)
        let ratio = omega * rho / 2
        (plain, grown) = (ratio * plain + error, ratio * (grown + plain) + error)
    }

    /// What an error of 1 in every step has grown to behind the last.
    package static func amplification(ridge: Double, iterations: Int) -> Double {
        var errors = SolverErrors(ridge: ridge, first: 1)
        for _ in 0..<iterations {
            _ = errors.advance()
            errors.add(1)
        }
        return errors.size
    }
}
