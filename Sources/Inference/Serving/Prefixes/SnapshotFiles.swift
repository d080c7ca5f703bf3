//  Snapshots that outlive the process: those of systems and turns, one file each.
//
//  A file holds the tokens, the bytes of the cache and a hash of them, and names the model. What is
//  read back is checked against all three, and found by a prompt only through its tokens, as every
//  snapshot. Files are written whole or not at all, in the background, and the oldest go when the
//  folder holds more than the budget. Prompts with a salt are never written.

import Dispatch
import DualityCore
import DualityQuant
import Foundation
import Synchronization

/// The folder of a server's snapshots.
final class SnapshotFiles {
    private let directory: String
    private let model: QuantModel
    private let identity: String
    private let byteLimit: Int
    private let notice: (@Sendable (String) -> Void)?
    private let queue = DispatchQueue(label: "duality snapshots", qos: .utility)
    /// Files that are there, or on their way.
    private var names: Set<String> = []

    private static let suffix = ".snapshot.safetensors"

    init(directory: String, model: QuantModel, limits: ServingLimits, budget: ServingBudget) {
        (self.directory, self.model, notice) = (directory, model, limits.notice)
        identity = Self.identity(model, limits.modelIdentity)
        byteLimit = budget.bytes
    }

    /// Everything that a state depends on beside the tokens.
    private static func identity(_ model: QuantModel, _ weights: String) -> String {
        "\(weights) \(model.keyValueFormat.rawValue) blocks \(QuantCache.blockFormat)"
    }

    // MARK: Writing

    /// A snapshot was placed: systems are worth a file at once.
    func placed(_ tokens: [Int], _ cache: QuantCache, _ kind: SnapshotKind, salt: String?) {
        if kind == .system, salt == nil { save(tokens, cache, kind) }
    }

    /// A snapshot was used: so is a turn that somebody came back to.
    func used(_ node: PrefixNode, salt: String?) {
        guard salt == nil, let snapshot = node.snapshot, Self.isNamed(snapshot.kind) else { return }
        save(node.path, snapshot.cache, snapshot.kind)
    }

    /// Writes what the tree still has, and waits for the disk.
    func saveAll(of tree: PrefixTree) {
        for node in tree.nodesWithSnapshots.sorted(by: { $0.lastUse > $1.lastUse }) {
            guard let snapshot = node.snapshot, Self.isNamed(snapshot.kind), tree.salt(of: node) == nil else {
                continue
            }
            save(node.path, snapshot.cache, snapshot.kind)
        }
        queue.sync {}
    }

    /// Makes the folder, so that one that cannot be written is known before anything is served.
    ///
    /// - Throws: `InputError` (`.inaccessibleFile`).
    static func prepare(_ directory: String) throws(InputError) {
        var found = "one that cannot be written"
        do {
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            if FileManager.default.isWritableFile(atPath: directory) { return }
        } catch {
            found = FileManager.default.fileExists(atPath: directory) ? "a file" : "one that cannot be made"
        }
        throw InputError(
            .inaccessibleFile, in: "state_dir: \(directory)", expected: "a folder for snapshots", found: found,
            remedy: "Give another folder, or leave the option out: prefixes are then kept in memory alone.")
    }

    private static func isNamed(_ kind: SnapshotKind) -> Bool { kind == .system || kind == .turn }

    private func save(_ tokens: [Int], _ cache: QuantCache, _ kind: SnapshotKind) {
        var hash = ContentHash()
        hash.add(identity)
        hash.add(tokens)
        let name = hash.text + Self.suffix
        guard names.insert(name).inserted else { return }
        let (path, identity, directory, limit, notice) = (
            "\(self.directory)/\(name)", identity, directory, byteLimit, notice
        )
        queue.async {
            do {
                try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
                var writer = SafetensorsWriter(metadata: [
                    "model": identity, "kind": kind.rawValue, "hash": cache.contentHash(),
                ])
                try writer.add("tokens", Tensor(shape: [tokens.count], elements: tokens))
                try cache.add(to: &writer)
                try writer.write(to: path)
                Self.forgetOldest(in: directory, beyond: limit)
            } catch {
                notice?("a snapshot was not written: \(error)")
            }
        }
    }

    /// Removes the oldest files until the folder holds no more than `limit` bytes.
    private static func forgetOldest(in directory: String, beyond limit: Int) {
        var files = list(directory)
        var sum = files.reduce(0) { $0 + $1.bytes }
        while sum > limit, let oldest = files.popLast() {
            try? FileManager.default.removeItem(atPath: oldest.path)
            sum -= oldest.bytes
        }
    }

    /// The snapshots of a folder, the newest first.
    private static func list(_ directory: String) -> [(path: String, name: String, bytes: Int)] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        let files = names.filter { $0.hasSuffix(suffix) }.compactMap { name -> (String, String, Int, Date)? in
            let path = "\(directory)/\(name)"
            guard let attributes = try? FileManager.default.attributesOfItem(atPath: path),
                let size = (attributes[.size] as? NSNumber)?.intValue,
                let date = attributes[.modificationDate] as? Date
            else { return nil }
            return (path, name, size, date)
        }
        return files.sorted { ($0.3, $0.1) > ($1.3, $1.1) }.map { ($0.0, $0.1, $0.2) }
    }

    // MARK: Reading

    /// Puts the newest snapshots of this model into the tree, as long as they take no more than
    /// half of the memory.
    func load(into tree: PrefixTree, _ memory: CacheMemory) {
        for file in Self.list(directory) where memory.byteCount + file.bytes <= byteLimit / 2 {
            do {
                guard let (tokens, cache, kind) = try read(file.path, memory) else { continue }
                tree.place(cache.snapshot(), behind: tokens, salt: nil, kind: kind)
                names.insert(file.name)
            } catch {
                notice?("a snapshot was not read: \(error)")
            }
        }
    }

    /// Nil for a file of another model.
    private func read(_ path: String, _ memory: CacheMemory) throws -> ([Int], QuantCache, SnapshotKind)? {
        let file = try SafetensorsFile(path: path)
        guard file.metadata["model"] == identity else { return nil }
        let tokens = try file.integers("tokens").elements
        let ids = 0..<model.configuration.vocabularySize
        guard let kind = file.metadata["kind"].flatMap(SnapshotKind.init), !tokens.isEmpty,
            tokens.allSatisfy(ids.contains), tokens.count < model.contextLimit ?? .max
        else {
            throw InputError(
                .value, in: path, expected: "a kind of snapshot and tokens of this model",
                found: "\(file.metadata["kind"] ?? "no kind"), \(tokens.count) tokens")
        }
        let cache = try model.readCache(file, tokenCount: tokens.count, in: memory)
        guard cache.contentHash() == file.metadata["hash"] else {
            throw InputError(
                .malformed, in: path, expected: "the bytes that were written", found: "others",
                remedy: "Remove the file.")
        }
        return (tokens, cache, kind)
    }
}
