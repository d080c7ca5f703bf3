//  bfloat16: the upper half of a float32. 1 sign bit, 8 exponent bits, 7 stored significand bits;
//  unit roundoff 2^-8.
//
//  A storage format: it converts and compares and does no arithmetic. Conversions to it round to
//  nearest, ties to even, from float32 and from float64 alike (not through a second rounding), and
//  keep a NaN a NaN.

/// A bfloat16 number, as checkpoints store it.
public struct BFloat16: Sendable, BitwiseCopyable, Hashable {
    /// The upper 16 bits of the float32 with the same value.
    public var bitPattern: UInt16

    /// The number with these bits, NaNs included.
    @inlinable
    public init(bitPattern: UInt16) {
        self.bitPattern = bitPattern
    }

    /// The nearest bfloat16, ties to even. Beyond the largest finite value that is infinity; a NaN
    /// stays a quiet NaN with its sign and the upper bits of its payload.
    @inlinable
    public init(_ value: Float) {
        let bits = value.bitPattern
        if value.isNaN {
            bitPattern = UInt16(truncatingIfNeeded: bits >> 16) | 0x0040
        } else {
            // Adding 0x7fff, and one more when the kept part is odd, carries into it exactly when
            // rounding up is right.
            let odd = (bits >> 16) & 1
            bitPattern = UInt16(truncatingIfNeeded: (bits &+ 0x7fff &+ odd) >> 16)
        }
    }

    /// The nearest bfloat16 to a float64, rounded once.
    @inlinable
    public init(_ value: Double) {
        // Rounding to odd keeps a sticky bit, so that the second rounding sees on which side of a
        // tie the value lies.
        let nearest = Float(value)
        var bits = nearest.bitPattern
        if nearest.isFinite && Double(nearest) != value {
            if Double(nearest).magnitude > value.magnitude { bits &-= 1 }
            bits |= 1
        }
        self.init(Float(bitPattern: bits))
    }
}

extension Float {
    /// The value of a bfloat16, exactly.
    @inlinable
    public init(_ value: BFloat16) {
        self.init(bitPattern: UInt32(value.bitPattern) << 16)
    }
}

extension BFloat16: CustomStringConvertible {
    public var description: String { Float(self).description }
}

extension Tensor where Element == BFloat16 {
    /// Rounds every element of a float32 tensor to nearest even.
    public init(rounding tensor: Tensor<Float>) {
        self = tensor.map { BFloat16($0) }
    }

    /// Every element in a wider format, exactly.
    public func widened<Scalar: RealNumber>(to type: Scalar.Type = Scalar.self) -> Tensor<Scalar> {
        map { Scalar(Float($0)) }
    }
}
