//  Names of tasks made into rows: generated, read from the data folder, or of a task file.

import DualityCore
import DualityEvaluation
import DualityInference
import Foundation

struct EvaluatePlanner {
    private let runner: EvaluateRunner
    private let tokenizer: Tokenizer
    private let hasTemplate: Bool

    init(_ runner: EvaluateRunner, tokenizer: Tokenizer, hasTemplate: Bool) {
        (self.runner, self.tokenizer, self.hasTemplate) = (runner, tokenizer, hasTemplate)
    }

    func tasks() throws -> [PlannedTask] {
        let names = (runner.options.tasks ?? "").split(separator: ",").map(String.init)
        guard !names.isEmpty else {
            throw InputError(
                .missing, in: "--tasks", expected: "names of tasks, separated by commas", found: "none",
                remedy: "`duality evaluate --list` lists them; niah_single_1 needs no data.")
        }
        var planned: [PlannedTask] = []
        let all = try names.flatMap { try Self.group($0)?.files ?? [$0] }
        for (i, name) in all.enumerated() {
            guard !all[..<i].contains(name) else {
                throw InputError(.value, in: "--tasks", expected: "each task once", found: "\(name) twice")
            }
            if name.hasSuffix(".yaml") || name.hasSuffix(".yml") {
                planned.append(try fromFile(name))
            } else {
                planned.append(try fromCatalogue(name))
            }
        }
        return planned
    }

    /// The group that a file describes; nil for a task.
    static func group(_ name: String) throws -> YamlGroup? {
        name.hasSuffix(".yaml") || name.hasSuffix(".yml") ? try YamlGroup(file: name) : nil
    }

    private func lengths(default fallback: [Int]?) throws -> [Int]? {
        guard let text = runner.options.lengths else { return fallback }
        return try text.split(separator: ",").map { try EvaluateGeneratorOptions.tokens(String($0), flag: "--lengths") }
    }

    /// So many rows as are asked for, of a long task of each of its sets at each length.
    private func limited(_ rows: [EvaluationRow], isLong: Bool = false) -> [EvaluationRow] {
        guard let limit = runner.data.limit else { return rows }
        var counts: [String: Int] = [:]
        return rows.filter { row in
            let set = row.id[..<(row.id.lastIndex(of: "/") ?? row.id.startIndex)]
            let key = isLong ? "\(row.length ?? 0) \(set)" : ""
            counts[key, default: 0] += 1
            return counts[key, default: 0] <= limit
        }
    }

    private func fromCatalogue(_ name: String) throws -> PlannedTask {
        let entry = try TaskCatalogue.entry(name)
        let code = runner.data.executeCode ? try CodeRunner(python: runner.data.python) : nil
        let task = entry.make(code)
        if name.hasPrefix("humaneval"), code == nil {
            throw InputError(
                .unsupported, in: name, expected: "leave to run code that the model writes", found: "none",
                remedy: "Give --execute-code to run it, in a sandbox that protects from accidents.")
        }
        if entry.files.isEmpty { return try generated(entry, task) }
        guard let data = runner.data.data else {
            throw InputError(
                .missing, in: "--data", expected: "the folder of data sets, for \(name)", found: "none",
                remedy: "Generated tasks such as niah_single_1 need none.")
        }
        let fewshot = try runner.data.fewshot.map { try RowFile.rows($0) }
        let isReference = runner.options.template == "reference"
        let folder = DataFolder(
            data, fewshot: fewshot, shots: runner.data.shots, lengths: try lengths(default: nil),
            tokenizer: tokenizer, binsTokens: runner.options.bins == "tokens",
            helmetTemplates: name == "helmet" && isReference ? try Self.helmetTemplates(data) : nil,
            limit: runner.data.limit)
        var found = try folder.rows(entry)
        if name == "babilong", isReference { try Self.reword(&found, data) }
        return PlannedTask(
            name: name, task: task, isChat: !runner.data.noChat && hasTemplate,
            rows: limited(found.rows, isLong: ["babilong", "helmet", "mrcr", "ruler"].contains(name)),
            shots: found.shots, dataHash: try RunFolder.hash(files: found.files),
            template: ["babilong", "helmet"].contains(name) ? runner.options.template : "reference")
    }

