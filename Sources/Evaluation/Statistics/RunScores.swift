//  Scores of single items that were written before: a report of `--score-only`, or the folder of a
//  run.

import DualityCore
import Foundation

/// The items of one task at one length.
package struct RunScores: Sendable {
    package let task: String
    package let length: Int?
    /// The metric that is compared.
    package let metric: String
    /// Scores by id, in the order of the file.
    package var items: [(id: String, score: Double)]

    package var label: String { length.map { "\(task) at \($0)" } ?? task }

    /// Reads a report or a folder.
    ///
    /// - Throws: `InputError` for what is neither, or scores that are not there.
    package static func read(_ path: String) throws(InputError) -> [RunScores] {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw InputError(
                .missingFile, in: path, expected: "a report of scores or the folder of a run", found: "nothing")
        }
        if isDirectory.boolValue { return try samples(in: path) }
        let json = try JSON(contentsOf: path)
        let fields = try JSONFields(json, place: path)
        if fields["items"] != nil { return [try report(fields)] }
        if fields["results"] != nil {
            return try samples(in: URL(fileURLWithPath: path).deletingLastPathComponent().path)
        }
        throw fields.missing("items", "the items of a report, or the results of a run")
    }

    private static func report(_ fields: JSONFields) throws(InputError) -> RunScores {
        let task = try fields.requiredString("task")
        let primary = try fields.requiredString("primary")
        var items: [(id: String, score: Double)] = []
        var metric: String?
        for (i, item) in (try fields.array("items") ?? []).enumerated() {
            let row = try JSONFields(item, place: fields.place, path: "items[\(i)]")
            guard let id = row["id"] else { throw row.missing("id", "a string or a number") }
            let scores = try row.requiredFields("scores")
            let name: String
            if let metric { name = metric } else { name = try Self.metric(primary, scores) }
            metric = name
            items.append((id.plainText, try Self.value(scores, name)))
        }
        try requireDistinct(items.map(\.id), fields.place)
        return RunScores(task: task, length: try fields.int("length"), metric: metric ?? primary, items: items)
    }

    /// The folder's `samples.jsonl`, with the primary metrics of `results.json`.
    private static func samples(in folder: String) throws(InputError) -> [RunScores] {
        let results = try JSONFields(JSON(contentsOf: "\(folder)/results.json"), place: "\(folder)/results.json")
        var primaries: [String: String] = [:]
        for (i, entry) in (try results.array("results") ?? []).enumerated() {
            let row = try JSONFields(entry, place: results.place, path: "results[\(i)]")
            primaries[try row.requiredString("task")] = try row.requiredString("primary")
        }
        var runs: [RunScores] = []
        var places: [String: Int] = [:]
        for row in try PromptReport.rows("\(folder)/samples.jsonl") {
            let (task, length) = (try row.requiredString("task"), try row.int("length"))
            guard let id = row["id"], row["scores"] != nil else { continue }
            let scores = try row.requiredFields("scores")
            let key = "\(task) \(length ?? 0)"
            if places[key] == nil {
                places[key] = runs.count
                let metric = try Self.metric(primaries[task] ?? "score", scores)
                runs.append(RunScores(task: task, length: length, metric: metric, items: []))
            }
            let place = places[key]!
            runs[place].items.append((id.plainText, try Self.value(scores, runs[place].metric)))
        }
        for run in runs { try requireDistinct(run.items.map(\.id), "\(folder)/samples.jsonl: \(run.label)") }
        return runs
    }

    private static func requireDistinct(_ ids: [String], _ place: String) throws(InputError) {
        var seen: Set<String> = []
        for id in ids where !seen.insert(id).inserted {
            throw InputError(.value, in: place, expected: "each item once", found: "\(id) again")
        }
    }

    /// The metric of an item that stands for a task: the primary one, or what a mean of means is
    /// made of.
    private static func metric(_ primary: String, _ scores: JSONFields) throws(InputError) -> String {
        for name in [primary, Scalars(primary).without(suffix: "_macro").text] where scores[name] != nil { return name }
        throw scores.missing(primary, "the task's primary metric")
    }

    private static func value(_ scores: JSONFields, _ name: String) throws(InputError) -> Double {
        guard let value = try scores.double(name, expected: "a finite number", where: \.isFinite) else {
            throw scores.missing(name, "a number")
        }
        return value
    }
}
