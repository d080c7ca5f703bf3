//  A safetensors file:
//
//      8 bytes        n, the length of the header, little-endian
//      n bytes        JSON: {"__metadata__": {string: string}, NAME: {"dtype": …, "shape": […], "data_offsets": [begin, end]}, …}
//      the rest       the tensors' elements, row-major and little-endian; offsets count from here
//
//  The tensors must fill the rest exactly, without gaps or overlaps. Everything is checked before
//  anything is used. Source: huggingface/safetensors, README.md, "Format".

/// A memory-mapped safetensors file.
public final class SafetensorsFile: TensorSource {
    /// The path it was opened by, as given.
    public let place: String
    /// Tensor names in the order of their bytes.
    public let names: [String]
    /// The descriptions of all tensors, by name.
    public let tensors: [String: TensorInfo]
    /// The file's own string table; empty when it has none.
    public let metadata: [String: String]
    private let file: MappedFile

    /// Opens a file and checks its whole structure. The elements are not read.
    ///
    /// - Throws: `InputError`, with the tensor it is about: `.missingFile`, `.inaccessibleFile`,
    ///   `.truncated`, `.json`, `.malformed`, `.dtype`, `.shape`.
    public init(path: String) throws(InputError) {
        let file = try MappedFile(path: path)
        var header = SafetensorsHeader(place: path)
        let result = file.withBytes { bytes in
            Result { () throws(InputError) in try header.read(bytes) }
        }
        try result.get()
        self.file = file
        place = path
        names = header.tensors.map(\.name)
        tensors = Dictionary(header.tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        metadata = header.metadata
    }

    /// Looks the tensor up in `tensors`, in constant time.
    public func find(_ name: String) -> TensorInfo? { tensors[name] }

    /// The bytes lie in the mapped file and are not copied.
    public func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        let range = try info(name).byteRange
        return try file.withBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
    }
}

/// The parsed and checked header.
struct SafetensorsHeader {
    /// In the order of their bytes.
    private(set) var tensors: [TensorInfo] = []
    private(set) var metadata: [String: String] = [:]
    private let place: String

    init(place: String) {
        self.place = place
    }

    mutating func read(_ bytes: UnsafeRawBufferPointer) throws(InputError) {
        if let refusal = FileKind(bytes).refusal(of: place) { throw refusal }
        guard bytes.count >= 8 else {
            throw InputError(
                .truncated, in: place, expected: "a safetensors file, which has 8 bytes or more",
                found: "\(bytes.count) bytes")
        }
        let stored = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard let length = Int(exactly: stored), length <= bytes.count - 8 else {
            throw InputError(
                .truncated, in: place, expected: "a header of \(stored) bytes, as the first 8 bytes say",
                found: "\(bytes.count - 8) bytes after them",
                remedy: "The file is cut off, or is not a safetensors file.")
        }
        guard length > 0, bytes[8] == UInt8(ascii: "{") else {
            throw InputError(
                .malformed, in: place, expected: "a header that begins with '{'",
                found: length == 0 ? "an empty one" : "the byte 0x\(String(bytes[8], radix: 16))",
                remedy: "Is this a safetensors file?")
        }
        let text = UnsafeRawBufferPointer(rebasing: bytes[8..<8 + length])
        let json = try JSON(parsing: text, place: "\(place): header")
        guard let object = json.object else {
            throw InputError(.json, in: "\(place): header", expected: "an object", found: json.kindName)
        }
        for (name, value) in object.members {
            if name == "__metadata__" {
                try readMetadata(value)
            } else {
                tensors.append(try tensor(name, value, dataStart: 8 + length, fileEnd: bytes.count))
            }
        }
        try checkLayout(dataStart: 8 + length, fileEnd: bytes.count)
    }

    private mutating func readMetadata(_ value: JSON) throws(InputError) {
        guard let object = value.object else {
            throw InputError(
                .json, in: "\(place): __metadata__", expected: "an object of strings", found: value.kindName)
        }
        for (name, value) in object.members {
            guard let text = value.string else {
                throw InputError(
                    .json, in: "\(place): __metadata__.\(name)", expected: "a string", found: value.kindName)
            }
            metadata[name] = text
        }
    }

