//  The suites: small for a first look, standard for a verdict, stress for those who want to know.
//
//  Standard covers chunk sizes, lengths around multiples of the chunk, boundaries at each offset of
//  a chunk, initial states zero, ordinary and huge, all ways to share heads, decays from 1e-8 to
//  1e3 a token, steps of all sizes, subnormal, zero, sparse and large operands, odd dimensions, the
//  widths of heads and states that models have, and batches.

import DualityCore

/// A named list of cases.
public enum VectorSuite: String, Sendable, CaseIterable {
    /// A dozen cases, under a second.
    case smoke
    /// What a verdict should rest on.
    case standard
    /// Standard, and long sequences, large states and conventions that not every kernel has.
    case stress

    /// The cases in order.
    public var cases: [VectorCase] {
        switch self {
        case .smoke:
            let names: Set = [
                "length-1", "length-64", "length-131", "packed-offsets", "packed-states", "head-map-hybrid",
                "square-state",
                "decay-1e-3", "decay-80", "dt-tiny", "dt-huge", "step-plain", "delta-length-33", "delta-packed",
                "attn-cache", "kalman-length-17", "kalman-packed",
            ]
            return VectorSuite.standard.cases.filter { names.contains($0.name) }
        case .standard:
            return Self.scanLengths + Self.shapes + Self.widths + Self.decays + Self.steps + Self.packings + Self.values
                + Self.decoding
                + Self.gradients + Self.layers + Self.delta + Self.attention + Self.kalman + Self.deltaGradients
                + Self.attentionGradients
        case .stress:
            return VectorSuite.standard.cases + Self.long + Self.conventions
        }
    }

    private static let scanLengths: [VectorCase] =
        [1, 2, 63, 64, 65, 128, 131, 257].map { length in
            .scan("length-\(length)", "lengths around multiples of the chunk, with everything on") {
                ($0.length, $0.gate, $0.skip) = (length, true, .channel)
            }
        }
        + [(16, 35), (16, 64), (128, 259), (256, 515)].map { size, length in
            .scan("chunk-\(size)-length-\(length)", "another chunk size") {
                ($0.length, $0.chunkSize, $0.heads, $0.xHeads, $0.bHeads, $0.cHeads) = (length, size, 2, 2, 1, 1)
            }
        }

    private static let shapes: [VectorCase] = [
        .scan("plain", "the operator with nothing optional") {
            ($0.bias, $0.skip, $0.stateScale) = (false, .none, 0)
        },
        .scan("batch-3", "an index that mixes rows of the batch") { ($0.batch, $0.length) = (3, 97) },
        .scan("odd-dims", "tiles that do not divide P and N") { ($0.headDim, $0.stateDim) = (7, 5) },
        .scan("tiny-dims", "P = N = 1") { ($0.headDim, $0.stateDim) = (1, 1) },
        .scan("square-state", "a transposed state, which only shows where P = N") {
            ($0.headDim, $0.stateDim, $0.heads, $0.xHeads, $0.bHeads, $0.cHeads) = (32, 32, 2, 2, 2, 2)
        },
        .scan("wide-state", "N = 128") {
            ($0.headDim, $0.stateDim, $0.heads, $0.xHeads, $0.bHeads, $0.cHeads) = (16, 128, 2, 2, 1, 1)
        },
        .scan("wide-head", "P = 128") {
            ($0.headDim, $0.stateDim, $0.heads, $0.xHeads, $0.bHeads, $0.cHeads) = (128, 16, 2, 2, 1, 1)
        },
        .scan("head-map-groups", "eight heads read two groups of B and C") {
            ($0.heads, $0.xHeads, $0.bHeads, $0.cHeads) = (8, 8, 2, 2)
        },
        .scan("head-map-one-group", "all heads read one group of B and C") {
            ($0.heads, $0.xHeads, $0.bHeads, $0.cHeads) = (6, 6, 1, 1)
        },
        .scan("head-map-three", "groups that are no power of two") {
            ($0.heads, $0.xHeads, $0.bHeads, $0.cHeads) = (6, 6, 3, 3)
        },
        .scan("head-map-hybrid", "x and B shared by heads, C not, as in hybrid models") {
            ($0.heads, $0.xHeads, $0.bHeads, $0.cHeads, $0.headDim, $0.stateDim) = (8, 2, 2, 8, 16, 16)
        },
        .scan("gate-channels", "the gate, and D for each channel") { ($0.gate, $0.skip) = (true, .channel) },
    ]

