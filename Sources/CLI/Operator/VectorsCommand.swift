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
            Writes one safetensors file a case and manifest.json, which lists for each case its kind, options, shapes, \
            seed, hash, and what it is there to catch. Run your kernel on each file, write its results to another \
            directory under the same names, and judge them with: duality verify OUT --against RESULTS
            """)

    @Argument(help: ArgumentHelp("Where to write.", valueName: "OUT"))
    var output: String

    @Option(help: "smoke (a dozen cases), standard (what a verdict should rest on), or stress (long and large).")
    var suite: Suite = .standard

    @Option(help: "The number format in which all operands are exact: f32, bf16 or f16.")
    var dtype: Format = .f32

    enum Suite: String, CaseIterable, ExpressibleByArgument {
        case smoke, standard, stress
    }

    enum Format: String, CaseIterable, ExpressibleByArgument {
        case f32, bf16, f16
    }

    func run() throws {
        guard let suite = VectorSuite(rawValue: suite.rawValue) else { return }
        let bytes = try SuiteDirectory.write(suite, in: NumberFormat(named: dtype.rawValue), to: output) {
            Terminal.progress("writing \($0)")
        }
        Terminal.clearProgress()
        let size = Double(bytes * 10 / 1_048_576) / 10
        print("\(output): \(suite.cases.count) cases of suite \(suite.rawValue) in \(dtype.rawValue), \(size) MiB")
        Terminal.note("next: run your kernel on them, then  duality verify \(output) --against RESULTS")
    }
}
