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
        try WeightContract(configuration).check(source, finite: !options.allowsNonFinite)
        let store = try CheckpointWeights(source, pool: options.pool)
        try self.init(store, configuration, options, progress)
    }

    /// - Throws: `InputError` (`.unsupported`) for a layer that only the reference has, or heads
    ///   wider than the kernels take.
    public static func checkLayers(_ configuration: HybridConfiguration, place: String) throws(InputError) {
        guard configuration.plainMamba2 == nil else {
            throw InputError(
                .unsupported, in: place, expected: "a hybrid model, which the fast engine runs",
                found: "a plain Mamba-2 model", remedy: "Use --engine reference.")
        }
        if let index = configuration.layers.firstIndex(where: { $0 != .attention && $0 != .mamba2 }) {
            throw InputError(
                .unsupported, in: "\(place): layer \(index)", expected: "layers * and M2, which the fast engine has",
                found: configuration.layers[index].rawValue, remedy: "Use --engine reference.")
        }
        let widest = configuration.layers.contains(.mamba2) ? 512 : 1024
        guard configuration.headDim <= widest else {
            throw InputError(
                .unsupported, in: "\(place): head_dim", expected: "at most \(widest), which the fast engine has",
                found: "\(configuration.headDim)", remedy: "Use --engine reference.")
        }
    }

    init(
        _ store: any WeightStore, _ configuration: HybridConfiguration, _ options: QuantOptions,
        _ progress: ((Int, Int) -> Void)?
    ) throws {
        let plan = options.plan(for: configuration)
        let builder = LayerBuilder(store: store, configuration: configuration, plan: plan, options: options)
        let embedding = try builder.matrix("model.embed_tokens.weight", .embedding)
        var layers: [QuantDecoderLayer] = []
        for (i, kind) in configuration.layers.enumerated() {
            layers.append(try builder.layer(kind, prefix: "model.layers.\(i)."))
            progress?(i + 1, configuration.layers.count)
        }
        let head: PackedMatrix =
            if !configuration.tiedEmbeddings {
                try builder.matrix("lm_head.weight", .head)
            } else if plan[.head] == plan[.embedding] {
                embedding
            } else {
                try builder.matrix("model.embed_tokens.weight", .head, label: "head")
            }
        try self.init(
            configuration: configuration, plan: plan, keyValues: options.keyValues, embedding: embedding,
            layers: layers, norm: builder.norm("model.norm.weight", configuration.normEpsilon),
            head: Projection(blocks: [Projection.Block(firstOutput: 0, matrix: head)], bias: nil), pool: options.pool)
    }
}

/// Layers from the named tensors of a store.
private struct LayerBuilder {
    let store: any WeightStore
    let configuration: HybridConfiguration
    let plan: PrecisionPlan
    let options: QuantOptions

    func norm(_ name: String, _ epsilon: Double) throws -> NormWeights {
        NormWeights(weight: try store.vector(name), epsilon: Float(epsilon))
    }

    func matrix(_ name: String, _ part: ModelPart, label: String = "") throws -> PackedMatrix {
        try matrix(name, rows: nil, label: label, format: plan[part])
    }

    func matrix(_ name: String, rows: Range<Int>?, label: String, format: WeightFormat) throws -> PackedMatrix {
        var matrix = try store.matrix(name, rows: rows, label: label, format: format)
        matrix.roundsActivations = plan.roundsActivations
        return matrix
    }

    /// `name.weight` and, if there is one, `name.bias`.
    func linear(_ name: String, _ part: ModelPart, bias: Bool = false) throws -> Projection {
        let matrix = try matrix("\(name).weight", part)
        return Projection(
            blocks: [Projection.Block(firstOutput: 0, matrix: matrix)],
            bias: bias ? try store.vector("\(name).bias") : nil)
    }