    private static let decays: [VectorCase] =
        [
            ("1e-8", 1e-8), ("1e-6", 1e-6), ("1e-3", 1e-3), ("0.3", 0.3), ("3", 3), ("80", 80), ("1000", 1000),
        ].map { word, decay in
            .scan("decay-\(word)", "dt |A| around \(word) a token") { ($0.decay, $0.length) = (decay, 195) }
        }
        + [
            .scan("decay-mixed", "fast and slow heads side by side, over a long sequence") {
                ($0.decay, $0.length, $0.heads, $0.xHeads, $0.headDim, $0.stateDim) = (1, 1027, 4, 4, 8, 16)
            } adjust: { operands, _ in
                operands.change("A") { head, _ in [-0.0009765625, -0.0625, -1, -16][head] }
            }
        ]

    private static let steps: [VectorCase] = [
        .scan("dt-tiny", "softplus far below zero, where log(1 + exp(u)) loses its digits") {
            $0.decay = 1
        } adjust: {
            operands, _ in
            operands.change("dt") { i, value in value - Double(2 + i * 7 % 13) }
        },
        .scan("dt-vanishing", "softplus down to exp(-80)") {
            $0.decay = 1
        } adjust: { operands, _ in
            operands.change("dt") { i, value in value - Double(i * 7 % 81) }
        },
        .scan("dt-huge", "softplus above its threshold, and above the range of exp") {
            $0.decay = 0.01
        } adjust: {
            operands, _ in
            operands.change("dt") { i, value in value + Double(i * 11 % 97) }
        },
        .scan("dt-limit", "the clamp of the step", limits: "0.05,0.3") { _ in },
        .scan("dt-small", "steps around 0.0005, below a clamp that is no clamp of this call") {
            ($0.decay, $0.bias) = (20, false)
        } adjust: { operands, _ in
            operands.change("dt") { _, value in value / 4 - 7.5 }
        },
        .scan("no-softplus", "the step as it is given") { ($0.softplus, $0.bias) = (false, false) },
        .scan("bias-no-softplus", "a bias and no softplus") { ($0.softplus, $0.bias) = (false, true) },
    ]

    private static let packings: [VectorCase] =
        [1, 63, 64, 65, 100, 130].map { cut in
            .scan("packed-at-\(cut)", "a boundary at token \(cut)") {
                ($0.cuts, $0.decay) = ([cut], 0.01)
            } adjust: {
                operands, _ in
                operands.keepStatesOfRows(1)
            }
        }
        + [
            .scan("packed-offsets", "many boundaries, at every kind of offset") {
                ($0.cuts, $0.length, $0.decay) = ([5, 31, 32, 64, 65, 127, 129, 190], 195, 0.01)
            } adjust: { operands, _ in
                operands.keepStatesOfRows(1)
            },
            .scan("packed-states", "every sequence with an initial state of its own") {
                ($0.cuts, $0.length, $0.decay) = ([40, 64, 101], 150, 0.01)
            },
            .scan("packed-batch", "packed rows in a batch") {
                ($0.cuts, $0.batch, $0.length, $0.decay) = ([33, 70], 2, 100, 0.01)
            } adjust: { operands, _ in
                operands.keepStatesOfRows(2)
            },
            .scan("packed-returning-ids", "an id that comes back is a new sequence: 0, 1, 0") {
                ($0.cuts, $0.length, $0.decay) = ([30, 75], 131, 0.01)
            } adjust: { operands, _ in
                operands.keepStatesOfRows(1)
                operands.ids = operands.ids?.map { $0 == 2 ? 0 : $0 }
            },
        ]

