//  The mixers beside attention and Mamba-2, from the named tensors of a checkpoint.

import DualityCore

extension Weights {
    func gatedDeltaNet(_ configuration: HybridConfiguration) throws -> GatedDeltaNet<Scalar> {
        let options = configuration.gatedDeltaNet
        func input(_ name: String) throws -> ShortConvolution<Scalar> {
            try shortConvolution(
                name, convolves: options.usesConvolution, bias: options.convolutionBias, activates: true)
        }
        return GatedDeltaNet(
            inputs: QueryKeyValue(
                query: try input("q"), key: try input("k"), value: try input("v"),
                keyExpansion: try expansion("k", options.expansion, configuration),
                valueExpansion: try expansion("v", options.expansion, configuration)),
            beta: try linear("b_proj"), allowsNegativeEigenvalues: options.allowsNegativeEigenvalues,
            decay: try linear("gk_proj"), rates: Mamba2Mixer.decayRates(logarithms: try tensor("A_log")),
            decayBias: try tensor("dt_bias"), output: try headOutput(gate: options.usesGate, options.normEpsilon),
            headDim: configuration.headDim)
    }

    func gatedKalmaNet(_ configuration: HybridConfiguration) throws -> GatedKalmaNet<Scalar> {
        let options = configuration.gatedKalmaNet
        func input(_ name: String, convolves: Bool = true) throws -> ShortConvolution<Scalar> {
            try shortConvolution(name, convolves: convolves, bias: false, activates: convolves)
        }
        return GatedKalmaNet(
            inputs: QueryKeyValue(
                query: try input("q"), key: try input("k"),
                value: try input("v", convolves: options.convolvesValues),
                keyExpansion: try expansion("k", options.expansion, configuration),
                valueExpansion: try expansion("v", options.expansion, configuration)),
            beta: options.usesBeta ? try linear("b_proj", bias: true) : nil,
            alpha: options.usesAlpha ? try linear("alpha_proj", bias: true) : nil,
            decay: options.decays ? try linear("a_proj") : nil,
            rates: Mamba2Mixer.decayRates(logarithms: try tensor("A_log")), decayBias: try tensor("dt_bias"),
            decaysGram: options.decaysGram, ridge: options.ridge, rescales: options.rescales,
            output: try headOutput(gate: options.usesGate, options.normEpsilon), headDim: configuration.headDim,
            solver: .chebyshev(iterations: options.iterations))
    }

    func bmojo(_ configuration: HybridConfiguration) throws -> BMojo<Scalar> {
        let mixer = under("\(configuration.bmojo.mixer.attribute).")
        let attention = under("bmojo_attn.")
        let maker: BMojo<Scalar>.Mixer =
            switch configuration.bmojo.mixer {
            case .gatedDeltaNet: .gatedDeltaNet(try mixer.gatedDeltaNet(configuration))
            case .gatedKalmaNet: .gatedKalmaNet(try mixer.gatedKalmaNet(configuration))
            default: .mamba2(try mixer.mamba2(configuration))
            }
        return BMojo(
            mixer: maker,
            attention: try attention.attention(configuration),
            fadingAttention: try attention.attention(
                configuration, suffix: configuration.bmojo.tiesAttention ? "" : "_"),
            window: configuration.bmojo.window)
    }

    private func shortConvolution(
        _ name: String, convolves: Bool, bias: Bool, activates: Bool
    ) throws -> ShortConvolution<Scalar> {
        ShortConvolution(
            projection: try linear("\(name)_proj"),
            convolution: convolves
                ? try CausalConvolution(
                    weight: tensor("\(name)_conv1d.weight"), bias: bias ? tensor("\(name)_conv1d.bias") : nil)
                : nil,
            activates: activates)
    }

    private func expansion(
        _ name: String, _ options: HeadExpansionParameters, _ configuration: HybridConfiguration
    ) throws -> HeadExpansion<Scalar> {
        guard options.rank != nil else {
            return HeadExpansion(
                heads: configuration.headCount, headDim: configuration.headDim, mixture: nil, correction: nil)
        }
        return HeadExpansion(
            heads: configuration.headCount, headDim: configuration.headDim,
            mixture: options.learnsResidual ? try tensor("\(name)_rep") : nil,
            correction: (try linear("proj_\(name).linearA"), try linear("proj_\(name).linearB")))
    }

    private func headOutput(gate: Bool, _ epsilon: Double) throws -> GatedHeadOutput<Scalar> {
        GatedHeadOutput(
            gate: gate ? try linear("g_proj") : nil, norm: try norm("o_norm.weight", epsilon),
            projection: try linear("o_proj"))
    }
}
