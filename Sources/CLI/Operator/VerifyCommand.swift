//  `duality verify`: is a kernel right, how good is it, where does it go wrong, and why.

import ArgumentParser
import DualityCore
import DualityReference
import DualityVerify
import Foundation

struct VerifyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Judge the outputs of a kernel of state space duality.",
        discussion: """
            With a directory of test vectors (see: duality vectors) and --against, judges a kernel's results case by case. \
            With a single safetensors file, judges the outputs (y, final_states, …) that stand in it beside the inputs \
            (x, dt, A, B, C, …).

            Every number is compared with a float64 reference in two units: the bound, which no right kernel of \
            the declared precision exceeds, and sigma, the usual rounding error of one. PASS is within the bound \
            and 8 sigma, FAIL outside the bound or far beyond sigma, SUSPECT between. Known faults are then run \
            one after another, and the one that explains the difference is named.

            Exit status: 0 PASS, 1 FAIL or SUSPECT, 2 usage or input.
            """)

    @Argument(help: ArgumentHelp("A directory of test vectors, or a file with inputs and outputs.", valueName: "path"))
    var path: String?

    @Option(
        help: ArgumentHelp(
            "The directory of the kernel's results, NAME.safetensors for each case.", valueName: "RESULTS"))
    var against: String?

    @Option(
        help: ArgumentHelp(
            "What the kernel computes in: a known kernel, KEY=VALUE items, or both (default: read off the tensors).",
            valueName: "inputs=bf16,…"))
    var precision: String?

    @Option(
        help: ArgumentHelp("Names of tensors in a single file that differ from ours.", valueName: "x=hidden,B=b_proj,…")
    )
    var map: String?

    @Option(help: ArgumentHelp("Axes of x and y in a single file (default: blhp).", valueName: "bhlp"))
    var layout: String?

    @Option(help: ArgumentHelp("Options of the call in a single file.", valueName: "dt_softplus=false,chunk_size=64,…"))
    var options: String?

    @Flag(help: "Write the report as JSON.")
    var json = false

    @Flag(help: "Write the report as Markdown, for a pull request.")
    var markdown = false

    @Flag(help: "Write the report as one HTML page.")
    var html = false

    @Flag(help: "Show the figures of cases that pass as well.")
    var verbose = false

    @Flag(help: "Do not look for the cause of errors.")
    var noDiagnosis = false

    @Flag(help: "List the faults that a diagnosis can name, and do nothing else.")
    var faults = false

    @Flag(help: "List the known kernels for --precision, and do nothing else.")
    var presets = false

    func run() throws {
        if faults { return list(FaultCatalog.all.map { ($0.name, $0.summary) }) }
        if presets { return list(DeclaredPrecision.presets.map { ($0.name, "\($0.summary): \($0.arithmetic)") }) }
        guard let path else {
            throw InputError(
                .missing, in: "verify", expected: "a directory of test vectors or a file", found: "nothing",
                remedy: "Write test vectors with: duality vectors OUT")
        }
        let verifier = Verifier(
            precision: try precision.map { try DeclaredPrecision(parsing: $0) } ?? .inferred, diagnoses: !noDiagnosis)
        let report = try report(path, verifier)
        if json {
            print(report.json.serialized(indented: true))
        } else if markdown {
            print(report.markdown)
        } else if html {
            print(report.html)
        } else {
            print(report.text(verbose: verbose))
        }
        if report.verdict != .pass { throw ExitCode(1) }
    }

    private func list(_ entries: [(String, String)]) {
        var table = TextTable([.left, .left])
        for (name, summary) in entries { table.add(name, summary) }
        print(table.lines().joined(separator: "\n"))
    }

    private func report(_ path: String, _ verifier: Verifier) throws -> Report {
        var isDirectory: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
        if exists && isDirectory.boolValue {
            guard let against else {
                throw InputError(
                    .missing, in: "--against", expected: "the directory of the kernel's results", found: "nothing")
            }
            if let option = map.map({ _ in "--map" }) ?? layout.map({ _ in "--layout" }) {
                throw InputError(
                    .unsupported, in: option, expected: "a single file", found: "a directory of test vectors",
                    remedy: "Results of a suite have the names and axes of its manifest.")
            }
            return try verifier.verify(SuiteDirectory(path: path), against: against)
        }
        let dump = try Dump(path: path, map: map, layout: layout, options: options)
        return try verifier.verify(dump, against: against)
    }
}
