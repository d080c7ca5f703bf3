//  What the reference asks of a number.
//
//  The layers and the operator are written once, generic over this protocol, and run in Float and
//  in Double. It is kept small on purpose: a wider format (a pair of Doubles, say) can certify
//  Double by conforming to a page of requirements.

import RealModule

/// A real number format that the reference can compute in.
///
/// `Float` and `Double` conform. The elementary functions are those of swift-numerics, that is, of
/// the platform's libm.
public protocol RealNumber: SignedNumeric, Comparable, Sendable, ExpressibleByFloatLiteral where Magnitude == Self {
    /// The value rounded to this format.
    init(_ value: Double)
    /// The value rounded to this format (exact where the format is at least as wide as float32).
    init(_ value: Float)
    /// The value rounded to this format.
    init(_ value: Int)

    /// This value, rounded to float64.
    var double: Double { get }
    /// This value, rounded to float32.
    var float: Float { get }
    var isFinite: Bool { get }

    static var infinity: Self { get }
    static func / (lhs: Self, rhs: Self) -> Self
    static func /= (lhs: inout Self, rhs: Self)

    static func exp(_ x: Self) -> Self
    static func expMinusOne(_ x: Self) -> Self
    static func log(_ x: Self) -> Self
    static func log(onePlus x: Self) -> Self
    static func sqrt(_ x: Self) -> Self
    static func cos(_ x: Self) -> Self
    static func sin(_ x: Self) -> Self
    static func pow(_ x: Self, _ y: Self) -> Self

    /// The name used in files, tables and on the command line: `f32` or `f64`.
    static var name: String { get }
}

extension Float: RealNumber {
    /// This value, exactly.
    @inlinable public var double: Double { Double(self) }
    /// This value, exactly.
    @inlinable public var float: Float { self }
    /// IEEE binary32 in files, tables and flags.
    public static var name: String { "f32" }
}

extension Double: RealNumber {
    /// This value, exactly.
    @inlinable public var double: Double { self }
    /// This value to nearest, ties to even; infinite beyond the largest float32.
    @inlinable public var float: Float { Float(self) }
    /// IEEE binary64 in files, tables and flags.
    public static var name: String { "f64" }
}
