//  `duality verify`: is a kernel right, how good is it, where does it go wrong, and why.

import ArgumentParser
import DualityCore
import DualityNumerics
import DualityReference
import DualityVerify
import Foundation

struct VerifyCommand: ParsableCommand, CampaignCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Judge the outputs of a kernel of state space duality.",
        discussion: """
            With a directory of test vectors (see: duality vectors) and --against, judges a kernel's results case by case. \
            With a single file (safetensors, .npz, .npy, or a directory of .npy files), judges the outputs \
            (y, final_states, …) that stand in it beside the inputs (x, dt, A, B, C, …).

            Every number is compared with a float64 reference in two units: the bound, which no right kernel of \
            the declared precision exceeds, and sigma, the usual rounding error of one. PASS is within the bound \
            and 8 sigma, FAIL outside the bound or far beyond sigma, SUSPECT between, UNCHECKED where nothing was \
            there to judge. Known faults are then run one after another, and the one that explains the difference \
            is named.

            With --repeat, compares two results bit for bit and says where a kernel is not repeatable: \
            duality verify RUN1 --repeat RUN2, or beside --against, where RESULTS is the first run.

            With --sealed, holds what this version expects of a sealed suite against what stands in it: \
            duality verify SUITE --sealed

            Under mpirun the processes share out the cases of a suite, with the same report.

            Exit status: 0 PASS, 1 FAIL or SUSPECT, 2 UNCHECKED, usage or input.
            """)

    @Argument(help: ArgumentHelp("A directory of test vectors, or a file with inputs and outputs.", valueName: "path"))
    var path: String?

    @Option(
        help: ArgumentHelp(
            "The directory of the kernel's results, NAME.safetensors or NAME.npz for each case.",
            valueName: "RESULTS"))
    var against: String?

    @Option(
        name: .customLong("repeat"),
        help: ArgumentHelp(
            "The results of another run of the kernel, whose bits are compared with the first.", valueName: "RUN2"))
    var again: String?

    @Flag(help: "Check that the numbers of a sealed suite are still expected, and do nothing else.")
    var sealed = false

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

    @OptionGroup var campaign: CampaignOptions

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
        if faults || presets { return try list() }
        guard let path else {
            throw InputError(
                .missing, in: "verify", expected: "a directory of test vectors or a file", found: "nothing",
                remedy: "Write test vectors with: duality vectors OUT")
        }
        try requireOneForm()
        if sealed { return try checkSeal(path) }
        if let again, against == nil { return try compare(path, again) }
        let verifier = Verifier(
            precision: try precision.map { try DeclaredPrecision(parsing: $0) } ?? .inferred, diagnoses: !noDiagnosis)
        let report = try report(path, verifier)
        guard RankLaunch.isFirst else { return }
        if json {
            print(report.json.serialized(indented: true))
        } else if markdown {
            print(report.markdown)
        } else if html {
            print(report.html)
        } else {
            print(report.text(verbose: verbose))
        }
        try end(with: report.verdict)
    }

    private func end(with verdict: Verdict) throws {
        if verdict.exitStatus != 0 { throw ExitCode(verdict.exitStatus) }
    }

    /// Options that this call would not read.
    private func refuse(_ given: [(name: String, isGiven: Bool)], with what: String, remedy: String = "") throws {
        for option in given where option.isGiven {
            throw InputError(
                .unsupported, in: option.name, expected: "no \(option.name) with \(what)", found: option.name,
                remedy: remedy)
        }
    }

    private func requireOneForm() throws {
        let forms = [("--json", json), ("--markdown", markdown), ("--html", html)].filter(\.1).map(\.0)
        guard forms.count <= 1 else {
            throw InputError(
                .value, in: forms.joined(separator: ", "), expected: "one form of the report",
                found: "\(forms.count)", remedy: "Run the command once per form.")
        }
        if let form = forms.first { try refuse([("--verbose", verbose)], with: form) }
    }

    private var ofCalls: [(name: String, isGiven: Bool)] {
        [("--map", map != nil), ("--layout", layout != nil), ("--options", options != nil)]
    }

    private func list() throws {
        let what = faults ? "--faults" : "--presets"
        try refuse(
            ofCalls + [
                (path ?? "", path != nil), ("--against", against != nil), ("--repeat", again != nil),
                ("--precision", precision != nil), ("--markdown", markdown), ("--html", html), ("--verbose", verbose),
                ("--no-diagnosis", noDiagnosis), ("--sealed", sealed), ("--presets", faults && presets),
            ], with: what, remedy: "\(what) lists, and does nothing else.")
        if json {
            let items: [JSON] =
                faults
                ? FaultCatalog.all.map {
                    ["name": .string($0.name), "summary": .string($0.summary), "kinds": .string($0.kinds)]
                }
                : DeclaredPrecision.known.map {
                    [
                        "name": .string($0.name), "summary": .string($0.summary),
                        "arithmetic": .string("\($0.arithmetic)"),
                    ]
                }
            print(JSON.array(items).serialized(indented: true))
            return
        }
        var table = TextTable([.left, .left])
        if faults {
            for fault in FaultCatalog.all { table.add(fault.name, fault.summary) }
        } else {
            for preset in DeclaredPrecision.known {
                table.add(preset.name, "\(preset.summary): \(preset.arithmetic)")
            }
        }
        print(table.lines().joined(separator: "\n"))
    }

    /// Two runs, bit for bit.
    private func compare(_ first: String, _ second: String) throws {
        try refuse(
            ofCalls + [
                ("--precision", precision != nil), ("--markdown", markdown), ("--html", html), ("--verbose", verbose),
                ("--no-diagnosis", noDiagnosis),
            ], with: "--repeat alone", remedy: "Two runs are compared as they are; to judge them too, add --against.")
        let report = try RepeatReport(first, second)
        print(json ? report.json.serialized(indented: true) : report.text)
        try end(with: report.verdict)
    }

    /// A sealed suite, against this version.
    private func checkSeal(_ path: String) throws {
        try refuse(
            ofCalls + [
                ("--against", against != nil), ("--repeat", again != nil), ("--precision", precision != nil),
                ("--markdown", markdown), ("--html", html), ("--verbose", verbose), ("--no-diagnosis", noDiagnosis),
            ], with: "--sealed", remedy: "What is sealed is compared with what is expected now; no kernel takes part.")
        let runner = try runner(SuiteDirectory(path: path))
        let report = try SealReport(checking: path, on: runner) { Terminal.progress("computing \($0) of \($1)") }
        Terminal.clearProgress()
        guard RankLaunch.isFirst else { return }
        print(json ? report.json.serialized(indented: true) : report.text)
        try end(with: report.verdict)
    }

    private func report(_ path: String, _ verifier: Verifier) throws -> Report {
        if Self.isSuite(path) {
            guard let against else {
                throw InputError(
                    .missing, in: "--against", expected: "the directory of the kernel's results", found: "nothing")
            }
            try refuse(
                ofCalls, with: "a directory of test vectors",
                remedy: "Names, axes and options of a suite are those of its manifest.")
            let suite = try SuiteDirectory(path: path)
            let runner = try runner(suite, [against] + [again].compactMap { $0 })
            return try verifier.verify(suite, against: against, repeated: again, on: runner ?? LocalCases())
        }
        try refuse(
            [("--repeat", again != nil)], with: "--against and a single file",
            remedy: "Compare the two files of results: duality verify RUN1 --repeat RUN2")
        let dump = try Dump(path: path, map: map, layout: layout, options: options)
        return try verifier.verify(dump, against: against)
    }
    private static func isSuite(_ path: String) -> Bool {
        FileSystem.kind(of: path) == .directory && !NumPyTensors.isDirectoryOfArrays(path)
    }

    /// Whether there is a suite, whose cases several processes may share out.
    var hasCases: Bool {
        guard let path, !faults, !presets else { return false }
        return sealed || (against != nil && Self.isSuite(path))
    }

    /// The processes that share out the cases of a suite, which have found themselves to have the
    /// same files and options; nil for a process that is alone.
    private func runner(_ suite: SuiteDirectory, _ results: [String] = []) throws -> RankedCases? {
        guard let share = RankLaunch.campaign else { return nil }
        let options = [precision ?? "", noDiagnosis ? "no diagnosis" : "", sealed ? "sealed" : ""]
        try share.requireSame(suite.facts(results) + [("options", options.joined(separator: ";"))])
        let names = suite.entries.map(\.call.name)
        return RankedCases { names[$0] }
    }
}
