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

    /// A row a task and length, then the lengths side by side.
    static func results(_ outcomes: [TaskOutcome], seconds: Double) -> [String] {
        var table = TextTable([.left, .right, .right, .right, .right, .right, .right, .right])
        table.add("task", "length", "n", "score %", "read", "reused", "generated", "s")
        table.addRule()
        let work = Double(max(outcomes.reduce(0) { $0 + $1.work }, 1))
        for outcome in outcomes {
            let half = (outcome.interval.upper - outcome.interval.lower) / 2
            let score = outcome.n > 0 ? "\(percent(outcome.summary.score)) ± \(percent(half))" : "none"
            table.add(
                outcome.task.name, outcome.length.map(AccuracyPlot.label) ?? "",
                outcome.n.grouped + (outcome.skipped > 0 ? " (\(outcome.skipped) too long)" : "")
                    + (outcome.cut > 0 ? " (\(outcome.cut) cut)" : ""), score,
                (outcome.promptTokens - outcome.reusedTokens).grouped, outcome.reusedTokens.grouped,
                outcome.generatedTokens.grouped, (seconds * Double(outcome.work) / work).decimals(1))
        }
        var lines = table.lines()
        lines.append("  \(duration(seconds)) in all")
        let lengths = Set(outcomes.compactMap(\.length)).sorted()
        guard lengths.count > 1 else { return lines }
        var names: [String] = []
        for outcome in outcomes where !names.contains(outcome.task.name) { names.append(outcome.task.name) }
        var square = TextTable([.left] + lengths.map { _ in .right })
        square.add(["score %"] + lengths.map(AccuracyPlot.label))
        square.addRule()
        for name in names {
            square.add(
                [name]
                    + lengths.map { length in
                        let found = outcomes.first { $0.task.name == name && $0.length == length && $0.n > 0 }
                        return found.map { percent($0.summary.score) } ?? ""
                    })
        }
        return lines + [""] + square.lines()
    }

    static func progress(_ progress: RunProgress) -> String {
        "\(progress.task): \(progress.done.grouped) of \(progress.all.grouped), score \(percent(progress.score)), \(progress.tokensPerSecond.decimals(0)) tokens/s, \(duration(progress.secondsLeft)) left"
    }

    static func cost(_ estimate: CostEstimate) -> [String] {
        var table = TextTable([.left, .right])
        table.add("prompts", estimate.prompts.grouped)
        if estimate.skipped > 0 { table.add("prompts that do not fit", estimate.skipped.grouped) }
        table.add("tokens to read", estimate.tokens.grouped)
        table.add("without reuse", estimate.tokensWithoutReuse.grouped)
        table.add("tokens to generate, at most", estimate.mostGenerated.grouped)
        if let seconds = estimate.seconds { table.add("time, about", duration(seconds)) }
        return table.lines()
    }

    private static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite else { return "an unknown time" }
        if seconds < 120 { return "\(seconds.decimals(1)) s" }
        if seconds < 7200 { return "\((seconds / 60).decimals(0)) min" }
        if seconds < 172_800 { return "\((seconds / 3600).decimals(1)) h" }
        return "\((seconds / 86_400).decimals(1)) days"
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
