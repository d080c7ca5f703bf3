//  Where the model is, when the user does not say: the embedded one, found wherever the binary runs
//  from.

import DualityCore
import Foundation

/// Finds a model's directory.
public enum ModelLocation {
    /// The embedded model, relative to the package's root.
    public static let embedded = "Models/duality-tiny"
    /// The environment variable that names a model's directory.
    public static let variable = "DUALITY_MODEL"

    /// The model's directory: `given`, else the environment variable, else the embedded model of
    /// the package that holds the executable or the current directory.
    ///
    /// A folder of the hub's cache stands for its snapshot, and a name `OWNER/NAME` for the model
    /// in that cache.
    ///
    /// - Throws: `InputError` (`.missingFile`) that lists where it looked. A path that is given is
    ///   not checked here.
    public static func find(_ given: String? = nil) throws(InputError) -> String {
        if let given { return try ModelFolder.resolve((given as NSString).expandingTildeInPath) }
        let environment = ProcessInfo.processInfo.environment
        if let named = environment[variable], !named.isEmpty {
            return try ModelFolder.resolve((named as NSString).expandingTildeInPath)
        }
        let starts = [executableDirectory, FileManager.default.currentDirectoryPath].compactMap { $0 }
        for start in starts {
            if let found = search(upFrom: start) { return found }
        }
        throw InputError(
            .missingFile, in: embedded,
            expected: "the embedded model in a directory at or above one of \(starts.joined(separator: ", "))",
            found: "none", remedy: "Give a model's directory with --model, or in the environment variable \(variable).")
    }

    /// `Models/duality-tiny` in the nearest directory at or above `start` that has it.
    static func search(upFrom start: String) -> String? {
        var directory = URL(fileURLWithPath: start).standardizedFileURL
        while true {
            let candidate = directory.appendingPathComponent(embedded).path
            if FileManager.default.fileExists(atPath: "\(candidate)/config.json") { return candidate }
            let parent = directory.deletingLastPathComponent().standardizedFileURL
            if parent.path == directory.path || directory.path == "/" { return nil }
            directory = parent
        }
    }

    /// The directory of the running program, with symbolic links resolved.
    private static var executableDirectory: String? {
        guard let path = Bundle.main.executablePath else { return nil }
        return URL(fileURLWithPath: path).resolvingSymlinksInPath().deletingLastPathComponent().path
    }
}
