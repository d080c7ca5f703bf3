//  Arrays of NumPy as a source of tensors: the members of an archive (.npz), one array (.npy) by
//  the name of its file, or the arrays of a directory.
//
//  What is no array of real numbers (a text, a Python object) is left out and told of.

/// Named NumPy arrays, row-major and little-endian in memory.
public struct NumPyTensors: TensorSource {
    /// The path of the archive, the array or the directory.
    public let place: String
    /// Names without `.npy`: in the order of the archive, or by alphabet in a directory.
    public private(set) var names: [String] = []
    /// Arrays that were left out, and why.
    public private(set) var skipped: [(name: String, reason: InputError)] = []
    private var entries: [String: (info: TensorInfo, bytes: [UInt8])] = [:]

    /// Reads an archive, an array, or a directory of arrays.
    ///
    /// - Throws: `InputError`: `.missingFile`, `.inaccessibleFile`, `.truncated`, `.malformed`, and
    ///   `.unsupported` for an archive without a single array, such as a checkpoint of torch.save.
    /// - Complexity: one pass over the bytes, which are copied.
    public init(path: String) throws {
        place = path
        if FileSystem.kind(of: path) == .directory {
            let files = (FileSystem.names(in: path) ?? []).filter { $0.hasSuffix(".npy") }
            for file in files { try addArray(String(file.dropLast(4)), MappedFile(path: "\(path)/\(file)")) }
        } else {
            let file = try MappedFile(path: path)
            if file.withBytes({ FileKind($0) }) == .zip {
                try addMembers(of: file)
            } else {
                try addArray(FileSystem.stem(path), file)
            }
        }
        guard !names.isEmpty else {
            throw InputError(
                .unsupported, in: path, expected: "at least one array of real numbers (NAME.npy)",
                found: skipped.first.map { "\($0.name): \($0.reason.found)" } ?? "none",
                remedy: "Write it with numpy.savez, or with safetensors.")
        }
    }

    /// Whether a directory holds arrays.
    public static func isDirectoryOfArrays(_ path: String) -> Bool {
        FileSystem.names(in: path)?.contains { $0.hasSuffix(".npy") } ?? false
    }

    private mutating func addArray(_ name: String, _ file: MappedFile) throws(InputError) {
        let (path, place) = (file.path, "\(self.place): \(name)")
        let result = file.withBytes { bytes in
            Result { () throws(InputError) in
                if let refusal = FileKind(bytes).refusal(of: path, expected: "a NumPy array"),
                    FileKind(bytes) != .numpyArray
                {
                    throw refusal
                }
                return try add(name, bytes, place: place)
            }
        }
        try result.get()
    }

    private mutating func addMembers(of file: MappedFile) throws(InputError) {
        let place = self.place
        let result = file.withBytes { bytes in
            Result { () throws(InputError) in
                let archive = try ZipArchive(bytes, place: place)
                for member in archive.members {
                    guard member.name.hasSuffix(".npy") else {
                        skipped.append((member.name, notAnArray(member.name)))
                        continue
                    }
                    let contents = try archive.contents(of: member, in: bytes)
                    let name = String(member.name.dropLast(4))
                    let added = contents.withUnsafeBytes { contents in
                        Result { () throws(InputError) in try add(name, contents, place: "\(place): \(name)") }
                    }
                    try added.get()
                }
            }
        }
        try result.get()
    }

    private func notAnArray(_ name: String) -> InputError {
        InputError(.unsupported, in: "\(place): \(name)", expected: "an array, NAME.npy", found: name)
    }

    private mutating func add(_ name: String, _ bytes: UnsafeRawBufferPointer, place: String) throws(InputError) {
        let header: NumPyHeader
        do { header = try NumPyHeader(bytes, place: place) } catch {
            guard error.kind == .unsupported else { throw error }
            skipped.append((name, error))
            return
        }
        guard entries[name] == nil else {
            throw InputError(.malformed, in: place, expected: "one array of this name", found: "two")
        }
        let data = header.rowMajorBytes(UnsafeRawBufferPointer(rebasing: bytes[header.dataRange]))
        names.append(name)
        entries[name] = (
            TensorInfo(name: name, dtype: header.dtype, shape: header.shape, byteRange: 0..<data.count), data
        )
    }

    /// Each array lies in memory of its own, from byte 0.
    public func find(_ name: String) -> TensorInfo? { entries[name]?.info }

    /// Throws the reason, as `skipped` has it, for an array that was left out.
    public func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        guard let entry = entries[name] else {
            if let reason = skipped.first(where: { $0.name == name })?.reason { throw reason }
            throw missing(name)
        }
        return try entry.bytes.withUnsafeBytes(body)
    }
}

extension NumPyHeader {
    /// The elements as stored, with the last axis made the contiguous one and the bytes of each
    /// little-endian.
    func rowMajorBytes(_ stored: UnsafeRawBufferPointer) -> [UInt8] {
        let size = dtype.bits / 8
        var bytes = [UInt8](stored)
        if isFortranOrder, shape.count > 1, !stored.isEmpty {
            var strides = [Int](repeating: size, count: shape.count)
            for axis in 1..<shape.count { strides[axis] = strides[axis - 1] * shape[axis - 1] }
            var (index, offset) = ([Int](repeating: 0, count: shape.count), 0)
            for target in stride(from: 0, to: bytes.count, by: size) {
                for i in 0..<size { bytes[target + i] = stored[offset + i] }
                for axis in shape.indices.reversed() {
                    index[axis] += 1
                    offset += strides[axis]
                    if index[axis] < shape[axis] { break }
                    offset -= index[axis] * strides[axis]
                    index[axis] = 0
                }
            }
        }
        if isBigEndian {
            for first in stride(from: 0, to: bytes.count, by: size) { bytes[first..<first + size].reverse() }
        }
        return bytes
    }
}
