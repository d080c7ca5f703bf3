//  The scripts of the package, and runs of them.

import DualityNotebook
import Foundation
import TestSupport

@testable import weave

enum BuiltScript {
    static let folder = Fixtures.package.appendingPathComponent("Notebooks-as-scripts")

    /// The names of all scripts: the numbered folders.
    static let names: [String] = {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return all.filter { $0.first?.isNumber == true }.sorted()
    }()

    static func source(_ name: String) throws -> String {
        try String(contentsOf: folder.appendingPathComponent("\(name)/main.swift"), encoding: .utf8)
    }

    /// Runs a script on a machine without gnuplot.
    static func run(_ name: String) throws -> (status: Int32, text: String, outputs: [RecordedOutput]) {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let output = directory.appendingPathComponent("stdout")
        _ = FileManager.default.createFile(atPath: output.path, contents: nil)
        let process = Process()
        process.executableURL = try executable(name)
        process.currentDirectoryURL = Fixtures.package
        process.environment = [Recording.variable: directory.path, "PATH": ""]
        process.standardOutput = try FileHandle(forWritingTo: output)
        try process.run()
        process.waitUntilExit()
        return (
            process.terminationStatus, try String(contentsOf: output, encoding: .utf8),
            try RecordedOutput.read(from: directory.path)
        )
    }

    /// The executable that was built beside the tests.
    private static func executable(_ name: String) throws -> URL {
        var directory = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        while directory.path != "/" {
            directory.deleteLastPathComponent()
            let candidate = directory.appendingPathComponent(name)
            if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
        }
        // The tests run inside a helper of the toolchain: look where the package is built.
        for folder in [".build-test/release", ".build-test/debug", ".build/release", ".build/debug"] {
            let candidate = Fixtures.package.appendingPathComponent("\(folder)/\(name)")
            if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
        }
        throw CocoaError(.fileNoSuchFile)
    }
}
