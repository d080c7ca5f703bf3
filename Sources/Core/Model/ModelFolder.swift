//  Names of models, and the folders that a download leaves.
//
//      models--OWNER--NAME/refs/main              the snapshot that is meant, by its name
//      models--OWNER--NAME/snapshots/…            the files
//
//  The hub's cache is $HF_HUB_CACHE, else $HF_HOME/hub, else ~/.cache/huggingface/hub.
//  Source: huggingface_hub, file_download.py and constants.py.

/// Finds the directory of a model that is called in another way.
package enum ModelFolder {
    /// The directory that holds the files: the snapshot of a folder of the hub's cache, the cached
    /// model of a name `OWNER/NAME`, or else the path itself.
    ///
    /// - Throws: `InputError` for a folder of the cache whose snapshot is not there.
    package static func resolve(
        _ path: String, environment: [String: String] = FileSystem.environment
    ) throws(InputError) -> String {
        if FileSystem.exists(path) {
            if FileSystem.exists("\(path)/config.json") { return path }
            return try snapshot(of: path) ?? path
        }
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ !$0.isEmpty && $0 != "." && $0 != ".." && $0 != "~" }) else {
            return path
        }
        let folder = "\(cache(environment))/models--\(parts[0])--\(parts[1])"
        return FileSystem.exists(folder) ? try snapshot(of: folder) ?? path : path
    }

    private static func cache(_ environment: [String: String]) -> String {
        if let cache = environment["HF_HUB_CACHE"], !cache.isEmpty { return cache }
        if let home = environment["HF_HOME"], !home.isEmpty { return "\(home)/hub" }
        let home = environment["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? "\(FileSystem.home)/.cache"
        return "\(home)/huggingface/hub"
    }

    /// The snapshot that a folder of the cache means; nil when it is none.
    private static func snapshot(of folder: String) throws(InputError) -> String? {
        let snapshots = "\(folder)/snapshots"
        guard let names = FileSystem.names(in: snapshots), !names.isEmpty else { return nil }
        if let file = try? MappedFile(path: "\(folder)/refs/main") {
            let reference = file.withBytes { String(decoding: $0, as: UTF8.self) }
            let name = reference.trimmed
            guard names.contains(name) else {
                throw InputError(
                    .missingFile, in: snapshots, expected: "the snapshot \(name) that refs/main names",
                    found: names.sorted().prefix(10).joined(separator: ", "), remedy: "Is the download complete?")
            }
            return "\(snapshots)/\(name)"
        }
        guard names.count == 1 else {
            throw InputError(
                .missingFile, in: folder, expected: "refs/main, which names one of \(names.count) snapshots",
                found: "none", remedy: "Give the snapshot's own folder, in \(snapshots).")
        }
        return "\(snapshots)/\(names[0])"
    }
}
