//  The flags of `duality evaluate`.

import ArgumentParser
import DualityCore
import DualityEvaluation

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
        [list, scoreOnly != nil, showPrompts != nil, !aggregate.isEmpty, !compare.isEmpty].filter { $0 }.count
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
    @Option(name: .long, help: ArgumentHelp("At most so many rows of a task.", valueName: "n"))
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
    static func task(_ name: String, _ options: EvaluateDataOptions) throws -> any EvaluationTask {
        let entry = try TaskCatalogue.entry(name)
        return entry.make(options.executeCode ? try CodeRunner(python: options.python) : nil)
    }
}
