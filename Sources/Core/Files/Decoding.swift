//  Stored bytes to numbers, in bulk.
//
//  Every format is little-endian and may start at any address: a header of odd length shifts all
//  tensors, so all loads are unaligned ones (which cost the same on the processors of interest).
//  The 8-bit formats go through a table of 256 values.

extension DType {
    /// Whether an element is one real number in whole bytes, which `decodeReals` understands. The
    /// sub-byte formats are not: the file format does not say in what order they are packed.
    public var isReal: Bool {
        switch self {
        case .f4, .f6e2m3, .f6e3m2, .c64: false
        default: true
        }
    }
}

/// The numbers in `bytes`, in the format `Scalar`.
///
/// - Parameter dtype: a format with `isReal`.
@specialized(where Scalar == Float)
@specialized(where Scalar == Double)
public func decodeReals<Scalar: RealNumber>(
    _ bytes: UnsafeRawBufferPointer, of dtype: DType, as type: Scalar.Type = Scalar.self
) -> [Scalar] {
    /// One load and one conversion per element; inlined, so that each format is a loop of its own.
    @inline(__always)
    func each<Stored: FixedWidthInteger>(_ type: Stored.Type, _ convert: (Stored) -> Scalar) -> [Scalar] {
        let size = MemoryLayout<Stored>.size
        return [Scalar](unsafeUninitializedCapacity: bytes.count / size) { buffer, count in
            count = bytes.count / size
            guard let source = bytes.baseAddress, let target = buffer.baseAddress else { return }
            for i in 0..<count {
                let stored = source.loadUnaligned(fromByteOffset: i * size, as: Stored.self)
                (target + i).initialize(to: convert(Stored(littleEndian: stored)))
            }
        }
    }

    switch dtype {
    case .f64: return each(UInt64.self) { Scalar(Double(bitPattern: $0)) }
    case .f32: return each(UInt32.self) { Scalar(Float(bitPattern: $0)) }
    case .bf16: return each(UInt16.self) { Scalar(Float(bitPattern: UInt32($0) << 16)) }
    case .f16: return each(UInt16.self) { Scalar(Float(halfBitPattern: $0)) }
    case .i64: return each(Int64.self) { Scalar(Int($0)) }
    case .u64: return each(UInt64.self) { Int(exactly: $0).map { Scalar($0) } ?? Scalar(Double($0)) }
    case .i32: return each(Int32.self) { Scalar(Int($0)) }
    case .u32: return each(UInt32.self) { Scalar(Int($0)) }
    case .i16: return each(Int16.self) { Scalar(Int($0)) }
    case .u16: return each(UInt16.self) { Scalar(Int($0)) }
    case .i8: return each(Int8.self) { Scalar(Int($0)) }
    case .u8: return each(UInt8.self) { Scalar(Int($0)) }
    case .bool: return each(UInt8.self) { $0 == 0 ? 0 : 1 }
    case .f8e4m3, .f8e5m2, .f8e8m0, .f8e4m3fnuz, .f8e5m2fnuz:
        let table = (0...255).map { Scalar(dtype.value(ofByte: UInt8($0))) }
        return each(UInt8.self) { table[Int($0)] }
    case .f4, .f6e2m3, .f6e3m2, .c64:
        preconditionFailure("\(dtype.rawValue) holds no real numbers of whole bytes")
    }
}

/// The integers in `bytes`.
///
/// - Throws: `InputError` (`.value`) for an unsigned number beyond `Int`.
func decodeIntegers(_ bytes: UnsafeRawBufferPointer, of dtype: DType, place: String) throws(InputError) -> [Int] {
    func each<Stored: FixedWidthInteger>(_ type: Stored.Type) throws(InputError) -> [Int] {
        let size = MemoryLayout<Stored>.size
        var integers: [Int] = []
        integers.reserveCapacity(bytes.count / size)
        for i in 0..<bytes.count / size {
            let stored = Stored(littleEndian: bytes.loadUnaligned(fromByteOffset: i * size, as: Stored.self))
            guard let integer = Int(exactly: stored) else {
                throw InputError(
                    .value, in: place, expected: "integers of at most \(Int.max)", found: "\(stored) at index \(i)")
            }
            integers.append(integer)
        }
        return integers
    }

    switch dtype {
    case .bool: return try each(UInt8.self).map { $0 == 0 ? 0 : 1 }
    case .u8: return try each(UInt8.self)
    case .i8: return try each(Int8.self)
    case .u16: return try each(UInt16.self)
    case .i16: return try each(Int16.self)
    case .u32: return try each(UInt32.self)
    case .i32: return try each(Int32.self)
    case .u64: return try each(UInt64.self)
    case .i64: return try each(Int64.self)
    default: preconditionFailure("\(dtype.rawValue) holds no integers")
    }
}

extension DType {
    /// The value of one byte in an 8-bit floating-point format.
    ///
    /// Source: OCP 8-bit Floating Point Specification 1.0; OCP Microscaling Formats 1.0 (E8M0); the
    /// FNUZ variants after Noune et al., arXiv 2206.02915.
    func value(ofByte byte: UInt8) -> Float {
        switch self {
        case .f8e5m2:  // IEEE 754 in small: the upper half of a half
            return Float(halfBitPattern: UInt16(byte) << 8)
        case .f8e4m3:
            return byte & 0x7f == 0x7f ? .nan : Self.smallFloat(byte, mantissaBits: 3, bias: 7)
        case .f8e4m3fnuz:
            return byte == 0x80 ? .nan : Self.smallFloat(byte, mantissaBits: 3, bias: 8)
        case .f8e5m2fnuz:
            return byte == 0x80 ? .nan : Self.smallFloat(byte, mantissaBits: 2, bias: 16)
        case .f8e8m0:
            return byte == 0xff ? .nan : Float(sign: .plus, exponent: Int(byte) - 127, significand: 1)
        default:
            preconditionFailure("\(rawValue) is not an 8-bit floating-point format")
        }
    }

    private static func smallFloat(_ byte: UInt8, mantissaBits: Int, bias: Int) -> Float {
        let one = 1 << mantissaBits
        let mantissa = Int(byte) & (one - 1)
        let exponent = Int(byte & 0x7f) >> mantissaBits
        // value = 2^(e - bias) (1 + m / 2^bits), and without the 1 in the lowest binade, the
        // subnormals
        let significand = Float(exponent == 0 ? mantissa : one + mantissa)
        let scale = Float(sign: .plus, exponent: max(exponent, 1) - bias - mantissaBits, significand: 1)
        return (byte & 0x80 == 0 ? 1 : -1) * significand * scale
    }
}
