//  A fast model from a checkpoint, or from a file that was quantized before.

import DualityCore

/// How a fast model is set up.
public struct QuantOptions: Sendable {
    public var plan: PrecisionPlan
    public var keyValues: KeyValueFormat
    public var pool: ThreadPool
    /// Whether NaN and infinity in a weight are let through.
    public var allowsNonFinite = false
    /// Reads a packed model into memory of its own, in huge pages, instead of mapping its file.
    public var isResident = false
    /// Rounds SSM states to bfloat16 after every chunk, to show what that costs.
    public var roundsState = false

    /// - Parameter keyValues: nil for the format that goes with the precision.
    public init(plan: PrecisionPlan, keyValues: KeyValueFormat? = nil, pool: ThreadPool = .common) {
        self.plan = plan
        self.keyValues = keyValues ?? (plan.base == .float32 ? .f32 : .bf16)
        self.pool = pool
    }

    public init(_ precision: EnginePrecision, keyValues: KeyValueFormat? = nil, pool: ThreadPool = .common) {
        self.init(plan: PrecisionPlan(precision), keyValues: keyValues, pool: pool)
    }
}

extension QuantModel {
    /// Loads a checkpoint, packing its matrices in the formats of the plan.
    ///
    /// - Parameter progress: is told the layers loaded so far and their number.
    /// - Throws: `InputError`: all that the weight contract finds wrong, at once; a layer of a kind
    ///   that the fast engine does not have.
    /// - Complexity: reads every tensor once (twice with the check for finite numbers); the memory
    ///   of the packed weights.
    public init(
        _ source: any TensorSource, configuration: HybridConfiguration, options: QuantOptions,
        progress: ((Int, Int) -> Void)? = nil
    ) throws {
        try Self.checkLayers(configuration, place: source.place)
        let contract = try WeightContract(configuration)
        let source = contract.adapted(source)
        try contract.check(source, finite: !options.allowsNonFinite)
        let store = try CheckpointWeights(source, pool: options.pool)
        try self.init(store, configuration, options, progress)
    }

    /// - Throws: `InputError` (`.unsupported`) for heads wider than the kernels take.
    public static func checkLayers(_ configuration: HybridConfiguration, place: String) throws(InputError) {
        let hasStates = [LayerKind.mamba2, .gatedDeltaNet, .gatedKalmaNet].contains(where: configuration.has)
        var widths = [("head_dim", configuration.headDim, hasStates ? 512 : 1024)]
        if configuration.has(.mamba2) { widths.append(("state_size", configuration.mamba2Shape.stateDim, 512)) }
        for (name, width, widest) in widths where width > widest {
            throw InputError(
                .unsupported, in: "\(place): \(name)", expected: "at most \(widest), which the fast engine has",
                found: "\(width)", remedy: "Use --engine reference.")
        }
    }

    init(
        _ store: any WeightStore, _ configuration: HybridConfiguration, _ options: QuantOptions,
        _ progress: ((Int, Int) -> Void)?
    ) throws {
        let builder = LayerBuilder(store: store, configuration: configuration, options: options)
        let plan = options.plan
        let isPlain = configuration.plainMamba2 != nil
        let name = try WeightContract(configuration).embeddingName
        let embedding = try store.matrix(name, rows: nil, label: "", format: plan[.embedding])
        var layers: [QuantDecoderLayer] = []
        for (i, kind) in configuration.layers.enumerated() {
            let prefix = "model.layers.\(i)."
            layers.append(try isPlain ? builder.plainLayer(i) : builder.layer(kind, prefix: prefix))
            progress?(i + 1, configuration.layers.count)
        }
        let head: PackedMatrix =
            if !configuration.tiedEmbeddings {
                try store.matrix("lm_head.weight", rows: nil, label: "", format: plan[.head])
            } else if plan[.head] == plan[.embedding] {
                embedding
            } else {
                try store.matrix(name, rows: nil, label: "head", format: plan[.head])
            }
        try self.init(
            configuration: configuration, plan: plan, keyValues: options.keyValues, embedding: embedding,
            layers: layers,
            norm: builder.norm(isPlain ? "backbone.norm_f.weight" : "model.norm.weight", configuration.normEpsilon),
            head: Projection(blocks: [Projection.Block(firstOutput: 0, matrix: head)], bias: nil), pool: options.pool)
    }
}
