//  A model's directory:
//
//      config.json                        what the model is made of
//      model.safetensors                  its weights in one file, or
//      model.safetensors.index.json       {"weight_map": {TENSOR: FILE}} over several
//
//  (and the tokenizer's files, which other rooms read).

/// A model on the disk: its configuration and its tensors, in one file or in shards.
public final class Checkpoint: TensorSource {
    /// What config.json says, with the changes that were asked for.
    public let configuration: HybridConfiguration
    private let weights: WeightFiles
    /// The tensors by the names that the contract has for them.
    private let tensors: any TensorSource

    /// The directory.
    public var place: String { weights.place }
    /// All tensor names, shard by shard in the order of their bytes; without a prefix that all of
    /// them have and that does not belong there.
    public var names: [String] { tensors.names }
    /// The weight files by name, one or several.
    public var files: [String: SafetensorsFile] { weights.files }
    /// Peculiarities of the weight files worth telling a person, a sentence each.
    public let warnings: [String]

    /// Opens the configuration and the weight files. No tensor is read; whether they are the ones
    /// that the configuration requires is `WeightContract`'s question.
    ///
    /// - Parameter reading: changes what the configuration says, as a person asked for.
    /// - Throws: `InputError`: what is wrong with the directory, the configuration, the index or a
    ///   file; weights that are quantized in a way that is not read.
    public init(directory: String, reading: ModelReading = ModelReading()) throws(InputError) {
        configuration = try reading.applied(to: HybridConfiguration(directory: directory))
        weights = try WeightFiles(directory: directory)
        let contract = try WeightContract(configuration)
        let prefix = TensorPrefix(weights.names, contract)
        let tensors: any TensorSource =
            prefix.originals.isEmpty ? weights : RenamedSource(weights, originals: prefix.originals)
        self.tensors = tensors
        var warnings = weights.warnings + [prefix.note].compactMap { $0 }
        if let unused = Self.unused(tensors, contract) { warnings.append(unused) }
        if let quantization = configuration.quantization {
            let isPlain = contract.requirements.allSatisfy { requirement in
                tensors.find(requirement.name).map { WeightContract.dtypes.contains($0.dtype) } ?? false
            }
            guard isPlain else {
                throw HybridConfiguration.quantizationError(quantization, place: directory)
            }
            warnings.append(
                "config.json says that the weights are quantized (\(quantization)); they are plain numbers.")
        }
        self.warnings = warnings
    }

    /// A sentence about the tensors that nothing uses; nil when there are none.
    private static func unused(_ tensors: any TensorSource, _ contract: WeightContract) -> String? {
        let source = contract.adapted(tensors)
        var used = Set(contract.requirements.map(\.name))
        if contract.configuration.tiedEmbeddings { used.insert("lm_head.weight") }
        let unused = source.names.filter { !used.contains($0) }
        guard !unused.isEmpty else { return nil }
        let listed = unused.prefix(10).joined(separator: ", ")
        let more = unused.count > 10 ? " and \(unused.count - 10) more" : ""
        return unused.count == 1
            ? "The tensor \(listed) is not used by this configuration."
            : "\(unused.count) tensors are not used by this configuration: \(listed)\(more)."
    }

    /// Whether a directory holds weights in safetensors: one file, an index of several, or numbered
    /// shards.
    public static func holdsWeights(_ directory: String) -> Bool {
        let files = ModelDirectory(directory)
        return files.has(WeightFiles.singleFile) || files.has(WeightFiles.index)
            || WeightFileNames(files).numberedShards() != nil
    }

    /// Takes the names of `names`, without a prefix that was dropped.
    public func find(_ name: String) -> TensorInfo? { tensors.find(name) }

    /// The bytes lie in a mapped file and are not copied.
    public func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        try tensors.withBytes(of: name, body)
    }
}

/// The tensors of a model's directory, whatever its configuration says.
package final class WeightFiles: TensorSource {
    package let place: String
    package let names: [String]
    package let files: [String: SafetensorsFile]
    package let warnings: [String]
    private let fileOfTensor: [String: SafetensorsFile]

    /// - Throws: `InputError`: what is wrong with the index or a file.
    package init(directory: String) throws(InputError) {
        let files = ModelDirectory(directory)
        place = directory
        let (single, index) = (Self.singleFile, Self.index)
        if files.has(single) {
            let file = try SafetensorsFile(path: files.path(single))
            self.files = [single: file]
            names = file.names
            fileOfTensor = Dictionary(uniqueKeysWithValues: file.names.map { ($0, file) })
            warnings = files.has(index) ? ["Both \(single) and \(index) are there; the former is read."] : []
            return
        }
        let shards = files.has(index) ? try Shards(files, index: index) : try Shards(numbered: files)
        self.files = shards.files
        names = shards.names
        fileOfTensor = shards.fileOfTensor
        warnings = shards.warnings
    }

    static let singleFile = "model.safetensors"
    static let index = "model.safetensors.index.json"

    package func find(_ name: String) -> TensorInfo? { fileOfTensor[name]?.find(name) }

    package func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result
    {
        guard let file = fileOfTensor[name] else { throw missing(name) }
        return try file.withBytes(of: name, body)
    }
}

/// A directory that should hold a model.
package struct ModelDirectory {
    package let path: String

    package init(_ path: String) {
        self.path = path
    }

    package func path(_ name: String) -> String { FileSystem.join(path, name) }
    package func has(_ name: String) -> Bool { FileSystem.exists(path(name)) }
    package var names: [String] { FileSystem.names(in: path) ?? [] }

    /// The model that an adapter in the directory is for.
    func adapterBase() -> String? {
        (try? JSON(contentsOf: path("adapter_config.json")))?["base_model_name_or_path"]?.string
    }

    /// - Throws: `InputError` unless this is a directory that holds a config.json.
    package func requireConfiguration() throws(InputError) {
        guard let kind = FileSystem.kind(of: path) else {
            throw InputError(.missingFile, in: path, expected: "a model's directory", found: "nothing there")
        }
        guard kind == .directory else {
            throw InputError(
                .inaccessibleFile, in: path, expected: "a model's directory", found: "a file",
                remedy: "Give the directory that holds config.json and the weights.")
        }
        guard has("config.json") else {
            if let other = WeightFileNames(self).somethingElse(baseOf: adapterBase) {
                throw InputError(
                    .unsupported, in: path, expected: "a model's directory, with a config.json", found: other.found,
                    remedy: other.remedy)
            }
            let inside = names.filter { FileSystem.exists("\(path($0))/config.json") }
            throw InputError(
                .missingFile, in: path, expected: "a model's directory, with a config.json", found: "none in it",
                remedy: inside.first.map { "Is it \(path($0))?" } ?? "")
        }
    }
}
