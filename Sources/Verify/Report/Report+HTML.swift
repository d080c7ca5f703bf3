//  The report as one page that needs nothing else: no script, no font, no picture from outside.
//  Light and dark follow the reader's system.
//
//  For each case that is shown: error / sigma by token and head, its course along the tokens, and
//  the decay of each head beside its error. HTMLPlots.swift draws them.

extension Report {
    /// The page.
    public var html: String {
        let wrong = checked.filter { $0.verdict != .pass }
        let worst = checked.sorted { $0.largestOverSigma > $1.largestOverSigma }
        // Cases with some length show more than those of a few tokens.
        let telling = wrong.filter { $0.tokens >= 16 } + wrong.filter { $0.tokens < 16 }
        let detailed = wrong.isEmpty ? Array(worst.prefix(3)) : Array(telling.prefix(12))
        var body = """
            <header>
            <p class="verdict \(verdict.rawValue.lowercased())">\(verdict.rawValue)</p>
            <div><h1>\(escaped(candidate))</h1><p>\(escaped(figures))</p></div>
            </header>

            """
        if let cause = causeLine { body += "<p class=\"cause\">\(escaped(cause))</p>\n" }
        for problem in problems { body += "<p class=\"problem\">\(escaped(problem))</p>\n" }
        body += "<section><h2>Cases</h2>\n\(caseTable)</section>\n"
        if wrong.isEmpty && !detailed.isEmpty {
            body += "<p class=\"lead\">All cases pass. Those that came nearest to a limit:</p>\n"
        }
        body += detailed.map(\.htmlSection).joined(separator: "\n")
        if wrong.count > detailed.count {
            body += "<p class=\"lead\">… and \(wrong.count - detailed.count) more cases that do not pass.</p>\n"
        }
        body += "<footer><h2>What this rests on</h2><ul>"
        let facts =
            ["compared with the float64 recurrence of \(reference)"] + notes
            + (machine.isEmpty ? [] : ["on \(machine)"])
        body += facts.map { "<li>\(escaped($0))</li>" }.joined() + "</ul></footer>\n"
        return """
            <!DOCTYPE html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
            <title>\(verdict.rawValue) – \(escaped(candidate))</title>
            <style>\(HTMLPlots.style)</style></head>
            <body><main>
            \(body)</main></body></html>

            """
    }

    private var caseTable: String {
        var rows = """
            <div class="scroll"><table><thead><tr><th>case</th><th>verdict</th><th>output</th><th class="n">error/bound</th>\
            <th class="n">error/sigma</th><th class="n">error/floor</th><th class="n">condition</th><th>first outside</th>\
            <th>diagnosis</th></tr></thead><tbody>

            """
        for item in checked.sorted(by: { a, b in a.verdict == b.verdict ? false : a.verdict > b.verdict }) {
            let found = item.diagnosis.findings.first.map(\.title) ?? (item.problems.first ?? "")
            for (i, output) in item.outputs.enumerated() {
                let badge =
                    "<span class=\"badge \(output.verdict.rawValue.lowercased())\">\(output.verdict.rawValue)</span>"
                rows += """
                    <tr><td>\(i == 0 ? escaped(item.name) : "")</td><td>\(badge)</td><td><code>\(output.name)</code></td>\
                    <td class="n">\(output.errorOverBound.map(figure) ?? "–")</td><td class="n">\(figure(output.errorOverSigma))</td>\
                    <td class="n">\(output.errorOverFloor.map(figure) ?? "–")</td><td class="n">\(output.condition.map(figure) ?? "–")</td>\
                    <td>\(escaped(output.firstOutside?.words ?? ""))</td><td>\(i == 0 ? escaped(found) : "")</td></tr>

                    """
            }
            if item.outputs.isEmpty {
                rows += """
                    <tr><td>\(escaped(item.name))</td><td><span class="badge fail">FAIL</span></td><td colspan="7">\
                    \(escaped(found))</td></tr>

                    """
            }
        }
        return rows + "</tbody></table></div>"
    }
}

extension CaseReport {
    fileprivate var htmlSection: String {
        var html =
            "<section><h2>\(escaped(name)) <span class=\"badge \(verdict.rawValue.lowercased())\">\(verdict.rawValue)</span></h2>\n"
        if !catches.isEmpty { html += "<p class=\"lead\">There to catch: \(escaped(catches))</p>\n" }
        for problem in problems { html += "<p class=\"problem\">\(escaped(problem))</p>\n" }
        if !diagnosis.findings.isEmpty {
            html += "<ul class=\"findings\">"
            for finding in diagnosis.findings.prefix(3) {
                let summary = finding.names.map { FaultCatalog.summary(of: $0) }.joined(separator: "; ")
                html += """
                    <li><b>\(escaped(finding.title))</b>\(finding.isTied ? " (the same here)" : ""): \(escaped(summary)). \
                    Accounts for \(figure(100 * finding.explained)) % of the squared error; \
                    \(figure(finding.remainder)) sigma are left.</li>
                    """
            }
            html += "</ul>\n"
        }
        for sentence in diagnosis.structure { html += "<p>\(escaped(sentence))</p>\n" }
        for output in outputs where output.verdict > .pass || verdict == .pass {
            html += "<p><code>\(output.name)</code> \(output.shape) \(output.dtype): \(escaped(output.reason))."
            if let place = output.firstOutside {
                html +=
                    " First at \(escaped(place.words)): found \(figure(place.found)), expected \(figure(place.expected))."
            }
            html += "</p>\n"
        }
        if let output = outputs.first(where: { $0.map != nil }), let map = output.map {
            html += "<figure class=\"wide\">\(HTMLPlots.heatMap(map, of: output.name))</figure>\n<div class=\"pair\">"
            if let growth = output.growth { html += "<figure>\(HTMLPlots.growth(growth, of: output.name))</figure>" }
            if !decays.isEmpty { html += "<figure>\(HTMLPlots.heads(map, decays: decays))</figure>" }
            html += "</div>\n"
        }
        return html + "</section>"
    }
}

/// Text with the characters that HTML gives a meaning replaced.
func escaped(_ text: String) -> String {
    var result = ""
    for character in text {
        switch character {
        case "&": result += "&amp;"
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        case "\"": result += "&quot;"
        default: result.append(character)
        }
    }
    return result
}
