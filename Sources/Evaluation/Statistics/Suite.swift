//  The two averages of the model card, over results of single tasks.
//
//      card-long   S = mean of seven categories c,   S_c = Σ_L w_L s_{c,L},   w_L ∝ r^{log2 L}
//      card-short  mean of five categories, each the mean of its tasks
//
//  The card says only that the weights of lengths grow geometrically; r is the ratio of the
//  lengths, 2, unless given. A suite with a hole has no score: nothing is averaged over what
//  happens to be there.

import DualityCore
import Foundation

/// The result of a task at a length, from a results file.
package struct TaskResult: Sendable {
    package let task: String
    package let length: Int?
    package let score: Double
    package let n: Int
    package var standardError: Double?
    package var skipped = 0

    /// Reads the results of several files or folders.
    ///
    /// - Throws: `InputError` for a file that is no such list, a score that is not a finite number,
    ///   or a task and length that occur twice.
    package static func read(_ paths: [String]) throws(InputError) -> [TaskResult] {
        var results: [TaskResult] = []
        for path in paths {
            var isDirectory: ObjCBool = false
            let isFolder =
                FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) && isDirectory.boolValue
            let file = isFolder ? "\(path)/results.json" : path
            let fields = try JSONFields(JSON(contentsOf: file), place: file)
            guard let entries = try fields.array("results") else {
                throw fields.missing("results", "a list of results")
            }
            for (i, entry) in entries.enumerated() {
                for result in try expanded(JSONFields(entry, place: file, path: "results[\(i)]")) {
                    if results.contains(where: { $0.task == result.task && $0.length == result.length }) {
                        throw InputError(
                            .value, in: "\(file): results[\(i)]", expected: "each task and length once",
                            found: "\(result.task)\(result.length.map { " at \($0)" } ?? "") again")
                    }
                    results.append(result)
                }
            }
        }
        return results
    }

    /// A result; of HELMET in one, a result a category.
    private static func expanded(_ row: JSONFields) throws(InputError) -> [TaskResult] {
        let (task, length) = (try row.requiredString("task"), try row.int("length", in: 1 ... .max))
        let n = try row.int("n", in: 0 ... .max) ?? 0
        func finite(_ fields: JSONFields, _ key: String) throws(InputError) -> Double? {
            try fields.double(key, expected: "a finite number", where: \.isFinite)
        }
        if task == "helmet", let groups = try row.fields("groups") {
            var results: [TaskResult] = []
            // Summaries are judged by another model, officially: ours do not stand for them.
            for name in groups.object.names where name != "summ" && n > 0 {
                guard let score = try finite(groups, name) else { continue }
                results.append(TaskResult(task: "helmet_\(name)", length: length, score: score, n: n))
            }
            return results
        }
        // Null, or of no rows, is a hole: no prompt fitted, or none was asked yet.
        if row.object["score"] == .null || row["n"] != nil && n == 0 { return [] }
        guard let score = try finite(row, "score") else { throw row.missing("score", "a number") }
        return [
            TaskResult(
                task: task, length: length, score: score, n: n, standardError: try finite(row, "stderr"),
                skipped: try row.int("skipped", in: 0 ... .max) ?? 0)
        ]
    }
}

/// A suite's average.
package struct Suite: Sendable {
    package enum Name: String, CaseIterable, Sendable {
        case long = "card-long"
        case short = "card-short"
    }

    package let name: Name
    package private(set) var weights: [(length: Int, weight: Double)] = []
    /// Nil for a category with a hole.
    package private(set) var categories: [(name: String, score: Double?)] = []
    package private(set) var missing: [String] = []
    package private(set) var standardError: Double?
    package private(set) var skipped = 0

    private static let lengths = [8192, 16384, 32768, 65536, 131_072]
    private static let long = [
        "helmet_recall", "helmet_rag", "helmet_icl", "helmet_rerank", "helmet_summ", "mrcr", "babilong",
    ]
    private static let short: [(String, [String])] = [
        ("math", ["gsm8k", "math"]), ("knowledge", ["mmlu", "popqa", "truthfulqa"]),
        ("coding", ["humaneval", "humaneval_plus"]), ("reasoning", ["bbh"]), ("instruction_following", ["ifeval"]),
    ]

    /// - Parameter ratio: of the weights of one length and its half.
    package init(_ name: Name, _ results: [TaskResult], ratio: Double = 2) {
        self.name = name
        var variance: Double? = 0
        /// Adds a weighted result to a category's sum.
        func add(_ task: String, _ length: Int?, _ weight: Double, _ share: Double, to sum: inout Double?) {
            let found = results.first {
                $0.task == task && (length == nil || $0.length == length)
            }
            guard let found else {
                missing.append(length.map { "\(task)@\($0)" } ?? task)
                sum = nil
                return
            }
            sum = sum.map { $0 + weight * found.score }
            skipped += found.skipped
            variance = variance.flatMap { total in
                found.standardError.map { total + (share * weight * $0) * (share * weight * $0) }
            }
        }
        switch name {
        case .long:
            let raw = Self.lengths.indices.map { pow(ratio, Double($0)) }
            let total = raw.reduce(0, +)
            weights = zip(Self.lengths, raw).map { ($0, $1 / total) }
            for category in Self.long {
                var sum: Double? = 0
                for (length, weight) in weights {
                    add(category, length, weight, 1 / Double(Self.long.count), to: &sum)
                }
                categories.append((category, sum))
            }
        case .short:
            for (category, tasks) in Self.short {
                var sum: Double? = 0
                for task in tasks {
                    add(task, nil, 1 / Double(tasks.count), 1 / Double(Self.short.count), to: &sum)
                }
                categories.append((category, sum))
            }
        }
        standardError = missing.isEmpty ? variance.map { $0.squareRoot() } : nil
    }

    /// The mean of the categories; nil with a hole.
    package var score: Double? {
        let scores = categories.compactMap(\.score)
        return scores.count == categories.count ? mean(scores) : nil
    }

    package var json: JSON {
        var object: JSON.Object = ["suite": .string(name.rawValue)]
        if !weights.isEmpty {
            object.append("weights", ScoreReport.object(weights.map { (String($0.length), $0.weight) }))
        }
        var named = JSON.Object()
        for (category, score) in categories { named.append(category, score.map { JSON($0) } ?? .null) }
        object.append("categories", .object(named))
        object.append("score", score.map { JSON($0) } ?? .null)
        if let score, let standardError, standardError > 0 {
            object.append("ci95", Interval.around(score, standardError: standardError, clipped: true).json)
        }
        object.append("missing", .array(missing.map { .string($0) }))
        if skipped > 0 { object.append("skipped", JSON(skipped)) }
        return .object(object)
    }
}
