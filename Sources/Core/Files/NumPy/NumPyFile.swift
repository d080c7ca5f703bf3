//  One array in NumPy's own format:
//
//      \x93NUMPY, major, minor    the version: 1.0, 2.0 or 3.0
//      2 or 4 bytes               length of the header, little-endian (2 bytes in version 1)
//      header                     {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }, padded, ending in a newline
//      the rest                   the elements, in C or Fortran order and in the byte order that descr names
//
//  Source: NumPy, NEP 1 and numpy/lib/format.py.

/// A memory-mapped `.npy` file.
public final class NumPyFile: Sendable {
    /// The path it was opened by, as given.
    public let path: String
    /// The length of each axis, outermost first; empty for a single number.
    public let shape: [Int]
    /// The number format of the elements.
    public let dtype: DType
    private let header: NumPyHeader
    private let file: MappedFile

    /// Opens a file and checks its structure. The elements are not read.
    ///
    /// - Throws: `InputError`: `.missingFile`, `.inaccessibleFile`, `.truncated`, `.malformed`,
    ///   `.shape`, and `.unsupported` for arrays of other things than real numbers.
    public init(path: String) throws(InputError) {
        let file = try MappedFile(path: path)
        let result = file.withBytes { bytes in
            Result { () throws(InputError) in try NumPyHeader(bytes, place: path) }
        }
        header = try result.get()
        self.file = file
        self.path = path
        shape = header.shape
        dtype = header.dtype
    }

    /// The array in row-major order, in the format `Scalar`.
    ///
    /// - Complexity: O(elements).
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func tensor<Scalar: RealNumber>(as type: Scalar.Type = Scalar.self) throws -> Tensor<Scalar> {
        let elements: [Scalar] = withLittleEndianBytes { decodeReals($0, of: dtype) }
        return try Tensor(shape: shape, elements: rowMajor(elements))
    }

    /// The array as integers, in row-major order; truth values are 0 and 1.
    ///
    /// - Throws: `InputError`: `.dtype` when it does not hold integers, `.value` for one that `Int`
    ///   cannot hold.
    public func integers() throws -> Tensor<Int> {
        guard dtype.isInteger else {
            throw InputError(.dtype, in: path, expected: "integers", found: dtype.rawValue)
        }
        let elements = try withLittleEndianBytes { try decodeIntegers($0, of: dtype, place: path) }
        return try Tensor(shape: shape, elements: rowMajor(elements))
    }

    private func withLittleEndianBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try file.withBytes { bytes in
            let stored = UnsafeRawBufferPointer(rebasing: bytes[header.dataRange])
            guard header.isBigEndian else { return try body(stored) }
            let size = dtype.bits / 8
            var swapped = [UInt8](repeating: 0, count: stored.count)
            for start in stride(from: 0, to: stored.count, by: size) {
                for i in 0..<size { swapped[start + i] = stored[start + size - 1 - i] }
            }
            return try swapped.withUnsafeBytes(body)
        }
    }

    /// The elements as stored, with the last axis made the contiguous one.
    private func rowMajor<Element>(_ stored: [Element]) -> [Element] {
        guard header.isFortranOrder, shape.count > 1, !stored.isEmpty else { return stored }
        var strides = [Int](repeating: 1, count: shape.count)
        for axis in 1..<shape.count { strides[axis] = strides[axis - 1] * shape[axis - 1] }
        var index = [Int](repeating: 0, count: shape.count)
        var offset = 0
        return stored.indices.map { _ in
            let element = stored[offset]
            // Count up like an odometer, the last axis fastest.
            for axis in shape.indices.reversed() {
                index[axis] += 1
                offset += strides[axis]
                if index[axis] < shape[axis] { break }
                offset -= index[axis] * strides[axis]
                index[axis] = 0
            }
            return element
        }
    }

    // MARK: - Writing

    /// Writes an array, atomically: float32 for `Float`, float64 for any other format.
    ///
    /// - Throws: `InputError` when the file cannot be written; an old one of that name is then
    ///   untouched.
    public static func write<Scalar: RealNumber>(_ tensor: Tensor<Scalar>, to path: String) throws {
        if let tensor = tensor as? Tensor<Float> {
            try write(tensor, descr: "<f4", to: path)
        } else {
            try write(tensor.converted(to: Double.self), descr: "<f8", to: path)
        }
    }

    /// Writes an array of integers, as int64, atomically.
    public static func write(_ tensor: Tensor<Int>, to path: String) throws {
        try write(tensor, descr: "<i8", to: path)
    }

    private static func write<Element: BitwiseCopyable>(_ tensor: Tensor<Element>, descr: String, to path: String)
        throws
    {
        try writeAtomically(to: path) { sink in
            try NumPyHeader.encoded(descr: descr, shape: tensor.shape).withUnsafeBytes { try sink.write($0) }
            #if _endian(little)
                try tensor.elements.withUnsafeBytes { try sink.write($0) }
            #else
                #error("the header says little-endian; byte order must be swapped here")
            #endif
        }
    }
}
