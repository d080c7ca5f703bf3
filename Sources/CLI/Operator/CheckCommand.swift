//  `duality check`: do the forms of the operator agree on a model's own tensors?

import ArgumentParser
import DualityCore
import DualityInference
import DualityReference
import DualityVerify
import Foundation
import Synchronization

struct CheckCommand: ParsableCommand, CampaignCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check that the forms of SSD agree on a model's own tensors.",
        discussion: """
            Lets the model read a text, takes the operands of SSD in every Mamba-2 layer, and runs each form in float64 and \
            in float32 on them. The table shows, for the output y and the final state, the largest relative error \
            (L2 norm) of any head of any layer against the recurrent form in float64, and for float32 the largest error of \
            any number in units of its proved bound (at most 1) and of its expected rounding error (at most 8): these two \
            of one head a layer and form, each head in its turn, or of all with --every-head. Exit status 1 if one is over its \
            limit. Gated DeltaNet and Gated KalmaNet layers have two forms of their own, which are compared likewise.

            With --exhaustive the operands are generated instead, without end: lengths, chunk sizes, head maps, decays, \
            packing, subnormal and huge numbers. The table then shows for every form in every precision the largest \
            relative error, the largest error in units of the proved bound (at most 1) and of the expected rounding \
            error (at most 8; in float64 for information), their median in those units, and the case that was worst, as a \
            line that --case runs again. Precision bf16 is the imitation of a kernel that multiplies in bfloat16. Under \
            mpirun the processes share out the cases, with the same table.
            """)

    @OptionGroup var model: ModelOptions

    @Option(
        help: ArgumentHelp(
            "The text to read (default: the embedded model's held-out text, Black Beauty).", valueName: "file"))
    var text: String?

    @Option(help: ArgumentHelp("How many of its tokens.", valueName: "n"))
    var tokens = 512

    @Flag(help: "Hold every head of every layer against its bound, in every form.")
    var everyHead = false

    @Flag(help: "Check generated cases until Ctrl-C, or as many as --cases says.")
    var exhaustive = false

    @Option(help: ArgumentHelp("How many generated cases (implies --exhaustive).", valueName: "n"))
    var cases: Int?

    @Option(help: ArgumentHelp("Which stream of generated cases.", valueName: "s"))
    var seed: UInt64 = 1

    @Option(
        name: .customLong("case"),
        help: ArgumentHelp("Check one generated case, given as its line (seed=… B=… L=…).", valueName: "line"))
    var line: String?

    @OptionGroup var campaign: CampaignOptions

    @Flag(help: "Write the table as JSON.")
    var json = false

    var hasCases: Bool { line == nil && (exhaustive || cases != nil) }

    func run() throws {
        if let survey = try generated() {
            guard RankLaunch.isFirst else { return }
            let lines = SurveyReport.lines(survey).joined(separator: "\n")
            print(json ? SurveyReport.json(survey, seed: seed).serialized() : lines)
            if !survey.passes { throw ExitCode(1) }
            return
        }
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
        let agreements = try measured(cases)
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
            try printTables(agreements, others, layers: layers, recurrences: recurrences, ids)
            if let fast { print(AgreementTable.lines(fast).joined(separator: "\n") + "\n") }
            print(verdict(agreements, others, fast))
        }
        if !passes { throw ExitCode(1) }
    }

    /// One table of the Mamba-2 layers, and one of the layers with matrix-valued recurrences.
    private func printTables(
        _ agreements: [SSDAgreement], _ others: [RecurrenceAgreement],
        layers: [(layer: Int, inputs: SSDInputs<Float>)], recurrences: [(layer: Int, inputs: RecurrenceInputs<Float>)],
        _ ids: (ids: [Int], source: String)
    ) throws {
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
    }

    /// The forms on every case, the cores sharing the layers.
    private func measured(_ cases: [(name: String, inputs: SSDInputs<Double>)]) throws -> [SSDAgreement] {
        let results = Mutex<[Result<[SSDAgreement], any Error>]>([])
        Terminal.progress("checking \(cases.count) layers")
        DispatchQueue.concurrentPerform(iterations: cases.count) { i in
            let result = Result { try SSDAgreement.measure(on: [cases[i]], turn: everyHead ? nil : i) }
            results.withLock {
                $0.append(result)
                Terminal.progress("checked \($0.count) of \(cases.count) layers")
            }
        }
        Terminal.clearProgress()
        return try SSDAgreement.merged(results.withLock { $0 }.map { try $0.get() })
    }

    /// What generated cases show; nil when none are asked for.
    private func generated() throws -> FormSurvey? {
        if let line {
            guard let item = SSDCase(line) else {
                throw InputError(
                    .malformed, in: "--case", expected: "a line as check prints it, such as \"\(SSDCase(seed: 1))\"",
                    found: "\"\(line)\"")
            }
            var survey = FormSurvey()
            try survey.take(item)
            return survey
        }
        if let cases, cases < 1 {
            throw InputError(.value, in: "--cases", expected: "at least 1", found: "\(cases)")
        }
        guard exhaustive || cases != nil else { return nil }
        if cases == nil, RankLaunch.campaign != nil {
            throw InputError(
                .missing, in: "check", expected: "--cases N under mpirun", found: "--exhaustive alone",
                remedy: "Ctrl-C ends all processes of mpirun at once, so say how many cases there are to be.")
        }
        return try ExhaustiveCheck(seed: seed, limit: cases).run()
    }

    /// The ids to read, and what they are.
    private func tokenIDs() throws -> (ids: [Int], source: String) {
        guard tokens > 0 else {
            throw InputError(.value, in: "--tokens", expected: "at least 1", found: "\(tokens)")
        }
        let directory = try ModelLocation.find(model.model)
        let configuration = try HybridConfiguration(directory: directory)
        let count = min(tokens, configuration.contextLength)
        if text == nil, !FileManager.default.fileExists(atPath: "\(directory)/tokenizer.json") {
            // What is read matters little to the comparison; that it is not text is worth saying.
            var random = RandomSource(seed: 1)
            let ids = (0..<count).map { _ in random.integer(in: 0...configuration.vocabularySize - 1) }
            return (ids, "random ids, as \(directory) has no tokenizer.json")
        }
        let path = try text ?? "\(ModelLocation.find())/data/heldout.txt"
        let ids = try model.tokenizer().encode(TextFile.read(path), allowSpecial: false)
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
                        "error_over_bound": row.overBound.map(place) ?? .null,
                        "error_over_sigma": row.overSigma.map(place) ?? .null, "limit": JSON(row.limit),
                        "pass": .bool(row.passes),
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
