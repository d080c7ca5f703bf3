//  `duality check`: do the forms of the operator agree on a model's own tensors?

import ArgumentParser
import DualityCore
import DualityInference
import DualityReference
import Foundation

struct CheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check that the forms of SSD agree on a model's own tensors.",
        discussion: """
            Lets the model read a text, takes the operands of SSD in every Mamba-2 layer, and runs each form in float64 and \
            in float32 on them. The table shows, for the output y and the final state, the largest relative error \
            (L2 norm) of any head of any layer against the recurrent form in float64. Exit status 1 if one is over its \
            limit. Gated DeltaNet and Gated KalmaNet layers have two forms of their own, which are compared likewise.
            """)

    @OptionGroup var model: ModelOptions

    @Option(
        help: ArgumentHelp(
            "The text to read (default: the embedded model's held-out text, Black Beauty).", valueName: "file"))
    var text: String?

    @Option(help: ArgumentHelp("How many of its tokens.", valueName: "n"))
    var tokens = 512

    @Flag(help: "Write the table as JSON.")
    var json = false

    func run() throws {
        let ids = try tokenIDs()
        let model = try model.load(as: Float.self)
        Terminal.progress("reading \(ids.ids.count) tokens")
        let layers = try model.scanInputs(reading: ids.ids)
        let recurrences = try model.recurrenceInputs(reading: ids.ids)
        guard !layers.isEmpty || !recurrences.isEmpty else {
            throw InputError(
                .unsupported, in: "layers", expected: "at least one layer with a state", found: "none",
                remedy: "A model of attention alone has no forms to compare.")
        }
        let cases = try layers.map { (name: "layer \($0.layer)", inputs: try $0.inputs.converted(to: Double.self)) }
        let agreements =
            cases.isEmpty
            ? [] : try SSDAgreement.measure(on: cases) { Terminal.progress("checking \($0)") }
        let others =
            recurrences.isEmpty
            ? []
            : RecurrenceAgreement.measure(on: recurrences.map { ("layer \($0.layer)", $0.inputs) }) {
                Terminal.progress("checking \($0)")
            }
        Terminal.clearProgress()

        // The reference in float64 is slow; the fast engine needs few tokens to be caught.
        let fast = try EngineAgreement.measure(
            Checkpoint(directory: ModelLocation.find(self.model.model)), tokens: Array(ids.ids.prefix(96))
        ) { Terminal.progress($0) }
        Terminal.clearProgress()

        let passes =
            agreements.allSatisfy(\.passes) && others.allSatisfy(\.passes) && (fast.map(\.passes) ?? true)
        if json {
            print(
                report(
                    agreements, others, passes: passes, layers: layers.map(\.layer),
                    recurrences: recurrences.map(\.layer), tokens: ids, fast: fast
                ).serialized())
        } else {
            let title = "Largest relative error of a head against the recurrent form in float64"
            if let first = layers.first?.inputs {
                print(
                    """
                    \(try name()): \(layers.count) Mamba-2 layers, \(first.heads) heads, state \(first.headDim) x \(first.stateDim); \
                    \(ids.ids.count) tokens of \(ids.source)
                    \(title)

                    \(AgreementTable.lines(agreements).joined(separator: "\n"))

                    """)
            }
            if !others.isEmpty {
                let kinds = Set(recurrences.map(\.inputs.kind.title)).sorted().joined(separator: ", ")
                print(
                    """
                    \(try name()): \(recurrences.count) layers of \(kinds); \(ids.ids.count) tokens of \(ids.source)
                    \(title)

                    \(AgreementTable.lines(others).joined(separator: "\n"))

                    """)
            }
            if let fast { print(AgreementTable.lines(fast).joined(separator: "\n") + "\n") }
            print(verdict(agreements, others, fast))
        }
        if !passes { throw ExitCode(1) }
    }

    /// The ids to read, and what they are.
    private func tokenIDs() throws -> (ids: [Int], source: String) {
        guard tokens > 0 else {
            throw InputError(.value, in: "--tokens", expected: "at least 1", found: "\(tokens)")
        }
        let directory = try ModelLocation.find(model.model)
        let configuration = try HybridConfiguration(directory: directory)
        let count = min(tokens, configuration.maxPositions)
        if text == nil, !FileManager.default.fileExists(atPath: "\(directory)/tokenizer.json") {
            // What is read matters little to the comparison; that it is not text is worth saying.
            var random = RandomSource(seed: 1)
            let ids = (0..<count).map { _ in random.integer(in: 0...configuration.vocabularySize - 1) }
            return (ids, "random ids, as \(directory) has no tokenizer.json")
        }
        let path = try text ?? "\(ModelLocation.find())/data/heldout.txt"
        guard let data = FileManager.default.contents(atPath: path) else {
            throw InputError(
                .missingFile, in: path, expected: "a text to read", found: "no such file",
                remedy: "Give one with --text.")
        }
        let ids = try model.tokenizer().encode(String(decoding: data, as: UTF8.self), allowSpecial: false)
        return (Array(ids.prefix(count)), (path as NSString).lastPathComponent)
    }

    /// The last part of the model's path.
    private func name() throws -> String {
        URL(fileURLWithPath: try ModelLocation.find(model.model)).standardizedFileURL.lastPathComponent
    }

    private func verdict(_ agreements: [SSDAgreement], _ others: [RecurrenceAgreement], _ fast: EngineAgreement?)
        -> String
    {
        let rows =
            agreements.filter { !$0.passes }.map { ("\(AgreementTable.label($0.form)) in \($0.precision)", $0.worst) }
            + others.filter { !$0.passes }.map { ("\(AgreementTable.label($0.form)) in \($0.precision)", $0.worst) }
        guard let worst = rows.max(by: { $0.1.error < $1.1.error }) else {
            if let fast, !fast.passes {
                return fast.replays
                    ? "FAIL  the fast engine is not within its limit"
                    : "FAIL  the fast engine does not give the same bits for pieces of the text"
            }
            return fast == nil
                ? "PASS  every form is within its limit"
                : "PASS  every form is within its limit, and so is the fast engine"
        }
        return
            "FAIL  \(rows.count) of \(agreements.count + others.count) rows over their limit; worst: \(worst.0), "
            + "\(worst.1.place), head \(worst.1.head)"
    }

    private func report(
        _ agreements: [SSDAgreement], _ others: [RecurrenceAgreement], passes: Bool, layers: [Int], recurrences: [Int],
        tokens: (ids: [Int], source: String), fast: EngineAgreement?
    ) -> JSON {
        func place(_ worst: SSDAgreement.Worst) -> JSON {
            ["error": JSON(worst.error), "place": .string(worst.place), "head": JSON(worst.head)]
        }
        return [
            "pass": .bool(passes),
            "layers": .array(layers.map { JSON($0) }),
            "tokens": JSON(tokens.ids.count),
            "text": .string(tokens.source),
            "fast": fast.map { fast in
                [
                    "pass": .bool(fast.passes), "tokens": JSON(fast.tokens), "exact_replay": .bool(fast.replays),
                    "rows": .array(
                        fast.rows.map {
                            [
                                "precision": .string($0.precision), "logits_error": JSON($0.error),
                                "limit": JSON($0.limit), "pass": .bool($0.passes),
                            ]
                        }),
                ]
            } ?? .null,
            "rows": .array(
                agreements.map { row in
                    [
                        "form": .string(row.form.name), "chunk": row.form.chunkSize.map { JSON($0) } ?? .null,
                        "precision": .string(row.precision), "y": place(row.y), "final_states": place(row.finalState),
                        "limit": JSON(row.limit), "pass": .bool(row.passes),
                    ]
                }),
            "recurrence_layers": .array(recurrences.map { JSON($0) }),
            "recurrence_rows": .array(
                others.map { row in
                    [
                        "form": .string(row.form.name), "chunk": row.form.chunkSize.map { JSON($0) } ?? .null,
                        "precision": .string(row.precision), "y": place(row.y), "final_states": place(row.finalState),
                        "limit": JSON(row.limit), "pass": .bool(row.passes),
                    ]
                }),
        ]
    }
}
