//  HELMET's many-shot classification, built from the data sets that its loader reads.
//
//      trec        train, test         text, coarse_label, fine_label
//      banking77   train, test         text, label
//      clinic150   train, validation   text, intent
//      nlu         train               text, label; the tenth that is asked about is split off
//
//  A row shows as many examples as its length has room for, labels in turn, and a label is a number
//  that means something else in every row. All draws are the official ones, so that the same files
//  make the same prompts: seed 42 for the rows that are asked about and for the split of nlu, and
//  (SHA-256 of the row's text + 42) mod 2^31 for its examples and for the numbers of its labels.

import DualityCore
import DualityVerify
import Foundation

package struct HelmetClassification {
    /// `…/helmet/data/icl`.
    let path: String
    let prompts: HelmetPrompts

    package init(_ path: String, prompts: HelmetPrompts) { (self.path, self.prompts) = (path, prompts) }

    /// A set: where its rows lie, and how many examples are shown at 8K, 16K, 32K, 64K and 128K.
    private struct Part {
        let name: String
        let folder: String
        var asked = "test"
        /// What the column of the label is called, in the data set or in a table of its makers.
        let columns: [String]
        let labels: Int
        let shots: [Int]
    }

    private static let parts = [
        Part(
            name: "trec_coarse", folder: "trec", columns: ["coarse_label", "label-coarse"], labels: 6,
            shots: [400, 800, 1600, 3300, 6600]),
        Part(
            name: "trec_fine", folder: "trec", columns: ["fine_label", "label-fine"], labels: 50,
            shots: [400, 800, 1600, 3200, 6400]),
        Part(
            name: "banking77", folder: "banking77", columns: ["label", "category"], labels: 77,
            shots: [360, 720, 1450, 2900, 5900]),
        Part(
            name: "clinic150", folder: "clinic150", asked: "validation", columns: ["intent"], labels: 151,
            shots: [440, 880, 1750, 3525, 7050]),
        Part(name: "nlu", folder: "nlu", columns: ["label"], labels: 68, shots: [510, 1020, 2040, 4080, 8296]),
    ]

    private struct Item {
        let text: String
        let label: Int
    }

    /// Rows that are asked about, where nobody says how many.
    private static let most = 100
    private static let seed: UInt32 = 42

    /// The number that a text seeds draws with: SHA-256 mod 2^31.
    static func seed(_ text: String) -> UInt32 {
        var text = text
        let digest = text.withUTF8 { sha256(UnsafeRawBufferPointer($0)) }
        return (UInt32(digest.suffix(8), radix: 16) ?? 0) & 0x7FFF_FFFF
    }

    /// The rows of all sets whose folder is there, at the lengths that are wanted.
    ///
    /// - Parameter limit: the most of a set at a length.
    /// - Throws: `InputError` for a folder that lacks a file, a row that lacks a field, or a label
    ///   that the set does not have.
    package func rows(isWanted: (Int) -> Bool, limit: Int, _ result: inout TaskRows) throws(InputError) {
        for part in Self.parts where DataFile.exists("\(path)/\(part.folder)") {
            let shots = zip([8192, 16384, 32768, 65536, 131_072], part.shots).filter { isWanted($0.0) }
            if shots.isEmpty { continue }
            let (shown, asked) = try items(part, &result.files)
            let groups = Self.groups(shown)
            for (length, count) in shots {
                var times: [Int: Int] = [:]
                for place in Self.chosen(asked, limit: min(limit, Self.most)) {
                    times[place, default: 0] += 1
                    let again = times[place] == 1 ? "" : "#\(times[place] ?? 0)"
                    let doc = try doc(
                        part, asked[place], shown: shown, groups: groups, count: count, length: length)
                    result.rows.append(
                        EvaluationRow(id: "icl_\(part.name)/\(place)\(again)", doc: doc, length: length))
                }
            }
        }
    }

    private func doc(
        _ part: Part, _ item: Item, shown: [Item], groups: [[Int]], count: Int, length: Int
    ) throws(InputError) -> JSONFields {
        let seed = (Self.seed(item.text) &+ Self.seed) & 0x7FFF_FFFF
        var numbers = Array(0..<part.labels)
        var random = PythonRandom(seed: seed)
        random.shuffle(&numbers)
        let examples = Self.balanced(groups, count, seed: seed).map {
            "\(shown[$0].text)\nlabel: \(numbers[shown[$0].label])"
        }
        let dataset = "icl_\(part.name)_\(count)shot_balance"
        let input = try prompts.text(
            "icl", context: examples.joined(separator: "\n\n"), fields: [("question", item.text)],
            room: length - Helmet.limit(dataset))
        return try JSONFields([:], place: "\(path)/\(part.folder)").adding([
            ("dataset", .string(dataset)), ("input", .string(input)), ("answer", .string("\(numbers[item.label])")),
        ])
    }

    // MARK: Draws

    /// Places of items by label, labels in the order in which they appear.
    private static func groups(_ items: [Item]) -> [[Int]] {
        var (groups, places): ([[Int]], [Int: Int]) = ([], [:])
        for (i, item) in items.enumerated() {
            if let place = places[item.label] {
                groups[place].append(i)
            } else {
                places[item.label] = groups.count
                groups.append([i])
            }
        }
        return groups
    }

    /// Places of so many items in rounds, in each of which every label comes once, in random order;
    /// items come again only where a label has fewer than there are rounds.
    private static func balanced(_ groups: [[Int]], _ count: Int, seed: UInt32) -> [Int] {
        var random = PythonRandom(seed: seed)
        let rounds = (count + groups.count - 1) / groups.count
        var places = [[Int]](repeating: [], count: rounds)
        for group in groups {
            var drawn = random.sample(group.count, rounds % group.count)
            while drawn.count < rounds {
                drawn += random.sample(group.count, min(rounds - drawn.count, group.count))
            }
            for (round, i) in drawn.enumerated() { places[round].append(group[i]) }
        }
        for round in places.indices { random.shuffle(&places[round]) }
        return Array(places.joined().prefix(count))
    }

    /// Places of the rows that are asked about: all, or so many with their labels in turn.
    private static func chosen(_ items: [Item], limit: Int) -> [Int] {
        guard items.count > limit else { return Array(items.indices) }
        var random = NumPyRandom(seed: seed)
        let order = random.permutation(items.count)
        return balanced(groups(order.map { items[$0] }), limit, seed: seed).map { order[$0] }
    }

    // MARK: Files

    private func items(_ part: Part, _ files: inout [String]) throws(InputError) -> (shown: [Item], asked: [Item]) {
        let folder = "\(path)/\(part.folder)"
        var (sources, rows): ([[String]], [[JSONFields]]) = ([], [])
        for split in ["train", part.asked] {
            let found = try Self.files(folder, split, isNeeded: split == "train" || part.name != "nlu")
            sources.append(found)
            rows.append([])
            for file in found { rows[rows.count - 1] += try RowFile.rows(file) }
        }
        for file in sources.joined() where !files.contains(file) { files.append(file) }
        let all = try items(rows[0] + rows[1], part)
        var (shown, asked) = (Array(all.prefix(rows[0].count)), Array(all.dropFirst(rows[0].count)))
        if asked.isEmpty {
            var random = NumPyRandom(seed: Self.seed)
            let order = random.permutation(shown.count).map { shown[$0] }
            let tenth = (shown.count + 9) / 10
            (asked, shown) = (Array(order.prefix(tenth)), Array(order.dropFirst(tenth)))
        }
        guard !shown.isEmpty else {
            throw InputError(.value, in: folder, expected: "rows to show beside those to ask about", found: "none")
        }
        return (shown, asked)
    }

    /// Labels are numbers as the data set has them, or names, which are numbered in their order.
    private func items(_ rows: [JSONFields], _ part: Part) throws(InputError) -> [Item] {
        var labels: [(column: String, name: String, number: Int?)] = []
        for row in rows {
            guard let column = part.columns.first(where: { row[$0] != nil }), let value = row[column] else {
                throw row.missing(part.columns[0], "the label, a number or a name")
            }
            guard let name = value.string ?? value.int.map(String.init) else {
                throw InputError(
                    .json, in: row.place(of: column), expected: "the label, a number or a name", found: value.kindName)
            }
            labels.append((column, name.pythonStripped, Int(name.pythonStripped)))
        }
        let names = Set(labels.lazy.filter { $0.number == nil }.map(\.name)).sorted()
        let numbers = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($0.element, $0.offset) })
        var items: [Item] = []
        for (row, label) in zip(rows, labels) {
            let number = names.isEmpty ? label.number : numbers[label.name]
            guard let number, (0..<part.labels).contains(number) else {
                throw InputError(
                    .value, in: row.place(of: label.column),
                    expected: names.isEmpty
                        ? "a label from 0 to \(part.labels - 1)" : "labels all by name, at most \(part.labels) of them",
                    found: label.name)
            }
            items.append(Item(text: try row.requiredString("text"), label: number))
        }
        return items
    }

    /// `train.jsonl`, or its parts `train-….jsonl`, or the same in another format.
    private static func files(_ folder: String, _ split: String, isNeeded: Bool) throws(InputError) -> [String] {
        let names = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []).sorted()
        let endings = ["jsonl", "jsonl.gz", "json", "csv", "tsv"]
        for ending in endings {
            if names.contains("\(split).\(ending)") { return ["\(folder)/\(split).\(ending)"] }
            let parts = names.filter { $0.hasPrefix("\(split)-") && $0.hasSuffix(".\(ending)") }
            if !parts.isEmpty { return parts.map { "\(folder)/\($0)" } }
        }
        if let parquet = names.first(where: { $0.hasPrefix(split) && $0.hasSuffix(".parquet") }) {
            throw RowFile.parquet("\(folder)/\(parquet)")
        }
        guard isNeeded else { return [] }
        throw InputError(
            .missingFile, in: folder,
            expected: "\(split) as one of \(endings.map { "\(split).\($0)" }.joined(separator: ", "))",
            found: "none of them",
            remedy: "In Python: datasets.load_dataset(…, split=\"\(split)\").to_json(\"\(split).jsonl\").")
    }
}
