//  A model's tensors into one safetensors file, or several with an index when they are too many for
//  one.
//
//      model.safetensors                                            or
//      model-00001-of-00004.safetensors …, model.safetensors.index.json
//
//  and a directory that appears as a whole.

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Collects tensors, then writes them in files of bounded size.
package struct ShardedWriter {
    let directory: String
    let shardBytes: Int
    private var shards: [(writer: SafetensorsWriter, bytes: Int, names: [String])] = []

    package init(directory: String, shardBytes: Int) {
        self.directory = directory
        self.shardBytes = shardBytes
    }

    /// Adds a tensor whose bytes are made when its file is written.
    package mutating func add(
        _ name: String, dtype: DType, shape: [Int], produce: @escaping (FileSink) throws -> Void
    ) throws {
        let count = shape.reduce(1, *) * dtype.bits / 8
        if shards.last.map({ $0.bytes + count > shardBytes }) ?? true {
            shards.append((SafetensorsWriter(metadata: ["format": "pt"]), 0, []))
        }
        let last = shards.count - 1
        try shards[last].writer.add(name, dtype: dtype, shape: shape, byteCount: count, produce: produce)
        shards[last].bytes += count
        shards[last].names.append(name)
    }

    /// Writes all files.
    package func finish() throws {
        guard shards.count > 1 else {
            try shards.first?.writer.write(to: "\(directory)/model.safetensors")
            return
        }
        func padded(_ number: Int) -> String {
            let digits = String(number)
            return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
        }
        var map = JSON.Object()
        for (i, shard) in shards.enumerated() {
            let file = "model-\(padded(i + 1))-of-\(padded(shards.count)).safetensors"
            try shard.writer.write(to: "\(directory)/\(file)")
            for name in shard.names { map[name] = .string(file) }
        }
        let index: JSON = [
            "metadata": ["total_size": JSON(shards.reduce(0) { $0 + $1.bytes })], "weight_map": .object(map),
        ]
        try writeAtomically(to: "\(directory)/model.safetensors.index.json") {
            try $0.write(index.serialized(indented: true) + "\n")
        }
    }
}

/// Creates the directory at `path` with what `body` puts into it, all at once.
///
/// - Parameter body: is given the path of a temporary directory beside it.
/// - Throws: `InputError` when something is there already or the directory cannot be made, and what
///   `body` throws; nothing is left behind then.
package func createDirectoryAtomically(at path: String, _ body: (String) throws -> Void) throws {
    guard !FileSystem.exists(path) else {
        throw InputError(
            .inaccessibleFile, in: path, expected: "a path where nothing is yet", found: "something",
            remedy: "Remove it, or choose another path.")
    }
    let place = FileSystem.standardized(path)
    let temporary = FileSystem.temporary(beside: place)
    try FileSystem.makeDirectory(temporary, place: path)
    do {
        try body(temporary)
        guard rename(temporary, place) == 0 else {
            throw InputError.system(in: path, expected: "a place where a directory can be made")
        }
    } catch {
        FileSystem.remove(temporary)
        throw error
    }
}
