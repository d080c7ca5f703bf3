//  Which engine runs a model, and in which number format: the one place where it is decided.
//
//      1. a directory that holds a packed model alone   the fast engine, in the file's format
//      2. f64, or the reference by name                 the reference
//      3. layers that the fast engine does not have     the reference in f32, and that is said
//      4. else                                          the fast engine: the format asked for, or int8 from 1 GiB of
//                                                       bfloat16 weights on and bf16 below
//
//  A wish that cannot be granted is an error, never another engine.

import DualityCore
import DualityQuant

/// What a request comes to for one model.
public enum EngineChoice: Sendable {
    /// The reference, in this precision.
    case reference(ReferencePrecision)
    /// The fast engine, which rounds the checkpoint to this format.
    case fast(EnginePrecision)
    /// A model that was quantized before.
    case packed(PackedCheckpoint)

    /// The number formats of the reference.
    public enum ReferencePrecision: String, Sendable { case f32, f64 }

    /// Weights of this many bytes in bfloat16 are read as int8 unless something else is asked for.
    public static let largeWeights = 1 << 30

    /// - Parameters:
    ///   - directory: the model's.
    ///   - fallback: the precision when none is asked for and the engine is not named.
    ///   - note: is told what a user should know, such as that the reference runs.
    /// - Throws: `InputError` for wishes that exclude each other, a precision that the files do not
    ///   have, or layers that the engine asked for does not have.
    public init(
        _ request: EngineRequest, directory: String, default fallback: EngineRequest.Precision? = nil,
        note: (String) -> Void = { _ in }
    ) throws {
        try request.check()
        self = try Self.choose(request, directory, fallback, note)
        try requireGroup(request.group, directory)
    }

    private static func choose(
        _ request: EngineRequest, _ directory: String, _ fallback: EngineRequest.Precision?, _ note: (String) -> Void
    ) throws -> EngineChoice {
        let precision = request.precision ?? (request.engine == .fast ? nil : fallback)
        if PackedCheckpoint.isPacked(directory), !Checkpoint.holdsWeights(directory) {
            return .packed(try packed(request, directory))
        }
        if precision == .f64 || request.engine == .reference { return .reference(precision == .f64 ? .f64 : .f32) }
        let configuration = try HybridConfiguration(directory: directory)
        do {
            try QuantModel.checkLayers(configuration, place: directory)
        } catch {
            guard request.engine == nil && (precision == nil || precision == .f32) else { throw error }
            note("The fast engine does not have this model (\(error.found)); the reference runs, in f32.")
            return .reference(.f32)
        }
        let weights = try WeightContract(configuration).requirements.reduce(0) { $0 + 2 * $1.count }
        return .fast(precision?.fast ?? (weights >= largeWeights ? .int8 : .bf16))
    }

    /// Refuses a group of scales that what was chosen does not have.
    private func requireGroup(_ group: Int?, _ directory: String) throws(InputError) {
        guard let group else { return }
        switch self {
        case .fast(let precision) where precision.hasScales: return
        case .packed(let packed) where packed.plan.precision.hasScales && packed.plan.base.group == group: return
        case .packed(let packed):
            throw InputError(
                .value, in: "--group", expected: "none: \(directory) is packed as \(packed.plan.name)",
                found: "\(group)", remedy: "Give the original's directory for another group.")
        default:
            throw InputError(
                .value, in: "--group", expected: "a format with scales: int8, int4 or int4-mixed",
                found: "\(precisionName), as none was asked for", remedy: "Name the format with --precision.")
        }
    }

    private static func packed(_ request: EngineRequest, _ directory: String) throws -> PackedCheckpoint {
        var packed = try PackedCheckpoint(directory: directory, reading: request.reading)
        guard request.engine != .reference, request.precision != .f64 else {
            throw InputError(
                .unsupported, in: directory, expected: "a checkpoint, for the reference engine",
                found: "a model that was quantized for the fast one",
                remedy: "Give the original's directory, or use --engine fast.")
        }
        packed.plan.brainActivations = request.precision?.fast.map { BrainActivations($0) } ?? .float32
        if let asked = request.precision, asked.fast != packed.plan.precision {
            throw InputError(
                .value, in: "--precision", expected: "\(precisions(of: packed)), the format of \(directory)",
                found: asked.rawValue, remedy: "Give the original's directory for another format.")
        }
        return packed
    }

    private static func precisions(of packed: PackedCheckpoint) -> String {
        switch packed.plan.precision {
        case .bf16, .bf16Dot, .bf16Split: "bf16, bf16-dot or bf16-split"
        case let other: other.rawValue
        }
    }

    /// The format's name in reports.
    public var precisionName: String {
        switch self {
        case .reference(let precision): precision.rawValue
        case .fast(let precision): precision.rawValue
        case .packed(let packed): packed.plan.name
        }
    }

    /// `reference` or `fast`.
    public var engineName: String {
        if case .reference = self { "reference" } else { "fast" }
    }
}
