//  What can be evaluated.

import DualityCore
import DualityEvaluation
import Foundation

enum EvaluateListing {
    static func printAll(data: String?, json: Bool) {
        let entries = TaskCatalogue.all
        if json {
            let tasks = entries.map { entry -> JSON in
                [
                    "task": .string(entry.name), "files": .array(entry.files.map { .string($0) }),
                    "rows": .string(entry.size), "licence": .string(entry.licence), "shots": JSON(entry.shots),
                    "present": .bool(isPresent(entry, data)),
                ]
            }
            print(JSON.array(tasks).serialized(indented: true))
            return
        }
        var table = TextTable([.left, .left, .right, .left, .left])
        table.add("task", "data", "rows", "licence", "there")
        table.addRule()
        for entry in entries {
            table.add(
                entry.name, entry.files.first ?? "none needed", entry.size, entry.licence,
                isPresent(entry, data) ? "yes" : "no")
        }
        print(table.lines().joined(separator: "\n"))
    }

    /// Whether the data is in the folder; always for what is generated.
    private static func isPresent(_ entry: TaskEntry, _ data: String?) -> Bool {
        if entry.files.isEmpty { return true }
        guard let data else { return false }
        return entry.files.contains { pattern in
            // A pattern stands for its folder.
            let fixed = pattern.split(separator: "/").prefix { !$0.contains("*") && !$0.contains("<") }
            return FileManager.default.fileExists(atPath: ([data[...]] + fixed).joined(separator: "/"))
        }
    }
}
