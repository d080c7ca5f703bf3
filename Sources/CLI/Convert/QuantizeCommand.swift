//  duality quantize: a checkpoint to a model in int8, int4 or bf16 that loads by mapping.

import ArgumentParser
import DualityCore
import DualityInference
import DualityQuant
import Foundation

struct QuantizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quantize",
        abstract: "Write a model in int8, int4 or bf16, packed for the fast engine.",
        discussion: """
            Reads the checkpoint tensor by tensor and writes a directory that every command takes as a model: the weights as the kernels read \
            them (loading is mapping the file), config.json, the tokenizer, and quantization.json, which says what was done to every \
            matrix. dt, convolutions, decays and norms stay float32. An interrupted run goes on where it was when it is started again.

            Examples:
              duality quantize path/to/model --precision int8 --out path/to/model-int8
              duality quantize path/to/model --precision int4 --calibrate book.txt --out path/to/model-int4
              duality generate --model path/to/model-int8 "Once upon a time"
            """)

    @Argument(help: ArgumentHelp("The checkpoint's directory.", valueName: "model"))
    var model: String
    @Option(name: .long, help: ArgumentHelp("int8, int4, int4-mixed, bf16 or f32.", valueName: "format"))
    var precision: EnginePrecision
    @OptionGroup var scales: ScaleOptions
    @Option(
        name: .long,
        help: ArgumentHelp(
            "With int4: learn from this text what the matrices read, and let later columns make up for the errors of earlier ones; `embedded` is the first half of the embedded model's text.",
            valueName: "file"))
    var calibrate: String?
    @Option(name: .long, help: ArgumentHelp("How many tokens of the text to learn from.", valueName: "n"))
    var calibrationTokens = 32768
    @Option(name: .long, help: ArgumentHelp("The directory to write.", valueName: "dir"))
    var out: String
    @Option(
        name: .long,
        help: ArgumentHelp("Threads (default: what DUALITY_THREADS says, else one per core).", valueName: "n"))
    var threads: Int?
    @Flag(name: .long, help: "Quantize a model even if a weight is NaN or infinite.")
    var allowNonFinite = false
    @Flag(name: .long, help: "Print the report as JSON.")
    var json = false

    func validate() throws {
        try precision.requireStored()
        try scales.validate(for: precision)
        if calibrate != nil && precision != .int4 && precision != .int4Mixed {
            throw ValidationError("--calibrate is for --precision int4 and int4-mixed.")
        }
        if calibrationTokens < 64 { throw ValidationError("--calibration-tokens must be at least 64.") }
        if let threads, !(1...4096).contains(threads) {
            throw ValidationError("--threads must be from 1 to 4096.")
        }
    }

    func run() throws {
        let source = try Checkpoint(directory: ModelLocation.find(model))
        for warning in source.configuration.warnings { Terminal.note("warning: \(warning)") }
        let target = try PackedOutput(out, besides: source.place)
        let plan = try scales.plan(precision, for: source.configuration)
        Terminal.progress("checking the weights")
        let quantizer = try Quantizer(
            source, configuration: source.configuration, plan: plan, fingerprint: try source.fingerprint(),
            calibration: try calibrate.map { try calibrationText($0, source) }, allowsNonFinite: allowNonFinite,
            pool: threads.map { ThreadPool(threads: $0) } ?? .common)
        try target.copyCompanions(of: source.place)
        let outcome = try quantizer.write(toDirectory: target.directory) { done, all, tensor in
            Terminal.progress("\(done.binaryUnits) of \(all.binaryUnits)  \(tensor ?? "")")
        }
        Terminal.clearProgress()
        try target.finish(outcome, plan: plan, source: source.place, asJSON: json)
    }

    /// The text to calibrate on, in the model's tokens.
    private func calibrationText(_ path: String, _ source: Checkpoint) throws -> CalibrationText {
        var text: String
        if path == "embedded" {
            text = try TextFile.read("\(ModelLocation.find())/data/heldout.txt")
            text = String(text.prefix(text.count / 2))
        } else {
            text = try TextFile.read(path)
        }
        let tokens = try Tokenizer(directory: source.place).encode(text, allowSpecial: false)
        return try CalibrationText(
            Array(tokens.prefix(calibrationTokens)), contextLimit: source.configuration.contextLength)
    }
}

