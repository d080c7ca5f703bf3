//  A fast model from a checkpoint, or from a file that was quantized before.

import DualityCore

/// How a fast model is set up.
public struct QuantOptions: Sendable {
    /// Which formats: those of a plan, or of a precision with the group that goes with the model.
    private enum Formats: Sendable {
        case plan(PrecisionPlan)
        case precision(EnginePrecision)
    }

    private var formats: Formats
    /// The format in which the model's caches keep keys and values.
    public var keyValues: KeyValueFormat
    /// The threads that load the model and run it.
    public var pool: ThreadPool
    /// Whether NaN and infinity in a weight are let through.
    public var allowsNonFinite = false
    /// Reads a packed model into memory of its own, in huge pages, instead of mapping its file.
    public var isResident = false
    /// Rounds SSM states to bfloat16 after every chunk, to show what that costs.
    public var roundsState = false

    /// - Parameter keyValues: nil for the format that goes with the precision.
    public init(plan: PrecisionPlan, keyValues: KeyValueFormat? = nil, pool: ThreadPool = .common) {
        formats = .plan(plan)
        self.keyValues = keyValues ?? (plan.base == .float32 ? .f32 : .bf16)
        self.pool = pool
    }

    /// What `--precision` means: in int8 with scales for groups of 32 where the model is narrow.
    public init(_ precision: EnginePrecision, keyValues: KeyValueFormat? = nil, pool: ThreadPool = .common) {
        formats = .precision(precision)
        self.keyValues = keyValues ?? (precision == .f32 ? .f32 : .bf16)
        self.pool = pool
    }

    /// The formats of every part of a model of this configuration.
    public func plan(for configuration: HybridConfiguration) -> PrecisionPlan {
        switch formats {
        case .plan(let plan): plan
        case .precision(let precision): PrecisionPlan(precision, for: configuration)
        }
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
        let plan = options.plan(for: configuration)
        let builder = LayerBuilder(store: store, configuration: configuration, plan: plan, options: options)
        let isPlain = configuration.plainMamba2 != nil
        let name = try WeightContract(configuration).embeddingName
        let embedding = try builder.matrix(name, .embedding)
        var layers: [QuantDecoderLayer] = []
        for (i, kind) in configuration.layers.enumerated() {
            let prefix = "model.layers.\(i)."
            layers.append(try isPlain ? builder.plainLayer(i) : builder.layer(kind, prefix: prefix))
            progress?(i + 1, configuration.layers.count)
        }
        let head: PackedMatrix =
            if !configuration.tiedEmbeddings {
                try builder.matrix("lm_head.weight", .head)
            } else if plan[.head] == plan[.embedding] {
                embedding
            } else {
                try builder.matrix(name, .head, label: "head")
            }
        try self.init(
            configuration: configuration, plan: plan, keyValues: options.keyValues, embedding: embedding,
            layers: layers,
            norm: builder.norm(isPlain ? "backbone.norm_f.weight" : "model.norm.weight", configuration.normEpsilon),
            head: Projection(blocks: [Projection.Block(firstOutput: 0, matrix: head)], bias: nil), pool: options.pool)
    }
}
