//  The memories of the rows of a plan on disk: one safetensors file that says what it belongs to.
//
//  | tensor                | from                          | metadata     |                                                    |
//  |-----------------------|-------------------------------|--------------|----------------------------------------------------|
//  | rows.i.layers.j.…     | row i, as in a cache's file   | format       | duality-chunks-1                                   |
//  | whole.layers.j.…      | the whole context, if read    | model_hash   | of config.json and every weight                    |
//  |                       |                               | token_count  | all tokens of the rows (and of the whole context)  |
//  |                       |                               | token_hash   | of these tokens, their rows and positions          |
//
//  A state means nothing without the tokens it was made from and the weights that made it, so a
//  file that does not match is refused.

import DualityCore

extension ReadRows {
    private static var format: String { "duality-chunks-1" }

    /// Writes the memories, replacing the file atomically.
    ///
    /// - Throws: `InputError` when the file cannot be written.
    public func write(to path: String, plan: ChunkPlan, modelHash: String) throws {
        var file = SafetensorsWriter(metadata: [
            "format": Self.format, "model_hash": modelHash, "token_count": String(plan.readCount),
            "token_hash": plan.tokenHash, "rows": String(rows.count), "whole": whole == nil ? "no" : "yes",
        ])
        for (i, row) in rows.enumerated() { try row.add(to: &file, prefix: "rows.\(i).") }
        try whole?.add(to: &file, prefix: "whole.")
        try file.write(to: path)
    }

    /// Reads what `write(to:plan:modelHash:)` wrote.
    ///
    /// - Throws: `InputError` (`.value`) when the file was made from other tokens or by another
    ///   model; as for any safetensors file.
    public init(path: String, plan: ChunkPlan, modelHash: String, configuration: HybridConfiguration) throws {
        let file = try SafetensorsFile(path: path)
        guard file.metadata["format"] == Self.format else {
            throw InputError(
                .malformed, in: path, expected: "states of chunks (format \(Self.format))",
                found: file.metadata["format"] ?? "no format in its metadata")
        }
        try Self.require(file, "model_hash", modelHash, "the states of this model")
        try Self.require(file, "token_count", String(plan.readCount), "the states of as many tokens")
        try Self.require(file, "token_hash", plan.tokenHash, "the states of these tokens in these chunks")
        let rowCount = file.metadata["rows"].flatMap { Int($0) } ?? 0
        guard rowCount == plan.rows.count || (rowCount == 0 && plan.whole != nil) else {
            throw InputError(.value, in: path, expected: "\(plan.rows.count) rows", found: "\(rowCount)")
        }
        rows = try (0..<rowCount).map { i in
            let runs = plan.rows[i].runs
            return try HybridCache(
                file, prefix: "rows.\(i).", configuration: configuration,
                tokenCount: runs.last.map { $0.position + $0.count } ?? 0)
        }
        whole = try plan.whole.map {
            try HybridCache(file, prefix: "whole.", configuration: configuration, tokenCount: $0.count)
        }
    }

    private static func require(
        _ file: SafetensorsFile, _ key: String, _ expected: String, _ what: String
    ) throws(InputError) {
        let found = file.metadata[key]
        guard found != expected else { return }
        throw InputError(
            .value, in: "\(file.place): \(key)", expected: "\(expected), \(what)", found: found ?? "nothing",
            remedy: "Read the context again, and save the states anew.")
    }
}

extension ChunkPlan {
    /// Tokens of all rows, and of the whole context where it is read.
    var readCount: Int { rows.reduce(whole?.count ?? 0) { $0 + $1.tokens.count } }

    /// A hash of all that decides what the rows' memories are.
    var tokenHash: String {
        var hash = ContentHash()
        for row in rows {
            hash.add([row.tokens.count] + row.tokens + row.runs.flatMap { [$0.count, $0.position] })
        }
        hash.add(whole ?? [])
        return hash.text
    }
}
