//  What a script said, kept for the weaver.
//
//  When the environment variable DUALITY_NOTEBOOK_OUTPUT names a directory, each output is appended
//  to its outputs.jsonl, one JSON object a line, and figures are drawn there. Without it nothing is
//  kept, and figures go to site/figures.

import Foundation
import Synchronization

/// One output of a script.
public enum Output: Codable, Sendable, Equatable {
    case text(String)
    case table(header: [String], rows: [[String]])
    case value(name: String, text: String)
    case claim(String)
    case missing(what: String, how: String)
    /// A figure of one or more pictures, each the name of an SVG file.
    case figure(caption: String, pictures: [String])

    /// Whether it says that something was not computed, and not only that a figure was not drawn.
    public var isComputationLeftOut: Bool {
        if case .missing(let what, _) = self { return !what.hasPrefix("figure ") }
        return false
    }
}

/// An output and the line of the script that made it.
public struct RecordedOutput: Codable, Sendable, Equatable {
    public let line: Int
    public let output: Output

    public init(line: Int, output: Output) {
        self.line = line
        self.output = output
    }

    /// All outputs of a run, in order.
    ///
    /// - Parameter directory: what DUALITY_NOTEBOOK_OUTPUT named.
    public static func read(from directory: String) throws -> [RecordedOutput] {
        let data = try Data(contentsOf: URL(fileURLWithPath: directory).appendingPathComponent(Recording.file))
        return try data.split(separator: UInt8(ascii: "\n")).map {
            try JSONDecoder().decode(RecordedOutput.self, from: Data($0))
        }
    }
}

/// Where the outputs of this process go.
public final class Recording: Sendable {
    /// The environment variable that turns recording on.
    public static let variable = "DUALITY_NOTEBOOK_OUTPUT"
    static let file = "outputs.jsonl"
    static let shared = Recording()

    /// The directory that pictures are drawn in.
    let directory: URL
    private let records: Mutex<FileHandle?>

    /// Whether somebody listens.
    var isOn: Bool { records.withLock { $0 != nil } }

    private init() {
        let named = ProcessInfo.processInfo.environment[Self.variable] ?? ""
        directory = URL(fileURLWithPath: named.isEmpty ? "site/figures" : named)
        guard !named.isEmpty else {
            records = Mutex(nil)
            return
        }
        let path = directory.appendingPathComponent(Self.file).path
        try? FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        guard FileManager.default.createFile(atPath: path, contents: nil),
            let handle = FileHandle(forWritingAtPath: path)
        else { fail("\(path): cannot be written, though \(Self.variable) asks for it", status: 2) }
        records = Mutex(handle)
    }

    func add(_ output: Output, line: Int) {
        records.withLock { handle in
            guard let handle else { return }
            let encoder = JSONEncoder()
            encoder.outputFormatting = .sortedKeys
            guard let data = try? encoder.encode(RecordedOutput(line: line, output: output)) else { return }
            handle.write(data + [UInt8(ascii: "\n")])
        }
    }
}
