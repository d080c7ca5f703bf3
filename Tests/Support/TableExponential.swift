//  exp as the fast instruction of GPUs evaluates it: 2^(z log2 e) from a table of quadratics.
//
//      a = fl(z fl(log2 e)) = n + (k + t) / K        2^a ≈ 2^n (c0_k + c1_k t + c2_k t²),   K = 2^tableBits
//
//  The three coefficients are rounded to few bits, the sum is cut or rounded to 24. So neighbouring
//  arguments have neighbouring errors, and all errors may lean to one side. The bits of no
//  particular device are imitated, only the kind of error; within two units of the last place.
//
//  Source of the design: Oberman and Siu 2005, "A high-performance area-efficient multifunction
//  interpolator".

import Foundation

/// A fast exponential in float32.
public struct TableExponential: Sendable {
    /// How a result is brought to 24 bits.
    public enum Ending: Sendable, CaseIterable { case nearest, down, up }

    let tableBits: Int
    let ending: Ending
    /// c0, c1, c2 of each part of [0, 1), rounded.
    private let coefficients: [(Double, Double, Double)]

    /// - Parameters:
    ///   - tableBits: K = 2^tableBits parts of an octave, 5 to 8.
    ///   - slopeBits: fractional bits of c1, taken per part; the error of it is largest at the ends
    ///     of a part.
    public init(tableBits: Int = 6, slopeBits: Int = 24, ending: Ending = .down) {
        (self.tableBits, self.ending) = (tableBits, ending)
        let count = 1 << tableBits
        let width = 1 / Double(count)
        func rounded(_ value: Double, _ bits: Int) -> Double {
            let scale = Double(sign: .plus, exponent: bits, significand: 1)
            return (value * scale).rounded() / scale
        }
        coefficients = (0..<count).map { k in
            // Through the three points of Chebyshev on the part.
            let points = [0.5 - 0.75.squareRoot() / 2, 0.5, 0.5 + 0.75.squareRoot() / 2]
            let values = points.map { t in powerOfTwo((Double(k) + t) * width) }
            let (left, right) = (values[1] - values[0], values[2] - values[1])
            let spread = points[2] - points[1]
            let c2 = (right - left) / (2 * spread * spread)
            let slope = (values[2] - values[0]) / (2 * spread)
            let c1 = slope - 2 * c2 * 0.5
            let c0 = values[1] - c1 * 0.5 - c2 * 0.25
            return (rounded(c0, 26), rounded(c1, slopeBits), rounded(c2, slopeBits))
        }
    }

    /// Four devices: their errors lean down, up, up and down.
    public static let examples = [
        TableExponential(), TableExponential(slopeBits: 23, ending: .up),
        TableExponential(tableBits: 7, ending: .up), TableExponential(tableBits: 5, slopeBits: 26),
    ]

    /// exp(z).
    public func callAsFunction(_ z: Float) -> Float {
        let argument = Double(z * Float(1 / log(2.0)))
        guard argument > -126 else { return 0 }
        let whole = argument.rounded(.down)
        let place = (argument - whole) * Double(1 << tableBits)
        let k = min(Int(place), (1 << tableBits) - 1)
        let t = place - Double(k)
        let (c0, c1, c2) = coefficients[k]
        let value = c0 + c1 * t + c2 * t * t
        let rule: FloatingPointRoundingRule =
            switch ending {
            case .nearest: .toNearestOrEven
            case .down: .down
            case .up: .up
            }
        let scaled = (value * 0x1p23).rounded(rule) * 0x1p-23
        return Float(scaled * Double(sign: .plus, exponent: Int(whole), significand: 1))
    }
}

private func powerOfTwo(_ x: Double) -> Double { exp2(x) }
