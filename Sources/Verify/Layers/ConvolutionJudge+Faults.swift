//  The convolution, right or with one fault, and which faults explain what was found.

import DualityCore
import DualityReference

extension ConvolutionJudge {
    static let faults: [LayerFault] = [
        LayerFault(
            name: "conv-taps-reversed", summary: "the taps are applied in reverse: the first meets the current token"),
        LayerFault(name: "conv-across-boundary", summary: "taps reach across a packed boundary"),
        LayerFault(name: "conv-bias-missing", summary: "the convolution's bias is not added"),
        LayerFault(
            name: "conv-window-ignored", summary: "the convolution starts from zeros instead of the window it was given"
        ),
        LayerFault(name: "conv-activation-missing", summary: "the convolution's output is not passed through silu"),
        LayerFault(name: "conv-activation-twice", summary: "the convolution's output is passed through silu twice"),
        LayerFault(name: "conv-one-token-late", summary: "the newest tap meets the token before"),
        LayerFault(name: "conv-sees-the-future", summary: "the convolution is centred: it reads tokens to come"),
        LayerFault(name: "conv-state-misses-last-token", summary: "the window that is handed on ends one token early"),
        LayerFault(
            name: "conv-state-of-output", summary: "the window that is handed on holds the convolution's output"),
        LayerFault(
            name: "conv-state-of-pre-activation",
            summary: "the window that is handed on holds the convolution's output before its activation"),
        LayerFault(
            name: "conv-state-misses-window",
            summary: "a call for fewer tokens than taps hands on its own tokens and zeros: the window is lost"),
        LayerFault(name: "conv-state-not-updated", summary: "the window that is handed on is the one that came in"),
        LayerFault(name: "conv-state-newest-first", summary: "the window that is handed on has its newest token first"),
        LayerFault(name: "conv-state-not-written", summary: "the window that is handed on is zero"),
        LayerFault(
            name: "conv-window-in-every-sequence", summary: "every packed sequence begins with the row's window"),
    ]

    /// Named only where no other fault explains what was found.
    static let windowNotCleared = LayerFault(
        name: "conv-window-not-cleared",
        summary: "what stood before the first token is neither the window that was given nor zeros")

