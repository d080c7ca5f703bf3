//  Tensors in memory, read like those of a file: for models made or changed in code.

/// Named float32 tensors in memory.
public struct TensorDictionary: TensorSource, Equatable {
    /// What to call the source in messages.
    public let place: String
    /// The tensors by name; may be changed freely.
    public var tensors: [String: Tensor<Float>]

    /// Takes tensors made in code; `place` is what messages call them.
    public init(_ tensors: [String: Tensor<Float>] = [:], place: String = "memory") {
        self.tensors = tensors
        self.place = place
    }

    /// Reads every tensor of another source.
    ///
    /// - Throws: `InputError` for a tensor that does not hold real numbers.
    public init(reading source: any TensorSource) throws {
        self.init(place: source.place)
        for name in source.names { tensors[name] = try source.tensor(name) }
    }

    /// All names, in alphabetical order.
    public var names: [String] { tensors.keys.sorted() }

    /// Each tensor lies in memory of its own, from byte 0.
    public func find(_ name: String) -> TensorInfo? {
        tensors[name].map {
            let bytes = $0.count * MemoryLayout<Float>.stride
            return TensorInfo(name: name, dtype: .f32, shape: $0.shape, byteRange: 0..<bytes)
        }
    }

    /// The bytes are those of the array in memory and are not copied.
    public func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        guard let tensor = tensors[name] else { throw missing(name) }
        // A file is little-endian, and so are all platforms this package runs on.
        return try tensor.elements.withUnsafeBytes(body)
    }
}
