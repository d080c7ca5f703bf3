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
        var ranges = (0..<shape.batch).map { $0 * shape.length..<($0 + 1) * shape.length }
        if source.contains("cu_seqlens") {
            ranges = try Self.packed(source, batch: shape.batch, length: shape.length)
            try Self.requireRoom(shape, sequences: ranges.count, place)
        }
        func state(_ name: String, _ width: Int) throws -> Tensor<Double>? {
            guard source.contains(name) else { return nil }
            try source.info(name).shape.require([ranges.count, heads, shape.keyDim, width], "\(place): \(name)")
            return try finite(source, name)
        }
        let g = try gates("g")
        if let i = g?.elements.firstIndex(where: { $0 > 0 }) {
            throw InputError(
                .value, in: "\(place): g[\(i)]", expected: "the logarithm of a decay, at most 0",
                found: "\(g?.elements[i] ?? 0)", remedy: "If g is the decay itself, take its logarithm.")
        }
        let scale = try call.number("scale", default: 1 / Double(shape.keyDim).squareRoot())
        guard scale.isFinite else {
            throw InputError(.value, in: "\(call.name): scale", expected: "a finite number", found: "\(scale)")
        }
        var operands = KalmanOperands(
            q: try finite(source, "q").reshaped([tokens, heads, shape.keyDim]),
            k: try finite(source, "k").reshaped([tokens, shape.keyHeads, shape.keyDim]),
            v: try finite(source, "v").reshaped([tokens, shape.valueHeads, shape.valueDim]),
            alpha: try gates("alpha"), beta: try gates("beta"), logDecay: g,
            gram: try state("initial_gram", shape.keyDim), memory: try state("initial_memory", shape.valueDim),
            sequences: ranges, scale: scale)
        operands.epsilon = try Self.epsilon(call)
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

    private static func packed(_ source: any TensorSource, batch: Int, length: Int) throws -> [Range<Int>] {
        let place = "\(source.place): cu_seqlens"
        guard batch == 1 else {
            throw InputError(
                .shape, in: place, expected: "none beside a batch of \(batch): rows are packed into one",
                found: "a tensor")
        }
        let starts = try source.integers("cu_seqlens")
        guard starts.shape.count == 1 else {
            throw InputError(.shape, in: place, expected: "[S + 1]", found: "\(starts.shape)")
        }
        let packing: Packing
        do { packing = try Packing(cumulativeLengths: starts.elements) } catch { throw error.within(source.place) }
        guard starts.elements.last == length else {
            throw InputError(
                .value, in: place, expected: "\(length), the tokens there are, as its last number",
                found: "\(starts.elements.last ?? 0)")
        }
        return packing.rows[0]
    }

    /// ε of the norms; nil where the kernel is called with normalised rows.
    private static func epsilon(_ call: CallDescription) throws -> Double? {
        let epsilon = try call.number("l2norm_epsilon", default: 1e-6)
        guard epsilon >= 0, epsilon.isFinite else {
            throw InputError(
                .value, in: "\(call.name): l2norm_epsilon", expected: "a number of at least 0", found: "\(epsilon)")
        }
        return try call.flag("use_qk_l2norm_in_kernel", default: true) ? epsilon : nil
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
