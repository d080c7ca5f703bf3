//  A model's directory made into a model, with the engine that was chosen and after a look at the
//  memory.

import DualityCore
import DualityInference
import DualityQuant
import DualityReference

/// Loads the model of one directory.
public struct ModelLoader: Sendable {
    /// Where the model is.
    public let directory: String
    /// What the caller asked for; `choice` is what came of it.
    public let request: EngineRequest
    /// What the request comes to for this model.
    public let choice: EngineChoice
    /// What a user should know before the model runs.
    public let notes: [String]

    /// Finds a model and chooses its engine; nothing is loaded yet.
    ///
    /// - Parameters:
    ///   - path: the model's directory; nil for that of $DUALITY_MODEL, else the embedded model.
    ///   - fallback: the precision when none is asked for and the engine is not named.
    /// - Throws: `InputError`, as `ModelLocation.find` and `EngineChoice.init`.
    public init(
        _ path: String? = nil, _ request: EngineRequest = EngineRequest(),
        default fallback: EngineRequest.Precision? = nil
    ) throws {
        directory = try ModelLocation.find(path)
        self.request = request
        var notes: [String] = []
        choice = try EngineChoice(request, directory: directory, default: fallback) { notes.append($0) }
        self.notes = notes
        if request.exchange != nil, case .reference = choice {
            throw InputError(
                .unsupported, in: directory, expected: "a model of the fast engine for several ranks",
                found: "one that the reference runs")
        }
    }

    /// Loads the model.
    ///
    /// - Parameters:
    ///   - tokens: the longest sequence that will be held, for the check of memory.
    ///   - warn: is told what is odd about the files.
    ///   - progress: is told how many layers of all are loaded.
    /// - Throws: `InputError` for files that are not what they should be, or too little memory.
    public func load(
        tokens: Int = 4096, warn: (String) -> Void = { _ in }, progress: ((Int, Int) -> Void)? = nil
    ) throws -> any LanguageModel {
        switch choice {
        case .reference(.f64): return try loadReference(as: Double.self, warn: warn, progress: progress)
        case .reference(.f32): return try loadReference(as: Float.self, warn: warn, progress: progress)
        case .fast, .packed: return try loadFast(tokens: tokens, warn: warn, progress: progress)
        }
    }

    /// Loads the model for the reference in one number format, whatever was chosen.
    public func loadReference<Scalar: RealNumber>(
        as type: Scalar.Type, warn: (String) -> Void = { _ in }, progress: ((Int, Int) -> Void)? = nil
    ) throws -> HybridModel<Scalar> {
        let checkpoint = try checkpoint(warn)
        return try HybridModel<Scalar>(
            checkpoint, configuration: checkpoint.configuration, allowsNonFinite: request.allowsNonFinite,
            progress: progress)
    }

    /// Loads the model for the fast engine, after a look at the memory.
    ///
    /// - Throws: as `load`; `InputError` (`.unsupported`) when the choice is the reference.
    public func loadFast(
        tokens: Int = 4096, warn: (String) -> Void = { _ in }, progress: ((Int, Int) -> Void)? = nil
    ) throws -> QuantModel {
        switch choice {
        case .packed(let packed):
            let options = options(packed.plan)
            try checkMemory(packed.configuration, options, tokens, packed)
            return try shared(QuantModel(packed, options: options, progress: progress))
        case .fast(let precision):
            let checkpoint = try checkpoint(warn)
            let configuration = checkpoint.configuration
            let options = options(
                PrecisionPlan(precision, group: request.group ?? PrecisionPlan.defaultGroup(configuration, precision)))
            try checkMemory(configuration, options, tokens)
            return try shared(
                QuantModel(checkpoint, configuration: configuration, options: options, progress: progress))
        case .reference:
            throw InputError(.unsupported, in: "--engine", expected: "fast", found: "reference")
        }
    }

    /// This rank's part of the model, where several compute it.
    private func shared(_ model: QuantModel) throws -> QuantModel {
        guard let exchange = request.exchange else { return model }
        try model.requireSameModel(on: exchange, stages: request.stages)
        let parts = try exchange.parts(ofStages: request.stages)
        let shares = try request.balance.shares(on: exchange, request.pool)
        let wire = try RankWire(request.wire, on: exchange, among: parts)
        return try model.cut(exchange, stages: request.stages, shares: shares, wire: wire)
    }

    private func checkpoint(_ warn: (String) -> Void) throws -> Checkpoint {
        let checkpoint = try Checkpoint(directory: directory, reading: request.reading)
        (checkpoint.configuration.warnings + checkpoint.warnings).forEach(warn)
        return checkpoint
    }

    private func options(_ plan: PrecisionPlan) -> QuantOptions {
        var options = QuantOptions(plan: plan, keyValues: request.keyValues, pool: request.pool)
        options.allowsNonFinite = request.allowsNonFinite
        options.isResident = request.isResident
        return options
    }

    private func checkMemory(
        _ configuration: HybridConfiguration, _ options: QuantOptions, _ tokens: Int, _ packed: PackedCheckpoint? = nil
    ) throws {
        let threads = options.pool.threadCount
        try QuantModel.checkLayers(configuration, place: directory)
        let need = try MemoryNeed(
            configuration, plan: options.plan(for: configuration), keyValues: options.keyValues,
            tokens: min(tokens, configuration.contextLength), threads: threads, packed: packed)
        try need.check(
            available: MemoryNeed.available(), configuration: configuration, keyValues: options.keyValues,
            place: directory, threads: threads)
    }
}
