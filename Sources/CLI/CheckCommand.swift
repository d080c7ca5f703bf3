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
            limit.
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
        guard let first = layers.first?.inputs else {
            throw InputError(
                .unsupported, in: "layers", expected: "at least one Mamba-2 layer (M2)", found: "none",
                remedy: "A model of attention alone has no SSD to check.")
        }
        let cases = try layers.map { (name: "layer \($0.layer)", inputs: try $0.inputs.converted(to: Double.self)) }
        let agreements = try SSDAgreement.measure(on: cases) { Terminal.progress("checking \($0)") }
        Terminal.clearProgress()

        let passes = agreements.allSatisfy(\.passes)
        if json {
            print(report(agreements, passes: passes, layers: layers.map(\.layer), tokens: ids).serialized())
        } else {
            print(
                """
                \(try name()): \(layers.count) Mamba-2 layers, \(first.heads) heads, state \(first.headDim) x \(first.stateDim); \
                \(ids.ids.count) tokens of \(ids.source)
                Largest relative error of a head against the recurrent form in float64

                \(AgreementTable.lines(agreements).joined(separator: "\n"))

                \(verdict(agreements, passes: passes))
                """)
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

    private func verdict(_ agreements: [SSDAgreement], passes: Bool) -> String {
        let failures = agreements.filter { !$0.passes }
        guard let worst = failures.max(by: { $0.worst.error < $1.worst.error }) else {
            return "PASS  every form is within its limit"
        }
        return
            "FAIL  \(failures.count) of \(agreements.count) rows over their limit; worst: \(AgreementTable.label(worst.form)) in "
            + "\(worst.precision), \(worst.worst.place), head \(worst.worst.head)"
    }

    private func report(
        _ agreements: [SSDAgreement], passes: Bool, layers: [Int], tokens: (ids: [Int], source: String)
    ) -> JSON {
        func place(_ worst: SSDAgreement.Worst) -> JSON {
            ["error": JSON(worst.error), "place": .string(worst.place), "head": JSON(worst.head)]
        }
        return [
            "pass": .bool(passes),
            "layers": .array(layers.map { JSON($0) }),
            "tokens": JSON(tokens.ids.count),
            "text": .string(tokens.source),
            "rows": .array(
                agreements.map { row in
                    [
                        "form": .string(row.form.name), "chunk": row.form.chunkSize.map { JSON($0) } ?? .null,
                        "precision": .string(row.precision), "y": place(row.y), "final_states": place(row.finalState),
                        "limit": JSON(row.limit), "pass": .bool(row.passes),
                    ]
                }),
        ]
    }
}
