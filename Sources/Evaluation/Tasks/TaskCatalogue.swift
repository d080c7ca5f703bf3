//  The tasks by name, with what each needs.

import DualityCore

/// A task that is known by name.
package struct TaskEntry: Sendable {
    package let name: String
    /// Where rows are looked for in the data folder; empty for tasks that are generated.
    package let files: [String]
    /// Rows of the official data set.
    package let size: String
    package let licence: String
    package let make: @Sendable (CodeRunner?) -> any EvaluationTask
    /// Examples that are shown by default.
    package var shots = 0
}

package enum TaskCatalogue {
    /// Tasks that read data of other people.
    package static let official: [TaskEntry] = [
        TaskEntry(
            name: "gsm8k", files: ["gsm8k/test.jsonl"], size: "1,319", licence: "MIT", make: { _ in GSM8K() }, shots: 8),
        TaskEntry(
            name: "math", files: ["math/test.jsonl", "math/**/*.json"], size: "5,000", licence: "MIT",
            make: { _ in MathTask() }, shots: 4),
        TaskEntry(
            name: "mmlu", files: ["mmlu/test/*_test.csv", "mmlu/test.jsonl"], size: "14,042", licence: "MIT",
            make: { _ in MMLU() }, shots: 5),
        TaskEntry(
            name: "popqa", files: ["popqa/test.tsv", "popqa/popQA.tsv", "popqa/test.jsonl"], size: "14,267",
            licence: "MIT",
            make: { _ in PopQA() }, shots: 15),
        TaskEntry(
            name: "truthfulqa", files: ["truthfulqa/mc_task.json", "truthfulqa/test.jsonl"], size: "817",
            licence: "Apache-2.0", make: { _ in TruthfulQA() }, shots: 6),
        TaskEntry(
            name: "humaneval", files: ["HumanEval.jsonl", "HumanEval.jsonl.gz"], size: "164", licence: "MIT",
            make: { HumanEval(runner: $0) }),
        TaskEntry(
            name: "humaneval_plus", files: ["HumanEvalPlus.jsonl", "HumanEvalPlus.jsonl.gz"], size: "164",
            licence: "Apache-2.0", make: { HumanEval(name: "humaneval_plus", runner: $0) }),
        TaskEntry(
            name: "bbh", files: ["bbh/bbh/*.json"], size: "6,511", licence: "MIT", make: { _ in BigBenchHard() },
            shots: 3),
        TaskEntry(
            name: "ifeval", files: ["ifeval/input_data.jsonl"], size: "541", licence: "Apache-2.0",
            make: { _ in IFEval() }),
        TaskEntry(
            name: "mrcr", files: ["mrcr/*.jsonl"], size: "2,400", licence: "MIT", make: { _ in MRCR() }),
        TaskEntry(
            name: "babilong", files: ["babilong/<length>/qa<k>.jsonl"], size: "100 or 1,000 a task and length",
            licence: "Apache-2.0", make: { _ in BABILong() }),
        TaskEntry(
            name: "ruler", files: ["ruler/<task>/<length>/validation.jsonl"], size: "as prepared",
            licence: "Apache-2.0", make: { _ in Ruler() }),
        TaskEntry(
            name: "helmet",
            files: [
                "helmet/data/json_kv/*.jsonl", "helmet/data/ruler/*/validation_*.jsonl", "helmet/data/kilt/*.jsonl",
                "helmet/data/msmarco/*.jsonl", "helmet/data/icl/<set>/train.jsonl", "helmet/data/*.jsonl",
            ],
            size: "100 a set and length", licence: "mixed", make: { _ in Helmet() }, shots: 2),
        TaskEntry(
            name: "multiple_choice", files: ["multiple_choice/test.jsonl"], size: "your own", licence: "your own",
            make: { _ in MultipleChoice() }),
    ]

    /// Tasks whose rows are generated.
    package static let generated: [TaskEntry] = Self.names.map { name in
        TaskEntry(name: name, files: [], size: "any", licence: "generated") { _ in
            if name.hasPrefix("babilong") { return BABILong(name: name) }
            if name.hasPrefix("mrcr") { return MRCR(name: name) }
            return Ruler(name: name, subtask: name)
        }
    }

    private static let names = [
        "niah_single_1", "niah_single_2", "niah_single_3", "niah_multikey_1", "niah_multikey_2", "niah_multikey_3",
        "niah_multivalue", "niah_multiquery", "vt", "cwe", "fwe", "qa", "babilong_qa1", "babilong_qa2", "babilong_qa3",
        "babilong_qa4", "babilong_qa5", "mrcr_2", "mrcr_4", "mrcr_8",
    ]

    package static var all: [TaskEntry] { official + generated }

    /// - Throws: `InputError` (`.unknown`) with the list.
    package static func entry(_ name: String) throws(InputError) -> TaskEntry {
        guard let entry = all.first(where: { $0.name == name }) else {
            throw InputError(
                .unknown, in: "task", expected: "one of \(all.map(\.name).joined(separator: ", "))", found: name,
                remedy: "A task file of lm-evaluation-harness is given by its path, ending in .yaml.")
        }
        return entry
    }
}
