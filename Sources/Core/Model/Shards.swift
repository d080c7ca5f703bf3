//  The files of a sharded checkpoint: by an index, or by names that tell the set.

/// The files of a sharded checkpoint, checked against their index.
struct Shards {
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

    /// Shards whose names tell the set, without an index.
    ///
    /// - Throws: `InputError` when there are no weights, or some of the set are not there.
    init(numbered directory: ModelDirectory) throws(InputError) {
        let inside = WeightFileNames(directory)
        guard let (set, absent) = inside.numberedShards() else { throw Self.noWeights(directory, inside) }
        guard absent.isEmpty else {
            throw InputError(
                .missingFile, in: directory.path, expected: "the shards whose names tell how many there are",
                found: "no \(absent.joined(separator: ", "))", remedy: "Is the download complete?")
        }
        for shard in set {
            let file = try SafetensorsFile(path: directory.path(shard))
            files[shard] = file
            for name in file.names {
                guard fileOfTensor[name] == nil else {
                    throw InputError(
                        .malformed, in: directory.path, expected: "each tensor in one shard",
                        found: "\(name) in two of them", remedy: "An index file would tell which one counts.")
                }
                names.append(name)
                fileOfTensor[name] = file
            }
        }
        warnings.append("There is no \(WeightFiles.index); the \(set.count) shards are read by their names.")
    }

    private static func noWeights(_ directory: ModelDirectory, _ inside: WeightFileNames) -> InputError {
        let expected = "\(WeightFiles.singleFile) or \(WeightFiles.index)"
        if let other = inside.somethingElse(baseOf: directory.adapterBase) {
            return InputError(
                .missingFile, in: directory.path, expected: expected, found: other.found, remedy: other.remedy)
        }
        let others = inside.names.filter { $0.hasSuffix(".safetensors") }
        return InputError(
            .missingFile, in: directory.path, expected: expected,
            found: others.isEmpty ? "neither" : "only \(others.prefix(10).joined(separator: ", "))",
            remedy: others.count == 1 ? "If \(others[0]) holds the whole model, call it \(WeightFiles.singleFile)." : ""
        )
    }
}
