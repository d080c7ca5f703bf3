//  A file of tensors of whatever kind: safetensors, or arrays of NumPy. What it is is told by its
//  first bytes.

/// A file that holds named tensors.
public struct TensorFile: TensorSource {
    /// The file's own string table; empty where its kind has none.
    public let metadata: [String: String]
    /// What could not be read as a tensor, in sentences.
    public let remarks: [String]
    private let source: any TensorSource

    /// Opens a safetensors file, a `.npz` or `.npy` file, or a directory of `.npy` files.
    ///
    /// - Throws: `InputError` saying what the file is, where it is of another kind.
    public init(path: String) throws {
        let isDirectory = NumPyTensors.isDirectoryOfArrays(path)
        let kind = isDirectory ? FileKind.numpyArray : try FileKind(path: path)
        switch kind {
        case .numpyArray, .zip:
            let arrays = try NumPyTensors(path: path)
            source = arrays
            metadata = [:]
            remarks = arrays.skipped.map { "\($0.name) was not read: \($0.reason.found)" }
        default:
            let file = try SafetensorsFile(path: path)
            (source, metadata, remarks) = (file, file.metadata, [])
        }
    }

    /// The path it was opened by, as given.
    public var place: String { source.place }
    /// All names, in the order of the file; those of a directory by alphabet.
    public var names: [String] { source.names }
    /// As the file's own kind has it.
    public func find(_ name: String) -> TensorInfo? { source.find(name) }
    /// As the file's own kind has it.
    public func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        try source.withBytes(of: name, body)
    }
}
