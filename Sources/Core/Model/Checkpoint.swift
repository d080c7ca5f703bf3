//  A model's directory:
//
//      config.json                        what the model is made of
//      model.safetensors                  its weights in one file, or
//      model.safetensors.index.json       {"weight_map": {TENSOR: FILE}} over several
//
//  (and the tokenizer's files, which other rooms read).

import Foundation

/// A model on the disk: its configuration and its tensors, in one file or in shards.
public final class Checkpoint: TensorSource {
    public let configuration: HybridConfiguration
    private let weights: WeightFiles

    /// The directory.
    public var place: String { weights.place }
    /// All tensor names, shard by shard in the order of their bytes.
    public var names: [String] { weights.names }
    /// The weight files by name, one or several.
    public var files: [String: SafetensorsFile] { weights.files }
    /// Peculiarities of the weight files worth telling a person, a sentence each.
    public var warnings: [String] { weights.warnings }

    /// Opens the configuration and the weight files. No tensor is read; whether they are the ones
    /// that the configuration requires is `WeightContract`'s question.
    ///
    /// - Throws: `InputError`: what is wrong with the directory, the configuration, the index or a
    ///   file.
    public init(directory: String) throws(InputError) {
        configuration = try HybridConfiguration(directory: directory)
        weights = try WeightFiles(directory: directory)
    }

    /// Whether a directory holds a weight file or an index of several.
    public static func holdsWeights(_ directory: String) -> Bool {
        let files = ModelDirectory(directory)
        return files.has(WeightFiles.singleFile) || files.has(WeightFiles.index)
    }

    public func find(_ name: String) -> TensorInfo? { weights.find(name) }

    public func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        try weights.withBytes(of: name, body)
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
        guard files.has(index) else {
            let others = files.names.filter {
                $0.hasSuffix(".safetensors") || $0.hasSuffix(".bin") || $0.hasSuffix(".pt")
            }
            throw InputError(
                .missingFile, in: directory, expected: "\(single) or \(index)",
                found: others.isEmpty ? "neither" : "only \(others.sorted().joined(separator: ", "))",
                remedy: others.contains { $0.hasSuffix(".bin") || $0.hasSuffix(".pt") }
                    ? "Convert the weights to safetensors first: AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(OUT) in transformers."
                    : "")
        }
        let shards = try Shards(files, index: index)
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

/// The files of a sharded checkpoint, checked against their index.
private struct Shards {
    var files: [String: SafetensorsFile] = [:]
    var names: [String] = []
    var fileOfTensor: [String: SafetensorsFile] = [:]
    var warnings: [String] = []

    init(_ directory: ModelDirectory, index: String) throws(InputError) {
        let place = directory.path(index)
        let fields = try JSONFields(JSON(contentsOf: place), place: place)
        guard let map = try fields.fields("weight_map") else {
            throw InputError(
                .missing, in: fields.place(of: "weight_map"), expected: "the file of every tensor", found: "nothing")
        }
        var shardOf: [String: String] = [:]
        for name in map.object.names {
            guard let shard = try map.string(name), !shard.isEmpty else {
                throw InputError(
                    .json, in: map.place(of: name), expected: "the name of a file", found: "null or nothing")
            }
            shardOf[name] = shard
        }
        let shards = Set(shardOf.values).sorted()
        let absent = shards.filter { !directory.has($0) }
        guard absent.isEmpty else {
            throw InputError(
                .missingFile, in: directory.path, expected: "the \(shards.count) weight files that \(index) lists",
                found: "no \(absent.joined(separator: ", "))", remedy: "Is the download complete?")
        }
        for shard in shards { files[shard] = try SafetensorsFile(path: directory.path(shard)) }

        let misplaced = map.object.names.filter { name in
            shardOf[name].flatMap { files[$0]?.find(name) } == nil
        }
        if let first = misplaced.first {
            let rest = misplaced.count == 1 ? "" : " (and \(misplaced.count - 1) more like it)"
            throw InputError(
                .missing, in: "\(place): weight_map.\(first)", expected: "the tensor in \(shardOf[first] ?? "")",
                found: "none of this name\(rest)")
        }
        for shard in shards {
            for name in files[shard]?.names ?? [] where shardOf[name] == shard {
                names.append(name)
                fileOfTensor[name] = files[shard]
            }
            let unlisted = (files[shard]?.names ?? []).filter { shardOf[$0] != shard }
            if !unlisted.isEmpty {
                warnings.append(
                    "\(shard) holds tensors that the index does not place there; they are ignored: \(unlisted.joined(separator: ", "))."
                )
            }
        }
        let total = fileOfTensor.reduce(0) { $0 + ($1.value.find($1.key)?.byteCount ?? 0) }
        if let said = try fields.fields("metadata")?["total_size"]?.int, said != total {
            warnings.append("The index says total_size \(said); its tensors have \(total) bytes.")
        }
    }
}

/// A directory that should hold a model.
package struct ModelDirectory {
    package let path: String

    package init(_ path: String) {
        self.path = path
    }

    package func path(_ name: String) -> String { (path as NSString).appendingPathComponent(name) }
    package func has(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path(name)) }
    package var names: [String] { (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] }

    /// - Throws: `InputError` unless this is a directory that holds a config.json.
    package func requireConfiguration() throws(InputError) {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw InputError(.missingFile, in: path, expected: "a model's directory", found: "nothing there")
        }
        guard isDirectory.boolValue else {
            throw InputError(
                .inaccessibleFile, in: path, expected: "a model's directory", found: "a file",
                remedy: "Give the directory that holds config.json and the weights.")
        }
        guard has("config.json") else {
            let inside = names.sorted().filter { FileManager.default.fileExists(atPath: "\(path($0))/config.json") }
            throw InputError(
                .missingFile, in: path, expected: "a model's directory, with a config.json", found: "none in it",
                remedy: inside.first.map { "Is it \(path($0))?" } ?? "")
        }
    }
}
