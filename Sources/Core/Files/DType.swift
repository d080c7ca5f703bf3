//  The number formats of the safetensors format, under the names its headers use.
//
//  Source: huggingface/safetensors, safetensors/src/tensor.rs (Dtype).

/// A number format of a stored tensor. The cases are in the format's own order: writers sort by it,
/// widest first.
public enum DType: String, Sendable, CaseIterable, Codable {
    /// One byte, 0 or 1.
    case bool = "BOOL"
    /// Two values per byte: 1 sign, 2 exponent and 1 mantissa bit.
    case f4 = "F4"
    /// Six bits: 1 sign, 2 exponent and 3 mantissa bits; four values in three bytes.
    case f6e2m3 = "F6_E2M3"
    /// Six bits: 1 sign, 3 exponent and 2 mantissa bits; four values in three bytes.
    case f6e3m2 = "F6_E3M2"
    /// An unsigned byte.
    case u8 = "U8"
    /// A byte in two's complement.
    case i8 = "I8"
    /// 1 sign, 5 exponent and 2 mantissa bits, with infinities (OCP FP8).
    case f8e5m2 = "F8_E5M2"
    /// No infinities; one NaN per sign.
    case f8e4m3 = "F8_E4M3"
    /// A power of two without sign, 2^(byte - 127); 255 is NaN.
    case f8e8m0 = "F8_E8M0"
    /// As E4M3 with bias 8; no infinities, no negative zero: its place is the only NaN.
    case f8e4m3fnuz = "F8_E4M3FNUZ"
    /// As E5M2 with bias 16; no infinities, no negative zero: its place is the only NaN.
    case f8e5m2fnuz = "F8_E5M2FNUZ"
    /// A signed integer of 16 bits.
    case i16 = "I16"
    /// An unsigned integer of 16 bits.
    case u16 = "U16"
    /// IEEE binary16.
    case f16 = "F16"
    /// bfloat16: the upper half of a binary32.
    case bf16 = "BF16"
    /// A signed integer of 32 bits.
    case i32 = "I32"
    /// An unsigned integer of 32 bits.
    case u32 = "U32"
    /// IEEE binary32.
    case f32 = "F32"
    /// A complex number of two float32.
    case c64 = "C64"
    /// IEEE binary64.
    case f64 = "F64"
    /// A signed integer of 64 bits.
    case i64 = "I64"
    /// An unsigned integer of 64 bits.
    case u64 = "U64"

    /// Bits of one element.
    public var bits: Int {
        switch self {
        case .f4: 4
        case .f6e2m3, .f6e3m2: 6
        case .bool, .u8, .i8, .f8e5m2, .f8e4m3, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz: 8
        case .i16, .u16, .f16, .bf16: 16
        case .i32, .u32, .f32: 32
        case .c64, .f64, .i64, .u64: 64
        }
    }

    /// Whether the elements are integers (or truth values).
    public var isInteger: Bool {
        switch self {
        case .bool, .u8, .i8, .u16, .i16, .u32, .i32, .u64, .i64: true
        default: false
        }
    }

    /// The bytes that `count` elements take; nil when they do not fill whole bytes or the number
    /// does not fit an `Int`.
    public func byteCount(of count: Int) -> Int? {
        let (total, overflow) = count.multipliedReportingOverflow(by: bits)
        return overflow || total % 8 != 0 ? nil : total / 8
    }
}
