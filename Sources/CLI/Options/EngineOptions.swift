//  The choice of engine and number format that the commands which run a model share.
//
//  `fast` computes with the kernels of this machine, `reference` with the plain Swift of the book.
//  Without a choice the fast engine runs what it can: in int8 what is large, in bf16 what is small,
//  in the file's own format what was quantized before. What was chosen is said on stderr.

import ArgumentParser
import DualityCore
import DualityInference
import DualityMeasure
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
    /// Weights in bfloat16, activations rounded to it; the fast engine only.
    case bf16Dot = "bf16-dot"
    /// Weights and activations in int8, accumulation exact or in float32; the fast engine only.
    case int8

    var fast: EnginePrecision? { EnginePrecision(rawValue: rawValue) }
}

extension KeyValueFormat: ExpressibleByArgument {}
extension EnginePrecision: ExpressibleByArgument {
    /// - Throws: a `ValidationError` for a precision that files do not keep.
    func requireStored() throws {
        guard self != .bf16Dot else {
            throw ValidationError(
                "bf16-dot has the weights of bf16: give --precision bf16 here, and bf16-dot when the model computes.")
        }
    }
}

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
            "Who computes: fast or reference (default: fast for layers that it has; `duality logits` takes the reference).",
            valueName: "engine"))
    var engine: Engine?
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Number format: f32, bf16, bf16-dot (bf16 with activations rounded to bfloat16 too) or int8; f64 with the reference (default: int8 from 1 GiB of bf16 weights on, else bf16).",
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
    var threads: ThreadCounts?
    @Flag(name: .long, help: "Read a quantized model into memory (huge pages) instead of mapping its file.")
    var resident = false

    func validate() throws {
        if engine == .fast && precision == .f64 { throw ValidationError("--precision f64 needs --engine reference.") }
        if engine == .reference, precision == .bf16 || precision == .bf16Dot || precision == .int8 {
            throw ValidationError("--precision \(precision?.rawValue ?? "") needs --engine fast.")
        }
        if keyValues != nil && (engine == .reference || precision == .f64) {
            throw ValidationError("--kv needs --engine fast.")
        }
    }

    var threadCount: Int { threads?.counts[0] ?? ThreadPool.processorCount }

    var pool: ThreadPool { threads.map { ThreadPool(threads: $0.counts[0]) } ?? .common }
}

/// Numbers of threads, separated by commas: one, but for a command that compares them.
struct ThreadCounts: ExpressibleByArgument {
    let counts: [Int]

    init(_ count: Int) { counts = [count] }

    init?(argument: String) {
        let counts = argument.split(separator: ",", omittingEmptySubsequences: false).map {
            Int($0.trimmingCharacters(in: .whitespaces)) ?? 0
        }
        guard counts.allSatisfy({ $0 >= 1 && $0 <= 4096 }) else { return nil }
        self.counts = counts
    }
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
        if let threads = options.threads, threads.counts.count > 1 {
            throw InputError(
                .value, in: "--threads", expected: "one number", found: "\(threads.counts.count) numbers",
                remedy: "Only `duality bench` compares numbers of threads.")
        }
        let directory = try ModelLocation.find(model.model)
        let precision = options.precision ?? (options.engine == .fast ? nil : fallback)
        if PackedCheckpoint.isPacked(directory), !Checkpoint.holdsWeights(directory) {
            var packed = try PackedCheckpoint(directory: directory)
            guard options.engine != .reference, options.precision != .f64 else {
                throw InputError(
                    .unsupported, in: directory, expected: "a checkpoint, for the reference engine",
                    found: "a model that was quantized for the fast one",
                    remedy: "Give the original's directory, or use --engine fast.")
            }
            packed.plan.roundsActivations = options.precision == .bf16Dot
            if let asked = options.precision, asked.fast != packed.plan.precision {
                throw InputError(
                    .value, in: "--precision",
                    expected: "\(Self.precisions(of: packed)), the format of \(directory)",
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
        if options.engine == nil && (precision == nil || precision == .f32) {
            do {
                try QuantModel.checkLayers(configuration, place: directory)
            } catch {
                Terminal.note("The fast engine does not have this model (\(error.found)); the reference runs, in f32.")
                self = .reference(.f32)
                return
            }
        }
        let weights = try WeightContract(configuration).requirements.reduce(0) { $0 + 2 * $1.count }
        self = .fast(precision?.fast ?? (weights >= Self.largeWeights ? .int8 : .bf16))
    }

    private static func precisions(of packed: PackedCheckpoint) -> String {
        switch packed.plan.precision {
        case .bf16, .bf16Dot: "bf16 or bf16-dot"
        case let other: other.rawValue
        }
    }

    /// The format's name in reports.
    var precisionName: String {
        switch self {
        case .reference(let precision): precision.rawValue
        case .fast(let precision): precision.rawValue
        // However its bits are stored, bfloat16 is one precision.
        case .packed(let packed):
            if case .int8 = packed.plan.base { packed.plan.base.name } else { packed.plan.precision.rawValue }
        }
    }

    var engineName: String {
        if case .reference = self { "reference" } else { "fast" }
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
        Terminal.note(try choice.computation(options, model: self).line)
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
            configuration, plan: quant.plan(for: configuration), keyValues: quant.keyValues,
            tokens: min(tokens, configuration.contextLength), threads: threads, packed: packed)
        try need.check(
            available: MemoryNeed.available(), configuration: configuration, keyValues: quant.keyValues,
            place: directory, threads: threads)
    }
}
