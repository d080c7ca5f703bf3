//  Counts of needles found, with what they leave open.
//
//  The interval is Wilson's, for k found of n with z = 1.96:
//
//      ( p + z²/2n ± z sqrt( p (1 - p)/n + z²/4n² ) ) / ( 1 + z²/n ),      p = k/n
//
//  Unlike p ± z sqrt(p (1 - p)/n) it is not empty when all are found or none. Ways of reading are
//  compared on the same prompts: what one finds and another does not says more than two intervals
//  that overlap.
//
//  Source: Wilson, Probable inference, the law of succession, and statistical inference, JASA 22
//  (1927).

import Foundation

struct Table {
    static let header = "prompt\tlength\tneedles\tchunks\ttype\tfound"

    private struct Line {
        let prompt: String
        let length: Int
        let reading: Reading
        let isFound: Bool
    }

    private struct Reading: Hashable {
        let chunks: Int
        let type: String
    }

    private var lines: [Line] = []
    /// In the order in which they came.
    private var readings: [Reading] = []

    init(contentsOf path: String) throws {
        for text in try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n") where text != Self.header {
            let fields = text.split(separator: "\t").map(String.init)
            guard fields.count == 6, let length = Int(fields[1]), let chunks = Int(fields[3]) else { continue }
            let reading = Reading(chunks: chunks, type: fields[4])
            if !readings.contains(reading) { readings.append(reading) }
            lines.append(Line(prompt: fields[0], length: length, reading: reading, isFound: fields[5] == "1"))
        }
    }

    /// A row a way of reading: found at every length, of all, Wilson's 95 % interval in per cent,
    /// and against reading in one piece the prompts lost and gained.
    var markdown: String {
        let lengths = Set(lines.map(\.length)).sorted()
        let plain = Dictionary(
            lines.filter { $0.reading.type == "none" }.map { ($0.prompt, $0.isFound) }, uniquingKeysWith: { $1 })
        let columns = ["chunks", "type"] + lengths.map { "\($0)" } + ["all", "95 % interval", "lost", "gained"]
        var text = row(columns) + row(columns.map { _ in "---" })
        for reading in readings {
            let mine = lines.filter { $0.reading == reading }
            let found = mine.filter(\.isFound).count
            text += row(
                ["\(reading.chunks)", reading.type == "none" ? "read in one piece" : "`\(reading.type)`"]
                    + lengths.map { length in
                        let some = mine.filter { $0.length == length }
                        return "\(some.filter(\.isFound).count)/\(some.count)"
                    }
                    + [
                        "\(found)/\(mine.count)", Self.interval(found, of: mine.count),
                        "\(mine.filter { !$0.isFound && plain[$0.prompt] == true }.count)",
                        "\(mine.filter { $0.isFound && plain[$0.prompt] == false }.count)",
                    ])
        }
        return text
    }

    private func row(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |\n" }

    private static func interval(_ found: Int, of count: Int) -> String {
        let (n, z) = (Double(count), 1.959964)
        let p = Double(found) / n
        let centre = (p + z * z / (2 * n)) / (1 + z * z / n)
        let half = z * (p * (1 - p) / n + z * z / (4 * n * n)).squareRoot() / (1 + z * z / n)
        return String(format: "%.1f to %.1f %%", 100 * (centre - half), 100 * (centre + half))
    }
}
