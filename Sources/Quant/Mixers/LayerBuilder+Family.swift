//  Gated DeltaNet, Gated KalmaNet and B'MOJO-F from the named tensors of a store.
//
//  Their parts have the formats of the parts of attention and Mamba-2 that they stand for: q, k, v
//  and o; z for the output gate; dt for what steers a head (steps, decays, gates of H outputs).

import DualityCore

extension LayerBuilder {
    func gatedDeltaNet(_ prefix: String) throws -> QuantGatedDeltaNet {
        let options = configuration.gatedDeltaNet
        var others = [try linear("\(prefix)b_proj", .dt), try linear("\(prefix)gk_proj", .dt)]
        if options.usesGate { others.append(try linear("\(prefix)g_proj", .z)) }
        return QuantGatedDeltaNet(
            heads: try headInputs(
                prefix, others, convolved: options.usesConvolution ? ["q", "k", "v"] : [],
                bias: options.convolutionBias, taps: options.convolutionTaps, activatesValues: true,
                options.expansion),
            output: try headOutput(
                prefix, options.normEpsilon, gateColumn: options.usesGate ? 2 * configuration.headCount : nil),
            rates: try rates(prefix), decayBias: try store.vector("\(prefix)dt_bias"),
            allowsNegativeEigenvalues: options.allowsNegativeEigenvalues)
    }

    func gatedKalmaNet(_ prefix: String) throws -> QuantGatedKalmaNet {
        let options = configuration.gatedKalmaNet
        var others: [Projection] = []
        func column(_ isThere: Bool, _ name: String, bias: Bool) throws -> Int? {
            guard isThere else { return nil }
            others.append(try linear("\(prefix)\(name)", .dt, bias: bias))
            return (others.count - 1) * configuration.headCount
        }
        let beta = try column(options.usesBeta, "b_proj", bias: true)
        let alpha = try column(options.usesAlpha, "alpha_proj", bias: true)
        let decay = try column(options.decays, "a_proj", bias: false)
        let gate = options.usesGate ? others.count * configuration.headCount : nil
        if options.usesGate { others.append(try linear("\(prefix)g_proj", .z)) }
        return QuantGatedKalmaNet(
            heads: try headInputs(
                prefix, others, convolved: options.convolvesValues ? ["q", "k", "v"] : ["q", "k"], bias: false,
                taps: options.convolutionTaps, activatesValues: options.convolvesValues, options.expansion),
            output: try headOutput(prefix, options.normEpsilon, gateColumn: gate), betaColumn: beta,
            alphaColumn: alpha, decayColumn: decay, rates: try rates(prefix),
            decayBias: try store.vector("\(prefix)dt_bias"), parameters: options)
    }

    func bmojo(_ prefix: String) throws -> QuantBMojo {
        let options = configuration.bmojo
        let names = "\(prefix)bmojo_attn."
        return QuantBMojo(
            mixer: try mixer(options.mixer, "\(prefix)\(options.mixer.attribute)."),
            attention: try attention(names, window: options.window),
            fading: options.tiesAttention ? nil : try attention(names, window: options.window, suffix: "_"),
            window: options.window)
    }

    private func headOutput(_ prefix: String, _ epsilon: Double, gateColumn: Int?) throws -> HeadOutput {
        HeadOutput(
            norm: try norm("\(prefix)o_norm.weight", epsilon), projection: try linear("\(prefix)o_proj", .output),
            gateColumn: gateColumn, headDim: configuration.headDim)
    }

    private func rates(_ prefix: String) throws -> [Float] {
        try store.vector("\(prefix)A_log").map { -Float.exp($0) }
    }

    private func headInputs(
        _ prefix: String, _ others: [Projection], convolved: [String], bias: Bool, taps count: Int,
        activatesValues: Bool, _ expansion: HeadExpansionParameters
    ) throws -> HeadInputs {
        let (inner, shared) = (configuration.innerSize, configuration.keyValueSize)
        let channels = inner + shared + (activatesValues ? shared : 0)
        var taps = convolved.isEmpty ? nil : [Float](repeating: 0, count: count * channels)
        var biases: [Float] = []
        var first = 0
        for name in convolved {
            let weight = try store.vector("\(prefix)\(name)_conv1d.weight")
            let width = name == "q" ? inner : shared
            for c in 0..<width {
                for j in 0..<count { taps?[j * channels + first + c] = weight[c * count + j] }
            }
            if bias { biases += try store.vector("\(prefix)\(name)_conv1d.bias") }
            first += width
        }
        return HeadInputs(
            query: try linear("\(prefix)q_proj", .query), key: try linear("\(prefix)k_proj", .key),
            value: try linear("\(prefix)v_proj", .value), others: others, taps: taps,
            convolutionBias: biases.isEmpty ? nil : biases, channels: channels,
            expansions: try expansions(prefix, expansion), configuration: configuration)
    }

    /// Of keys and of values; none where there is nothing to correct, or nothing to expand.
    private func expansions(_ prefix: String, _ options: HeadExpansionParameters) throws -> [QuantHeadExpansion] {
        guard options.rank != nil, configuration.keyValueHeadCount < configuration.headCount else { return [] }
        return try [("k", ModelPart.key), ("v", .value)].map { name, part in
            QuantHeadExpansion(
                down: try linear("\(prefix)proj_\(name).linearA", part),
                up: try linear("\(prefix)proj_\(name).linearB", part),
                mixture: options.learnsResidual ? try store.vector("\(prefix)\(name)_rep") : nil,
                heads: configuration.headCount, sharedHeads: configuration.keyValueHeadCount,
                headDim: configuration.headDim)
        }
    }
}
