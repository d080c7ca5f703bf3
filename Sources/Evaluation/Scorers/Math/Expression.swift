//  A small algebra: expressions of LaTeX, and whether two are equal.
//
//  The official scorer asks SymPy whether simplify(a - b) is 0. Two expressions of numbers,
//  letters, sums, products, quotients, powers and roots are equal as functions when they agree at
//  enough points, so both are evaluated at eight fixed ones, with complex numbers, and compared to
//  1e-9. What does not parse is not equal, as there.

import Foundation

/// An expression of the algebra.
indirect enum Expression: Sendable {
    case number(Double)
    /// A letter, or a Greek one by its name.
    case symbol(String)
    case sum(Expression, Expression)
    case product(Expression, Expression)
    case quotient(Expression, Expression)
    case power(Expression, Expression)
    case negative(Expression)
    case function(String, Expression)

    /// Whether two texts are equal: the same, or the same function.
    static func areEqual(_ a: Scalars, _ b: Scalars) -> Bool {
        if a == b { return true }
        var (left, right) = (ExpressionParser(a), ExpressionParser(b))
        guard let first = left.parse(), let second = right.parse() else { return false }
        return (0..<8).allSatisfy { point in
            let (x, y) = (first.value(at: point), second.value(at: point))
            guard x.isFinite, y.isFinite else { return false }
            return (x - y).magnitude <= 1e-9 * max(1, max(x.magnitude, y.magnitude))
        }
    }

    /// The value where every letter has its number of this point.
    func value(at point: Int) -> ComplexNumber {
        switch self {
        case .number(let value): return ComplexNumber(value)
        case .symbol(let name): return ComplexNumber(Self.value(of: name, at: point))
        case .sum(let a, let b): return a.value(at: point) + b.value(at: point)
        case .product(let a, let b): return a.value(at: point) * b.value(at: point)
        case .quotient(let a, let b): return a.value(at: point) / b.value(at: point)
        case .power(let a, let b): return a.value(at: point).raised(to: b.value(at: point))
        case .negative(let a): return ComplexNumber(0) - a.value(at: point)
        case .function(let name, let a):
            guard name.hasSuffix("()") else { return a.value(at: point).applying(name) }
            // A function that nothing is known about: some smooth one, fixed by its name.
            let (stretch, shift) = (Self.value(of: name, at: 0), Self.value(of: name, at: 1))
            return (ComplexNumber(stretch) * a.value(at: point) + ComplexNumber(shift)).applying("cos")
        }
    }

    /// A number between -2.5 and 2.5 and at least 0.2 from 0, fixed by letter and point.
    private static func value(of name: String, at point: Int) -> Double {
        if name == "pi" { return Double.pi }
        var hash = UInt64(point) &* 0x9e37_79b9_7f4a_7c15 &+ 0x1234_5678_9abc_def1
        for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0xbf58_476d_1ce4_e5b9 }
        hash ^= hash >> 29
        let fraction = Double(hash >> 11) * 0x1p-53
        return (0.2 + 2.3 * fraction) * (hash & 1 == 0 ? 1 : -1)
    }
}

/// A complex number.
struct ComplexNumber: Sendable {
    var real: Double
    var imaginary = 0.0

    init(_ real: Double, _ imaginary: Double = 0) {
        (self.real, self.imaginary) = (real, imaginary)
    }

    var isFinite: Bool { real.isFinite && imaginary.isFinite }
    var magnitude: Double { hypot(real, imaginary) }

    static func + (a: Self, b: Self) -> Self { Self(a.real + b.real, a.imaginary + b.imaginary) }
    static func - (a: Self, b: Self) -> Self { Self(a.real - b.real, a.imaginary - b.imaginary) }

    static func * (a: Self, b: Self) -> Self {
        Self(a.real * b.real - a.imaginary * b.imaginary, a.real * b.imaginary + a.imaginary * b.real)
    }

    static func / (a: Self, b: Self) -> Self {
        let scale = b.real * b.real + b.imaginary * b.imaginary
        let product = a * Self(b.real, -b.imaginary)
        return Self(product.real / scale, product.imaginary / scale)
    }

    private var logarithm: Self { Self(log(magnitude), atan2(imaginary, real)) }

    private var exponential: Self {
        let scale = exp(real)
        return Self(scale * cos(imaginary), scale * sin(imaginary))
    }

    /// The principal value; small whole exponents by products, so that they are exact.
    func raised(to power: Self) -> Self {
        if power.imaginary == 0, power.real == power.real.rounded(), abs(power.real) <= 64 {
            var result = Self(1)
            for _ in 0..<Int(abs(power.real)) { result = result * self }
            return power.real < 0 ? Self(1) / result : result
        }
        if real == 0, imaginary == 0 { return power.real > 0 ? Self(0) : Self(.nan) }
        return (power * logarithm).exponential
    }

    func applying(_ function: String) -> Self {
        switch function {
        case "abs": return Self(magnitude)
        case "ln", "log": return logarithm
        case "exp": return exponential
        case "factorial":
            return imaginary == 0 ? Self(real < 0 && real == real.rounded() ? .nan : tgamma(real + 1)) : Self(.nan)
        case "lfloor": return imaginary == 0 ? Self(real.rounded(.down)) : Self(.nan)
        case "lceil": return imaginary == 0 ? Self(real.rounded(.up)) : Self(.nan)
        case "arcsin":
            let root = (Self(1) - self * self).raised(to: Self(0.5))
            return Self(0, -1) * (Self(0, 1) * self + root).logarithm
        case "arccos": return Self(Double.pi / 2) - applying("arcsin")
        case "arctan":
            let turned = Self(0, 1) * self
            return Self(0, 0.5) * ((Self(1) - turned).logarithm - (Self(1) + turned).logarithm)
        case "sinh", "cosh", "tanh":
            let (sine, cosine) = (
                (exponential - (Self(0) - self).exponential), exponential + (Self(0) - self).exponential
            )
            return function == "tanh" ? sine / cosine : (function == "sinh" ? sine : cosine) / Self(2)
        default:
            // e^(iz) gives the rest.
            let turned = (Self(0, 1) * self).exponential
            let other = Self(1) / turned
            let (cosine, sine) = ((turned + other) / Self(2), (turned - other) / Self(0, 2))
            switch function {
            case "sin": return sine
            case "cos": return cosine
            case "tan": return sine / cosine
            case "csc": return Self(1) / sine
            case "sec": return Self(1) / cosine
            case "cot": return cosine / sine
            default: return Self(.nan)
            }
        }
    }
}