    func layer(_ kind: LayerKind, prefix: String) throws -> QuantDecoderLayer {
        let mixer: QuantMixer =
            switch kind {
            case .mamba2: .mamba2(try mamba2("\(prefix)\(kind.attribute)."))
            default: .attention(try attention("\(prefix)\(kind.attribute)."))
            }
        return QuantDecoderLayer(
            inputNorm: try norm("\(prefix)input_layernorm.weight", configuration.normEpsilon),
            mixer: mixer,
            feedForwardNorm: try norm("\(prefix)post_attention_layernorm.weight", configuration.normEpsilon),
            feedForward: QuantFeedForward(
                gate: try linear("\(prefix)mlp.gate_proj", .gate), up: try linear("\(prefix)mlp.up_proj", .up),
                down: try linear("\(prefix)mlp.down_proj", .down)))
    }

    private func attention(_ prefix: String) throws -> QuantAttention {
        let bias = configuration.attentionBias
        return QuantAttention(
            query: try linear("\(prefix)q_proj", .query, bias: bias),
            key: try linear("\(prefix)k_proj", .key, bias: bias),
            value: try linear("\(prefix)v_proj", .value, bias: bias),
            output: try linear("\(prefix)o_proj", .output, bias: bias),
            queryNorm: try norm("\(prefix)q_norm.weight", configuration.normEpsilon),
            keyNorm: try norm("\(prefix)k_norm.weight", configuration.normEpsilon), configuration: configuration,
            keyValueFormat: options.keyValues)
    }

    private func mamba2(_ prefix: String) throws -> QuantMamba2Mixer {
        let parameters = configuration.mamba2
        let weight = try store.vector("\(prefix)conv1d.weight")
        let (channels, taps) = (configuration.innerSize + 2 * configuration.keyValueSize, parameters.convolutionTaps)
        var transposed = [Float](repeating: 0, count: weight.count)
        for c in 0..<channels {
            for j in 0..<taps { transposed[j * channels + c] = weight[c * taps + j] }
        }
        return QuantMamba2Mixer(
            inputProjection: try inputProjection(prefix),
            bNorm: parameters.normalizesBC ? try norm("\(prefix)B_norm.weight", parameters.bcNormEpsilon) : nil,
            cNorm: parameters.normalizesBC ? try norm("\(prefix)C_norm.weight", parameters.bcNormEpsilon) : nil,
            taps: transposed,
            convolutionBias: parameters.convolutionBias ? try store.vector("\(prefix)conv1d.bias") : nil,
            a: try store.vector("\(prefix)A_log").map { -Float.exp($0) },
            dtBias: try store.vector("\(prefix)dt_bias"), d: try store.vector("\(prefix)D"),
            gatedNorm: try norm("\(prefix)norm.weight", parameters.gatedNormEpsilon),
            outputProjection: try linear("\(prefix)out_proj", .outputProjection, bias: parameters.projectionBias),
            configuration: configuration, roundsState: options.roundsState)
    }

    /// in_proj, cut where the number format changes.
    private func inputProjection(_ prefix: String) throws -> Projection {
        let blocks = InputProjectionBlocks(configuration, plan).blocks
        return Projection(
            blocks: try blocks.map { block in
                Projection.Block(
                    firstOutput: block.rows.lowerBound,
                    matrix: try matrix(
                        "\(prefix)in_proj.weight", rows: block.rows, label: block.label, format: block.format))
            },
            bias: configuration.mamba2.projectionBias ? try store.vector("\(prefix)in_proj.bias") : nil)
    }
}

/// The parts of in_proj, z | x | B | C | dt, neighbours of one format joined.
struct InputProjectionBlocks {
    struct Block {
        /// The names of its parts together, `zxBC`.
        var label: String
        var rows: Range<Int>
        let format: WeightFormat
    }

    private(set) var blocks: [Block] = []

    init(_ configuration: HybridConfiguration, _ plan: PrecisionPlan) {
        let (inner, shared) = (configuration.innerSize, configuration.keyValueSize)
        let widths: [(ModelPart, Int)] = [
            (.z, inner), (.x, shared), (.b, shared), (.c, inner), (.dt, configuration.headCount),
        ]
        var first = 0
        for (part, width) in widths {
            if let last = blocks.last, last.format == plan[part] {
                blocks[blocks.count - 1].label += part.rawValue
                blocks[blocks.count - 1].rows = last.rows.lowerBound..<first + width
            } else {
                blocks.append(Block(label: part.rawValue, rows: first..<first + width, format: plan[part]))
            }
            first += width
        }
    }
}
