//  The options of a model's layers, one line a kind, for `duality inspect`.

import DualityCore

struct InspectLayerOptions {
    private let model: HybridConfiguration

    init(_ model: HybridConfiguration) {
        self.model = model
    }

    /// A name and a description for every kind of layer in the model.
    var rows: [(String, String)] {
        var rows: [(String, String)] = []
        if model.has(.attention) { rows.append(("attention", model.attentionBias ? "with biases" : "no biases")) }
        if model.has(.slidingWindowAttention), let window = model.slidingWindow {
            rows.append(("sliding window", "\(window.grouped) tokens"))
        }
        if model.has(.bmojo) {
            let options = model.bmojo
            rows.append(
                (
                    "B'MOJO-F",
                    "window \(options.window.grouped), fading tokens by \(options.mixer.title), projections "
                        + (options.tiesAttention ? "tied" : "of their own")
                ))
        }
        if model.has(.mamba2) { rows += mamba2 }
        if model.has(.gatedDeltaNet) { rows.append(("Gated DeltaNet", gatedDeltaNet)) }
        if model.has(.gatedKalmaNet) { rows.append(("Gated KalmaNet", gatedKalmaNet)) }
        return rows
    }

    private var mamba2: [(String, String)] {
        let (options, shape) = (model.mamba2, model.mamba2Shape)
        let convolution = "\(options.convolutionTaps) taps\(options.convolutionBias ? " with bias" : "")"
        let state = ("SSM state", "\(shape.heads) heads of \(shape.headDim) x \(shape.stateDim)")
        if let plain = model.plainMamba2 {
            let norm = plain.gatedNormGroup == shape.innerSize ? "the whole width" : "\(plain.gatedNormGroup) channels"
            return [
                state,
                (
                    "Mamba-2",
                    "\(plain.groups) B/C groups, \(convolution), gated norm over \(norm), trained in chunks of \(options.chunkSize)"
                ),
            ]
        }
        let norms = "B/C norm \(options.normalizesBC ? "on" : "off"), RoPE on B/C \(options.rotatesBC ? "on" : "off")"
        return [state, ("Mamba-2", "\(norms), \(convolution), trained in chunks of \(options.chunkSize)")]
    }

    private var gatedDeltaNet: String {
        let options = model.gatedDeltaNet
        var parts = [
            options.usesGate ? "gated" : "no gate",
            options.usesConvolution ? "\(options.convolutionTaps) taps" : "no convolution",
        ]
        if options.allowsNegativeEigenvalues { parts.append("negative eigenvalues") }
        return (parts + expansion(options.expansion)).joined(separator: ", ")
    }

    private var gatedKalmaNet: String {
        let options = model.gatedKalmaNet
        var parts = ["\(options.iterations) iterations", "ridge \(options.ridge)", "\(options.convolutionTaps) taps"]
        let switches = [
            (options.usesGate, "no gate"), (options.usesAlpha, "no alpha"), (options.usesBeta, "no beta"),
            (options.decays, "no decay"), (options.decaysGram, "Gram matrix without decay"),
            (options.convolvesValues, "v not convolved"), (options.rescales, "not rescaled"),
        ]
        parts += switches.filter { !$0.0 }.map(\.1)
        return (parts + expansion(options.expansion)).joined(separator: ", ")
    }

    private func expansion(_ options: HeadExpansionParameters) -> [String] {
        guard let rank = options.rank else { return [] }
        return ["key/value expansion of rank \(rank)\(options.learnsResidual ? " over learned heads" : "")"]
    }

    /// The same options by name.
    var json: JSON {
        var object = JSON.Object()
        for (name, text) in rows { object[name] = .string(text) }
        return .object(object)
    }
}
