//  The folder of a run: what it was asked to do, and whether another run may go on in it.

import DualityCore
import DualityVerify
import Foundation

package enum RunFolder {
    /// Checks that a run can begin in the folder or go on in it; changes nothing.
    ///
    /// - Parameter settings: everything that decides the results.
    /// - Returns: whether this run is there already.
    /// - Throws: `InputError` (`.value`) that names the first setting that differs.
    @discardableResult package static func check(_ folder: String, settings: JSON.Object) throws -> Bool {
        let path = "\(folder)/run.json"
        if DataFile.exists(path) {
            let before = try JSONFields(JSON(contentsOf: path), place: path)
            let names = settings.names + before.object.names.filter { settings[$0] == nil }
            for name in names where settings[name] != before.object[name] {
                throw InputError(
                    .value, in: "\(path): \(name)", expected: settings[name]?.serialized() ?? "nothing",
                    found: before.object[name]?.serialized() ?? "nothing",
                    remedy: "Another run is in this folder: give another --out, or the settings of that run.")
            }
            return true
        }
        try refuseForeign(folder)
        return false
    }

    /// Makes the folder, or checks that the run in it is this one.
    ///
    /// - Parameter settings: everything that decides the results.
    /// - Throws: `InputError` as `check` does, and for a folder that cannot be made.
    package static func open(_ folder: String, settings: JSON.Object) throws {
        guard try !check(folder, settings: settings) else { return }
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw InputError(
                .inaccessibleFile, in: folder, expected: "a folder that can be made", found: error.localizedDescription)
        }
        try writeAtomically(to: "\(folder)/run.json") {
            try $0.write(JSON.object(settings).serialized(indented: true) + "\n")
        }
    }

    /// A folder with other things in it is not ours.
    private static func refuseForeign(_ folder: String) throws(InputError) {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        guard let other = names.sorted().first(where: { !$0.hasPrefix(".") }) else { return }
        throw InputError(
            .value, in: folder, expected: "an empty folder or one with a run.json", found: "the file \(other)",
            remedy: "Give another --out.")
    }

    /// SHA-256 of files, each with its name.
    package static func hash(files: [String]) throws(InputError) -> String {
        var bytes: [UInt8] = []
        for file in files {
            bytes += Array((file as NSString).lastPathComponent.utf8) + [0]
            bytes += Array(hash(bytes: try DataFile.bytes(file)).utf8)
        }
        return hash(bytes: bytes)
    }

    /// SHA-256 of texts.
    package static func hash(_ texts: [String]) -> String {
        hash(bytes: texts.flatMap { Array($0.utf8) + [0] })
    }

    private static func hash(bytes: [UInt8]) -> String { bytes.withUnsafeBytes { sha256($0) } }

    /// What tells one model folder from another without reading its weights: names, sizes and the
    /// contents of the small files.
    package static func fingerprint(model: String) throws(InputError) -> String {
        var hash = ContentHash()
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: model)) ?? []).sorted()
        for name in names {
            let path = "\(model)/\(name)"
            let attributes = try? FileManager.default.attributesOfItem(
                atPath: URL(fileURLWithPath: path).resolvingSymlinksInPath().path)
            guard attributes?[.type] as? FileAttributeType == .typeRegular else { continue }
            let size = (attributes?[.size] as? NSNumber)?.intValue ?? 0
            hash.add(name)
            hash.add([size])
            if size < 32 << 20 { try DataFile.bytes(path).withUnsafeBytes { hash.add($0) } }
        }
        return hash.text
    }
}
