//  The flags of `duality evaluate`.

import ArgumentParser
import DualityCore
import DualityEvaluation
import DualityInference

/// What to do.
struct EvaluateModes: ParsableArguments {
    @Flag(name: .long, help: "List the tasks: what they need, sizes, licence of their data, whether the data is there.")
    var list = false
    @Option(
        name: .long,
        help: ArgumentHelp("Score outputs that were made elsewhere; no model.", valueName: "task|file.yaml"))
    var scoreOnly: String?
    @Option(
        name: .long,
        help: ArgumentHelp(
            "With --score-only: a JSON object a line with id, doc, and outputs, loglikelihoods or passed.",
            valueName: "file"))
    var predictions: String?
    @Option(name: .long, help: ArgumentHelp("Print the requests that a model would get; no model.", valueName: "task"))
    var showPrompts: String?
    @Option(name: .long, help: ArgumentHelp("Write rows of a task that needs no data.", valueName: "task"))
    var generate: String?
    @Option(
        name: .long, parsing: .upToNextOption,
        help: ArgumentHelp("Average results as the model card does.", valueName: "file|dir"))
    var aggregate: [String] = []
    @Option(name: .long, help: ArgumentHelp("With --aggregate: card-long or card-short.", valueName: "suite"))
    var suite: String?
    @Option(
        name: .long,
        help: ArgumentHelp("With --suite card-long: the weight of a length over that of its half.", valueName: "r"))
    var ratio = 2.0
    @Option(
        name: .long, parsing: .upToNextOption,
        help: ArgumentHelp("Compare two runs over the same items.", valueName: "a b"))
    var compare: [String] = []
    @Flag(name: .long, help: "With --compare: leave out items that only one run has.")
    var common = false

    /// How many are asked for.
    var count: Int {
        [list, scoreOnly != nil, showPrompts != nil, generate != nil, !aggregate.isEmpty, !compare.isEmpty].filter {
            $0
        }.count
    }
}

/// Rows that are made up.
struct EvaluateGeneratorOptions: ParsableArguments {
    @Option(name: .long, help: ArgumentHelp("With --generate: tokens, such as 4K or 4096.", valueName: "tokens"))
    var length: String?
    @Option(name: .long, help: ArgumentHelp("With --generate: rows.", valueName: "n"))
    var count: Int?
    @Option(name: .long, help: ArgumentHelp("Seed of what is made up and of samples (default: 0).", valueName: "n"))
    var seed: UInt64 = 0
    @Option(name: .long, help: ArgumentHelp("A text whose sentences stand around the facts.", valueName: "file"))
    var filler: String?
    @Option(name: .long, help: ArgumentHelp("Questions about one context.", valueName: "n"))
    var questionsPerContext = 1
    @Option(name: .long, help: ArgumentHelp("Of vt: chains beside the one that is asked for.", valueName: "n"))
    var chains = 0

    func settings(length: Int, count: Int, tokenizer: Tokenizer) throws -> GeneratorSettings {
        var settings = GeneratorSettings(
            length: length, count: count, seed: seed, tokenizer: tokenizer,
            prose: try filler.map { try Filler(file: $0) } ?? Filler.prose())
        (settings.questionsPerContext, settings.moreChains) = (questionsPerContext, chains)
        return settings
    }

    /// `8K` is 8192.
    static func tokens(_ text: String, flag: String) throws -> Int {
        let isThousands = text.hasSuffix("K") || text.hasSuffix("k")
        guard let number = Int(isThousands ? text.dropLast() : text[...]), number > 0, number <= 1 << 30 else {
            throw InputError(.value, in: flag, expected: "tokens, such as 4096 or 4K", found: text)
        }
        return isThousands ? number * 1024 : number
    }
}

/// Which rows, and how they are asked.
struct EvaluateDataOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp("The folder of data sets; with --show-prompts a file of rows.", valueName: "dir|file"))
    var data: String?
    @Option(name: .long, help: ArgumentHelp("Rows that are shown with their answers.", valueName: "file"))
    var fewshot: String?
    @Option(name: .long, help: ArgumentHelp("How many of them.", valueName: "k"))
    var shots: Int?
    @Option(
        name: .long,
        help: ArgumentHelp("At most so many rows of a task; of a long one of each set and length.", valueName: "n"))
    var limit: Int?
    @Flag(name: .long, help: "Ask in plain text instead of a conversation.")
    var noChat = false
    @Flag(name: .long, help: "Run code that a model wrote, in a sandbox.")
    var executeCode = false
    @Option(name: .long, help: ArgumentHelp("The interpreter for --execute-code.", valueName: "program"))
    var python = "python3"

    func validate() throws {
        if let shots, shots < 0 { throw ValidationError("--shots must be at least 0.") }
        if let limit, limit < 1 { throw ValidationError("--limit must be at least 1.") }
    }
}

/// Tasks by name or file.
enum EvaluateTasks {
    /// Whether a task is asked in turns, where the model has a template: not task files, and
    /// generated tasks only where that is wanted or they are conversations themselves.
    static func isConversation(_ name: String, generatedToo: Bool) -> Bool {
        if name.hasSuffix(".yaml") || name.hasSuffix(".yml") { return false }
        let isGenerated = TaskCatalogue.generated.contains { $0.name == name }
        return !isGenerated || generatedToo || name.hasPrefix("mrcr")
    }

    static func task(_ name: String, _ options: EvaluateDataOptions) throws -> any EvaluationTask {
        if name.hasSuffix(".yaml") || name.hasSuffix(".yml") { return try YamlTask(file: name) }
        let entry = try TaskCatalogue.entry(name)
        return entry.make(options.executeCode ? try CodeRunner(python: options.python) : nil)
    }
}
