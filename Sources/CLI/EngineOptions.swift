//  The choice of engine and number format that the commands which run a model share.
//
//  `fast` computes with the kernels of this machine, `reference` with the plain Swift of the book.
//  Without a choice the fast engine runs what it can: in int8 what is large, in bf16 what is small,
//  in the file's own format what was quantized before. What was chosen is said on stderr.

import ArgumentParser
import DualityCore
import DualityInference
import DualityQuant
import DualityReference
import Foundation

/// Who computes.
enum Engine: String, CaseIterable, ExpressibleByArgument {
    case fast
    case reference
}

/// In what number format.
enum ModelPrecision: String, CaseIterable, ExpressibleByArgument {
    /// IEEE binary64; the reference only.
    case f64
    case f32
    /// Weights in bfloat16, arithmetic in float32; the fast engine only.
    case bf16
    /// Weights and activations in int8, accumulation exact or in float32; the fast engine only.
    case int8

    var fast: EnginePrecision? { EnginePrecision(rawValue: rawValue) }
}

extension KeyValueFormat: ExpressibleByArgument {}
extension EnginePrecision: ExpressibleByArgument {}

/// How many weights share a scale in int8.
struct ScaleOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Inputs that share a scale in int8: a multiple of 32, or 0 for one scale a row (default: 32 for models narrower than 1024, else 0).",
            valueName: "n"))
    var group: Int?

    func validate() throws {
        if let group, !WeightFormat.isGroup(group) { throw ValidationError("--group must be 0 or a multiple of 32.") }
    }

    func group(for configuration: HybridConfiguration) -> Int {
        group ?? PrecisionPlan.defaultGroup(configuration)
    }
}

/// Which engine, in which format, on how many threads.
struct EngineOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Who computes: fast or reference (default: fast; `duality logits` takes the reference).",
            valueName: "engine"))
    var engine: Engine?
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Number format: f32, bf16 or int8; f64 with the reference (default: int8 from 1 GiB of bf16 weights on, else bf16).",
            valueName: "format"))
    var precision: ModelPrecision?
    @Option(
        name: .customLong("kv"),
        help: ArgumentHelp(
            "How the fast engine keeps keys and values: f32, bf16 or int8 (default: bf16, and f32 with --precision f32).",
            valueName: "format"))
    var keyValues: KeyValueFormat?
    @OptionGroup var scales: ScaleOptions
    @Option(name: .long, help: ArgumentHelp("Threads (default: as many as there are processors).", valueName: "n"))
    var threads: Int?
    @Flag(name: .long, help: "Read a quantized model into memory (huge pages) instead of mapping its file.")
    var resident = false

    func validate() throws {
        if let threads, threads < 1 { throw ValidationError("--threads must be at least 1.") }
        if engine == .fast && precision == .f64 { throw ValidationError("--precision f64 needs --engine reference.") }
        if engine == .reference, precision == .bf16 || precision == .int8 {
            throw ValidationError("--precision \(precision?.rawValue ?? "") needs --engine fast.")
        }
        if keyValues != nil && (engine == .reference || precision == .f64) {
            throw ValidationError("--kv needs --engine fast.")
        }
    }

    var threadCount: Int { threads ?? ThreadPool.processorCount }

    var pool: ThreadPool { threads.map { ThreadPool(threads: $0) } ?? .common }
}

/// What the options come to for one model.
enum EngineChoice {
    case reference(Precision)
    case fast(EnginePrecision)
    /// A model that was quantized before.
    case packed(PackedCheckpoint)

    /// Weights of this many bytes in bfloat16 are read as int8 unless something else is asked for.
    private static let largeWeights = 1 << 30

