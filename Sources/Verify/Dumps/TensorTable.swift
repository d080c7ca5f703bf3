//  Named tensors in memory, readable like those of a file: what a case is made of before it is
//  written, and what a caller without files hands in.

import DualityCore
import DualityNumerics
import DualityReference

/// A collection of named tensors in memory.
public struct TensorTable: TensorSource {
    /// What messages call the collection.
    public let place: String
    /// The names of all tensors, in the order in which they were first added.
    public private(set) var names: [String] = []
    private var entries: [String: (info: TensorInfo, bytes: [UInt8])] = [:]

    /// - Parameter place: what to call the collection in messages.
    public init(place: String) { self.place = place }

    /// Format and shape of a tensor; nil when there is none of this name.
    public func find(_ name: String) -> TensorInfo? { entries[name]?.info }

    /// Calls `body` with the bytes of a tensor, row-major and little-endian.
    ///
    /// - Throws: `InputError` (`.missing`) when there is none of this name, and what `body` throws.
    public func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        guard let entry = entries[name] else {
            _ = try info(name)
            throw noSuchTensor(name)
        }
        return try entry.bytes.withUnsafeBytes(body)
    }

    /// Adds a tensor whose bytes are row-major and little-endian; one of the same name is replaced.
    ///
    /// - Throws: `InputError` (`.shape`) when the bytes are not as many as `dtype` and `shape` say.
    public mutating func add(_ name: String, dtype: DType, shape: [Int], bytes: [UInt8]) throws(InputError) {
        guard let expected = checkedCount(of: shape).flatMap(dtype.byteCount), expected == bytes.count else {
            throw InputError(
                .shape, in: "\(place): \(name)", expected: "as many bytes as \(dtype.rawValue) \(shape) takes",
                found: "\(bytes.count)")
        }
        if entries[name] == nil { names.append(name) }
        entries[name] = (TensorInfo(name: name, dtype: dtype, shape: shape, byteRange: 0..<bytes.count), bytes)
    }

    /// Adds real numbers, rounded to `format`: f64, f32, bf16 or f16.
    public mutating func add(_ name: String, _ tensor: Tensor<Double>, as format: NumberFormat) throws(InputError) {
        let dtype: DType =
            switch format {
            case .f64: .f64
            case .bf16: .bf16
            case .f16: .f16
            default: .f32
            }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(tensor.count * dtype.bits / 8)
        func append(_ bits: some FixedWidthInteger) {
            withUnsafeBytes(of: bits.littleEndian) { bytes.append(contentsOf: $0) }
        }
        for value in tensor.elements {
            switch dtype {
            case .f64: append(value.bitPattern)
            case .bf16: append(UInt16(Float(NumberFormat.bf16.round(value)).bitPattern >> 16))
            case .f16: append(halfBits(NumberFormat.f16.round(value)))
            default: append(Float(value).bitPattern)
            }
        }
        try add(name, dtype: dtype, shape: tensor.shape, bytes: bytes)
    }

    /// Adds integers as int32, what kernels take for sequence numbers.
    public mutating func add(_ name: String, _ tensor: Tensor<Int>) throws(InputError) {
        let bytes = tensor.elements.flatMap { value in
            withUnsafeBytes(of: Int32(truncatingIfNeeded: value).littleEndian) { Array($0) }
        }
        try add(name, dtype: .i32, shape: tensor.shape, bytes: bytes)
    }

    private func noSuchTensor(_ name: String) -> InputError {
        InputError(.missing, in: "\(place): \(name)", expected: "a tensor of this name", found: "none")
    }
}

/// The bits of a number that binary16 holds exactly, an infinity or NaN.
private func halfBits(_ value: Double) -> UInt16 {
    let sign: UInt16 = value.sign == .minus ? 0x8000 : 0
    if value.isNaN { return sign | 0x7e00 }
    let magnitude = value.magnitude
    if magnitude == .infinity { return sign | 0x7c00 }
    if magnitude < 0x1p-14 { return sign | UInt16(magnitude * 0x1p24) }
    let exponent = Int(magnitude.exponent)
    return sign | UInt16((exponent + 15) << 10) | UInt16((magnitude.significand - 1) * 1024)
}