    /// The official wording, from a file that the user has; its hash says that it is that.
    private static func reword(_ rows: inout TaskRows, _ data: String) throws {
        let path = "\(data)/babilong/prompts.json"
        let prompts = try JSONFields(JSON(contentsOf: path), place: path)
        var templates: [String: String] = [:]
        for task in ["qa1", "qa2", "qa3", "qa4", "qa5"] {
            guard prompts[task] != nil else { continue }
            templates[task] = try BABILong.referenceTemplate(prompts, task)
        }
        for i in rows.rows.indices {
            let task = rows.rows[i].doc["task"]?.string ?? ""
            guard let template = templates[task] else { throw prompts.missing(task, "the prompt of \(task)") }
            rows.rows[i].doc = try rows.rows[i].doc.adding([("prompt_template", .string(template))])
        }
    }

    private static func helmetTemplates(_ data: String) throws -> [String: String] {
        let path = "\(data)/helmet/prompts.json"
        return try HelmetPrompts.official(JSONFields(JSON(contentsOf: path), place: path))
    }

    private func generated(_ entry: TaskEntry, _ task: any EvaluationTask) throws -> PlannedTask {
        var rows: [EvaluationRow] = []
        var texts: [String] = []
        for length in try lengths(default: [1024, 2048, 4096]) ?? [] {
            let settings = try runner.generator.settings(
                length: length, count: runner.data.limit ?? runner.generator.count ?? 24, tokenizer: tokenizer)
            for (i, row) in try GeneratedTasks.rows(entry.name, settings).enumerated() {
                rows.append(
                    EvaluationRow(
                        id: "\(i)", doc: try JSONFields(row, place: "\(entry.name) at \(length): row \(i)"),
                        length: length))
                texts.append(row.serialized())
            }
        }
        let isChat =
            hasTemplate && !runner.data.noChat
            && EvaluateTasks.isConversation(entry.name, generatedToo: runner.options.chat)
        return PlannedTask(
            name: entry.name, task: task, isChat: isChat, rows: rows, shots: 0, dataHash: RunFolder.hash(texts),
            template: "own")
    }

    private func fromFile(_ path: String) throws -> PlannedTask {
        let task = try YamlTask(file: path)
        let file = try dataFile(task, path)
        let given = try runner.data.fewshot.map { try RowFile.rows($0) }
        let examples = given ?? task.samples
        let shots = runner.data.shots ?? task.exampleCount
        guard shots <= examples.count else {
            throw InputError(
                .value, in: "\(path): num_fewshot", expected: "at most \(examples.count), the examples there are",
                found: "\(shots)", remedy: "Give examples with --fewshot.")
        }
        let docs = try RowFile.rows(file)
        let shown = given.map { Array(repeating: Array($0.prefix(shots)), count: docs.count) }
        let rows = zip(docs, shown ?? task.examples(rows: docs.count, shots: shots)).enumerated().map { i, row in
            EvaluationRow(id: "\(i)", doc: row.0, examples: row.1)
        }
        return PlannedTask(
            name: task.name, task: task, isChat: false, rows: limited(rows), shots: shots,
            dataHash: try RunFolder.hash(files: [path, file]))
    }

    private func dataFile(_ task: YamlTask, _ path: String) throws -> String {
        var isDirectory: ObjCBool = false
        if let data = runner.data.data, FileManager.default.fileExists(atPath: data, isDirectory: &isDirectory),
            !isDirectory.boolValue
        {
            return data
        }
        guard let name = task.dataFile else {
            throw InputError(
                .missing, in: "\(path): dataset_kwargs", expected: "data_files with a file of rows", found: "none",
                remedy: "Give the file with --data.")
        }
        let places = [
            name.hasPrefix("/") ? name : "\(task.folder)/\(name)", name, "\(runner.data.data ?? ".")/\(name)",
        ]
        guard let file = places.first(where: { FileManager.default.fileExists(atPath: $0) }) else {
            throw InputError(
                .missingFile, in: "\(path): data_files", expected: places.joined(separator: " or "),
                found: "no such file")
        }
        return file
    }
}
