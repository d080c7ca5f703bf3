//  The elementary functions in double-double, to a relative error of about 1e-30.
//
//      exp    x = k ln 2 + r,  e^r = (1 + expm1(r / 2^9))^(2^9) by its series and nine squarings,  times 2^k
//      log    x = m 2^k,  ln x = k ln 2 + ln(1 + (m - 1));   ln(1 + x) = 2 artanh(x / (2 + x)) by its series
//      sin    x = k pi/2 + r, |r| <= pi/4, then the series of sine or cosine
//
//  ln 2 and pi/2 are held in three Doubles, so that the reduced argument keeps its digits when x is
//  a few hundred.

import DualityCore

extension DoubleDouble {
    /// e^x; infinity or zero beyond the exponents of Double.
    public static func exp(_ x: DoubleDouble) -> DoubleDouble {
        guard x.high.magnitude < 800 else {
            return DoubleDouble(x.high.isNaN ? Double.nan : x.high > 0 ? .infinity : 0)
        }
        let k = (x.high / ln2.0).rounded()
        return (1 + expMinusOne(small: reduced(x, by: k, of: ln2))).scaled(by: Int(k))
    }

    /// e^x - 1, without cancellation near zero.
    public static func expMinusOne(_ x: DoubleDouble) -> DoubleDouble {
        x.high.magnitude <= 0.35 ? expMinusOne(small: x) : exp(x) - 1
    }

    /// e^x - 1 for |x| up to about ln 2 / 2.
    private static func expMinusOne(small x: DoubleDouble) -> DoubleDouble {
        let r = x.scaled(by: -9)
        var (term, power) = (r, r)
        for i in 2...12 {
            term = term * r / DoubleDouble(i)
            power += term
        }
        for _ in 0..<9 { power = power * power + power.scaled(by: 1) }
        return power
    }

    /// The natural logarithm: minus infinity at zero, NaN below it.
    public static func log(_ x: DoubleDouble) -> DoubleDouble {
        guard x.high > 0, x.isFinite else {
            return DoubleDouble(x.high == 0 ? -Double.infinity : x.high > 0 ? .infinity : .nan)
        }
        var k = Int(x.high.exponent)
        if x.high.significand >= 1.5 { k += 1 }
        // Twice, so that the factor is a normal number also for the smallest x.
        let m = x.scaled(by: -(k / 2)).scaled(by: k / 2 - k)
        let logarithm = log(onePlus: m - 1)
        if k == 0 { return logarithm }
        return reduced(logarithm, by: -Double(k), of: ln2)
    }

    /// ln(1 + x), without cancellation near zero.
    public static func log(onePlus x: DoubleDouble) -> DoubleDouble {
        guard x.high >= -0.26, x.high <= 0.51 else { return log(1 + x) }
        let s = x / (2 + x)  // at most 0.21
        let square = s * s
        var power = s
        var sum = s
        for k in stride(from: 3, through: 51, by: 2) {
            power *= square
            sum += power / DoubleDouble(k)
        }
        return sum.scaled(by: 1)
    }

    /// The square root; NaN below zero.
    public static func sqrt(_ x: DoubleDouble) -> DoubleDouble {
        let root = x.high.squareRoot()
        guard root > 0, root.isFinite else { return DoubleDouble(root) }
        // One step of Newton's method, in which only the remainder needs the second half.
        let rest = x - DoubleDouble(productOf: root, root)
        return DoubleDouble(ordered: root, rest.high / (2 * root))
    }

    /// - Precondition: for full accuracy |x| is below about 2^30.
    public static func cos(_ x: DoubleDouble) -> DoubleDouble { sine(of: x, quarterTurns: 1) }

    /// - Precondition: for full accuracy |x| is below about 2^30.
    public static func sin(_ x: DoubleDouble) -> DoubleDouble { sine(of: x, quarterTurns: 0) }

    /// x to the power y; a negative x has one for integer y alone.
    public static func pow(_ x: DoubleDouble, _ y: DoubleDouble) -> DoubleDouble {
        if y == 0 { return 1 }
        if x == 0 { return y < 0 ? .infinity : 0 }
        let magnitude = exp(y * log(x.magnitude))
        if x > 0 { return magnitude }
        guard y.low == 0, y.high == y.high.rounded() else { return DoubleDouble(Double.nan) }
        return y.high.truncatingRemainder(dividingBy: 2) == 0 ? magnitude : -magnitude
    }

    /// sin(x + turns pi/2).
    private static func sine(of x: DoubleDouble, quarterTurns turns: Int) -> DoubleDouble {
        guard x.high.magnitude < 0x1p50 else { return DoubleDouble(Double.nan) }
        let k = (x.high / halfPi.0).rounded()
        let r = reduced(x, by: k, of: halfPi)
        let quarter = (Int(k) + turns) & 3
        let square = -(r * r)
        // The series of the sine starts from r, that of the cosine from 1.
        var term: DoubleDouble = quarter % 2 == 0 ? r : 1
        var sum = term
        for i in stride(from: quarter % 2 == 0 ? 2 : 1, through: 30, by: 2) {
            term = term * square / DoubleDouble(i * (i + 1))
            sum += term
        }
        return quarter < 2 ? sum : -sum
    }

    /// x - k c, for an integer k and a constant in three parts.
    private static func reduced(
        _ x: DoubleDouble, by k: Double, of c: (Double, Double, Double)
    ) -> DoubleDouble {
        let rest = x - DoubleDouble(productOf: k, c.0) - DoubleDouble(productOf: k, c.1)
        return rest - DoubleDouble(k * c.2)
    }

    private static let ln2 = (0x1.62e42fefa39efp-1, 0x1.abc9e3b39803fp-56, 0x1.7b57a079a1934p-111)
    private static let halfPi = (0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54, -0x1.f1976b7ed8fbcp-110)
}
