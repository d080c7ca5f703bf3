//  The depthwise causal convolution backwards.
//
//      p_t = ∂ℒ/∂pre_t = dout_t silu'(pre_t)
//      grad_x_s = Σ_j w_j p_{s+W-1-j}      grad_weight_j = Σ_t p_t x_{t-W+1+j}      grad_bias = Σ_t p_t
//
//  Columns before the first token are the window's: their gradient is grad_initial_window. The
//  window that is handed on has a gradient of its own, dconv_state, which reaches the last tokens
//  and, in short calls, the window that came in.
//
//  | tensor              | shape        | meaning                                              |
//  |---------------------|--------------|------------------------------------------------------|
//  | dout                | [B, L, C]    | gradient of out                                      |
//  | dconv_state         | [B, C, W]    | gradient of conv_state; zeros if absent              |
//  | grad_x, grad_weight, grad_bias, grad_initial_window | as the operands | outputs |
//
//  The operands are those of ConvolutionJudge.swift.

import DualityCore
import DualityNumerics
import DualityReference

struct ConvolutionGradientJudge: KindJudge {
    let forward: ConvolutionJudge
    let upstream: Tensor<Double>
    let stateUpstream: Tensor<Double>?
    let chunkSize: Int? = nil
    /// The shape of the weight as it was given.
    private let weightShape: [Int]

    init(_ call: CallDescription, inputs source: any TensorSource) throws {
        forward = try ConvolutionJudge(call, inputs: source)
        let mapped = MappedSource(source)
        upstream = try finite(mapped, "dout")
        try upstream.requireShape(forward.x.shape, "\(mapped.place): dout")
        stateUpstream = mapped.contains("dconv_state") ? try finite(mapped, "dconv_state") : nil
        try stateUpstream?.requireShape(
            [forward.x.shape[0], forward.x.shape[2], forward.width], "\(mapped.place): dconv_state")
        weightShape = try mapped.info("weight").shape
    }

    var outputs: [OutputShape] {
        let (batch, channels) = (forward.x.shape[0], forward.x.shape[2])
        var shapes = [
            OutputShape(name: "grad_x", shape: forward.x.shape, axes: [.batch, .token, .channel]),
            OutputShape(
                name: "grad_weight", shape: weightShape,
                axes: weightShape.count == 3 ? [.channel, .batch, .state] : [.channel, .state]),
        ]
        if forward.bias != nil { shapes.append(OutputShape(name: "grad_bias", shape: [channels], axes: [.channel])) }
        if forward.window != nil {
            shapes.append(
                OutputShape(
                    name: "grad_initial_window", shape: [batch, channels, forward.width - 1],
                    axes: [.batch, .channel, .state]))
        }
        return shapes
    }

    func expect(_ found: [String: Tensor<Double>], formats: [String: NumberFormat]) throws -> Expectations {
        TermSums.expectations(
            run(nil), of: outputs.filter { found[$0.name] != nil }, formats: formats, inputs: forward.inputFormat)
    }

    static let faults: [LayerFault] = [
        LayerFault(
            name: "conv-grad-x-taps-reversed",
            summary: "the gradient of x takes the taps in the order of the forward pass"),
        LayerFault(
            name: "conv-grad-x-one-token-late", summary: "the gradient of x is that of the token after"),
        LayerFault(
            name: "conv-grad-across-boundary", summary: "gradients of the convolution reach across a packed boundary"),
        LayerFault(
            name: "conv-grad-activation-missing", summary: "the slope of the activation is left out of the gradients"),
        LayerFault(
            name: "conv-grad-activation-sigmoid",
            summary: "the slope of the activation is taken to be sigmoid: z sigmoid (1 - sigmoid) is missing"),
        LayerFault(
            name: "conv-grad-activation-of-output",
            summary: "the slope of the activation is taken at the output, not at what went into it"),
        LayerFault(
            name: "conv-grad-weight-taps-reversed", summary: "the gradient of the taps is handed on in reverse"),
        LayerFault(
            name: "conv-grad-weight-misses-window",
            summary: "the gradient of the taps misses what they met in the window that came in"),
        LayerFault(
            name: "conv-grad-weight-of-one-row",
            summary: "the gradients of taps and bias are those of one row of the batch"
        ),
        LayerFault(
            name: "conv-grad-bias-before-activation", summary: "the gradient of the bias is the sum of dout itself"),
        LayerFault(
            name: "conv-grad-state-ignored",
            summary: "the gradient of the window that is handed on reaches nothing"),
        LayerFault(
            name: "conv-grad-window-not-written", summary: "the gradient of the window that came in is zero"),
        LayerFault(
            name: "conv-grad-window-newest-first",
            summary: "the gradient of the window that came in has its newest token first"),
    ]

