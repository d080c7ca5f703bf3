//  A script as a reader sees it: cells of prose and cells of code.
//
//      // %% [markdown]                    a cell of prose: comment lines, in pandoc's Markdown
//      // %%                               a cell of code
//      // %% [markdown] fold="Answer 1"    a cell that is folded away below these words, with its neighbours of the same words
//
//  The format is Jupytext's "percent" format, so that editors know it too.

import DualityCore
import Foundation

struct Cell: Equatable {
    enum Kind: Equatable {
        case prose, code
    }

    let kind: Kind
    /// The words the cell is folded away below; nil when it is in plain sight.
    let fold: String?
    /// The lines of the file it takes up, counted from 1.
    let lines: ClosedRange<Int>
    /// Its lines, of prose without the comment marks.
    let text: String
}

struct Script {
    /// `01-a-recurrence-is-a-matrix`.
    let name: String
    let cells: [Cell]

    /// What stands behind the first `# ` of the prose.
    let title: String
    /// The first paragraph below the title.
    let summary: String

    /// - Throws: `InputError` (`.malformed`) with the line: code in a cell of prose, text before
    ///   the first cell, no title.
    init(name: String, source: String) throws(InputError) {
        self.name = name
        cells = try Self.cells(of: source, place: "\(name)/main.swift")
        let paragraphs = cells.first { $0.kind == .prose }?.text.components(separatedBy: "\n\n") ?? []
        guard let heading = paragraphs.first, heading.hasPrefix("# "), paragraphs.count > 1 else {
            throw InputError(
                .malformed, in: "\(name)/main.swift", expected: "a title '# …' and a paragraph first",
                found: paragraphs.first ?? "no prose")
        }
        title = String(heading.dropFirst(2))
        summary = paragraphs[1].replacingOccurrences(of: "\n", with: " ")
    }

    private static func cells(of source: String, place: String) throws(InputError) -> [Cell] {
        let lines = source.components(separatedBy: "\n")
        let starts = lines.indices.filter { lines[$0].hasPrefix("// %%") }
        guard let first = starts.first, lines[..<first].allSatisfy(\.isEmpty) else {
            throw InputError(
                .malformed, in: place, expected: "'// %%' on the first line", found: lines.first ?? "")
        }
        var cells: [Cell] = []
        for (i, start) in starts.enumerated() {
            let end = i + 1 < starts.count ? starts[i + 1] : lines.count
            let body = Array(lines[start + 1..<end])
            let kind: Cell.Kind = lines[start].contains("[markdown]") ? .prose : .code
            var text = body
            if kind == .prose {
                if let stray = body.firstIndex(where: { !$0.isEmpty && !$0.hasPrefix("//") }) {
                    throw InputError(
                        .malformed, in: "\(place): line \(start + stray + 2)",
                        expected: "a comment in a cell of prose",
                        found: body[stray])
                }
                text = body.map { String($0.dropFirst($0.hasPrefix("// ") ? 3 : 2)) }
            }
            cells.append(
                Cell(
                    kind: kind, fold: quotedWords(after: "fold=", in: lines[start]), lines: start + 1...end,
                    text: trimmed(text).joined(separator: "\n")))
        }
        return cells
    }

    private static func quotedWords(after key: String, in line: String) -> String? {
        guard let start = line.range(of: "\(key)\"") else { return nil }
        return String(line[start.upperBound...].prefix { $0 != "\"" })
    }

    private static func trimmed(_ lines: [String]) -> [String] {
        let isBlank = { (line: String) in line.allSatisfy(\.isWhitespace) }
        return Array(lines.drop(while: isBlank).reversed().drop(while: isBlank).reversed())
    }
}
