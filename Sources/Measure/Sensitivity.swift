//  A model in float32 with one part of it quantized, for every part: which of them the loss of a
//  quantized model comes from.

import DualityCore
import DualityQuant

/// One part of a model alone in a narrow format.
public struct SensitivityVariant: Sendable {
    /// `q`, `gate`, `B`, `KV int8`, `state bf16` and so on.
    public let name: String
    let plan: PrecisionPlan
    let keyValues: KeyValueFormat
    let roundsState: Bool

    /// All variants that a model has.
    ///
    /// - Parameter format: what each part of the weights is stored in.
    public static func all(_ configuration: HybridConfiguration, format: WeightFormat) -> [SensitivityVariant] {
        let float = PrecisionPlan(uniform: .float32)
        let hasKeys = [LayerKind.attention, .slidingWindowAttention, .bmojo].contains(where: configuration.has)
        let hasMatrices = configuration.has(.gatedDeltaNet) || configuration.has(.gatedKalmaNet)
        let hasMamba = configuration.has(.mamba2)
        let attention: Set<ModelPart> = [.query, .key, .value, .output]
        let mamba: Set<ModelPart> = [.x, .b, .c, .outputProjection]
        let steering: Set<ModelPart> = [.z, .dt]
        var variants: [SensitivityVariant] = []
        for part in ModelPart.allCases {
            if attention.contains(part) && !(hasKeys || hasMatrices) || mamba.contains(part) && !hasMamba { continue }
            if steering.contains(part) && !(hasMamba || hasMatrices) { continue }
            var plan = float
            plan[part] = format
            variants.append(
                SensitivityVariant(name: part.rawValue, plan: plan, keyValues: .f32, roundsState: false))
        }
        if hasKeys {
            for keyValues in [KeyValueFormat.bf16, .int8] {
                variants.append(
                    SensitivityVariant(
                        name: "KV \(keyValues.rawValue)", plan: float, keyValues: keyValues, roundsState: false))
            }
        }
        if hasMamba {
            variants.append(
                SensitivityVariant(name: "state bf16", plan: float, keyValues: .f32, roundsState: true))
        }
        return variants
    }
}

/// Models of one checkpoint in several formats, which share the matrices that they have in common.
public struct SensitivityModels {
    private let store: SharedWeights
    private let configuration: HybridConfiguration
    private let pool: ThreadPool

    /// - Throws: `InputError`, as loading a model does.
    public init(_ source: any TensorSource, configuration: HybridConfiguration, pool: ThreadPool) throws {
        try QuantModel.checkLayers(configuration, place: source.place)
        let contract = try WeightContract(configuration)
        let source = contract.adapted(source)
        try contract.check(source, finite: true)
        store = try SharedWeights(source, pool: pool)
        self.configuration = configuration
        self.pool = pool
    }

    /// The model with every part in float32.
    public func reference() throws -> QuantModel { try model(QuantOptions(.f32, pool: pool)) }

    public func model(_ variant: SensitivityVariant) throws -> QuantModel {
        var options = QuantOptions(plan: variant.plan, keyValues: variant.keyValues, pool: pool)
        options.roundsState = variant.roundsState
        return try model(options)
    }

    public func model(_ options: QuantOptions) throws -> QuantModel {
        try store.model(configuration, options)
    }
}
