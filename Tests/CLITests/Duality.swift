//  Runs the built command as a person would.

import Foundation
import TestSupport
import Testing

/// What a run of the command left behind.
struct Run {
    let status: Int32
    let output: String
    let errors: String

    /// Whether the process ended by a signal, as it does when Swift traps.
    let wasSignalled: Bool
}

enum Duality {
    /// The executable that was built beside the tests.
    private static var executable: URL {
        get throws {
            var directory = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
            while directory.path != "/" {
                directory.deleteLastPathComponent()
                let candidate = directory.appendingPathComponent("duality")
                if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
            }
            // The tests run inside a helper of the toolchain: look where the package is built.
            for folder in [".build-test/release", ".build/release"] {
                let candidate = Fixtures.package.appendingPathComponent("\(folder)/duality")
                if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
            }
            throw CocoaError(.fileNoSuchFile)
        }
    }

    /// Starts the command and lets it run; what it prints is dropped.
    static func start(_ arguments: [String]) throws -> Process {
        let process = Process()
        process.executableURL = try executable
        process.arguments = arguments
        (process.standardOutput, process.standardError) = (FileHandle.nullDevice, FileHandle.nullDevice)
        try process.run()
        return process
    }

    static func run(
        _ arguments: String..., input: String = "", directory: URL? = nil, environment: [String: String] = [:]
    ) throws -> Run {
        try run(arguments: arguments, input: input, directory: directory, environment: environment)
    }

    /// - Parameter environment: what is added to that of the tests.
    static func run(
        arguments: [String], input: String = "", directory: URL? = nil, environment: [String: String] = [:]
    ) throws -> Run {
        let process = Process()
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.executableURL = try executable
        process.arguments = arguments
        process.currentDirectoryURL = directory
        let files = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: files) }
        // Files instead of pipes: nothing can fill up and wait.
        func handle(_ name: String) throws -> FileHandle {
            let url = files.appendingPathComponent(name)
            try Data(name == "in" ? input.utf8 : "".utf8).write(to: url)
            return try FileHandle(forUpdating: url)
        }
        let (standardInput, standardOutput, standardError) = (try handle("in"), try handle("out"), try handle("err"))
        process.standardInput = standardInput
        process.standardOutput = standardOutput
        process.standardError = standardError
        try process.run()
        process.waitUntilExit()
        func text(_ name: String) throws -> String {
            String(decoding: try Data(contentsOf: files.appendingPathComponent(name)), as: UTF8.self)
        }
        return Run(
            status: process.terminationStatus, output: try text("out"), errors: try text("err"),
            wasSignalled: process.terminationReason == .uncaughtSignal)
    }
}
