//  A task file read.

import DualityCore
import Foundation

extension YamlTask {
    private static let known: Set<String> = [
        "task", "dataset_path", "dataset_name", "dataset_kwargs", "test_split", "validation_split", "training_split",
        "fewshot_split", "output_type", "doc_to_text", "doc_to_target", "doc_to_choice", "description", "num_fewshot",
        "fewshot_config", "fewshot_delimiter", "target_delimiter", "generation_kwargs", "filter_list", "metric_list",
        "include", "metadata", "tag", "task_alias", "repeats", "should_decontaminate", "doc_to_decontamination_query",
        "version",
    ]

    /// Reads a task.
    ///
    /// - Throws: `InputError` with file and line of what is malformed or outside the subset.
    package init(file path: String) throws(InputError) {
        let root = try Self.merged(path, depth: 0)
        guard root.map != nil else { throw root.mistake("a mapping with the fields of a task") }
        try self.init(root, folder: URL(fileURLWithPath: path).deletingLastPathComponent().path)
    }

    /// The file's fields over those of the files that it includes.
    static func merged(_ path: String, depth: Int) throws(InputError) -> YamlValue {
        let root = try YamlValue.read(path)
        guard let include = root["include"] else { return root }
        guard depth < 8 else { throw include.mistake("at most 8 files that include each other") }
        var fields: [(key: String, value: YamlValue)] = []
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        for name in try include.strings("include") {
            let file = name.hasPrefix("/") ? name : "\(folder)/\(name)"
            guard DataFile.exists(file) else {
                throw InputError(.missingFile, in: include.place, expected: "a file to include", found: "no \(file)")
            }
            fields = over(fields, try merged(file, depth: depth + 1).map ?? [])
        }
        return YamlValue(.map(over(fields, root.map ?? [])), like: root)
    }

    private static func over(
        _ fields: [(key: String, value: YamlValue)], _ others: [(key: String, value: YamlValue)]
    ) -> [(key: String, value: YamlValue)] {
        fields.filter { field in !others.contains { $0.key == field.key } } + others
    }

    init(_ root: YamlValue, folder: String) throws(InputError) {
        for (key, value) in root.map ?? [] where !Self.known.contains(key) {
            throw InputError(
                .unsupported, in: value.place,
                expected: "a field of the subset: \(Self.known.sorted().joined(separator: ", "))",
                found: "'\(key)'")
        }
        guard let name = root["task"] else { throw root.mistake("a task with its name, 'task:'") }
        self.name = try name.string("task")
        self.folder = folder
        let type = try root["output_type"]?.string("output_type") ?? "generate_until"
        guard let outputType = OutputType(rawValue: type) else {
            throw root["output_type"]!.mistake(OutputType.allCases.map(\.rawValue).joined(separator: ", "))
        }
        self.outputType = outputType
        if let repeats = root["repeats"], try repeats.int("repeats") != 1 { throw repeats.mistake("1 for repeats") }
        dataFile = try Self.dataFile(root)

        func template(_ key: String) throws(InputError) -> TaskTemplate? {
            guard let value = root[key] else { return nil }
            return try TaskTemplate(value.string(key), place: value.place)
        }
        guard let question = try template("doc_to_text") else { throw root.mistake("a task with doc_to_text") }
        guard let target = try template("doc_to_target") else { throw root.mistake("a task with doc_to_target") }
        (self.question, self.target) = (question, target)
        description = try template("description")
        choices = try Self.choices(root["doc_to_choice"])
        if outputType == .multipleChoice, choices == nil { throw root.mistake("multiple_choice with doc_to_choice") }
        exampleDelimiter = try root["fewshot_delimiter"]?.string("fewshot_delimiter") ?? "\n\n"
        targetDelimiter = try root["target_delimiter"]?.string("target_delimiter") ?? " "
        generation = try Self.generation(root["generation_kwargs"], exampleDelimiter)
        filters = try Self.filters(root["filter_list"])
        var metrics: [YamlMetric] = []
        for entry in try root["metric_list"]?.list("metric_list") ?? [] {
            metrics.append(try YamlMetric(entry, outputType))
        }
        self.metrics = metrics.isEmpty ? YamlMetric.kinds(of: outputType).prefix(2).map { YamlMetric($0) } : metrics
        (samples, exampleCount, takesFirst) = try Self.examples(root)
    }

