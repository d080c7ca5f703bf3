//  A run of `duality evaluate` on a model: from flags to the folder with its results.

import ArgumentParser
import Duality
import DualityCore
import DualityEvaluation
import DualityInference
import DualityQuant
import Foundation

/// What is run and how.
struct EvaluateRunOptions: ParsableArguments {
    @Argument(help: ArgumentHelp("The model's directory; as --model.", valueName: "model"))
    var directory: String?
    @Option(
        name: .long,
        help: ArgumentHelp("Tasks to run, by name or as files of lm-evaluation-harness.", valueName: "name,…"))
    var tasks: String?
    @Option(name: .long, help: ArgumentHelp("Lengths of long-context tasks: 8K,16K,…", valueName: "tokens,…"))
    var lengths: String?
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Prompts that are worked on together (default: what fits in memory, at most 16).", valueName: "n"))
    var batch: Int?
    @Flag(name: .long, help: "Read every prompt from its beginning.")
    var noReuse = false
    @Flag(name: .long, help: "Ask generated tasks as a conversation too.")
    var chat = false
    @Option(name: .long, help: ArgumentHelp("At most so many tokens an answer.", valueName: "n"))
    var maxTokens: Int?
    @Option(
        name: .long,
        help: ArgumentHelp(
            "What becomes of prompts that do not fit the context: left cuts their beginning. (default: they are skipped and counted)",
            valueName: "left"))
    var truncate: String?
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Length classes of mrcr: by characters, or by tokens of this model.", valueName: "characters|tokens"))
    var bins = "characters"
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Wording of babilong and helmet: reference (of DIR/babilong/prompts.json and DIR/helmet/prompts.json) or own.",
            valueName: "which"))
    var template = "own"
    @Option(name: .long, help: ArgumentHelp("Draw the results of another run into the picture.", valueName: "dir"))
    var against: String?
    @Flag(name: .long, help: "Say what a run will cost, and do not run.")
    var dryRun = false

    func validate() throws {
        guard (1...256).contains(batch ?? 1) else { throw ValidationError("--batch must be from 1 to 256.") }
        guard ["own", "reference"].contains(template) else {
            throw ValidationError("--template must be reference or own.")
        }
        guard truncate == nil || truncate == "left" else { throw ValidationError("--truncate must be left.") }
        guard ["characters", "tokens"].contains(bins) else {
            throw ValidationError("--bins must be characters or tokens.")
        }
        if let maxTokens, maxTokens < 1 { throw ValidationError("--max-tokens must be at least 1.") }
    }
}

struct EvaluateRunner {
    let options: EvaluateRunOptions
    let data: EvaluateDataOptions
    let generator: EvaluateGeneratorOptions
    let model: ModelOptions
    let engine: EngineOptions
    let out: String?
    let json: Bool

    func run() throws {
        let loader = try engine.loader(model)
        let tokenizer = try model.tokenizer()
        let defaults = try GenerationDefaults(directory: loader.directory)
        let template = try? ChatTemplate(directory: loader.directory)
        let configuration = try HybridConfiguration(directory: loader.directory)
        let context: Int? = configuration.plainMamba2 == nil ? configuration.contextLength : nil
        let planned = try EvaluatePlanner(self, tokenizer: tokenizer, hasTemplate: template != nil).tasks()
        let first = tokenizerFirst(loader.directory, tokenizer, defaults)
        let plan = try EvaluationPlan(
            planned, encoder: RequestEncoder(tokenizer, template: template, first: first), context: context,
            maxTokens: options.maxTokens, cutsLeft: options.truncate != nil
        ) { done, all in
            if done % 100 == 0 { Terminal.progress("\(done) of \(all) prompts") }
        }
        Terminal.clearProgress()
        let longest = plan.longest(context)
        let computation = try loader.computation()
        var settings = RunnerSettings()
        (settings.reuses, settings.seed) = (!options.noReuse, generator.seed)
        settings.ends = Set(defaults.endTokens)
        settings.turnEnds = template.map { $0.endTokens(defaults, tokenizer) } ?? settings.ends
        let folder = out ?? "duality-evaluation/\((loader.directory as NSString).lastPathComponent)-\(Self.stamp())"
        let manifest = try manifest(loader, computation, plan)
        let share = RankLaunch.campaign
        if options.dryRun, !RankLaunch.isFirst { return }
        // What is wrong with the folder is said before the weights are read, and nothing is written
        // before it is known that the run can begin.
        if !options.dryRun, RankLaunch.isFirst { try RunFolder.check(folder, settings: manifest) }
        if !options.dryRun { try requireSame(manifest, plan, on: share) }
        let loaded = try loader.loadShown(tokens: longest)
        guard let batched = loaded as? any BatchedModel else {
            throw InputError(
                .unsupported, in: "--engine", expected: "an engine that evaluates", found: "\(type(of: loaded))")
        }
        settings.batch = try batch(batched, plan, longest)
        if options.dryRun { return try estimate(batched, tokenizer, settings, plan) }
        guard RankLaunch.isFirst else {
            // Answers are rank 0's to write.
            var run = try EvaluationRun(plan, nil)
            let interruption = Interruption()
            return try run.run(
                batched, tokenizer, settings, nil, share: share, progress: { _ in }, stop: { interruption.happened })
        }
        try RunFolder.open(folder, settings: manifest)
        try carryOut(
            batched, tokenizer: tokenizer, settings: settings, plan: plan, folder: folder, computation: computation,
            loader: loader, configuration: configuration)
    }

