//  A single file with the inputs and the outputs of one call, as it falls out of a training run:
//  foreign names, foreign axes.

import DualityCore

/// One call in one file.
public struct Dump: Sendable {
    /// The call, named after the file; options as given, else from the file's string table.
    public let call: CallDescription
    /// What of the file could not be read as a tensor, in sentences.
    public let remarks: [String]
    let path: String
    private let aliases: [String: String]
    private let layout: String?

    /// - Parameters:
    ///   - map: `OURS=THEIRS,…`.
    ///   - layout: the axes of x and y in the letters b, l, h, p.
    ///   - options: `KEY=VALUE,…` of the call, before those of the file's string table.
    ///     `dt_limit=LO:HI`.
    /// - Throws: `InputError` when the file is not there or of no kind that is read (safetensors,
    ///   .npz, .npy, a directory of .npy files), a mapping is none, or an option is unknown to the
    ///   kind.
    public init(path: String, map: String? = nil, layout: String? = nil, options: String? = nil) throws {
        self.path = path
        self.layout = layout
        aliases = try Self.pairs(map, in: "--map")
        let file = try TensorFile(path: path)
        remarks = file.remarks
        for (ours, theirs) in aliases where !file.contains(theirs) {
            throw InputError(
                .missing, in: "--map \(ours)=\(theirs)", expected: "a tensor \(theirs) in \(path)", found: "none",
                remedy: "The file has \(file.names.joined(separator: ", ")).")
        }
        var described = file.metadata
        let given = try Self.pairs(options, in: "--options")
        for (key, value) in given { described[key] = value.replacing(":", with: ",") }
        let name = FileSystem.stem(path)
        call = try CallDescription(name: name, metadata: described)
        try call.requireKnown(given.keys, in: "--options")
        for ours in aliases.keys.sorted() where !call.kind.tensors.contains(ours) {
            throw InputError(
                .unknown, in: "--map \(ours)", expected: "a tensor of kind \(call.kind.rawValue) on the left",
                found: "\"\(ours)\"", remedy: "It has \(call.kind.tensors.joined(separator: ", ")).")
        }
    }

    private static func pairs(_ text: String?, in place: String) throws -> [String: String] {
        var pairs: [String: String] = [:]
        for item in text?.split(separator: ",") ?? [] {
            let parts = item.split(separator: "=", maxSplits: 1).map { $0.trimmed }
            guard parts.count == 2, pairs.updateValue(parts[1], forKey: parts[0]) == nil else {
                let form = place == "--map" ? "OURS=THEIRS" : "KEY=VALUE"
                throw InputError(.value, in: place, expected: "\(form), each once", found: "\"\(item)\"")
            }
        }
        return pairs
    }

    /// The tensors under our names, in our order of axes.
    func source(_ path: String) throws -> MappedSource {
        let file = try TensorFile(path: path)
        var source = MappedSource(file, aliases: aliases.filter { file.contains($0.value) })
        if let layout { try source.reorder(layout) }
        return source
    }
}