    private func tensor(_ name: String, _ value: JSON, dataStart: Int, fileEnd: Int) throws(InputError) -> TensorInfo {
        let place = "\(self.place): \(name)"
        guard let fields = value.object else {
            throw InputError(
                .json, in: place, expected: "an object with dtype, shape and data_offsets", found: value.kindName)
        }
        if let other = fields.names.first(where: { !["dtype", "shape", "data_offsets"].contains($0) }) {
            throw InputError(
                .malformed, in: place, expected: "dtype, shape and data_offsets only", found: "\"\(other)\"")
        }
        guard let dtypeName = fields["dtype"]?.string, let dtype = DType(rawValue: dtypeName) else {
            throw InputError(
                .dtype, in: "\(place).dtype", expected: "a format such as \"F32\" or \"BF16\"",
                found: fields["dtype"]?.kindName ?? "nothing")
        }
        let shape = try naturals(fields["shape"], in: "\(place).shape", expected: "an array of lengths")
        let offsets = try naturals(fields["data_offsets"], in: "\(place).data_offsets", expected: "[begin, end]")
        guard offsets.count == 2, offsets[0] <= offsets[1] else {
            throw InputError(
                .malformed, in: "\(place).data_offsets", expected: "[begin, end] with begin <= end", found: "\(offsets)"
            )
        }
        guard offsets[1] <= fileEnd - dataStart else {
            throw InputError(
                .truncated, in: "\(place).data_offsets",
                expected: "an end within the \(fileEnd - dataStart) bytes of data",
                found: "\(offsets[1])", remedy: "The file is cut off, or its header is wrong.")
        }
        guard let count = checkedCount(of: shape), let byteCount = dtype.byteCount(of: count) else {
            throw InputError(
                .shape, in: "\(place).shape",
                expected: "a number of \(dtypeName) elements that fits whole bytes and 63 bits",
                found: "\(shape)")
        }
        guard byteCount == offsets[1] - offsets[0] else {
            throw InputError(
                .shape, in: place, expected: "\(byteCount) bytes for \(dtypeName) \(shape)",
                found: "\(offsets[1] - offsets[0]) in data_offsets \(offsets)")
        }
        return TensorInfo(
            name: name, dtype: dtype, shape: shape, byteRange: dataStart + offsets[0]..<dataStart + offsets[1])
    }

    private func naturals(_ value: JSON?, in place: String, expected: String) throws(InputError) -> [Int] {
        guard let values = value?.array else {
            throw InputError(.json, in: place, expected: expected, found: value?.kindName ?? "nothing")
        }
        var naturals: [Int] = []
        for (i, value) in values.enumerated() {
            guard let natural = value.int, natural >= 0 else {
                throw InputError(
                    .json, in: "\(place)[\(i)]", expected: "a whole number from 0 to \(Int.max)", found: value.kindName)
            }
            naturals.append(natural)
        }
        return naturals
    }

    /// Sorts the tensors by their bytes and checks that they follow one another from the start of
    /// the data to its end.
    private mutating func checkLayout(dataStart: Int, fileEnd: Int) throws(InputError) {
        let order = tensors.enumerated().sorted {
            let (a, b) = ($0.element.byteRange, $1.element.byteRange)
            return (a.lowerBound, a.upperBound, $0.offset) < (b.lowerBound, b.upperBound, $1.offset)
        }
        tensors = order.map(\.element)
        var end = dataStart
        for (i, tensor) in tensors.enumerated() {
            let start = tensor.byteRange.lowerBound
            guard start == end else {
                let before = i == 0 ? "the start of the data" : "the end of \(tensors[i - 1].name)"
                throw InputError(
                    .malformed, in: "\(place): \(tensor.name).data_offsets",
                    expected: "\(end - dataStart), \(before)",
                    found: "\(start - dataStart), \(start < end ? "an overlap" : "a gap")")
            }
            end = tensor.byteRange.upperBound
        }
        guard end == fileEnd else {
            throw InputError(
                .malformed, in: place, expected: "the data to end with the last tensor, after \(end - dataStart) bytes",
                found: "\(fileEnd - end) bytes more")
        }
        guard Set(tensors.map(\.name)).count == tensors.count else {
            throw InputError(
                .malformed, in: place, expected: "names that differ", found: "two spellings of the same characters")
        }
    }
}
