//  Scores for people.

import DualityCore
import DualityEvaluation

enum EvaluateTables {
    /// A fraction of 1 in percent.
    static func percent(_ value: Double) -> String { (100 * value).decimals(1) }

    static func scores(_ report: ScoreReport) -> [String] {
        var table = TextTable([.left, .right])
        table.add("task", report.task)
        table.add("items", report.items.count.grouped)
        table.addRule()
        for (name, value) in report.summary.metrics { table.add(name, percent(value)) }
        if !report.summary.groups.isEmpty {
            table.addRule()
            for (name, value) in report.summary.groups { table.add(name, percent(value)) }
        }
        return table.lines()
    }

    static func suite(_ suite: Suite) -> [String] {
        var table = TextTable([.left, .right])
        for (name, score) in suite.categories { table.add(name, score.map(percent) ?? "missing") }
        table.addRule()
        table.add(suite.name.rawValue, suite.score.map(percent) ?? "no score")
        var lines = table.lines()
        if !suite.missing.isEmpty { lines.append("  missing: " + suite.missing.joined(separator: ", ")) }
        if suite.skipped > 0 { lines.append("  \(suite.skipped) prompts did not fit and were left out") }
        return lines
    }

    static func comparison(_ comparison: RunComparison) -> [String] {
        var table = TextTable([.left, .right, .right, .right, .right, .right, .right])
        table.add("task", "items", "a", "b", "a - b", "95 %", "p")
        table.addRule()
        for entry in comparison.entries {
            let result = entry.comparison
            table.add(
                label(entry), result.n.grouped, percent(result.a), percent(result.b), percent(result.difference),
                "\(percent(result.interval.lower)) … \(percent(result.interval.upper))",
                result.mcNemar.map { $0.decimals(3) } ?? "")
        }
        return table.lines() + [""] + comparison.entries.map { "  \(label($0)): \(verdict($0))" }
    }

    private static func label(_ entry: RunComparison.Entry) -> String {
        entry.length.map { "\(entry.task) \($0)" } ?? entry.task
    }

    private static func verdict(_ entry: RunComparison.Entry) -> String {
        let result = entry.comparison
        guard let p = entry.holm ?? result.mcNemar, let detectable = result.detectable else {
            let interval = result.bootstrap
            return interval.lower <= 0 && interval.upper >= 0
                ? "no difference seen (the resampled 95 % interval of a - b holds 0)"
                : "a difference of \(percent(result.difference)) points (the resampled 95 % interval of a - b does not hold 0)"
        }
        let corrected = entry.holm == nil ? "" : ", corrected for \(comparisonWord)"
        if p < 0.05 { return "a difference of \(percent(result.difference)) points (p = \(p.decimals(3))\(corrected))" }
        return
            "no difference seen (p = \(p.decimals(2))\(corrected)); this many items would show \(percent(detectable)) points"
    }

    private static let comparisonWord = "several tasks"
}
