//  The report as the message of a failing test: what is wrong, where first, and most likely why.

extension Report {
    /// The verdict, the likely cause, and the first cases that are wrong, in some ten lines.
    public var short: String {
        let wrong = checked.filter { $0.verdict != .pass }
        var lines = [headline]
        if wrong.count > 1, let cause = causeLine { lines.append(cause) }
        for item in wrong.prefix(3) { lines += item.lines }
        if wrong.count > 3 { lines.append("… and \(wrong.count - 3) more cases") }
        lines += problems.map { "problem: \($0)" }
        let precisions = Set(wrong.map(\.precision)).subtracting([""]).sorted()
        lines += precisions.map { "judged by: \($0)" }
        return lines.joined(separator: "\n")
    }
}
