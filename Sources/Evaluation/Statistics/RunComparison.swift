//  Two runs compared, task by task, as `--compare` prints it.

import DualityCore

/// The comparison of two runs.
package struct RunComparison: Sendable {
    package struct Entry: Sendable {
        package let task: String
        package let length: Int?
        package let comparison: PairedComparison
        package var holm: Double?
    }

    package private(set) var entries: [Entry] = []

    /// Pairs the items of two runs.
    ///
    /// - Parameter commonOnly: whether items that only one of them has are left out.
    /// - Throws: `InputError` when the runs share no task, or an item is in one of them only.
    package init(_ a: [RunScores], _ b: [RunScores], names: (String, String), commonOnly: Bool) throws(InputError) {
        for run in a {
            guard let other = b.first(where: { $0.task == run.task && $0.length == run.length }) else {
                if commonOnly { continue }
                throw Self.unpaired(names.1, run.label, "no such task")
            }
            guard run.metric == other.metric else {
                throw InputError(
                    .value, in: "\(names.1): \(run.label)", expected: "the metric \(run.metric)", found: other.metric)
            }
            var scores: [String: Double] = [:]
            for (id, score) in other.items { scores[id] = score }
            var pairs: [(Double, Double)] = []
            for (id, score) in run.items {
                guard let second = scores.removeValue(forKey: id) else {
                    if commonOnly { continue }
                    throw Self.unpaired(names.1, run.label, "no item \(id)")
                }
                pairs.append((score, second))
            }
            if let left = scores.keys.sorted().first, !commonOnly {
                throw Self.unpaired(names.0, run.label, "no item \(left)")
            }
            guard !pairs.isEmpty else { continue }
            entries.append(
                Entry(
                    task: run.task, length: run.length,
                    comparison: PairedComparison(pairs.map(\.0), pairs.map(\.1))))
        }
        if let left = b.first(where: { run in !a.contains { $0.task == run.task && $0.length == run.length } }),
            !commonOnly
        {
            throw Self.unpaired(names.0, left.label, "no such task")
        }
        guard !entries.isEmpty else {
            throw InputError(
                .value, in: "\(names.0), \(names.1)", expected: "items that both have", found: "none")
        }
        correct()
    }

    private static func unpaired(_ file: String, _ task: String, _ what: String) -> InputError {
        InputError(
            .value, in: "\(file): \(task)", expected: "the same items in both", found: what,
            remedy: "Give --common to compare what both have.")
    }

    private mutating func correct() {
        let tested = entries.indices.filter { entries[$0].comparison.mcNemar != nil }
        guard entries.count > 1 else { return }
        let corrected = PairedComparison.holm(tested.map { entries[$0].comparison.mcNemar ?? 1 })
        for (place, i) in tested.enumerated() { entries[i].holm = corrected[place] }
    }

    package var json: JSON {
        let tasks = entries.map { entry -> JSON in
            var object: JSON.Object = ["task": .string(entry.task)]
            if let length = entry.length { object.append("length", JSON(length)) }
            for (name, value) in entry.comparison.json.members { object.append(name, value) }
            if let holm = entry.holm { object.append("p_holm", JSON(holm)) }
            return .object(object)
        }
        return ["tasks": .array(tasks)]
    }
}
