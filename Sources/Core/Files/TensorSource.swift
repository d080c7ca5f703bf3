//  Where tensors come from: one safetensors file or a whole checkpoint, read the same way.

/// The description of a stored tensor.
public struct TensorInfo: Sendable, Equatable {
    /// What its source calls the tensor: `model.norm.weight`.
    public let name: String
    /// The number format of the elements as stored.
    public let dtype: DType
    /// The length of each axis, outermost first; empty for a single number.
    public let shape: [Int]
    /// Where its elements lie in the file, row-major and little-endian.
    public let byteRange: Range<Int>

    /// Elements: the product of `shape`, 1 for a single number.
    public var count: Int { shape.reduce(1, *) }
    /// Bytes of all elements as stored.
    public var byteCount: Int { byteRange.count }

    /// Takes the four as they are, without a check that shape, format and bytes agree.
    public init(name: String, dtype: DType, shape: [Int], byteRange: Range<Int>) {
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.byteRange = byteRange
    }
}

/// The number of elements of a shape that came from outside; nil when a length is negative or the
/// product overflows, also where a later length is 0.
package func checkedCount(of shape: [Int]) -> Int? {
    var count = 1
    for length in shape {
        let (product, overflow) = count.multipliedReportingOverflow(by: length)
        if overflow || length < 0 { return nil }
        count = product
    }
    return count
}

/// A collection of named tensors, each readable in the number format the caller wants.
public protocol TensorSource: Sendable {
    /// What to call the source in messages: the path of its file or directory.
    var place: String { get }
    /// All tensor names, in the order of the file.
    var names: [String] { get }

    /// The description of a tensor; nil when there is none of this name.
    func find(_ name: String) -> TensorInfo?

    /// Calls `body` with the stored bytes of a tensor: row-major, little-endian, of any alignment.
    ///
    /// - Throws: `InputError` (`.missing`) when there is no such tensor, and what `body` throws.
    func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result
}

extension TensorSource {
    /// Whether there is a tensor of this name.
    public func contains(_ name: String) -> Bool { find(name) != nil }

    /// The description of a tensor.
    ///
    /// - Throws: `InputError` (`.missing`), with the nearest name that exists.
    public func info(_ name: String) throws(InputError) -> TensorInfo {
        guard let info = find(name) else { throw missing(name) }
        return info
    }

    /// The complaint that there is no tensor of this name.
    package func missing(_ name: String) -> InputError {
        InputError(
            .missing, in: "\(place): \(name)", expected: "a tensor of this name", found: "none",
            remedy: nearestName(to: name, in: names).map { "Is it \($0)?" } ?? "")
    }

    /// The tensor in the format `Scalar`: exact where that is wider than the stored one, else
    /// rounded to nearest once.
    ///
    /// - Throws: `InputError`: `.missing`, or `.unsupported` for a format that holds no real
    ///   numbers of whole bytes.
    /// - Complexity: one pass over the bytes, at about the speed of memory.
    public func tensor<Scalar: RealNumber>(_ name: String, as type: Scalar.Type = Scalar.self) throws -> Tensor<Scalar>
    {
        let info = try info(name)
        guard info.dtype.isReal else {
            throw InputError(
                .unsupported, in: "\(place): \(name)", expected: "a tensor of real numbers, one or more bytes each",
                found: info.dtype.rawValue)
        }
        let elements: [Scalar] = try withBytes(of: name) { decodeReals($0, of: info.dtype) }
        return try Tensor(shape: info.shape, elements: elements)
    }

    /// The tensor as integers; truth values are 0 and 1.
    ///
    /// - Throws: `InputError`: `.missing`, `.dtype` when the tensor does not hold integers,
    ///   `.value` for one that `Int` cannot hold.
    public func integers(_ name: String) throws -> Tensor<Int> {
        let info = try info(name)
        guard info.dtype.isInteger else {
            throw InputError(
                .dtype, in: "\(place): \(name)", expected: "integers", found: info.dtype.rawValue)
        }
        let elements = try withBytes(of: name) { try decodeIntegers($0, of: info.dtype, place: "\(place): \(name)") }
        return try Tensor(shape: info.shape, elements: elements)
    }
}