    func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], seeksPairs: Bool
    ) -> Diagnosis {
        let diagnosis = LayerFault.diagnose(Self.faults, found, expectations, sigmas: roundings) { run($0.name) }
        guard diagnosis.findings.isEmpty else { return diagnosis }
        return LayerFault.diagnose([Self.windowNotCleared], found, expectations) { _ in withFoundStart(found) }
    }

    /// Sigma of a window that holds computed numbers where copies should be.
    private func roundings(_ fault: LayerFault) -> [String: Tensor<Double>]? {
        guard ["conv-state-of-output", "conv-state-of-pre-activation"].contains(fault.name) else { return nil }
        let (length, channels) = (x.shape[1], x.shape[2])
        var state = Tensor(repeating: 0.0, shape: [x.shape[0], channels, width])
        for i in state.elements.indices {
            let (row, channel, t) = (i / (channels * width), i / width % channels, length - width + i % width)
            guard t >= 0 else { continue }
            let terms = terms((row * length + t) * channels + channel, nil)
            let error = LayerError(sumOf: terms)
            let isOutput = fault.name == "conv-state-of-output" && activates
            let own = isOutput ? error.silu(of: terms.reduce(0, +)) : error
            let value = isOutput ? Double.silu(terms.reduce(0, +)) : terms.reduce(0, +)
            state.elements[i] = own.stored(value, as: inputFormat).variance.squareRoot()
        }
        return ["conv_state": state]
    }

    /// The right outputs, but for those that what stood before the first token can reach: there
    /// they are what was found. nil where that is all of them.
    private func withFoundStart(_ found: [String: Tensor<Double>]) -> [String: Tensor<Double>]? {
        let (length, channels) = (x.shape[1], x.shape[2])
        guard length >= 2 * width else { return nil }
        var outputs = run(nil)
        for name in ["out", "pre_activation"] {
            guard let tensor = found[name] else { continue }
            for i in tensor.elements.indices where i / channels % length < width - 1 {
                outputs[name]?.elements[i] = tensor.elements[i]
            }
        }
        return outputs
    }

    /// What was before the tokens of a row and what they are: column `t` of a channel, t >= -(W-1).
    func column(_ row: Int, _ t: Int, _ channel: Int, _ fault: String?) -> Double {
        let (length, channels) = (x.shape[1], x.shape[2])
        if t >= length { return 0 }
        if t >= 0 { return x.elements[(row * length + t) * channels + channel] }
        guard let window, fault != "conv-window-ignored", t >= 1 - width else { return 0 }
        return window.elements[(row * channels + channel) * (width - 1) + t + width - 1]
    }

    /// Which column of the window a token sees at `source` when every sequence begins with it; nil
    /// where that is before the window.
    private func windowColumn(_ row: Int, _ t: Int, _ source: Int) -> Int? {
        guard let runs else { return nil }
        let length = x.shape[1]
        var start = t
        while start > 0, runs.elements[row * length + start - 1] == runs.elements[row * length + t] { start -= 1 }
        let column = source - start + width - 1
        return column >= 0 && column < width - 1 ? column : nil
    }

    /// The terms of one number before the activation.
    func terms(_ element: Int, _ fault: String?) -> [Double] {
        let (length, channels) = (x.shape[1], x.shape[2])
        let (row, t, channel) = (element / (length * channels), element / channels % length, element % channels)
        let shift = fault == "conv-one-token-late" ? 1 : fault == "conv-sees-the-future" ? -(width - 1) / 2 : 0
        var terms: [Double] = []
        if let bias, fault != "conv-bias-missing" { terms.append(bias.elements[channel]) }
        for j in 0..<width {
            let source = t - width + 1 + j - shift
            if let runs, fault != "conv-across-boundary" {
                // What lies before the row is the window of its first sequence.
                let own = runs.elements[row * length + t]
                let other = source < 0 ? 0 : runs.elements[row * length + min(source, length - 1)]
                if own != other {
                    if fault == "conv-window-in-every-sequence", let k = windowColumn(row, t, source) {
                        let first = (row * channels + channel) * (width - 1)
                        terms.append(
                            weight.elements[channel * width + j] * (window?.elements[first + k] ?? 0))
                    }
                    continue
                }
            }
            let tap = weight.elements[channel * width + (fault == "conv-taps-reversed" ? width - 1 - j : j)]
            terms.append(tap * column(row, source, channel, fault))
        }
        return terms
    }

    func run(_ fault: String?) -> [String: Tensor<Double>] {
        var pre = x
        for i in x.elements.indices { pre.elements[i] = terms(i, fault).compensatedSum() }
        var out = activates && fault != "conv-activation-missing" ? pre.map { Double.silu($0) } : pre
        if fault == "conv-activation-twice" { out = out.map { Double.silu($0) } }
        let (length, channels) = (x.shape[1], x.shape[2])
        var state = Tensor(repeating: 0.0, shape: [x.shape[0], channels, width])
        let end = length - (fault == "conv-state-misses-last-token" ? 1 : 0)
        for i in state.elements.indices {
            let (row, channel, j) = (i / (channels * width), i / width % channels, i % width)
            let t = fault == "conv-state-newest-first" ? end - 1 - j : end - width + j
            if fault == "conv-state-not-written" || fault == "conv-state-misses-window" && t < 0 && length < width {
                state.elements[i] = 0
            } else if fault == "conv-state-not-updated" {
                state.elements[i] = j == 0 ? 0 : column(row, j - width, channel, fault)
            } else if fault == "conv-state-of-pre-activation", t >= 0 {
                state.elements[i] = pre.elements[(row * length + t) * channels + channel]
            } else if fault == "conv-state-of-output", t >= 0 {
                state.elements[i] = out.elements[(row * length + t) * channels + channel]
            } else {
                state.elements[i] = column(row, t, channel, fault)
            }
        }
        return ["out": out, "pre_activation": pre, "conv_state": state]
    }
}
