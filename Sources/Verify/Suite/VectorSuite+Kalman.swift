//  Test vectors of Gated KalmaNet.

import DualityCore
import DualityNumerics
import DualityReference

/// A call of the recurrence of Gated KalmaNet before it is drawn.
struct KalmanCase: Sendable {
    var batch = 1
    var length = 33
    var heads = 2
    var keyHeads = 2
    var valueHeads = 2
    var keyDim = 8
    var valueDim = 8
    var chunkSize = 16
    /// The typical -g of a token; nil where nothing decays.
    var decay: Double? = 0.05
    var decaysGram = true
    var alpha: ClosedRange<Double>? = 0.05...0.95
    var beta: ClosedRange<Double>? = 0.05...0.95
    /// The size of the initial memory; the Gram matrix is that of keys of norm one, as many as
    /// there are dimensions.
    var stateScale = 0.5
    /// Whether the kernel normalises q and k; else they come normalised, to `keyNorm`.
    var normalizes = true
    var keyNorm = 1.0
    /// The size of q and k that the kernel normalises.
    var rawScale = 1.0
    /// How keys lie to one another.
    var keys = FamilyKeys.random
    var iterations = 10
    var ridge = 0.02
    var cuts: [Int] = []
    var scale: Double?

    var options: [String: String] {
        var options = [
            "use_qk_l2norm_in_kernel": "\(normalizes)", "num_iter": "\(iterations)", "ridge_strength": "\(ridge)",
            "chunk_size": "\(chunkSize)", "use_forgetting_gate_kk": "\(decaysGram)",
        ]
        if let scale { options["scale"] = "\(scale)" }
        return options
    }

    func add(to draw: inout VectorSuite.Draw) throws {
        for (name, heads, kinds) in [("q", heads, FamilyKeys.random), ("k", keyHeads, keys)] {
            let rows = FamilyRows(kinds: kinds, factor: normalizes ? rawScale : nil, norm: keyNorm)
            let tensor = rows.tensor([batch, length, heads, keyDim], name, draw.random)
            try draw.table.add(name, tensor.map { draw.format.round($0) }, as: draw.format)
        }
        try draw.add("v", [batch, length, valueHeads, valueDim])
        if let decay {
            var source = draw.random.stream("g")
            let g = Tensor(repeating: 0.0, shape: [batch, length, heads]).map { _ in
                Double(Float(-decay * source.uniform(in: 0.3...3)))
            }
            try draw.table.add("g", g, as: .f32)
        }
        if let alpha { try draw.add("alpha", [batch, length, heads]) { $0.uniform(in: alpha) } }
        if let beta { try draw.add("beta", [batch, length, heads]) { $0.uniform(in: beta) } }
        if stateScale != 0 {
            let sequences = cuts.isEmpty ? batch : cuts.count + 1
            let gram = grams(draw.random, sequences)
            try draw.table.add("initial_gram", gram, as: .f32)
            try draw.add("initial_memory", [sequences, heads, keyDim, valueDim], as: .f32) {
                stateScale * $0.normal()
            }
        }
        if !cuts.isEmpty {
            let starts = [0] + cuts + [length]
            try draw.table.add("cu_seqlens", Tensor(shape: [starts.count], unchecked: starts))
        }
    }

    /// Σ x xᵀ of as many random vectors as there are dimensions, `[S, H, D, D]`, exactly symmetric.
    private func grams(_ random: RandomSource, _ sequences: Int) -> Tensor<Double> {
        var source = random.stream("initial_gram")
        let square = keyDim * keyDim
        var tensor = Tensor(repeating: 0.0, shape: [sequences, heads, keyDim, keyDim])
        for first in stride(from: 0, to: tensor.count, by: square) {
            let rows = (0..<square).map { _ in stateScale * source.normal() / Double(keyDim).squareRoot() }
            for i in 0..<keyDim {
                for j in 0...i {
                    var sum = 0.0
                    for m in 0..<keyDim { sum += rows[m * keyDim + i] * rows[m * keyDim + j] }
                    tensor.elements[first + i * keyDim + j] = Double(Float(sum))
                    tensor.elements[first + j * keyDim + i] = Double(Float(sum))
                }
            }
        }
        return tensor
    }
}

extension VectorCase {
    static func kalman(
        _ name: String, _ catches: String, _ describe: (inout KalmanCase) -> Void = { _ in }
    ) -> VectorCase {
        var item = KalmanCase()
        describe(&item)
        let drawn = item
        return VectorSuite.layer(name, .kalman, catches: catches, options: drawn.options) { draw in
            try drawn.add(to: &draw)
        }
    }
}
