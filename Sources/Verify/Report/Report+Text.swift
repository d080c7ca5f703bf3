//  The report for a terminal: the verdict in a line, the likely cause, the figures of what is
//  wrong, and what was not checked.

extension Report {
    /// The verdict in one line.
    public var headline: String { "\(verdict.rawValue)  \(candidate): \(figures)" }

    /// How many cases have which verdict, and the largest errors.
    var figures: String {
        let counts = Verdict.allCases.map { verdict in (verdict, checked.count { $0.verdict == verdict }) }
        let words = counts.filter { $0.1 > 0 }.map { "\($0.1) \($0.0.rawValue)" }.joined(separator: ", ")
        guard !checked.isEmpty else {
            return cases.isEmpty
                ? "no case" : "nothing was judged in \(cases.count == 1 ? "1 case" : "\(cases.count) cases")"
        }
        let outputs = checked.flatMap(\.outputs).filter { $0.verdict != .unchecked }
        var figures: [String] = []
        if let bound = outputs.compactMap(\.errorOverBound).max() { figures.append("error/bound \(figure(bound))") }
        if let sigma = outputs.map(\.errorOverSigma).max() { figures.append("error/sigma \(figure(sigma))") }
        if let floor = outputs.compactMap(\.errorOverFloor).max() { figures.append("error/floor \(figure(floor))") }
        let cases = checked.count == 1 ? "1 case" : "\(checked.count) cases"
        return "\(cases) (\(words))" + (figures.isEmpty ? "" : "; largest \(figures.joined(separator: ", "))")
    }

    /// The whole report as lines of text.
    ///
    /// - Parameter verbose: shows the figures of the cases that pass as well.
    public func text(verbose: Bool = false) -> String {
        var lines = [headline, ""]
        if let cause = causeLine { lines += [cause, ""] }
        let shown = checked.filter { verbose || $0.verdict != .pass || checked.count <= 12 }
        if !shown.isEmpty { lines += table(shown) + [""] }
        for item in checked where item.verdict != .pass { lines += item.lines + [""] }
        for problem in problems { lines.append("problem: \(problem)") }
        lines += notes
        return lines.joined(separator: "\n")
    }

    /// What most likely is wrong with the kernel, over all cases.
    public var causeLine: String? {
        let wrong = checked.filter { $0.outputs.contains { $0.verdict > .pass } }
        guard !wrong.isEmpty else { return nil }
        guard let best = leadingFaults.first else {
            return "No known fault explains the error."
        }
        let summary = FaultCatalog.summary(of: best.name)
        let named = "Most likely: \(best.name): \(summary). It explains \(best.cases) of \(wrong.count) wrong cases."
        let others = leadingFaults.dropFirst().prefix(4).map { "\($0.name) (\($0.cases))" }
        return others.isEmpty ? named : named + " Others: \(others.joined(separator: ", "))."
    }

    private func table(_ cases: [CaseReport]) -> [String] {
        var rows = [
            [
                "case", "verdict", "output", "err/bound", "err/sigma", "err/floor", "condition", "relative",
                "first outside",
            ]
        ]
        for item in cases {
            for (i, output) in item.outputs.enumerated() {
                rows.append([
                    i == 0 ? item.name : "", output.verdict.rawValue, output.name,
                    output.errorOverBound.map(figure) ?? "-", figure(output.errorOverSigma),
                    output.errorOverFloor.map(figure) ?? "-", output.condition.map(figure) ?? "-",
                    figure(output.relativeError), output.firstOutside?.words ?? "",
                ])
            }
            if item.outputs.isEmpty { rows.append([item.name, item.verdict.rawValue, "-", "", "", "", "", "", ""]) }
        }
        return Self.aligned(rows)
    }

    /// Columns as wide as their widest cell; the first three and the last to the left.
    static func aligned(_ rows: [[String]]) -> [String] {
        guard let first = rows.first else { return [] }
        let widths = first.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let cells = row.enumerated().map { column, cell in
                let space = String(repeating: " ", count: widths[column] - cell.count)
                return column < 3 || column == row.count - 1 ? cell + space : space + cell
            }
            var line = cells.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line
        }
    }

    var notes: [String] {
        var lines: [String] = []
        let unchecked = cases.filter(\.isUnchecked)
        let absent = unchecked.filter { $0.outputs.isEmpty }.map(\.name)
        if !absent.isEmpty { lines.append("not checked, no result: \(absent.joined(separator: ", "))") }
        for item in unchecked {
            lines += item.outputs.map { "not checked: \(item.name): \($0.name): \($0.reason)" }
            lines += item.remarks.map { "not checked: \(item.name): \($0)" }
        }
        for item in checked {
            let empty = item.outputs.filter { $0.verdict == .unchecked }
            lines += empty.map { "not checked: \(item.name): \($0.name): \($0.reason)" }
        }
        if verdict == .unchecked {
            lines.append("UNCHECKED says nothing about the kernel: hand in at least one output with numbers in it")
        }
        let missing = Set(checked.flatMap(\.notChecked)).sorted()
        if !missing.isEmpty { lines.append("not checked in some or all cases: \(missing.joined(separator: ", "))") }
        let precisions = Set(checked.map(\.precision)).subtracting([""]).sorted()
        for precision in precisions { lines.append("judged by: \(precision)") }
        if verdict == .pass {
            let runs = cases.contains { !$0.repeats.isEmpty } ? "" : " determinism from run to run,"
            lines.append("not checked by any case: speed,\(runs) shapes and values that are not in the suite")
        }
        return lines
    }
}

extension CaseReport {
    /// What there is to say about a case that does not pass.
    var lines: [String] {
        var lines = ["\(name): \(verdict.rawValue)" + (catches.isEmpty ? "" : "  (\(catches))")]
        lines += problems.map { "  problem: \($0)" }
        for output in outputs where output.verdict > .pass {
            lines.append("  \(output.name): \(output.reason)")
            if let place = output.firstOutside {
                lines.append(
                    "    first at \(place.words): found \(figure(place.found)), expected \(figure(place.expected)), "
                        + "sigma \(figure(place.sigma))"
                        + (place.bound.map { $0.isNaN ? "" : ", bound \(figure($0))" } ?? ""))
            }
            if let growth = output.growth {
                lines.append(
                    "    the error \(growth.words.hasPrefix("flat") ? "is flat along the tokens" : growth.words)")
            }
        }
        for output in repeats where !output.isRepeated { lines.append("  not repeatable: \(output.words)") }
        for (i, finding) in diagnosis.findings.prefix(4).enumerated() {
            let lead = i == 0 ? "diagnosis" : finding.isTied ? "  or, the same here," : "  or, less well,"
            let summary = finding.names.map { FaultCatalog.summary(of: $0) }.joined(separator: "; ")
            lines.append("  \(lead): \(finding.title): \(summary)")
            lines.append(
                "    accounts for \(figure(100 * finding.explained)) % of the squared error; what is left is "
                    + "\(figure(finding.remainder)) sigma on average")
        }
        if !outputs.isEmpty && diagnosis.findings.isEmpty && outputs.contains(where: { $0.verdict > .pass }) {
            lines.append("  diagnosis: no known fault explains this")
        }
        lines += diagnosis.structure.map { "    \($0)" }
        lines += remarks.map { "  note: \($0)" }
        return lines
    }
}
