//  The folder that data sets lie in, as people have them.

import DualityCore
import DualityInference
import Foundation

/// A row with what is asked about it.
package struct EvaluationRow: Sendable {
    package var id: String
    package var doc: JSONFields
    package var examples: [JSONFields] = []
    package var length: Int?

    package init(id: String, doc: JSONFields, examples: [JSONFields] = [], length: Int? = nil) {
        (self.id, self.doc, self.examples, self.length) = (id, doc, examples, length)
    }
}

/// The rows of one task.
package struct TaskRows: Sendable {
    package var rows: [EvaluationRow]
    /// Examples in the folder.
    package var files: [String] = []
    package var shots = 0

    /// Adds the rows of a file of one subtask and one length.
    mutating func add(_ file: String, task: String, length: Int) throws(InputError) {
        for (i, row) in try RowFile.rows(file).enumerated() {
            let doc = try row.adding([("task", .string(task))])
            rows.append(EvaluationRow(id: "\(task)/\(i)", doc: doc, length: length))
        }
        files.append(file)
    }
}

package struct DataFolder: Sendable {
    let path: String
    /// Rows that are shown with their answers, in place of the folder's.
    let fewshot: [JSONFields]?
    let shots: Int?
    /// Lengths that are wanted; nil for all.
    let lengths: [Int]?
    let tokenizer: Tokenizer
    /// Whether MRCR's conversations are classed by tokens, in place of characters.
    var binsTokens = false
    /// The official wording of HELMET; nil for ours.
    var helmetTemplates: [String: String]?
    /// The most rows that will be asked of a set at a length; nil for all. More may be returned.
    var limit: Int?

    package init(
        _ path: String, fewshot: [JSONFields]?, shots: Int?, lengths: [Int]?, tokenizer: Tokenizer,
        binsTokens: Bool = false, helmetTemplates: [String: String]? = nil, limit: Int? = nil
    ) {
        (self.path, self.fewshot, self.shots, self.lengths) = (path, fewshot, shots, lengths)
        (self.tokenizer, self.binsTokens, self.helmetTemplates) = (tokenizer, binsTokens, helmetTemplates)
        self.limit = limit
    }

    /// The rows of a task of the catalogue.
    ///
    /// - Throws: `InputError` (`.missingFile`) that lists the files looked for, or for what is
    ///   wrong in one.
    package func rows(_ entry: TaskEntry) throws(InputError) -> TaskRows {
        switch entry.name {
        case "mmlu": return try mmlu(entry)
        case "bbh": return try bbh(entry)
        case "math": return try math(entry)
        case "babilong": return try babilong(entry)
        case "ruler": return try ruler(entry)
        case "mrcr": return try mrcr(entry)
        case "helmet": return try helmet(entry)
        default:
            guard let file = entry.files.lazy.compactMap(existing).first else { throw missing(entry) }
            let rows = try RowFile.rows(file)
            let examples = try examples(entry, folder: entry.name)
            return TaskRows(
                rows: rows.enumerated().map { EvaluationRow(id: "\($0)", doc: $1, examples: examples) },
                files: [file], shots: examples.count)
        }
    }

    /// The file, or the same compressed or as one JSON array.
    private func existing(_ name: String) -> String? {
        let stem = name.hasSuffix(".jsonl") ? String(name.dropLast(1)) : nil
        return ([name, name + ".gz"] + [stem].compactMap { $0 }).map { "\(path)/\($0)" }.first(where: DataFile.exists)
    }

    private func missing(_ entry: TaskEntry) -> InputError {
        let folder = "\(path)/\(entry.name)"
        let found = FileManager.default.enumerator(atPath: folder)?.compactMap { $0 as? String } ?? []
        if let parquet = found.sorted().first(where: { $0.hasSuffix(".parquet") }) {
            return RowFile.parquet("\(folder)/\(parquet)")
        }
        return InputError(
            .missingFile, in: "\(path): \(entry.name)", expected: entry.files.joined(separator: " or "),
            found: "none of them",
            remedy: "`duality evaluate --list` says what each task reads.")
    }

    /// `--fewshot`, else the folder's `fewshot.jsonl`, else its train split, else none.
    private func examples(_ entry: TaskEntry, folder: String) throws(InputError) -> [JSONFields] {
        let wanted = shots ?? entry.shots
        guard wanted > 0 else { return [] }
        if let fewshot { return try first(wanted, of: fewshot, "--fewshot") }
        for name in ["fewshot.jsonl", "train.jsonl", "dev.jsonl"] {
            let file = "\(path)/\(folder)/\(name)"
            if DataFile.exists(file) { return Array(try RowFile.rows(file).prefix(wanted)) }
        }
        if let shots {
            throw InputError(
                .missingFile, in: "\(path)/\(folder)/fewshot.jsonl", expected: "\(shots) examples",
                found: "no such file",
                remedy: "Give them with --fewshot.")
        }
        return []
    }

    private func first(_ count: Int, of rows: [JSONFields], _ place: String) throws(InputError) -> [JSONFields] {
        guard count <= rows.count || shots == nil else {
            throw InputError(
                .value, in: "--shots", expected: "at most \(rows.count), the rows of \(place)", found: "\(count)")
        }
        return Array(rows.prefix(count))
    }

    /// The names in a folder that end so, in order.
    private func names(_ folder: String, ending: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: "\(path)/\(folder)")) ?? [])
            .filter { $0.hasSuffix(ending) }.sorted()
    }

    // MARK: Data sets of several files

    private func mmlu(_ entry: TaskEntry) throws(InputError) -> TaskRows {
        var result = TaskRows(rows: [])
        let wanted = shots ?? entry.shots
        let columns = ["question", "A", "B", "C", "D", "letter"]
        func converted(_ file: String, _ subject: String) throws(InputError) -> [JSONFields] {
            var rows: [JSONFields] = []
            for row in try RowFile.rows(file, columns: columns) {
                let letter = try row.requiredString("letter").pythonStripped
                guard let answer = ["A", "B", "C", "D"].firstIndex(of: letter) else {
                    throw InputError(.value, in: "\(row.place): column 6", expected: "A, B, C or D", found: letter)
                }
                let choices = columns[1...4].map { row.object[$0] ?? .null }
                rows.append(
                    try row.adding([
                        ("choices", .array(Array(choices))), ("answer", JSON(answer)), ("subject", .string(subject)),
                    ]))
            }
            return rows
        }
        let tables = names("mmlu/test", ending: "_test.csv")
        if tables.isEmpty {
            guard let file = existing("mmlu/test.jsonl") else { throw missing(entry) }
            let dev = "\(path)/mmlu/dev.jsonl"
            var all = fewshot ?? []
            if fewshot == nil, DataFile.exists(dev) { all = try RowFile.rows(dev) }
            for (i, row) in try RowFile.rows(file).enumerated() {
                let subject = try row.string("subject")
                let own = all.filter { $0["subject"] == nil || $0["subject"]?.string == subject }
                result.rows.append(EvaluationRow(id: "\(i)", doc: row, examples: Array(own.prefix(wanted))))
            }
            result.files = [file]
        }
        for table in tables {
            let subject = String(table.dropLast("_test.csv".count))
            let dev = "\(path)/mmlu/dev/\(subject)_dev.csv"
            var examples = fewshot ?? []
            if fewshot == nil, DataFile.exists(dev) { examples = try converted(dev, subject) }
            for (i, row) in try converted("\(path)/mmlu/test/\(table)", subject).enumerated() {
                result.rows.append(
                    EvaluationRow(id: "\(subject)/\(i)", doc: row, examples: Array(examples.prefix(wanted))))
            }
            result.files.append("\(path)/mmlu/test/\(table)")
        }
        result.shots = result.rows.map(\.examples.count).min() ?? 0
        return result
    }

    private func bbh(_ entry: TaskEntry) throws(InputError) -> TaskRows {
        var result = TaskRows(rows: [])
        for name in names("bbh/bbh", ending: ".json") {
            let subtask = String(name.dropLast(5))
            let file = "\(path)/bbh/bbh/\(name)"
            let fields = try JSONFields(DataFile.json(file), place: file)
            guard let list = try fields.array("examples") else { throw fields.missing("examples", "a list of rows") }
            let prompt = "\(path)/bbh/cot-prompts/\(subtask).txt"
            let (description, shown) = DataFile.exists(prompt) ? try BigBenchHard.prompt(prompt) : ("", [])
            let examples = Array((fewshot ?? shown).prefix(shots ?? entry.shots))
            for (i, value) in list.enumerated() {
                let row = try JSONFields(value, place: "\(file): row \(i + 1)").adding([
                    ("subtask", .string(subtask)), ("description", .string(description)),
                ])
                result.rows.append(EvaluationRow(id: "\(subtask)/\(i)", doc: row, examples: examples))
            }
            result.files.append(file)
        }
        guard !result.rows.isEmpty else { throw missing(entry) }
        result.shots = result.rows.map(\.examples.count).min() ?? 0
        return result
    }

    private func math(_ entry: TaskEntry) throws(InputError) -> TaskRows {
        let examples = try examples(entry, folder: "math")
        if let file = existing("math/test.jsonl") {
            let rows = try RowFile.rows(file).enumerated().map {
                EvaluationRow(id: "\($0)", doc: $1, examples: examples)
            }
            return TaskRows(rows: rows, files: [file], shots: examples.count)
        }
        var result = TaskRows(rows: [], shots: examples.count)
        // Where the problems to learn from lie beside those of the test, these are meant.
        let folder = DataFile.exists("\(path)/math/test") ? "math/test" : "math"
        let found = FileManager.default.enumerator(atPath: "\(path)/\(folder)")?.compactMap { $0 as? String } ?? []
        for name in found.filter({ $0.hasSuffix(".json") }).sorted() {
            let problem = "\(path)/\(folder)/\(name)"
            let row = try JSONFields(DataFile.json(problem), place: problem)
            result.rows.append(EvaluationRow(id: String(name.dropLast(5)), doc: row, examples: examples))
            result.files.append(problem)
        }
        guard !result.rows.isEmpty else { throw missing(entry) }
        return result
    }

    /// `8k` is 8192.
    private func tokens(_ name: String) -> Int? {
        guard name.hasSuffix("k") || name.hasSuffix("K") else { return Int(name) }
        return Int(name.dropLast()).map { $0 * 1024 }
    }

    private func isWanted(_ length: Int) -> Bool { lengths.map { $0.contains(length) } ?? true }

    private func babilong(_ entry: TaskEntry) throws(InputError) -> TaskRows {
        var result = TaskRows(rows: [])
        for folder in names("babilong", ending: "") {
            guard let length = tokens(folder), isWanted(length) else { continue }
            for name in names("babilong/\(folder)", ending: ".jsonl") {
                let (file, task) = ("\(path)/babilong/\(folder)/\(name)", String(name.dropLast(6)))
                try result.add(file, task: task, length: length)
            }
        }
        guard !result.rows.isEmpty else { throw missing(entry) }
        return result
    }

    private func ruler(_ entry: TaskEntry) throws(InputError) -> TaskRows {
        var result = TaskRows(rows: [])
        for task in names("ruler", ending: "") {
            for folder in names("ruler/\(task)", ending: "") {
                let file = "\(path)/ruler/\(task)/\(folder)/validation.jsonl"
                guard let length = tokens(folder), isWanted(length), DataFile.exists(file) else { continue }
                try result.add(file, task: task, length: length)
            }
        }
        guard !result.rows.isEmpty else { throw missing(entry) }
        return result
    }

    private func mrcr(_ entry: TaskEntry) throws(InputError) -> TaskRows {
        var result = TaskRows(rows: [])
        for name in names("mrcr", ending: ".jsonl") {
            for (i, row) in try RowFile.rows("\(path)/mrcr/\(name)").enumerated() {
                let length: Int
                if binsTokens {
                    let messages = try MRCR.messages(row) + [try row.requiredString("answer")]
                    length = MRCR.lengthClass(tokens: messages.reduce(0) { $0 + tokenizer.encode($1).count })
                } else {
                    length = MRCR.lengthClass(characters: try row.requiredInt("n_chars", in: 0...1 << 40))
                }
                guard isWanted(length) else { continue }
                result.rows.append(EvaluationRow(id: "\(name.dropLast(6))/\(i)", doc: row, length: length))
            }
            result.files.append("\(path)/mrcr/\(name)")
        }
        guard !result.rows.isEmpty else { throw missing(entry) }
        return result
    }

    private func helmet(_ entry: TaskEntry) throws(InputError) -> TaskRows {
        var result = TaskRows(rows: [])
        let prompts = HelmetPrompts(templates: helmetTemplates, tokenizer: tokenizer)
        let archive = HelmetArchive("\(path)/helmet/data", prompts: prompts, shots: shots ?? entry.shots)
        try archive.rows(isWanted: isWanted, limit: limit ?? .max, &result)
        let classification = HelmetClassification("\(path)/helmet/data/icl", prompts: prompts)
        try classification.rows(isWanted: isWanted, limit: limit ?? .max, &result)
        for name in names("helmet/data", ending: ".jsonl") {
            for (i, row) in try RowFile.rows("\(path)/helmet/data/\(name)").enumerated() {
                let length = try row.int("length", in: 1...1 << 30)
                if let length, !isWanted(length) { continue }
                result.rows.append(EvaluationRow(id: "\(name.dropLast(6))/\(i)", doc: row, length: length))
            }
            result.files.append("\(path)/helmet/data/\(name)")
        }
        guard !result.rows.isEmpty else { throw missing(entry) }
        return result
    }
}
