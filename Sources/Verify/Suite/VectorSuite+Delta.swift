//  Test vectors of the gated delta rule.

import DualityCore
import DualityNumerics
import DualityReference

/// A call of the gated delta rule before it is drawn.
struct DeltaCase: Sendable {
    var batch = 1
    var length = 70
    var keyHeads = 2
    var heads = 2
    var keyDim = 16
    var valueDim = 16
    var chunkSize = 32
    /// The typical -g of a token.
    var decay = 0.05
    var beta = 0.05...0.95
    var stateScale = 0.5
    /// Whether the kernel normalises q and k; else they come normalised, to `keyNorm`.
    var normalizes = true
    var keyNorm = 1.0
    /// The size of q and k that the kernel normalises.
    var rawScale = 1.0
    /// How keys lie to one another.
    var keys = FamilyKeys.random
    var cuts: [Int] = []
    var scale: Double?
    /// Of what a loss speaks, for gradients.
    var hasOutputGradient = true
    var hasStateGradient = true
}

extension VectorCase {
    static func delta(
        _ name: String, _ catches: String, kind: CaseKind = .gatedDelta,
        _ describe: (inout DeltaCase) -> Void = { _ in }
    ) -> VectorCase {
        var item = DeltaCase()
        describe(&item)
        let drawn = item
        var options = ["use_qk_l2norm_in_kernel": "\(drawn.normalizes)"]
        if kind != .gatedDeltaStep { options["chunk_size"] = "\(drawn.chunkSize)" }
        if let scale = drawn.scale { options["scale"] = "\(scale)" }
        return VectorSuite.layer(name, kind, catches: catches, options: options) { draw in
            try drawn.add(to: &draw)
            if kind == .gatedDeltaGradients { try drawn.addUpstream(to: &draw) }
        }
    }
}

extension DeltaCase {
    private var sequences: Int { cuts.isEmpty ? batch : cuts.count + 1 }

    /// What a loss says about the outputs.
    fileprivate func addUpstream(to draw: inout VectorSuite.Draw) throws {
        if hasOutputGradient { try draw.add("dout", [batch, length, heads, valueDim]) }
        guard hasStateGradient else { return }
        try draw.add("dfinal_state", [sequences, heads, keyDim, valueDim], as: .f32) { 0.3 * $0.normal() }
    }

    func add(to draw: inout VectorSuite.Draw) throws {
        for (name, kinds) in [("q", FamilyKeys.random), ("k", keys)] {
            let rows = FamilyRows(kinds: kinds, factor: normalizes ? rawScale : nil, norm: keyNorm)
            let tensor = rows.tensor([batch, length, keyHeads, keyDim], name, draw.random)
            try draw.table.add(name, tensor.map { draw.format.round($0) }, as: draw.format)
        }
        try draw.add("v", [batch, length, heads, valueDim])
        let gates = draw.random.stream("g")
        var source = gates
        let g = Tensor(repeating: 0.0, shape: [batch, length, heads]).map { _ in
            Double(Float(-decay * source.uniform(in: 0.3...3)))
        }
        try draw.table.add("g", g, as: .f32)
        try draw.add("beta", [batch, length, heads]) { $0.uniform(in: beta) }
        if stateScale != 0 {
            try draw.add("initial_state", [sequences, heads, keyDim, valueDim], as: .f32) { stateScale * $0.normal() }
        }
        if !cuts.isEmpty {
            let starts = [0] + cuts + [length]
            try draw.table.add("cu_seqlens", Tensor(shape: [starts.count], unchecked: starts))
        }
    }
}

extension VectorSuite {
    static let delta: [VectorCase] = deltaLengths + deltaShapes + deltaValues + deltaPackings + deltaSteps

    private static let deltaLengths: [VectorCase] = [1, 2, 31, 32, 33, 64, 97].map { length in
        .delta("delta-length-\(length)", "lengths around multiples of the chunk") { $0.length = length }
    }

