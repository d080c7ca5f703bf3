//  `duality vectors`: test vectors for other people's kernels.

import ArgumentParser
import DualityCore
import DualityNumerics
import DualityReference
import DualityVerify

struct VectorsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "vectors",
        abstract: "Write test vectors for a kernel of state space duality.",
        discussion: """
            Writes one safetensors file per case and manifest.json, which lists for each case its kind, options, shapes, \
            seed, hash, and what it is there to catch. Run your kernel on each file, write its results to another \
            directory under the same names, and judge them with: duality verify OUT --against RESULTS

            With any of the sizes (--heads … --batch) the cases are scans, steps and gradients of that shape instead of \
            those of a suite: duality vectors OUT --heads 8 --groups 1 --head-dim 64 --state 256 --chunk 256
            """)

    @Argument(help: ArgumentHelp("Where to write.", valueName: "OUT"))
    var output: String

    @Option(
        help: """
            smoke (a dozen cases), standard (what a verdict should rest on), or stress (long and large). \
            (default: standard)
            """)
    var suite: Suite?

    @Option(help: "The number format in which all operands are exact: f32, bf16 or f16.")
    var dtype: Format = .f32

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("Only cases of these kinds, such as scan or kalman. (default: all)", valueName: "KIND"))
    var kinds: [String] = []

    @Option(help: ArgumentHelp("SSM heads, those of dt. (default of a shape: 4)", valueName: "H"))
    var heads: Int?

    @Option(help: ArgumentHelp("Heads of x, a divisor of H. (default: H)", valueName: "Hx"))
    var xHeads: Int?

    @Option(help: ArgumentHelp("Groups of B and C, a divisor of H. (default: 1)", valueName: "G"))
    var groups: Int?

    @Option(help: ArgumentHelp("Groups of C where they are others than those of B. (default: G)", valueName: "Gc"))
    var cGroups: Int?

    @Option(help: ArgumentHelp("Channels of a head. (default: 64)", valueName: "P"))
    var headDim: Int?

    @Option(help: ArgumentHelp("Width of the state. (default: 128)", valueName: "N"))
    var state: Int?

    @Option(help: ArgumentHelp("Tokens in a chunk. (default: 64)", valueName: "Q"))
    var chunk: Int?

    @Option(help: ArgumentHelp("Tokens of the longest cases. (default: 2 Q + 3)", valueName: "L"))
    var length: Int?

    @Option(help: ArgumentHelp("Rows. (default: 1)", valueName: "B"))
    var batch: Int?

    enum Suite: String, CaseIterable, ExpressibleByArgument {
        case smoke, standard, stress
    }

    enum Format: String, CaseIterable, ExpressibleByArgument {
        case f32, bf16, f16
    }

    func run() throws {
        let (name, cases) = try chosen()
        let bytes = try SuiteDirectory.write(
            cases, called: name, in: NumberFormat(named: dtype.rawValue), to: output
        ) { Terminal.progress("writing \($0)") }
        Terminal.clearProgress()
        let size = Double(bytes * 10 / 1_048_576) / 10
        print("\(output): \(cases.count) cases of suite \(name) in \(dtype.rawValue), \(size) MiB")
        Terminal.note("next: run your kernel on them, then  duality verify \(output) --against RESULTS")
    }

    private func chosen() throws -> (name: String, cases: [VectorCase]) {
        let (name, cases) = try suited()
        if kinds.isEmpty { return (name, cases) }
        let known = CaseKind.allCases.map(\.rawValue)
        if let other = kinds.first(where: { !known.contains($0) }) {
            throw InputError(
                .unknown, in: "--kinds", expected: known.joined(separator: ", "), found: "\"\(other)\"")
        }
        let chosen = cases.filter { kinds.contains($0.kind.rawValue) }
        if chosen.isEmpty {
            throw InputError(
                .missing, in: "--kinds \(kinds.joined(separator: " "))", expected: "kinds that \(name) has cases of",
                found: "none", remedy: "It has \(Set(cases.map(\.kind.rawValue)).sorted().joined(separator: ", ")).")
        }
        return (name, chosen)
    }

    private func suited() throws -> (name: String, cases: [VectorCase]) {
        let sizes = [
            ("heads", heads), ("x_heads", xHeads), ("groups", groups), ("c_groups", cGroups), ("head_dim", headDim),
            ("state", state), ("chunk", chunk), ("length", length), ("batch", batch),
        ].compactMap { name, size in size.map { (name, $0) } }
        guard let first = sizes.first else {
            let name = (suite ?? .standard).rawValue
            return (name, VectorSuite(rawValue: name)?.cases ?? [])
        }
        if let suite {
            let option = "--\(first.0.replacing("_", with: "-"))"
            throw InputError(
                .unsupported, in: "--suite \(suite.rawValue)", expected: "no suite beside \(option)", found: "both",
                remedy: "A shape has cases of its own.")
        }
        var shape = SuiteShape()
        for (name, size) in sizes { try shape.set(name, to: size) }
        return (shape.name, try shape.cases())
    }
}
