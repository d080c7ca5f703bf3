//  The choice of engine and number format that the commands which run a model share.
//
//  These are flags alone: what they come to is decided in Sources/Duality/EngineChoice.swift, for
//  the library as for the command.

import ArgumentParser
import Duality
import DualityEvaluation
import DualityInference
import DualityQuant
import Foundation

typealias Engine = EngineRequest.Engine
typealias ModelPrecision = EngineRequest.Precision

extension EngineRequest.Engine: ExpressibleByArgument {}
extension EngineRequest.Precision: ExpressibleByArgument {}
extension KeyValueFormat: ExpressibleByArgument {}
extension RankWire.Form: ExpressibleByArgument {}
extension RankBalance: ExpressibleByArgument {
    public init?(argument: String) { self.init(argument) }
    public var defaultValueDescription: String { text }
}
extension EnginePrecision: ExpressibleByArgument {
    /// - Throws: a `ValidationError` for a precision that files do not keep.
    func requireStored() throws {
        guard self != .bf16Dot && self != .bf16Split else {
            throw ValidationError(
                "\(rawValue) has the weights of bf16: give --precision bf16 here, and \(rawValue) when the model computes."
            )
        }
    }
}

/// How many weights share a scale in int8 and int4.
struct ScaleOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Inputs that share a scale: in int8 a multiple of 32, or 0 for one scale per row (default: 32 for models narrower than 1024, else 0); in int4 32, 64 or 128 (default: 32).",
            valueName: "n"))
    var group: Int?

    func validate() throws {
        if let group, !WeightFormat.isGroup(group) { throw ValidationError("--group must be 0 or a multiple of 32.") }
    }

    /// Refuses a group for a precision that has no scales.
    func validate(for precision: EnginePrecision?) throws {
        guard group != nil, let precision, !precision.hasScales else { return }
        throw ValidationError(
            "--group needs --precision int8, int4 or int4-mixed; \(precision.rawValue) has no scales.")
    }

    /// The plan of a model in a precision.
    ///
    /// - Throws: `InputError` (`.value`) for a group that the precision does not have.
    func plan(_ precision: EnginePrecision, for configuration: HybridConfiguration) throws -> PrecisionPlan {
        if let group, precision == .int4 || precision == .int4Mixed, !WeightFormat.isInt4Group(group) {
            throw InputError(.value, in: "--group", expected: "32, 64 or 128 for int4", found: "\(group)")
        }
        return PrecisionPlan(precision, group: group ?? PrecisionPlan.defaultGroup(configuration, precision))
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
            "Number format: f32, bf16, bf16-dot (bf16 with activations rounded to bfloat16 too), bf16-split (with activations in two bfloat16 parts, for AMX), int8, int4 or int4-mixed; f64 with the reference (default: int8 from 1 GiB of bf16 weights on, else bf16).",
            valueName: "format"))
    var precision: ModelPrecision?
    @Option(
        name: .customLong("kv"),
        help: ArgumentHelp(
            "How the fast engine keeps keys and values: f32, bf16 or int8 (default: bf16, and f32 with --precision f32).",
            valueName: "format"))
    var keyValues: KeyValueFormat?
    @OptionGroup var scales: ScaleOptions
    @Option(
        name: .long,
        help: ArgumentHelp("Threads (default: what DUALITY_THREADS says, else one per core).", valueName: "n"))
    var threads: ThreadCounts?
    @Flag(name: .long, help: "Read a quantized model into memory (huge pages) instead of mapping its file.")
    var resident = false

    func validate() throws {
        if engine == .fast && precision == .f64 { throw ValidationError("--precision f64 needs --engine reference.") }
        if engine == .reference, let precision, precision != .f64, precision != .f32 {
            throw ValidationError("--precision \(precision.rawValue) needs --engine fast.")
        }
        if engine == .reference || precision == .f64 {
            let given = [
                ("--kv", keyValues != nil), ("--threads", threads != nil), ("--group", scales.group != nil),
                ("--resident", resident),
            ]
            for (option, isGiven) in given where isGiven { throw ValidationError("\(option) needs --engine fast.") }
        }
        try scales.validate(for: precision?.fast)
    }

    var threadCount: Int { threads?.counts[0] ?? ThreadPool.defaultThreadCount }

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

extension EngineOptions {
    /// The model that the options name, with the engine that they come to; nothing is loaded yet.
    ///
    /// - Parameter fallback: the precision when neither it nor an engine is named.
    /// - Throws: `InputError`, as `ModelLoader.init`.
    func loader(_ model: ModelOptions, default fallback: ModelPrecision? = nil) throws -> ModelLoader {
        if let threads, threads.counts.count > 1 {
            throw InputError(
                .value, in: "--threads", expected: "one number", found: "\(threads.counts.count) numbers",
                remedy: "Only `duality bench` compares numbers of threads.")
        }
        var request = EngineRequest(engine: engine, precision: precision)
        request.keyValues = keyValues
        request.group = scales.group
        request.threads = threads?.counts[0] ?? RankLaunch.world?.defaultThreads
        (request.exchange, request.stages) = (RankLaunch.exchange, RankLaunch.stages)
        (request.wire, request.balance) = (RankLaunch.wire, RankLaunch.balance)
        request.isResident = resident
        request.allowsNonFinite = model.allowNonFinite
        request.reading = model.reading
        let loader = try ModelLoader(model.model, request, default: fallback)
        for note in loader.notes { Terminal.note(note) }
        return loader
    }
}

extension ModelLoader {
    /// Loads the model, with progress on stderr.
    ///
    /// - Parameter tokens: the longest sequence that will be held, for the check of memory.
    func loadShown(tokens: Int = 4096) throws -> any LanguageModel {
        defer { Terminal.clearProgress() }
        let model = try load(tokens: tokens, warn: Terminal.warn, progress: Terminal.showLayers)
        if let fast = model as? QuantModel { RankLaunch.loaded(fast) }
        Terminal.note(try computation().line)
        return model
    }

    /// Loads the model for the fast engine, with progress on stderr.
    func loadFastShown(tokens: Int = 4096) throws -> QuantModel {
        defer { Terminal.clearProgress() }
        let model = try loadFast(tokens: tokens, warn: Terminal.warn, progress: Terminal.showLayers)
        RankLaunch.loaded(model)
        Terminal.note(try computation().line)
        return model
    }
}

extension CaseShare {
    /// - Throws: `InputError` (`.value`) where ranks have loaded other models.
    func requireSame(_ model: some LanguageModel, of loader: ModelLoader) throws {
        try requireSame([("engine", loader.choice.engineName), ("precision", loader.choice.precisionName)])
        if let fast = model as? QuantModel { return try requireSame(fast.rankFacts) }
        try requireSame([("model", try RunFolder.fingerprint(model: loader.directory))])
    }
}

extension Terminal {
    /// Says what is odd about a file.
    static func warn(_ warning: String) { note("warning: \(warning)") }

    /// Says how far loading is.
    static func showLayers(_ done: Int, _ all: Int) { progress("loading layer \(done) of \(all)") }
}
