//  What is asked of the file system beyond reading and writing a file, in one place. Of Foundation
//  only the part without languages and calendars is taken: the C library does without those, and
//  they are thirty megabytes.

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif
#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Files and directories by their paths.
package enum FileSystem {
    /// What stands at a path.
    package enum Kind {
        case file, directory
        /// A device, a socket, a pipe.
        case other
    }

    /// What stands at a path, behind links; nil for nothing.
    package static func kind(of path: String) -> Kind? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return switch status.st_mode & S_IFMT {
        case S_IFREG: .file
        case S_IFDIR: .directory
        default: .other
        }
    }

    package static func exists(_ path: String) -> Bool { kind(of: path) != nil }

    /// The size of a file; nil where none is.
    package static func byteCount(_ path: String) -> Int? {
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        return Int(status.st_size)
    }

    /// The names in a directory, sorted; nil where none can be read.
    package static func names(in directory: String) -> [String]? {
        (try? FileManager.default.contentsOfDirectory(atPath: directory))?.sorted()
    }

    /// Makes a directory and those above it; one that is there stays as it is.
    ///
    /// - Throws: `InputError` (`.inaccessibleFile`) that names `place`, or else `path`.
    package static func makeDirectory(_ path: String, place: String? = nil) throws(InputError) {
        if kind(of: path) == .directory { return }
        let above = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
        if !above.isEmpty { try makeDirectory(above, place: place ?? path) }
        guard path.hasSuffix("/") || mkdir(path, 0o777) == 0 || kind(of: path) == .directory else {
            throw InputError.system(in: place ?? path, expected: "a place where a directory can be made")
        }
    }

    /// Removes a file, or a directory with all that is in it; does nothing where neither is.
    package static func remove(_ path: String) {
        try? FileManager.default.removeItem(atPath: path)
    }

    /// The path of what a directory holds.
    package static func join(_ directory: String, _ name: String) -> String {
        directory.isEmpty ? name : directory.hasSuffix("/") ? directory + name : "\(directory)/\(name)"
    }

    /// A path without `.`, `..`, doubled and closing slashes; links stay.
    package static func standardized(_ path: String) -> String {
        URL(fileURLWithPath: path).standardizedFileURL.path
    }

    /// The path behind all links, of a part that exists at least.
    package static func resolved(_ path: String) -> String {
        URL(fileURLWithPath: path).resolvingSymlinksInPath().standardizedFileURL.path
    }

    /// The last part of a path without what follows its last dot.
    package static func stem(_ path: String) -> String {
        URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
    }

    /// A path beside another, which nothing has yet.
    static func temporary(beside path: String) -> String { "\(path).\(UUID().uuidString.prefix(8)).part" }

    /// The user's directory.
    static var home: String { FileManager.default.homeDirectoryForCurrentUser.path }

    /// Variables of the environment.
    package static var environment: [String: String] { ProcessInfo.processInfo.environment }

    /// Processors that the process may use.
    package static var processorCount: Int { ProcessInfo.processInfo.activeProcessorCount }
}

extension StringProtocol {
    /// The text without white space at its ends.
    package var trimmed: String {
        guard let first = firstIndex(where: { !$0.isWhitespace }),
            let last = lastIndex(where: { !$0.isWhitespace })
        else { return "" }
        return String(self[first...last])
    }
}