    private static func dataFile(_ root: YamlValue) throws(InputError) -> String? {
        guard let path = root["dataset_path"] else { return nil }
        guard try path.string("dataset_path") == "json" else { throw path.mistake("json for dataset_path") }
        guard let kwargs = root["dataset_kwargs"] else { return nil }
        for (key, value) in kwargs.map ?? [] where key != "data_files" {
            throw InputError(.unsupported, in: value.place, expected: "data_files", found: "'\(key)' of dataset_kwargs")
        }
        guard let files = kwargs["data_files"] else { return nil }
        guard let splits = files.map else { return try files.strings("data_files").first }
        let split = try root["test_split"]?.string("test_split") ?? "test"
        guard let file = splits.first(where: { $0.key == split }) else { throw files.mistake("the split \(split)") }
        return try file.value.strings("data_files").first
    }

    private static func choices(_ value: YamlValue?) throws(InputError) -> Choices? {
        guard let value else { return nil }
        guard case .list(let entries) = value.content else {
            return .template(try TaskTemplate(value.string("doc_to_choice"), place: value.place))
        }
        var texts: [String] = []
        for entry in entries { texts.append(try entry.string("doc_to_choice")) }
        return .texts(texts)
    }

    private static func generation(
        _ value: YamlValue?, _ delimiter: String
    ) throws(InputError) -> TaskRequest.Generation {
        var generation = TaskRequest.Generation(maxTokens: 256, stop: [delimiter])
        var samples = false
        var temperature: Double?
        for (key, entry) in value?.map ?? [] {
            switch key {
            case "until": generation.stop = try entry.strings(key)
            case "max_gen_toks": generation.maxTokens = try entry.int(key)
            case "temperature": temperature = try entry.double(key)
            case "top_p": generation.topP = try entry.double(key)
            case "do_sample": samples = try entry.bool(key)
            default:
                throw InputError(
                    .unsupported, in: entry.place, expected: "until, max_gen_toks, temperature, do_sample or top_p",
                    found: "'\(key)' of generation_kwargs")
            }
        }
        guard generation.maxTokens > 0 else { throw value!.mistake("max_gen_toks above 0") }
        if samples { generation.temperature = temperature ?? 1 }
        return generation
    }

    private static func filters(_ value: YamlValue?) throws(InputError) -> [(name: String, steps: [YamlFilter])] {
        guard let value else { return [("none", [.takeFirst])] }
        var filters: [(name: String, steps: [YamlFilter])] = []
        for entry in try value.list("filter_list") {
            guard let name = entry["name"], let list = entry["filter"] else {
                throw entry.mistake("a filter with name and filter")
            }
            var steps: [YamlFilter] = []
            for step in try list.list("filter") { steps.append(try YamlFilter(step)) }
            filters.append((try name.string("name"), steps))
        }
        guard !filters.isEmpty else { throw value.mistake("at least one filter") }
        return filters
    }

    private static func examples(_ root: YamlValue) throws(InputError) -> ([JSONFields], Int, Bool) {
        let count = try root["num_fewshot"]?.int("num_fewshot") ?? 0
        var (rows, takesFirst): ([JSONFields], Bool) = ([], false)
        for (key, value) in root["fewshot_config"]?.map ?? [] {
            switch key {
            case "samples":
                for sample in try value.list(key) { rows.append(try JSONFields(sample.json, place: sample.place)) }
            case "sampler":
                guard let place = ["default", "first_n"].firstIndex(of: try value.string(key)) else {
                    throw value.mistake("default or first_n for sampler")
                }
                takesFirst = place == 1
            default:
                throw InputError(
                    .unsupported, in: value.place, expected: "samples or sampler", found: "'\(key)' of fewshot_config")
            }
        }
        guard count >= 0, rows.isEmpty || count <= rows.count else {
            throw root["num_fewshot"]!.mistake("at most \(rows.count) for num_fewshot, the samples")
        }
        return (rows, count, takesFirst)
    }
}