    /// - Throws: `InputError` (`.value`) where ranks that share a run out would do different ones.
    private func requireSame(_ manifest: JSON.Object, _ plan: EvaluationPlan, on share: CaseShare?) throws {
        var settings = manifest
        settings["instruction_set"] = nil
        let facts = settings.names.map { ($0, settings[$0]?.serialized() ?? "") }
        let prompts = RunFolder.hash(plan.requests.map(\.tokens.promptHash))
        let others = "\(options.batch ?? 0) \(options.noReuse)"
        try share?.requireSame(facts + [("prompts", prompts), ("--batch and --no-reuse", others)])
    }

    /// Texts that are generated together: as asked for, else what fits in memory, at most 16.
    private func batch<Model: BatchedModel>(_ model: Model, _ plan: EvaluationPlan, _ longest: Int) throws -> Int {
        let snapshots = plan.snapshots(reuses: !options.noReuse, Model.self)
        // An eighth stays for passes and for what else runs.
        let most = MemoryNeed.available().flatMap { free in
            model.batch(tokens: longest, snapshots: snapshots, memory: free / 8 * 7)
        }
        return try RunnerSettings.batch(asked: options.batch, fitting: most, tokens: longest)
    }

    private static func stamp() -> String {
        let format = DateFormatter()
        (format.locale, format.timeZone) = (Locale(identifier: "en_US_POSIX"), TimeZone(identifier: "UTC"))
        format.dateFormat = "yyyyMMdd-HHmmss"
        return format.string(from: Date())
    }

    /// The token that rolling likelihoods begin with: bos, else the end of a text.
    private func tokenizerFirst(_ directory: String, _ tokenizer: Tokenizer, _ defaults: GenerationDefaults) -> Int {
        let path = "\(directory)/tokenizer_config.json"
        if let file = try? JSON(contentsOf: path) {
            for name in ["bos_token", "eos_token"] {
                let text = file[name]?.string ?? file[name]?["content"]?.string
                if let text, let id = tokenizer.id(of: text) { return id }
            }
        }
        return defaults.endTokens.first ?? 0
    }

    private func manifest(
        _ loader: ModelLoader, _ computation: Computation, _ plan: EvaluationPlan
    ) throws -> JSON.Object {
        var object: JSON.Object = [
            "version": 1, "model": .string((loader.directory as NSString).lastPathComponent),
            "model_fingerprint": .string(try RunFolder.fingerprint(model: loader.directory)),
        ]
        computation.write(to: &object)
        object["kv"] = .string(engine.keyValues?.rawValue ?? "default")
        object["seed"] = .number(String(generator.seed))
        object["limit"] = data.limit.map { JSON($0) } ?? .null
        object["max_tokens"] = options.maxTokens.map { JSON($0) } ?? .null
        if let truncate = options.truncate { object["truncate"] = .string(truncate) }
        if plan.tasks.contains(where: { $0.name == "mrcr" }) { object["bins"] = .string(options.bins) }
        object["tasks"] = .array(
            plan.tasks.map { task in
                [
                    "task": .string(task.name), "rows": JSON(task.rows.count), "shots": JSON(task.shots),
                    "chat": .bool(task.isChat), "template": .string(task.template),
                    "data_sha256": .string(task.dataHash),
                    "fewshot_sha256": task.fewshotHash.map { .string($0) } ?? .null,
                ]
            })
        object["lengths"] = .string(options.lengths ?? "")
        return object
    }

    private func estimate<Model: BatchedModel>(
        _ model: Model, _ tokenizer: Tokenizer, _ settings: RunnerSettings, _ plan: EvaluationPlan
    ) throws {
        var estimate = CostEstimate(plan, reuses: settings.reuses, Model.self)
        try estimate.measure(model, tokenizer, settings, plan)
        print(
            json ? estimate.json.serialized(indented: true) : EvaluateTables.cost(estimate).joined(separator: "\n"))
    }

