//  `samples.jsonl`: a line per request, written when it is done and complete at once, so that a run
//  that is killed goes on from what is there.

import DualityCore
import Foundation

/// A line of the log.
package struct Sample: Sendable {
    package var task: String
    package var length: Int?
    package var id: String
    package var promptHash: String
    package var response: Response
    package var score: ItemScore
    package var finish: [String]
    package var promptTokens: Int
    package var reusedTokens: Int
    package var generatedTokens: Int

    /// What tells requests apart.
    package static func key(_ task: String, _ length: Int?, _ id: String) -> String {
        "\(task)\u{0}\(length ?? 0)\u{0}\(id)"
    }

    package var json: JSON {
        var object: JSON.Object = ["task": .string(task)]
        if let length { object.append("length", JSON(length)) }
        object.append("id", .string(id))
        object.append("prompt_sha256", .string(promptHash))
        switch response {
        case .outputs(let texts): object.append("outputs", .array(texts.map { .string($0) }))
        case .logLikelihoods(let values): object.append("loglikelihoods", .array(values.map { JSON($0) }))
        case .passed(let flags): object.append("passed", .array(flags.map { .bool($0) }))
        }
        object.append("scores", score.scoresJSON)
        if let extracted = score.extracted { object.append("extracted", extracted) }
        object.append("finish", .array(finish.map { .string($0) }))
        object.append(
            "tokens",
            ["prompt": JSON(promptTokens), "reused": JSON(reusedTokens), "generated": JSON(generatedTokens)])
        return .object(object)
    }
}

/// The log of a run.
package final class SampleLog {
    private let descriptor: Int32
    private let path: String
    /// The lines that were there, by the key of their request.
    package private(set) var found: [String: JSONFields] = [:]

    /// Opens a log; a last line that was being written when the run ended is cut off.
    ///
    /// - Throws: `InputError` for a file that cannot be written, or a line that is no sample.
    package init(_ path: String) throws(InputError) {
        self.path = path
        if DataFile.exists(path) {
            let bytes = try DataFile.bytes(path)
            let end = bytes.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
            for (line, value) in try JSONLines.parse(Array(bytes[..<end]), place: path) {
                let row = try JSONFields(value, place: "\(path):\(line)")
                let key = Sample.key(
                    try row.requiredString("task"), try row.int("length"), try row.requiredString("id"))
                found[key] = row
            }
            if end < bytes.count, truncate(path, off_t(end)) != 0 {
                throw InputError.system(in: path, expected: "a file that can be cut")
            }
        }
        descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw InputError.system(in: path, expected: "a file that can be written") }
    }

    deinit { close(descriptor) }

    package func append(_ sample: Sample) throws(InputError) {
        var bytes = Array((sample.json.serialized() + "\n").utf8)[...]
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
            if written < 0 {
                if errno == EINTR { continue }
                throw InputError.system(in: path, expected: "room for \(bytes.count) bytes")
            }
            bytes = bytes.dropFirst(written)
        }
    }
}
