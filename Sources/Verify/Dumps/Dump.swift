//  A single file with the inputs and the outputs of one call, as it falls out of a training run:
//  foreign names, foreign axes.

import DualityCore
import Foundation

/// One call in one file.
public struct Dump: Sendable {
    public let call: CallDescription
    let path: String
    private let aliases: [String: String]
    private let layout: String?

    /// - Parameters:
    ///   - map: `OURS=THEIRS,…`.
    ///   - layout: the axes of x and y in the letters b, l, h, p.
    ///   - options: `KEY=VALUE,…` of the call, before those of the file's string table.
    ///     `dt_limit=LO:HI`.
    /// - Throws: `InputError` when the file is not there or no safetensors file, or a mapping is
    ///   not one.
    public init(path: String, map: String? = nil, layout: String? = nil, options: String? = nil) throws {
        self.path = path
        self.layout = layout
        aliases = try Self.pairs(map, in: "--map")
        let file = try SafetensorsFile(path: path)
        for (ours, theirs) in aliases where !file.contains(theirs) {
            throw InputError(
                .missing, in: "--map \(ours)=\(theirs)", expected: "a tensor \(theirs) in \(path)", found: "none",
                remedy: "The file has \(file.names.joined(separator: ", ")).")
        }
        var described = file.metadata
        for (key, value) in try Self.pairs(options, in: "--options") {
            described[key] = value.replacingOccurrences(of: ":", with: ",")
        }
        let name = URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
        call = try CallDescription(name: name, metadata: described)
    }

    private static func pairs(_ text: String?, in place: String) throws -> [String: String] {
        var pairs: [String: String] = [:]
        for item in text?.split(separator: ",") ?? [] {
            let parts = item.split(separator: "=", maxSplits: 1).map { $0.trimmingCharacters(in: .whitespaces) }
            guard parts.count == 2, pairs.updateValue(parts[1], forKey: parts[0]) == nil else {
                throw InputError(.value, in: place, expected: "OURS=THEIRS, each once", found: "\"\(item)\"")
            }
        }
        return pairs
    }

    /// The tensors under our names, in our order of axes.
    func source(_ path: String) throws -> MappedSource {
        let file = try SafetensorsFile(path: path)
        var source = MappedSource(file, aliases: aliases.filter { file.contains($0.value) })
        if let layout { try source.reorder(layout) }
        return source
    }
}
