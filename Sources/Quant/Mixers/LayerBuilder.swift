//  Layers of the fast model from the named tensors of a store.

import DualityCore

/// Layers from the named tensors of a store.
struct LayerBuilder {
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
        matrix.brainActivations = plan.brainActivations
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
        let mixer = "\(prefix)\(kind.attribute)."
        return QuantDecoderLayer(
            inputNorm: try norm("\(prefix)input_layernorm.weight", configuration.normEpsilon),
            mixer: try self.mixer(kind, mixer),
            feedForward: (
                try norm("\(prefix)post_attention_layernorm.weight", configuration.normEpsilon),
                QuantFeedForward(
                    gate: try linear("\(prefix)mlp.gate_proj", .gate), up: try linear("\(prefix)mlp.up_proj", .up),
                    down: try linear("\(prefix)mlp.down_proj", .down))
            ))
    }

    /// A layer of a plain Mamba-2 model: a mixer behind a norm and nothing else.
    func plainLayer(_ index: Int) throws -> QuantDecoderLayer {
        let prefix = "backbone.layers.\(index)."
        return QuantDecoderLayer(
            inputNorm: try norm("\(prefix)norm.weight", configuration.normEpsilon),
            mixer: try mamba2("\(prefix)mixer."), feedForward: nil)
    }

    /// - Parameter prefix: of the mixer's tensors, with its dot.
    func mixer(_ kind: LayerKind, _ prefix: String) throws -> any SequenceMixer {
        switch kind {
        case .mamba2: try mamba2(prefix)
        case .gatedDeltaNet: try gatedDeltaNet(prefix)
        case .gatedKalmaNet: try gatedKalmaNet(prefix)
        case .bmojo: try bmojo(prefix)
        case .slidingWindowAttention: try attention(prefix, window: configuration.slidingWindow)
        case .attention: try attention(prefix)
        }
    }

    /// - Parameter suffix: stands behind the names of what a B'MOJO-F layer has twice.
    func attention(_ prefix: String, window: Int? = nil, suffix: String = "") throws -> QuantAttention {
        let bias = configuration.attentionBias
        return QuantAttention(
            query: try linear("\(prefix)q_proj\(suffix)", .query, bias: bias),
            key: try linear("\(prefix)k_proj\(suffix)", .key, bias: bias),
            value: try linear("\(prefix)v_proj\(suffix)", .value, bias: bias),
            output: try linear("\(prefix)o_proj", .output, bias: bias),
            queryNorm: try norm("\(prefix)q_norm\(suffix).weight", configuration.normEpsilon),
            keyNorm: try norm("\(prefix)k_norm\(suffix).weight", configuration.normEpsilon),
            configuration: configuration, keyValueFormat: options.keyValues, window: window)
    }
}
