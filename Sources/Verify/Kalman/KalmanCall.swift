//  A call of the recurrence of Gated KalmaNet, read and checked: shapes before anything is made of
//  them, since a file may declare any.

import DualityCore
import DualityReference

struct KalmanCall {
    let operands: KalmanOperands<Double>
    let batch: Int
    let chunkSize: Int?

    /// Numbers of a state, all sequences and heads together: a layer of 64 heads of 128 has a
    /// million for a sequence.
    private static let mostNumbers = 1 << 27
    private static let mostIterations = 100_000

    init(_ call: CallDescription, _ source: any TensorSource) throws {
        let place = source.place
        let shape = try Self.shape(source)
        let (tokens, heads) = (shape.batch * shape.length, shape.heads)
        func gates(_ name: String) throws -> Tensor<Double>? {
            guard source.contains(name) else { return nil }
            try source.info(name).shape.require([shape.batch, shape.length, heads], "\(place): \(name)")
            return try finite(source, name).reshaped([tokens, heads])
        }
        let ranges = try FamilyCall.sequences(source, batch: shape.batch, length: shape.length)
        try Self.requireRoom(shape, sequences: ranges.count, place)
        func state(_ name: String, _ width: Int) throws -> Tensor<Double>? {
            guard source.contains(name) else { return nil }
            try source.info(name).shape.require([ranges.count, heads, shape.keyDim, width], "\(place): \(name)")
            return try finite(source, name)
        }
        let g = try gates("g")
        if let g { try FamilyCall.requireDecays(g, place) }
        var operands = KalmanOperands(
            q: try finite(source, "q").reshaped([tokens, heads, shape.keyDim]),
            k: try finite(source, "k").reshaped([tokens, shape.keyHeads, shape.keyDim]),
            v: try finite(source, "v").reshaped([tokens, shape.valueHeads, shape.valueDim]),
            alpha: try gates("alpha"), beta: try gates("beta"), logDecay: g,
            gram: try state("initial_gram", shape.keyDim), memory: try state("initial_memory", shape.valueDim),
            sequences: ranges, scale: try FamilyCall.scale(call, width: shape.keyDim))
        operands.epsilon = try FamilyCall.epsilon(call, normalizes: true)
        operands.decaysGram = try call.flag("use_forgetting_gate_kk", default: true)
        (operands.ridge, operands.iterations) = try (Self.ridge(call), Self.iterations(call))
        self.operands = operands
        batch = shape.batch
        chunkSize = try call.count("chunk_size").map { min($0, FamilyLimits.largestChunk) }
    }

    private struct Shape {
        var (batch, length, heads, keyHeads, valueHeads, keyDim, valueDim) = (0, 0, 0, 0, 0, 0, 0)
    }

    /// The sizes of q, k and v, which fit each other.
    private static func shape(_ source: any TensorSource) throws -> Shape {
        let place = source.place
        let (q, k, v) = try (source.info("q").shape, source.info("k").shape, source.info("v").shape)
        guard q.count == 4, q[0] >= 0, q[1] >= 0, q[2] > 0, q[3] > 0 else {
            throw InputError(.shape, in: "\(place): q", expected: "[B, L, H, D]", found: "\(q)")
        }
        guard k.count == 4, k[0] == q[0], k[1] == q[1], k[2] > 0, q[2] % k[2] == 0, k[3] == q[3] else {
            throw InputError(
                .shape, in: "\(place): k",
                expected: "[\(q[0]), \(q[1]), Hk, \(q[3])] with Hk a divisor of the \(q[2]) heads of q", found: "\(k)")
        }
        guard v.count == 4, v[0] == q[0], v[1] == q[1], v[2] > 0, q[2] % v[2] == 0, v[3] > 0 else {
            throw InputError(
                .shape, in: "\(place): v",
                expected: "[\(q[0]), \(q[1]), Hv, V] with Hv a divisor of the \(q[2]) heads of q", found: "\(v)")
        }
        var shape = Shape()
        (shape.batch, shape.length, shape.heads, shape.keyDim) = (q[0], q[1], q[2], q[3])
        (shape.keyHeads, shape.valueHeads, shape.valueDim) = (k[2], v[2], v[3])
        try requireRoom(shape, sequences: max(shape.batch, 1), place)
        try InputError.requireSize(
            [shape.batch, shape.length, shape.heads, max(shape.keyDim, shape.valueDim)], "\(place): q, v",
            of: "operands and o [B, L, H, D]")
        return shape
    }

    /// Tensors without numbers may declare any sizes; states have numbers all the same.
    private static func requireRoom(_ shape: Shape, sequences: Int, _ place: String) throws {
        let (heads, keys, values) = (shape.heads, shape.keyDim, shape.valueDim)
        try InputError.requireSize(
            [sequences, heads, keys, keys], "\(place): q", of: "states [S, H, D, D]", limit: mostNumbers)
        try InputError.requireSize(
            [sequences, heads, keys, values], "\(place): q, v", of: "states [S, H, D, V]", limit: mostNumbers)
    }

    private static func ridge(_ call: CallDescription) throws -> Double {
        let ridge = try call.number("ridge_strength", default: 0.02)
        guard ridge >= 0, ridge <= 1e6 else {
            throw InputError(
                .value, in: "\(call.name): ridge_strength", expected: "a number from 0 to 1e6", found: "\(ridge)")
        }
        return ridge
    }

    private static func iterations(_ call: CallDescription) throws -> Int {
        guard let text = call.options["num_iter"] else { return 30 }
        guard let count = Int(text), 0...mostIterations ~= count else {
            throw InputError(
                .value, in: "\(call.name): num_iter", expected: "an integer from 0 to \(mostIterations)",
                found: "\"\(text)\"")
        }
        return count
    }
}

extension [Int] {
    /// Refuses any other shape.
    fileprivate func require(_ shape: [Int], _ place: String) throws {
        guard self == shape else {
            throw InputError(.shape, in: place, expected: "\(shape)", found: "\(self)")
        }
    }
}
