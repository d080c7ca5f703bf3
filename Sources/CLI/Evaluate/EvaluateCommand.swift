//  duality evaluate: benchmarks with the scores of their official scorers.

import ArgumentParser
import Duality
import DualityCore
import DualityEvaluation
import Foundation

struct EvaluateCommand: AsyncParsableCommand, RankedCommand {
    static let configuration = CommandConfiguration(
        commandName: "evaluate",
        abstract: "Score a model, or outputs made elsewhere, on benchmarks; compare two runs.",
        discussion: """
            Scores are those of the official scorers, fractions of 1 in JSON. Code of HumanEval runs only with --execute-code, \
            in a sandbox that protects from accidents and not from an enemy.

            A run writes run.json, samples.jsonl, results.json and accuracy.svg to --out and goes on there after a kill.

            Examples:
              duality evaluate --tasks niah_single_1,babilong_qa1 --lengths 1K,2K,4K
              duality evaluate path/to/model --tasks gsm8k,mmlu --data path/to/data --dry-run
              duality evaluate --score-only gsm8k --predictions outputs.jsonl --json
              duality evaluate --show-prompts mmlu --data rows.jsonl --fewshot dev.jsonl --shots 5 --json
              duality evaluate --aggregate run/results.json --suite card-long
              duality evaluate --compare run-int8 run-bf16
            """)

    @OptionGroup var modes: EvaluateModes
    @OptionGroup var runOptions: EvaluateRunOptions
    @OptionGroup var data: EvaluateDataOptions
    @OptionGroup var generator: EvaluateGeneratorOptions
    @OptionGroup var model: ModelOptions
    @OptionGroup var engine: EngineOptions
    @OptionGroup var ranks: RankOptions
    @Option(name: .long, help: ArgumentHelp("Where to write: a folder, with --generate a file.", valueName: "dir|file"))
    var out: String?
    @Flag(name: .long, help: "Print JSON.")
    var json = false

    func validate() throws {
        guard modes.count + (runOptions.tasks == nil ? 0 : 1) == 1 else {
            throw ValidationError(
                "Give one of --tasks, --list, --score-only, --show-prompts, --generate, --aggregate and --compare.")
        }
    }

    func run() async throws {
        if modes.list { return EvaluateListing.printAll(data: data.data, json: json) }
        if let task = modes.scoreOnly { return try scoreOnly(task) }
        if let task = modes.showPrompts { return try showPrompts(task) }
        if let task = modes.generate { return try generate(task) }
        if !modes.aggregate.isEmpty { return try aggregate() }
        if !modes.compare.isEmpty { return try compare() }
        try EvaluateRunner(
            options: runOptions, data: data, generator: generator, model: modelOptions, engine: engine, out: out,
            json: json
        ).run()
    }

    private var modelOptions: ModelOptions {
        var options = model
        options.model = runOptions.directory ?? model.model
        return options
    }

    var loadsModel: Bool { runOptions.tasks != nil }
    var isCampaign: Bool { true }

    func modelLoader() throws -> ModelLoader { try engine.loader(modelOptions) }

    // MARK: Without a model

    private func scoreOnly(_ name: String) throws {
        guard let predictions = modes.predictions else {
            throw InputError(
                .missing, in: "--predictions", expected: "a file of predictions, a JSON object a line", found: "none")
        }
        let task = try EvaluateTasks.task(name, data)
        let report = try ScoreReport(task, Prediction.read(predictions, accepts: task.accepts))
        print(json ? report.json.serialized(indented: true) : EvaluateTables.scores(report).joined(separator: "\n"))
    }

    private func showPrompts(_ name: String) throws {
        guard let path = data.data else {
            throw InputError(.missing, in: "--data", expected: "a file of rows, a JSON object a line", found: "none")
        }
        let task = try EvaluateTasks.task(name, data)
        if let file = task as? YamlTask, data.fewshot == nil {
            return show(
                try PromptReport.requests(file, rows: PromptReport.rows(path), shots: data.shots, limit: data.limit))
        }
        let examples = try data.fewshot.map { try PromptReport.rows($0, mayBeEmpty: true) } ?? []
        let requests = try PromptReport.requests(
            task, rows: PromptReport.rows(path), examples: examples, shots: data.shots ?? examples.count,
            limit: data.limit,
            isChat: !data.noChat && EvaluateTasks.isConversation(name, generatedToo: runOptions.chat))
        show(requests)
    }

    private func show(_ requests: [JSON]) {
        if json {
            print(JSON.array(requests).serialized(indented: true))
        } else {
            for request in requests { print(request.serialized(indented: true)) }
        }
    }

    private func generate(_ name: String) throws {
        guard let length = generator.length, let count = generator.count, let out else {
            throw InputError(
                .missing, in: "--generate", expected: "--length, --count and --out with it", found: "not all of them")
        }
        let settings = try generator.settings(
            length: EvaluateGeneratorOptions.tokens(length, flag: "--length"), count: count,
            tokenizer: model.tokenizer())
        let rows = try GeneratedTasks.rows(name, settings)
        try writeAtomically(to: out) { file in
            for row in rows { try file.write(row.serialized() + "\n") }
        }
        Terminal.note("wrote \(rows.count.grouped) rows of \(name) to \(out)")
    }

    private func aggregate() throws {
        guard let suite = modes.suite, let name = Suite.Name(rawValue: suite) else {
            throw InputError(
                .unknown, in: "--suite", expected: Suite.Name.allCases.map(\.rawValue).joined(separator: " or "),
                found: modes.suite ?? "none")
        }
        guard modes.ratio.isFinite, modes.ratio > 0, modes.ratio <= 1e6 else {
            throw InputError(.value, in: "--ratio", expected: "a number above 0", found: "\(modes.ratio)")
        }
        let result = Suite(name, try TaskResult.read(modes.aggregate), ratio: modes.ratio)
        print(json ? result.json.serialized(indented: true) : EvaluateTables.suite(result).joined(separator: "\n"))
    }

    private func compare() throws {
        guard modes.compare.count == 2 else {
            throw InputError(
                .value, in: "--compare", expected: "two files or folders", found: "\(modes.compare.count)")
        }
        let (a, b) = (modes.compare[0], modes.compare[1])
        let comparison = try RunComparison(
            RunScores.read(a), RunScores.read(b), names: (a, b), commonOnly: modes.common)
        print(
            json
                ? comparison.json.serialized(indented: true)
                : EvaluateTables.comparison(comparison).joined(separator: "\n"))
    }
}