    private static let values: [VectorCase] = [
        .scan("state-huge", "an initial state of 1e4 that drowns the input until it has decayed") {
            $0.stateScale = 1e4
        },
        .scan("state-dominant", "a state whose decay is all there is to see: steps or rates rounded to a narrow format")
        {
            ($0.length, $0.stateScale, $0.decay, $0.skip) = (161, 1e6, 0.02, .none)
            ($0.heads, $0.xHeads, $0.bHeads, $0.cHeads, $0.headDim) = (4, 4, 2, 2, 8)
        },
        .scan("state-tiny", "an initial state of 1e-6") { $0.stateScale = 1e-6 },
        .scan("state-none", "no initial state") { $0.stateScale = 0 },
        .scan("sparse", "operands of which most are zero") { ($0.values, $0.stateScale) = (.sparse, 0) },
        .scan("zeros", "zero operands: every output is zero") { ($0.values, $0.stateScale) = (.zeros, 0) },
        .scan("subnormal", "x near the smallest normal number") {
            ($0.stateScale, $0.skip) = (0, .none)
        } adjust: {
            operands, format in
            let scale = max(format.smallestNormal, 0x1p-126) / 8
            operands.change("x") { _, value in value * scale }
        },
        .scan("large", "values beyond the range of float16") { _ in
        } adjust: { operands, format in
            let scale = format == .f16 ? 16.0 : 4096
            for name in ["x", "B", "C"] { operands.change(name) { _, value in value * scale } }
        },
        .scan("alike", "all terms of one sign: what rounding biases") {
            ($0.skip, $0.decay) = (.none, 0.001)
        } adjust: {
            operands, _ in
            for name in ["x", "B", "C", "initial_states"] { operands.change(name) { _, value in value.magnitude } }
        },
    ]

    private static let decoding: [VectorCase] = [
        .scan("step-plain", "single steps from a given state", kind: .step) { ($0.length, $0.decay) = (8, 0.1) },
        .scan("step-gate", "single steps with a gate and D for each channel", kind: .step) {
            ($0.length, $0.gate, $0.skip, $0.batch) = (6, true, .channel, 2)
        },
        .scan("step-hybrid", "single steps with x and B shared by heads", kind: .step) {
            ($0.length, $0.heads, $0.xHeads, $0.bHeads, $0.cHeads, $0.headDim, $0.stateDim) = (7, 8, 2, 2, 8, 16, 16)
        },
        .scan("step-many", "a state that is stored narrowly loses its digits step by step", kind: .step) {
            ($0.length, $0.decay) = (64, 0.003)
        },
        .scan("step-dt-tiny", "the softplus of single steps far below zero", kind: .step) {
            ($0.length, $0.decay) = (9, 1)
        } adjust: { operands, _ in
            operands.change("dt") { i, value in value - Double(i % 13) }
        },
    ]

    private static let long: [VectorCase] = [
        .scan("long-fast", "4099 tokens of strong decay") {
            ($0.length, $0.decay, $0.chunkSize, $0.headDim, $0.stateDim) = (4099, 3, 256, 8, 16)
        },
        .scan("long-slow", "4099 tokens that nothing forgets") {
            ($0.length, $0.decay, $0.chunkSize, $0.headDim, $0.stateDim) = (4099, 1e-5, 256, 8, 16)
        },
        .scan("layer", "the shape of a real layer, shortened") {
            ($0.length, $0.chunkSize, $0.heads, $0.xHeads, $0.bHeads, $0.cHeads) = (515, 256, 8, 2, 2, 8)
            ($0.headDim, $0.stateDim) = (128, 128)
        },
    ]

    private static let conventions: [VectorCase] = [
        .scan(
            "packed-first-id-5",
            "ids that do not begin at 0: the initial state belongs to the first sequence all the same"
        ) {
            ($0.cuts, $0.length, $0.decay) = ([30, 75], 131, 0.01)
        } adjust: { operands, _ in
            operands.keepStatesOfRows(1)
            operands.ids = operands.ids?.map { $0 + 5 }
        }
    ]
}