    private func carryOut<Model: BatchedModel>(
        _ model: Model, tokenizer: Tokenizer, settings: RunnerSettings, plan: EvaluationPlan, folder: String,
        computation: Computation, loader: ModelLoader, configuration: HybridConfiguration
    ) throws {
        let log = try SampleLog("\(folder)/samples.jsonl")
        var run = try EvaluationRun(plan, log)
        if run.resumed > 0 { Terminal.note("\(run.resumed.grouped) answers are there already") }
        let interruption = Interruption()
        try run.run(model, tokenizer, settings, log, share: RankLaunch.campaign) { progress in
            Terminal.progress(EvaluateTables.progress(progress))
        } stop: {
            interruption.happened
        }
        Terminal.clearProgress()
        let outcomes = run.results
        var results: JSON.Object = [
            "version": 1, "model": .string((loader.directory as NSString).lastPathComponent),
        ]
        computation.write(to: &results)
        results["kv"] = .string(engine.keyValues?.rawValue ?? "default")
        results["tasks"] = .array(plan.tasks.map { .string($0.name) })
        results["seed"] = .number(String(generator.seed))
        results["resumed"] = JSON(run.resumed)
        results["seconds"] = JSON(run.seconds)
        let work = Double(max(outcomes.reduce(0) { $0 + $1.work }, 1))
        results["results"] = .array(outcomes.map { $0.json(seconds: run.seconds * Double($0.work) / work) })
        let groups = try groups(outcomes)
        if !groups.isEmpty { results["groups"] = .array(groups) }
        let path = "\(folder)/results.json"
        try writeAtomically(to: path) { try $0.write(JSON.object(results).serialized(indented: true) + "\n") }
        let suites = try Suite.Name.allCases.map { Suite($0, try TaskResult.read([path])) }.filter { $0.score != nil }
        results["suites"] = .array(suites.map(\.json))
        try writeAtomically(to: path) { try $0.write(JSON.object(results).serialized(indented: true) + "\n") }
        try draw(outcomes, to: "\(folder)/accuracy.svg", configuration, loader)
        if json {
            print(JSON.object(results).serialized(indented: true))
        } else {
            print(EvaluateTables.results(outcomes, seconds: run.seconds).joined(separator: "\n"))
            for suite in suites { print(EvaluateTables.suite(suite).joined(separator: "\n")) }
        }
        Terminal.note("wrote \(path), samples.jsonl and accuracy.svg")
        if interruption.happened { Terminal.note("interrupted: the same command goes on from here") }
    }

    /// The means of the groups among the tasks that were asked for.
    private func groups(_ outcomes: [TaskOutcome]) throws -> [JSON] {
        try (options.tasks ?? "").split(separator: ",").compactMap { name -> JSON? in
            guard let group = try EvaluatePlanner.group(String(name)) else { return nil }
            let names = try group.files.map { try YamlTask(file: $0).name }
            let parts = outcomes.filter { names.contains($0.task.name) }.map { (score: $0.summary.score, n: $0.n) }
            return [
                "group": .string(group.name), "score": JSON(group.score(parts)),
                "n": JSON(parts.reduce(0) { $0 + $1.n }),
                "weight_by_size": .bool(group.weightsBySize), "tasks": .array(names.map { .string($0) }),
            ]
        }
    }

    private func draw(
        _ outcomes: [TaskOutcome], to path: String, _ configuration: HybridConfiguration, _ loader: ModelLoader
    ) throws {
        var lines: [AccuracyPlot.Line] = []
        for outcome in outcomes where outcome.n > 0 {
            guard let length = outcome.length else { continue }
            let point = (length: length, score: outcome.summary.score, interval: outcome.interval)
            if let place = lines.firstIndex(where: { $0.name == outcome.task.name }) {
                lines[place].points.append(point)
            } else {
                lines.append(AccuracyPlot.Line(name: outcome.task.name, points: [point]))
            }
        }
        if let against {
            for result in try TaskResult.read([against]) {
                guard let length = result.length else { continue }
                let interval = Interval.around(result.score, standardError: result.standardError ?? 0, clipped: true)
                let name = "\(result.task) (\((against as NSString).lastPathComponent))"
                let point = (length: length, score: result.score, interval: interval)
                if let place = lines.firstIndex(where: { $0.name == name }) {
                    lines[place].points.append(point)
                } else {
                    lines.append(AccuracyPlot.Line(name: name, points: [point], isDashed: true))
                }
            }
        }
        let plot = AccuracyPlot(
            title:
                "Score by length: \((loader.directory as NSString).lastPathComponent), \(loader.choice.precisionName)",
            lines: lines, context: configuration.contextLength)
        try writeAtomically(to: path) { try $0.write(plot.svg) }
    }

    private var against: String? { options.against }
}
