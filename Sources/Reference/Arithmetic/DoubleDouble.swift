//  A number as the unevaluated sum of two Doubles: about 106 significant bits, 32 decimal digits.
//
//      value = high + low,   |low| <= ulp(high) / 2
//
//  The exponent range is that of Double, so that numbers below about 1e-290 gradually lose their
//  second half. Sums and products err by at most 3 2^-106 and 5 2^-106 relative, quotients by about
//  10 2^-106. Everything written over `RealNumber` runs in it unchanged, which is how the float64
//  oracle is itself put to the test.
//
//  Source: Dekker 1971; Knuth, TAOCP volume 2, 4.2.2 (the error of a sum is a float); Joldes,
//  Muller, Popescu 2017, "Tight and rigorous error bounds for basic building blocks of double-word
//  arithmetic", algorithms 6, 12 and 18.

import DualityCore

/// A real number in twice the precision of Double.
public struct DoubleDouble: Sendable, BitwiseCopyable, Hashable {
    /// The number rounded to Double.
    public let high: Double
    /// What that rounding left over; zero beside an infinity or a NaN.
    public let low: Double

    /// The sum of two Doubles that do not overlap: |low| <= ulp(high) / 2.
    init(unchecked high: Double, _ low: Double) {
        self.high = high
        self.low = low
    }

    /// high + low, when |high| >= |low| or high is zero.
    init(ordered high: Double, _ low: Double) {
        let sum = high + low
        self.init(unchecked: sum, sum.isFinite ? low - (sum - high) : 0)
    }

    /// The sum of any two Doubles, exactly.
    public init(sumOf a: Double, _ b: Double) {
        let sum = a + b
        let fromB = sum - a
        self.init(unchecked: sum, sum.isFinite ? (a - (sum - fromB)) + (b - fromB) : 0)
    }

    /// The product of two Doubles, exactly (where its last bits are not below the smallest Double).
    public init(productOf a: Double, _ b: Double) {
        let product = a * b
        self.init(unchecked: product, product.isFinite ? (-product).addingProduct(a, b) : 0)
    }
}

extension DoubleDouble: SignedNumeric, Comparable, ExpressibleByFloatLiteral {
    public init(integerLiteral value: Int) { self.init(value) }
    public init(floatLiteral value: Double) { self.init(value) }
    /// An integer that is exactly a Double; nil for any other.
    public init?<T: BinaryInteger>(exactly source: T) {
        guard let high = Double(exactly: source) else { return nil }
        self.init(high)
    }

    /// |x|, by the sign of the first half.
    public var magnitude: DoubleDouble { high.sign == .minus ? -self : self }

    public static func < (a: DoubleDouble, b: DoubleDouble) -> Bool {
        a.high < b.high || (a.high == b.high && a.low < b.low)
    }

    /// Both halves negated; exact.
    public static prefix func - (a: DoubleDouble) -> DoubleDouble { DoubleDouble(unchecked: -a.high, -a.low) }

    /// The sum, to 3 2^-106 relative (Joldes et al., algorithm 6).
    public static func + (a: DoubleDouble, b: DoubleDouble) -> DoubleDouble {
        let high = DoubleDouble(sumOf: a.high, b.high)
        guard high.high.isFinite else { return high }
        let low = DoubleDouble(sumOf: a.low, b.low)
        let sum = DoubleDouble(ordered: high.high, high.low + low.high)
        return DoubleDouble(ordered: sum.high, sum.low + low.low)
    }

    /// The sum with the negated number, to the same error.
    public static func - (a: DoubleDouble, b: DoubleDouble) -> DoubleDouble { a + -b }

    /// The product, to 5 2^-106 relative.
    public static func * (a: DoubleDouble, b: DoubleDouble) -> DoubleDouble {
        let product = DoubleDouble(productOf: a.high, b.high)
        guard product.high.isFinite else { return product }
        return DoubleDouble(ordered: product.high, product.low + (a.high * b.low + a.low * b.high))
    }

    /// The quotient, to about 10 2^-106 relative.
    public static func / (a: DoubleDouble, b: DoubleDouble) -> DoubleDouble {
        // Long division, a Double of the quotient at a time.
        let first = a.high / b.high
        guard first.isFinite, b.high.isFinite else { return DoubleDouble(first) }
        var rest = a - b * DoubleDouble(first)
        let second = rest.high / b.high
        rest -= b * DoubleDouble(second)
        return DoubleDouble(ordered: first, second) + DoubleDouble(rest.high / b.high)
    }

    /// Adds, as `+` does.
    public static func += (a: inout DoubleDouble, b: DoubleDouble) { a = a + b }
    /// Subtracts, as `-` does.
    public static func -= (a: inout DoubleDouble, b: DoubleDouble) { a = a - b }
    /// Multiplies, as `*` does.
    public static func *= (a: inout DoubleDouble, b: DoubleDouble) { a = a * b }
    /// Divides, as `/` does.
    public static func /= (a: inout DoubleDouble, b: DoubleDouble) { a = a / b }

    /// The number times 2^exponent; exact while both halves stay normal.
    func scaled(by exponent: Int) -> DoubleDouble {
        // In two steps, since 2^-1074 … 2^-1023 times a normal number may be normal while the
        // factor is not.
        let half = exponent / 2
        let (a, b) = (
            Double(sign: .plus, exponent: half, significand: 1),
            Double(sign: .plus, exponent: exponent - half, significand: 1)
        )
        return DoubleDouble(ordered: high * a * b, low * a * b)
    }
}

extension DoubleDouble: RealNumber {
    /// Exact.
    public init(_ value: Double) { self.init(unchecked: value, 0) }
    /// Exact.
    public init(_ value: Float) { self.init(Double(value)) }
    /// Exact for every Int.
    public init(_ value: Int) {
        let high = Double(value)
        // The remainder fits; at the very top the Double is one more than Int can hold.
        self.init(unchecked: high, high >= 0x1p63 ? -Double(Int.max - value) - 1 : Double(value - Int(high)))
    }

    /// The first half: this value rounded to float64.
    public var double: Double { high }
    /// The first half rounded to float32; what the second adds is too small to see but at a tie.
    public var float: Float { Float(high) }
    /// Whether it is neither an infinity nor a NaN.
    public var isFinite: Bool { high.isFinite }
    /// Plus infinity, its second half zero.
    public static var infinity: DoubleDouble { DoubleDouble(Double.infinity) }
    /// What tables and files call the format: `dd`.
    public static var name: String { "dd" }
}

extension DoubleDouble: CustomStringConvertible {
    public var description: String { low == 0 ? "\(high)" : "\(high) \(low < 0 ? "-" : "+") \(low.magnitude)" }
}
