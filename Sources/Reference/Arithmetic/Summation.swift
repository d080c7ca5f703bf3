//  Sums whose rounding errors are collected and added back.
//
//      s + e = a + b   exactly, with s = fl(a + b) and e a Double (Knuth)
//      p + e = a b     exactly, with p = fl(a b)   and e a Double (Dekker; one fused multiply-add)
//
//  A running sum that keeps Σ e beside it is as accurate as one computed in twice the precision and
//  then rounded: relative to the sum of magnitudes its error is n² 2^-106 instead of n 2^-53.
//
//  Source: Neumaier 1974 (a sum that survives terms larger than itself); Ogita, Rump, Oishi 2005,
//  "Accurate sum and dot product", algorithm Dot2.

/// How the float64 oracle adds up.
public enum Summation: String, Sendable, CaseIterable {
    /// As every form does: each operation rounded to Double.
    case plain
    /// The roundings of every product and sum are collected; about ten times slower.
    case compensated
}

/// A running sum in Double that remembers what its roundings dropped.
public struct CompensatedSum: Sendable, Hashable {
    private var sum: Double
    private var dropped = 0.0

    /// A sum that begins with one term.
    public init(_ value: Double = 0) { sum = value }

    /// The sum so far, rounded once.
    public var value: Double { sum.isFinite ? sum + dropped : sum }

    /// What that rounding drops.
    var rest: Double { sum.isFinite ? DoubleDouble(sumOf: sum, dropped).low : 0 }

    /// Adds one term, and to what was dropped the exact rounding error of that.
    @inline(__always)
    public mutating func add(_ term: Double) {
        let exact = DoubleDouble(sumOf: sum, term)
        sum = exact.high
        dropped += exact.low
    }

    /// Adds a b, and to what was dropped the exact rounding errors of product and sum.
    @inline(__always)
    public mutating func add(productOf a: Double, _ b: Double) {
        let exact = DoubleDouble(productOf: a, b)
        add(exact.high)
        dropped += exact.low
    }
}

extension Sequence<Double> {
    /// The sum of the elements, compensated.
    public func compensatedSum() -> Double {
        var sum = CompensatedSum()
        for element in self { sum.add(element) }
        return sum.value
    }
}
