//  The report for a pull request.

extension Report {
    /// GitHub-flavoured Markdown: the verdict, the likely cause, a table of what is wrong (or of
    /// the worst cases), and what was not checked.
    public var markdown: String {
        let mark = ["❔", "✅", "⚠️", "❌"][Verdict.allCases.firstIndex(of: verdict) ?? 0]
        var lines = ["### \(mark) \(headline)", ""]
        if let cause = causeLine { lines += ["**\(cause)**", ""] }
        let wrong = checked.filter { $0.verdict != .pass }
        let shown =
            wrong.isEmpty ? Array(checked.sorted { $0.largestOverSigma > $1.largestOverSigma }.prefix(8)) : wrong
        if !shown.isEmpty {
            lines += [
                "| case | verdict | output | error/bound | error/sigma | error/floor | condition | first outside | diagnosis |",
                "|---|---|---|--:|--:|--:|--:|---|---|",
            ]
            for item in shown.prefix(40) {
                for output in item.outputs {
                    lines.append(
                        "| \(item.name) | \(output.verdict.rawValue) | `\(output.name)` | "
                            + "\(output.errorOverBound.map(figure) ?? "–") | \(figure(output.errorOverSigma)) | "
                            + "\(output.errorOverFloor.map(figure) ?? "–") | \(output.condition.map(figure) ?? "–") | "
                            + "\(output.firstOutside?.words ?? "") | "
                            + "\(item.diagnosis.findings.first.map { "`\($0.title)`" } ?? "") |")
                }
                for problem in item.problems { lines.append("| \(item.name) | FAIL | | | | | | | \(problem) |") }
            }
            if shown.count > 40 { lines.append("\n… and \(shown.count - 40) more cases.") }
            lines.append("")
        }
        for item in wrong.prefix(8) where !item.diagnosis.structure.isEmpty {
            lines.append("- **\(item.name)**: \(item.diagnosis.structure.joined(separator: ". "))")
        }
        lines += problems.map { "- \($0)" }
        lines += notes.map { "- \($0)" }
        return lines.joined(separator: "\n")
    }
}

extension CaseReport {
    /// The largest error / sigma of any output.
    var largestOverSigma: Double { outputs.map(\.errorOverSigma).max() ?? 0 }
}
