//  A file of lm-evaluation-harness that names several tasks, whose scores are averaged.

import DualityCore
import Foundation

package struct YamlGroup: Sendable {
    package let name: String
    /// The files of its tasks.
    package let files: [String]
    /// Whether a task counts by its rows, or as every other.
    package let weightsBySize: Bool

    /// Reads a group.
    ///
    /// - Returns: nil for a file that is a task.
    /// - Throws: `InputError` with the line of what is outside the subset, or of a task that has no
    ///   file beside the group's.
    package init?(file path: String) throws(InputError) {
        let root = try YamlValue.read(path)
        guard let group = root["group"] else { return nil }
        name = try group.string("group")
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        var (files, bySize): ([String], Bool) = ([], true)
        for (key, value) in root.map ?? [] {
            switch key {
            case "group", "group_alias", "metadata", "tag": break
            case "task":
                for task in try value.list("task") { files.append(try Self.file(task, folder)) }
            case "weight_by_size": bySize = try value.bool(key)
            case "aggregate_metric_list":
                for entry in try value.list(key) {
                    if let flag = entry["weight_by_size"] { bySize = try flag.bool("weight_by_size") }
                }
            default:
                throw InputError(
                    .unsupported, in: value.place, expected: "group, task, weight_by_size or aggregate_metric_list",
                    found: "'\(key)'")
            }
        }
        guard !files.isEmpty else { throw group.mistake("a group with a list of tasks") }
        (self.files, weightsBySize) = (files, bySize)
    }

    /// The file of a task, by its path or by the name of the task in it.
    private static func file(_ task: YamlValue, _ folder: String) throws(InputError) -> String {
        let name = try task.string("task")
        for path in [name, "\(folder)/\(name)", "\(folder)/\(name).yaml", "\(folder)/\(name).yml"]
        where path.contains(".y") && DataFile.exists(path) {
            return path
        }
        throw InputError(
            .missingFile, in: task.place, expected: "the file \(name).yaml beside the group's", found: "no such file")
    }

    /// The mean of the tasks' scores.
    package func score(_ parts: [(score: Double, n: Int)]) -> Double {
        let weights = parts.map { weightsBySize ? Double($0.n) : 1 }
        let total = weights.reduce(0, +)
        return total > 0 ? zip(parts, weights).reduce(0) { $0 + $1.0.score * $1.1 } / total : 0
    }
}
