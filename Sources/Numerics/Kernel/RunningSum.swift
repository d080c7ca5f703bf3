//  What one running sum of n terms is off by, in units of roundoff: one standard deviation.
//
//      ν Σ (partial sum)²,  ν = u² / (8 ln 2)
//
//  Terms of random signs have partial sums of i / n Σ terms² in the mean square, n / 2 Σ terms² in
//  all: sqrt(ν / 2) = 0.300 u sqrt(n) |terms|₂. Terms of one sign have (i / n)² Σ², n / 3 Σ² in
//  all: sqrt(ν / 3) = 0.245 u sqrt(n) |Σ|. Source: docs/numerics.md, section 12.

/// Sums of products in one order or another.
package enum RunningSum {
    /// sqrt(1 / (16 ln 2)): for terms of random signs.
    private static let random = 0.3002806
    /// sqrt(1 / (24 ln 2)): for terms of one sign.
    private static let alike = 0.2451781

    /// - Parameters:
    ///   - squares: the sum of the squares of the terms.
    ///   - sum: the sum of the terms.
    @inline(__always)
    package static func size(_ count: Int, squares: Double, sum: Double) -> Double {
        Double(count).squareRoot() * (random * squares.squareRoot() + alike * sum.magnitude)
    }
}