/// A directory that a packed model is written to.
struct PackedOutput {
    let directory: String

    /// - Throws: `InputError` when the place is the source itself or cannot be made.
    init(_ path: String, besides source: String?) throws {
        directory = (path as NSString).expandingTildeInPath
        let files = FileManager.default
        do {
            try files.createDirectory(atPath: directory, withIntermediateDirectories: true)
        } catch {
            throw InputError(
                .inaccessibleFile, in: directory, expected: "a directory that can be written", found: "none",
                remedy: error.localizedDescription)
        }
        if let source,
            URL(fileURLWithPath: source).resolvingSymlinksInPath()
                == URL(fileURLWithPath: directory).resolvingSymlinksInPath()
        {
            throw InputError(
                .value, in: "--out", expected: "another directory than the source", found: directory)
        }
    }

    /// Copies everything beside the weights: the configuration, the tokenizer, a licence.
    func copyCompanions(of source: String) throws {
        let files = FileManager.default
        let weights = [".safetensors", ".safetensors.index.json", ".bin", ".pt", ".pth", ".gguf", ".part"]
        for name in try files.contentsOfDirectory(atPath: source).sorted() {
            let path = (source as NSString).appendingPathComponent(name)
            var isDirectory: ObjCBool = false
            guard files.fileExists(atPath: path, isDirectory: &isDirectory), !isDirectory.boolValue else { continue }
            guard !name.hasPrefix("."), !weights.contains(where: { name.hasSuffix($0) }) else { continue }
            guard let data = files.contents(atPath: path) else { continue }
            try write(name, data)
        }
    }

    func write(_ name: String, _ data: Data) throws {
        try writeAtomically(to: (directory as NSString).appendingPathComponent(name)) { sink in
            try data.withUnsafeBytes { try sink.write($0) }
        }
    }

    /// Writes quantization.json and says what was done.
    func finish(_ outcome: Quantizer.Outcome, plan: PrecisionPlan, source: String, asJSON: Bool) throws {
        let report: JSON = [
            "precision": .string(plan.precision.rawValue), "group": JSON(plan.base.group),
            "source": .string(URL(fileURLWithPath: source).lastPathComponent), "bytes": JSON(outcome.byteCount),
            "bits_per_weight": JSON(outcome.bitsPerWeight),
            "seconds": JSON(outcome.seconds), "resumed_tensors": JSON(outcome.resumedTensors),
            "matrices": .array(
                outcome.matrices.map {
                    [
                        "name": .string($0.name), "format": .string($0.format), "bytes": JSON($0.byteCount),
                        "relative_error": JSON($0.error),
                    ]
                }),
        ]
        let text = report.serialized(indented: true)
        try write("quantization.json", Data((text + "\n").utf8))
        if asJSON {
            print(text)
            return
        }
        let resumed = outcome.resumedTensors > 0 ? ", \(outcome.resumedTensors) tensors from the run before" : ""
        print(
            "wrote \(directory): \(outcome.byteCount.binaryUnits), \(outcome.bitsPerWeight.decimals(2)) bits per weight, in \(outcome.seconds.decimals(1)) s\(resumed)"
        )
        let errors = outcome.matrices.filter { $0.error.isFinite }
        if let worst = errors.max(by: { $0.error < $1.error }) {
            let mean = errors.reduce(0) { $0 + $1.error } / Double(errors.count)
            print(
                "relative error of the weights: mean \(String(format: "%.2e", mean)), largest \(String(format: "%.2e", worst.error)) in \(worst.name)"
            )
        }
    }
}

extension Checkpoint {
    /// Names, sizes and dates of the weight files, in which another source differs.
    func fingerprint() throws -> String {
        try files.keys.sorted().map { name in
            let attributes = try FileManager.default.attributesOfItem(
                atPath: (place as NSString).appendingPathComponent(name))
            let size = (attributes[.size] as? NSNumber)?.intValue ?? 0
            let date = (attributes[.modificationDate] as? Date)?.timeIntervalSince1970 ?? 0
            return "\(name) \(size) \(Int(date))"
        }.joined(separator: ", ")
    }
}
