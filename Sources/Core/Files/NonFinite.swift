//  NaN and infinity, found in stored bytes without converting them: all exponent bits are set.

extension TensorSource {
    /// The row-major position of the first NaN or infinity; nil when all numbers are finite.
    ///
    /// - Throws: `InputError` (`.missing`) when there is no such tensor.
    /// - Complexity: O(elements), at about the speed of memory.
    public func firstNonFinite(of name: String) throws -> Int? {
        let info = try info(name)
        return try withBytes(of: name) { bytes in
            switch info.dtype {
            case .bf16: firstSaturated(UInt16.self, mask: 0x7f80, in: bytes)
            case .f16: firstSaturated(UInt16.self, mask: 0x7c00, in: bytes)
            case .f32, .c64:
                firstSaturated(UInt32.self, mask: 0x7f80_0000, in: bytes)
                    .map { info.dtype == .c64 ? $0 / 2 : $0 }
            case .f64: firstSaturated(UInt64.self, mask: 0x7ff0_0000_0000_0000, in: bytes)
            case .f8e5m2: firstSaturated(UInt8.self, mask: 0x7c, in: bytes)
            case .f8e4m3: firstSaturated(UInt8.self, mask: 0x7f, in: bytes)
            case .f8e8m0: firstSaturated(UInt8.self, mask: 0xff, in: bytes)
            case .f8e4m3fnuz, .f8e5m2fnuz: bytes.firstIndex(of: 0x80)
            case .bool, .u8, .i8, .u16, .i16, .u32, .i32, .u64, .i64, .f4, .f6e2m3, .f6e3m2: nil
            }
        }
    }

    /// One element as float32.
    func element(of name: String, at index: Int) throws -> Float {
        let info = try info(name)
        let size = info.dtype.bits / 8
        return try withBytes(of: name) { bytes in
            decodeReals(UnsafeRawBufferPointer(rebasing: bytes[index * size..<(index + 1) * size]), of: info.dtype)[0]
        }
    }
}

/// The position of the first number whose bits under `mask` are all set.
private func firstSaturated<Bits: FixedWidthInteger & UnsignedInteger>(
    _ type: Bits.Type, mask: Bits, in bytes: UnsafeRawBufferPointer
) -> Int? {
    let size = MemoryLayout<Bits>.size
    let count = bytes.count / size
    guard let base = bytes.baseAddress else { return nil }
    /// Whether any of the numbers is saturated: without a branch in the loop, so that it runs as
    /// vector code.
    func anySaturated(_ range: Range<Int>) -> Bool {
        var found: Bits = 0
        for i in range {
            let bits = Bits(littleEndian: base.loadUnaligned(fromByteOffset: i * size, as: Bits.self))
            found |= bits & mask == mask ? 1 : 0
        }
        return found != 0
    }
    for start in stride(from: 0, to: count, by: 4096) {
        let block = start..<min(start + 4096, count)
        if anySaturated(block) { return block.first { anySaturated($0..<$0 + 1) } }
    }
    return nil
}

/// The full index, one number an axis, of the element at a row-major position.
func fullIndex(ofElement position: Int, in shape: [Int]) -> [Int] {
    var index: [Int] = []
    var rest = position
    for length in shape.reversed() {
        index.insert(rest % length, at: 0)
        rest /= length
    }
    return index
}