    private static let deltaShapes: [VectorCase] =
        [
            .delta("delta-plain", "q and k that come normalised, no state") {
                ($0.normalizes, $0.stateScale) = (false, 0)
            },
            .delta("delta-batch", "an index that mixes rows of the batch") { ($0.batch, $0.length) = (3, 40) },
            .delta("delta-shared-keys", "four heads of values on two of keys") {
                ($0.heads, $0.keyHeads, $0.keyDim, $0.valueDim) = (4, 2, 16, 8)
            },
            .delta("delta-odd-dims", "tiles that do not divide K and V") { ($0.keyDim, $0.valueDim) = (7, 5) },
            .delta("delta-tiny-dims", "K = V = 1") { ($0.keyDim, $0.valueDim) = (1, 1) },
            .delta("delta-wide-values", "K and V that differ") { ($0.keyDim, $0.valueDim) = (16, 48) },
            .delta("delta-chunk-64", "chunks of 64, whose inverse is put together of blocks") {
                ($0.length, $0.chunkSize) = (150, 64)
            },
        ]
        + [(64, 64), (128, 128), (192, 128), (256, 256)].map { keys, values in
            .delta("delta-width-\(keys)x\(values)", "keys of \(keys) and values of \(values)") {
                ($0.keyDim, $0.valueDim, $0.length, $0.chunkSize) = (keys, values, 70, 64)
                if keys == 256 { ($0.heads, $0.keyHeads) = (1, 1) }
            }
        }

    private static let deltaValues: [VectorCase] =
        [("1e-8", 1e-8), ("1e-3", 1e-3), ("0.5", 0.5), ("8", 8), ("200", 200)].map { word, decay in
            .delta("delta-decay-\(word)", "-g around \(word) a token") { $0.decay = decay }
        }
        + [
            .delta("delta-beta-small", "steps near 0, which write next to nothing") { $0.beta = 1e-4...1e-3 },
            .delta("delta-beta-one", "steps near 1: the old value is all replaced") { $0.beta = 0.98...1 },
            .delta("delta-beta-two", "steps up to 2: keys are turned round") { $0.beta = 1...2 },
            .delta("delta-keys-repeated", "keys that come again, whose values are corrected") {
                ($0.keys, $0.beta, $0.decay) = (.repeated, 0.5...1, 1e-3)
            },
            .delta("delta-keys-aligned", "keys of nearly one direction: the worst triangular system") {
                ($0.keys, $0.beta, $0.decay, $0.chunkSize, $0.length) = (.aligned, 0.8...1.6, 1e-3, 64, 131)
            },
            .delta("delta-keys-sparse", "keys of which most numbers are zero") { $0.keys = .sparse },
            .delta("delta-keys-short", "keys of norm 0.3, normalised by nobody") {
                ($0.normalizes, $0.keyNorm, $0.length) = (false, 0.3, 97)
            },
            .delta("delta-keys-long", "keys of norm 1.3, normalised by nobody") {
                ($0.normalizes, $0.keyNorm, $0.length) = (false, 1.3, 97)
            },
            .delta("delta-epsilon", "q and k so small that the epsilon of their norms decides") {
                ($0.rawScale, $0.length) = (2e-4, 40)
            },
            .delta("delta-scale", "a scale of q that is none of 1 / sqrt(K)") { ($0.scale, $0.length) = (0.75, 40) },
            .delta("delta-state-huge", "an initial state of 1e4 that drowns the values") { $0.stateScale = 1e4 },
            .delta("delta-state-none", "no initial state") { $0.stateScale = 0 },
        ]

    private static let deltaPackings: [VectorCase] = [
        .delta("delta-packed", "packed boundaries around the chunk") {
            ($0.cuts, $0.length, $0.decay) = ([1, 31, 33, 64, 90], 97, 0.01)
        },
        .delta("delta-packed-no-state", "packed sequences that begin from nothing") {
            ($0.cuts, $0.stateScale, $0.decay) = ([20, 50], 0, 0.01)
        },
    ]

    private static let deltaSteps: [VectorCase] = [
        .delta("delta-step-plain", "single steps from a given state", kind: .gatedDeltaStep) { $0.length = 7 },
        .delta("delta-step-shared", "single steps, keys shared by heads", kind: .gatedDeltaStep) {
            ($0.length, $0.heads, $0.keyHeads, $0.batch) = (5, 4, 2, 2)
        },
        .delta(
            "delta-step-many", "a state that is stored narrowly loses its digits step by step", kind: .gatedDeltaStep
        ) {
            ($0.length, $0.decay, $0.beta) = (64, 1e-3, 0.01...0.2)
        },
    ]
}
