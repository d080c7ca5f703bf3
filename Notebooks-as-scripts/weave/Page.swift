//  A script and what it said, woven into one Markdown page: prose with its numbers, code, outputs,
//  figures.

import DualityCore
import DualityNotebook
import Foundation

struct Page {
    let script: Script
    let outputs: [RecordedOutput]

    /// A picture for the index: of the first figure, and there the one in the middle.
    var cover: String? {
        for case .figure(_, let pictures) in outputs.map(\.output) { return pictures[pictures.count / 2] }
        return nil
    }

    /// The summary with its numbers.
    func summary() throws(InputError) -> String { try substituted(script.summary) }

    /// The page in pandoc's Markdown, without the title, which the template sets.
    ///
    /// - Throws: `InputError` (`.missing`) when the prose quotes a value that the run did not
    ///   state, though it left out no computation.
    func markdown() throws(InputError) -> String {
        var blocks: [String] = []
        var fold: String?
        for cell in script.cells {
            if cell.fold != fold {
                if fold != nil { blocks.append("</details>") }
                if let words = cell.fold { blocks.append("<details><summary>\(escaped(words))</summary>") }
                fold = cell.fold
            }
            switch cell.kind {
            case .prose:
                var text = cell.text
                if text.hasPrefix("# \(script.title)") { text.removeFirst(script.title.count + 2) }
                blocks.append(try substituted(text))
            case .code:
                if !cell.text.isEmpty { blocks.append("```swift\n\(cell.text)\n```") }
                blocks += shown(outputs.filter { cell.lines.contains($0.line) }.map(\.output))
            }
        }
        if fold != nil { blocks.append("</details>") }
        return blocks.joined(separator: "\n\n") + "\n"
    }

    // MARK: Numbers in prose

    private func substituted(_ prose: String) throws(InputError) -> String {
        var values: [String: String] = [:]
        for case .value(let name, let text) in outputs.map(\.output) { values[name] = text }
        // A script without its package trait states less; the page says so where it did not
        // compute.
        let isPartial = outputs.contains { $0.output.isComputationLeftOut }
        var result = ""
        var rest = prose[...]
        while let open = rest.range(of: "{{"), let close = rest[open.upperBound...].range(of: "}}") {
            let name = String(rest[open.upperBound..<close.lowerBound])
            guard let text = values[name] ?? (isPartial ? "…" : nil) else {
                throw InputError(
                    .missing, in: "\(script.name): {{\(name)}}",
                    expected: "a value(\"\(name)\", …) in the script",
                    found: "none")
            }
            result += rest[..<open.lowerBound] + Self.typeset(text)
            rest = rest[close.upperBound...]
        }
        return result + rest
    }

    /// 1.2e-16 as 1.2 × 10 with an exponent, in Markdown; the parts are kept on one line, and other
    /// characters are what they are.
    static func typeset(_ text: String) -> String {
        text.replacing(/[\\`*_{}\[\]<>$^~"']/) { "\\\($0.0)" }
            .replacing(/(\d)e(-?\d+)/) { "\($0.1) × 10^\($0.2.replacing("-", with: "−"))^" }
            .replacing(" ", with: "\u{a0}")
    }

    // MARK: Outputs

    private func shown(_ outputs: [Output]) -> [String] {
        var blocks: [String] = []
        var lines: [String] = []
        func flush() {
            if !lines.isEmpty {
                blocks.append("<pre class=\"output\">\(lines.joined(separator: "\n"))</pre>")
            }
            lines = []
        }
        for output in outputs {
            switch output {
            case .text(let text): lines.append(escaped(text))
            case .value(let name, let text):
                lines.append("<span class=\"name\">\(escaped(name)) =</span> \(escaped(text))")
            case .claim(let sentence): lines.append("<span class=\"claim\">✓</span> \(escaped(sentence))")
            case .table(let header, let rows):
                flush()
                blocks.append(Self.table(header, rows))
            case .missing(let what, let how):
                flush()
                blocks.append(
                    "<p class=\"missing\">Left out: \(escaped(what)). To get it: \(escaped(how))</p>")
            case .figure(let caption, let pictures):
                flush()
                let images = pictures.map {
                    "<img src=\"figures/\($0)\" alt=\"\(escaped(caption))\" loading=\"lazy\">"
                }
                blocks.append(
                    "<figure class=\"panels-\(pictures.count)\"><div>\(images.joined())</div>"
                        + "<figcaption>\(escaped(caption))</figcaption></figure>")
            }
        }
        flush()
        return blocks
    }

    private static func table(_ header: [String], _ rows: [[String]]) -> String {
        let head = header.map { "<th>\(escaped($0))</th>" }.joined()
        let body = rows.map { "<tr>\($0.map { "<td>\(escaped($0))</td>" }.joined())</tr>" }.joined(
            separator: "\n")
        return
            "<div class=\"table\"><table>\n<thead><tr>\(head)</tr></thead>\n<tbody>\n\(body)\n</tbody></table></div>"
    }
}

/// Text with the characters that mean something to HTML written out.
func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
        .replacing("\"", with: "&quot;")
}
