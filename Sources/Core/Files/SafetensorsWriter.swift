//  Writes safetensors files: tensors are collected by reference and streamed to the disk one after
//  another, so that writing takes no second copy of them in memory.
//
//  The layout is the official writer's: widest number format first, then by name; the header padded
//  with spaces to a multiple of 8 bytes, so that every tensor is aligned to its format. The same
//  contents always give the same bytes.

/// A set of named tensors on its way into a file.
public struct SafetensorsWriter {
    /// The file's string table.
    public var metadata: [String: String]
    private var entries: [Entry] = []
    private var taken: Set<String> = ["__metadata__"]

    private struct Entry {
        let name: String
        let dtype: DType
        let shape: [Int]
        let byteCount: Int
        let produce: (FileSink) throws -> Void
    }

    /// A file without tensors; `metadata` may still be changed before it is written.
    public init(metadata: [String: String] = [:]) {
        self.metadata = metadata
    }

    /// Adds a tensor of real numbers: float32 for `Float`, float64 for any other format.
    public mutating func add<Scalar: RealNumber>(_ name: String, _ tensor: Tensor<Scalar>) throws {
        if let tensor = tensor as? Tensor<Float> {
            try add(name, elements: tensor, dtype: .f32)
        } else {
            try add(name, elements: tensor.converted(to: Double.self), dtype: .f64)
        }
    }

    /// Adds a tensor of integers, as int64.
    public mutating func add(_ name: String, _ tensor: Tensor<Int>) throws {
        try add(name, elements: tensor, dtype: .i64)
    }

    /// Adds a tensor of bfloat16 numbers, bit for bit.
    public mutating func add(_ name: String, _ tensor: Tensor<BFloat16>) throws {
        try add(name, elements: tensor, dtype: .bf16)
    }

    /// Adds a tensor whose bytes are already in the file's format: row-major, little-endian.
    public mutating func add(_ name: String, dtype: DType, shape: [Int], bytes: [UInt8]) throws {
        try add(name, dtype: dtype, shape: shape, byteCount: bytes.count) { sink in
            try bytes.withUnsafeBytes { try sink.write($0) }
        }
    }

    /// Adds a tensor of another file, in its own format, without reading it before `write`.
    public mutating func add(_ name: String, from source: any TensorSource, named original: String? = nil) throws {
        let info = try source.info(original ?? name)
        try add(name, dtype: info.dtype, shape: info.shape, byteCount: info.byteCount) { sink in
            try source.withBytes(of: info.name) { try sink.write($0) }
        }
    }

    /// Adds a tensor whose bytes are produced while the file is written, such as one that is
    /// converted on the way.
    ///
    /// - Parameter produce: writes exactly `byteCount` bytes to the sink; may be called once for
    ///   each `write`.
    /// - Throws: `InputError`: `.shape` when `byteCount` is not that of `dtype` and `shape`,
    ///   `.value` for a name that is taken.
    public mutating func add(
        _ name: String, dtype: DType, shape: [Int], byteCount: Int, produce: @escaping (FileSink) throws -> Void
    ) throws {
        guard let expected = checkedCount(of: shape).flatMap(dtype.byteCount) else {
            throw InputError(
                .shape, in: name, expected: "a number of \(dtype.rawValue) elements that fits whole bytes and 63 bits",
                found: "\(shape)")
        }
        guard byteCount == expected else {
            throw InputError(
                .shape, in: name, expected: "\(expected) bytes for \(dtype.rawValue) \(shape)", found: "\(byteCount)")
        }
        guard taken.insert(name).inserted else {
            throw InputError(.value, in: name, expected: "a name that is not yet taken", found: "a second tensor of it")
        }
        entries.append(Entry(name: name, dtype: dtype, shape: shape, byteCount: byteCount, produce: produce))
    }

    private mutating func add<Element: BitwiseCopyable>(_ name: String, elements tensor: Tensor<Element>, dtype: DType)
        throws
    {
        try add(
            name, dtype: dtype, shape: tensor.shape, byteCount: tensor.count * MemoryLayout<Element>.size
        ) { sink in
            #if _endian(little)
                try tensor.elements.withUnsafeBytes { try sink.write($0) }
            #else
                #error("tensors are stored little-endian; byte order must be swapped here")
            #endif
        }
    }

    /// Writes the file, atomically.
    ///
    /// - Throws: `InputError` when it cannot be written; an old file of that name is then
    ///   untouched.
    /// - Complexity: O(bytes) time; no memory beyond the header.
    public func write(to path: String) throws {
        let rank = Dictionary(uniqueKeysWithValues: DType.allCases.enumerated().map { ($1, $0) })
        let ordered = entries.sorted { a, b in
            let (first, second) = (rank[a.dtype, default: 0], rank[b.dtype, default: 0])
            return first != second ? first > second : a.name.utf8.lexicographicallyPrecedes(b.name.utf8)
        }
        try writeAtomically(to: path) { sink in
            let header = header(of: ordered)
            var length = UInt64(header.utf8.count).littleEndian
            try withUnsafeBytes(of: &length) { try sink.write($0) }
            try sink.write(header)
            for entry in ordered {
                let start = sink.position
                try entry.produce(sink)
                guard sink.position - start == entry.byteCount else {
                    throw InputError(
                        .truncated, in: "\(path): \(entry.name)",
                        expected: "\(entry.byteCount) bytes from its producer",
                        found: "\(sink.position - start)")
                }
            }
        }
    }

    private func header(of ordered: [Entry]) -> String {
        var header = JSON.Object()
        if !metadata.isEmpty {
            var table = JSON.Object()
            for (name, text) in metadata.sorted(by: { $0.key < $1.key }) { table[name] = .string(text) }
            header["__metadata__"] = .object(table)
        }
        var offset = 0
        for entry in ordered {
            header[entry.name] = [
                "dtype": .string(entry.dtype.rawValue),
                "shape": .array(entry.shape.map { JSON($0) }),
                "data_offsets": [JSON(offset), JSON(offset + entry.byteCount)],
            ]
            offset += entry.byteCount
        }
        let text = JSON.object(header).serialized()
        return text + String(repeating: " ", count: (8 - text.utf8.count % 8) % 8)
    }
}