    /// - Throws: `InputError` for a precision that the model's files do not have, or layers that
    ///   the engine asked for does not.
    init(_ options: EngineOptions, model: ModelOptions, default fallback: ModelPrecision? = nil) throws {
        let directory = try ModelLocation.find(model.model)
        let precision = options.precision ?? (options.engine == .fast ? nil : fallback)
        if PackedCheckpoint.isPacked(directory), !Checkpoint.holdsWeights(directory) {
            let packed = try PackedCheckpoint(directory: directory)
            guard options.engine != .reference, options.precision != .f64 else {
                throw InputError(
                    .unsupported, in: directory, expected: "a checkpoint, for the reference engine",
                    found: "a model that was quantized for the fast one",
                    remedy: "Give the original's directory, or use --engine fast.")
            }
            if let asked = options.precision, asked.rawValue != packed.plan.base.precision.rawValue {
                throw InputError(
                    .value, in: "--precision",
                    expected: "\(packed.plan.base.precision.rawValue), the format of \(directory)",
                    found: asked.rawValue, remedy: "Give the original's directory for another format.")
            }
            self = .packed(packed)
            return
        }
        let configuration = try HybridConfiguration(directory: directory)
        if precision == .f64 || options.engine == .reference {
            self = .reference(precision == .f64 ? .f64 : .f32)
            return
        }
        let weights = try WeightContract(configuration).requirements.reduce(0) { $0 + 2 * $1.count }
        self = .fast(precision?.fast ?? (weights >= Self.largeWeights ? .int8 : .bf16))
    }

    /// The format's name in reports.
    var precisionName: String {
        switch self {
        case .reference(let precision): precision.rawValue
        case .fast(let precision): precision.rawValue
        // However its bits are stored, bfloat16 is one precision.
        case .packed(let packed): packed.plan.base == .compactBFloat16 ? "bf16" : packed.plan.base.name
        }
    }

    var engineName: String {
        if case .reference = self { "reference" } else { "fast" }
    }
}

extension WeightFormat {
    /// The precision of which this is the matrices' format.
    var precision: EnginePrecision {
        switch self {
        case .float32: .f32
        case .bfloat16, .compactBFloat16: .bf16
        case .int8: .int8
        }
    }
}

extension ModelOptions {
    /// Loads the model with the engine of `choice`.
    ///
    /// - Parameter tokens: the longest sequence that will be held, for the check of memory.
    func load(_ choice: EngineChoice, _ options: EngineOptions, tokens: Int = 4096) throws -> any LanguageModel {
        switch choice {
        case .reference(.f64): return try load(as: Double.self)
        case .reference(.f32): return try load(as: Float.self)
        case .fast, .packed: return try loadFast(choice, options, tokens: tokens)
        }
    }

    /// Loads the model with the fast engine, after a look at the memory.
    func loadFast(_ choice: EngineChoice, _ options: EngineOptions, tokens: Int = 4096) throws -> QuantModel {
        let directory = try ModelLocation.find(model)
        defer { Terminal.clearProgress() }
        let progress = { (done: Int, all: Int) in Terminal.progress("loading layer \(done) of \(all)") }
        switch choice {
        case .packed(let packed):
            var quant = QuantOptions(plan: packed.plan, keyValues: options.keyValues, pool: options.pool)
            quant.allowsNonFinite = allowNonFinite
            quant.isResident = options.resident
            try checkMemory(packed.configuration, quant, tokens, directory, packed)
            return try QuantModel(packed, options: quant, progress: progress)
        case .fast(let precision):
            let checkpoint = try Checkpoint(directory: directory)
            for warning in checkpoint.configuration.warnings { Terminal.note("warning: \(warning)") }
            let plan = PrecisionPlan(
                precision, group: options.scales.group(for: checkpoint.configuration))
            var quant = QuantOptions(plan: plan, keyValues: options.keyValues, pool: options.pool)
            quant.allowsNonFinite = allowNonFinite
            try checkMemory(checkpoint.configuration, quant, tokens, directory)
            return try QuantModel(
                checkpoint, configuration: checkpoint.configuration, options: quant, progress: progress)
        case .reference:
            throw InputError(.unsupported, in: "--engine", expected: "fast", found: "reference")
        }
    }

    private func checkMemory(
        _ configuration: HybridConfiguration, _ quant: QuantOptions, _ tokens: Int, _ directory: String,
        _ packed: PackedCheckpoint? = nil
    ) throws {
        let threads = quant.pool.threadCount
        try QuantModel.checkLayers(configuration, place: directory)
        let need = try MemoryNeed(
            configuration, plan: quant.plan, keyValues: quant.keyValues,
            tokens: min(tokens, configuration.contextLength), threads: threads, packed: packed)
        try need.check(
            available: MemoryNeed.available(), configuration: configuration, keyValues: quant.keyValues,
            place: directory, threads: threads)
    }
}