    func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], seeksPairs: Bool
    ) -> Diagnosis {
        LayerFault.diagnose(Self.faults, found, expectations) { run($0.name).mapValues(\.values) }
    }

    /// ∂ℒ/∂pre with its error, `[B, L, C]`.
    private func pulls(_ fault: String?) -> [(value: Double, error: LayerError)] {
        forward.x.elements.indices.map { i in
            let g = upstream.elements[i]
            guard forward.activates, fault != "conv-grad-activation-missing" else {
                return (g, LayerError(bound: 0, variance: 0))
            }
            let terms = forward.terms(i, nil)
            var pre = terms.compensatedSum()
            let error = LayerError(sumOf: terms).siluSlope(of: pre) * g
            if fault == "conv-grad-activation-of-output" { pre = Double.silu(pre) }
            let sigmoid = Double.sigmoid(pre)
            let slope =
                fault == "conv-grad-activation-sigmoid" ? sigmoid : sigmoid * (1 + pre * Double.sigmoid(-pre))
            return (g * slope, error)
        }
    }

    /// Whether a tap of token t meets what stands at `source`.
    private func meets(_ row: Int, _ t: Int, _ source: Int, _ fault: String?) -> Bool {
        guard let runs = forward.runs, fault != "conv-grad-across-boundary" else { return true }
        let length = forward.x.shape[1]
        return runs.elements[row * length + t] == (source < 0 ? 0 : runs.elements[row * length + source])
    }

    func run(_ fault: String?) -> [String: TermSums] {
        let (batch, length, channels, width) = (
            forward.x.shape[0], forward.x.shape[1], forward.x.shape[2], forward.width
        )
        let pulls = self.pulls(fault)
        var ofX = TermSums(shape: forward.x.shape)
        var ofWeight = TermSums(shape: weightShape)
        var ofBias = TermSums(shape: [channels])
        var ofWindow = TermSums(shape: [batch, channels, max(width - 1, 0)])
        func addToColumn(_ row: Int, _ column: Int, _ channel: Int, _ term: Double, error: LayerError) {
            if column >= 0 {
                let late = fault == "conv-grad-x-one-token-late" ? column - 1 : column
                if late >= 0 { ofX.add(term, error: error, at: (row * length + late) * channels + channel) }
            } else if column >= 1 - width, fault != "conv-grad-window-not-written" {
                let own = column + width - 1
                let place = fault == "conv-grad-window-newest-first" ? width - 2 - own : own
                ofWindow.add(term, error: error, at: (row * channels + channel) * (width - 1) + place)
            }
        }
        for i in forward.x.elements.indices {
            let (row, t, channel) = (i / (length * channels), i / channels % length, i % channels)
            let (pull, error) = pulls[i]
            let isCounted = row == 0 || fault != "conv-grad-weight-of-one-row"
            if isCounted {
                let ofOutput = fault == "conv-grad-bias-before-activation"
                ofBias.add(ofOutput ? upstream.elements[i] : pull, error: error, at: channel)
            }
            for j in 0..<width {
                let source = t - width + 1 + j
                guard meets(row, t, source, fault) else { continue }
                let tap = forward.weight.elements[
                    channel * width + (fault == "conv-grad-x-taps-reversed" ? width - 1 - j : j)]
                addToColumn(row, source, channel, tap * pull, error: error * tap)
                let isMissed = source < 0 && fault == "conv-grad-weight-misses-window"
                guard isCounted, !isMissed else { continue }
                let met = forward.column(row, source, channel, nil)
                let place = fault == "conv-grad-weight-taps-reversed" ? width - 1 - j : j
                ofWeight.add(met * pull, error: error * met, at: channel * width + place)
            }
        }
        if let state = stateUpstream, fault != "conv-grad-state-ignored" {
            for i in state.elements.indices {
                let (row, channel, j) = (i / (channels * width), i / width % channels, i % width)
                addToColumn(
                    row, length - width + j, channel, state.elements[i], error: LayerError(bound: 0, variance: 0))
            }
        }
        return ["grad_x": ofX, "grad_weight": ofWeight, "grad_bias": ofBias, "grad_initial_window": ofWindow]
    }
}
