//  IEEE 754 half precision as bits: 1 sign bit, 5 exponent bits, 10 stored significand bits; unit
//  roundoff 2^-11, largest 65504, smallest 2^-24.
//
//  A storage format, as bfloat16 is. (`Float16` does not exist on every platform this package
//  supports.)

extension Float {
    /// The value of an IEEE 754 half, exactly.
    @inlinable
    public init(halfBitPattern bits: UInt16) {
        let sign = UInt32(bits & 0x8000) << 16
        let magnitude = UInt32(bits & 0x7fff) << 13
        if bits & 0x7c00 == 0x7c00 {
            self.init(bitPattern: sign | 0x7f80_0000 | magnitude)
        } else {
            // The exponent is rebased by a multiplication, which also normalises the subnormals.
            let value = Float(bitPattern: magnitude) * 0x1p112
            self.init(bitPattern: sign | value.bitPattern)
        }
    }

    /// The nearest IEEE 754 half, ties to even. From 65520 on that is infinity; a NaN stays a quiet
    /// NaN with its sign and the upper bits of its payload.
    public var halfBitPattern: UInt16 {
        let sign = UInt16(bitPattern >> 16) & 0x8000
        let magnitude = bitPattern & 0x7fff_ffff
        if isNaN { return sign | 0x7e00 | UInt16((magnitude >> 13) & 0x03ff) }
        if self.magnitude >= 0x1p16 { return sign | 0x7c00 }
        if self.magnitude < 0x1p-14 {
            // Subnormal halves are the multiples of 2^-24.
            return sign | UInt16((self.magnitude * 0x1p24).rounded(.toNearestOrEven))
        }
        // Adding half a unit less one, and one more when the kept part is odd, carries into it
        // exactly when rounding up is right.
        let odd = (magnitude >> 13) & 1
        return sign | UInt16((magnitude + 0x0fff + odd) >> 13 - (112 << 10))
    }
}
