//  One case of a suite of test vectors: what it is there to catch, and how its operands are made.
//
//  Every number is exactly representable in the suite's format, so that the format is never blamed
//  on the kernel. What kernels read in the model's format (x, dt, B, C, z) is stored in it; A, D,
//  dt_bias and states are stored as float32.

import DualityCore
import DualityNumerics
import DualityReference

/// One case of a suite.
public struct VectorCase: Sendable {
    /// What the case and its file, NAME.safetensors, are called.
    public let name: String
    /// The operation that is called.
    public let kind: CaseKind
    /// What it is there to catch.
    public let catches: String
    /// What the operands are drawn from; it follows from the name.
    public let seed: UInt64
    /// The options of the call, as in the file's string table.
    public let options: [String: String]
    /// Makes the tensors, given the format.
    let make: @Sendable (NumberFormat) throws -> TensorTable

    /// The operands, every number exact in `format`.
    ///
    /// - Parameter format: f32, bf16 or f16.
    public func tensors(in format: NumberFormat) throws -> TensorTable { try make(format) }

    /// The call that the case is.
    public var call: CallDescription { CallDescription(name: name, kind: kind, options: options) }
}

/// The operands of a scan before they are written, by their names in files.
struct ScanOperands {
    var tensors: [String: Tensor<Double>]
    var ids: Tensor<Int>?

    init(_ item: SSDCase) throws {
        let inputs: SSDInputs<Double> = try item.inputs()
        tensors = ["x": inputs.x, "dt": inputs.dt, "A": inputs.a, "B": inputs.b, "C": inputs.c]
        tensors["D"] = inputs.d
        tensors["z"] = inputs.z
        tensors["dt_bias"] = inputs.dtBias
        tensors["initial_states"] = inputs.initialState
        if !item.cuts.isEmpty {
            let row = (0..<item.length).map { t in item.cuts.count { $0 <= t } }
            ids = Tensor(
                shape: [item.batch, item.length],
                unchecked: [[Int]](repeating: row, count: item.batch).flatMap { $0 })
        }
    }

    /// One initial state a row, that of its first sequence.
    mutating func keepStatesOfRows(_ batch: Int) {
        guard let states = tensors["initial_states"], states.shape[0] > batch else { return }
        let size = states.shape[1...].reduce(1, *)
        let perRow = states.shape[0] / batch
        let kept = (0..<batch).flatMap { row in states.elements[row * perRow * size..<(row * perRow + 1) * size] }
        tensors["initial_states"] = Tensor(shape: [batch] + states.shape[1...], unchecked: Array(kept))
    }

    /// Changes every number of a tensor.
    mutating func change(_ name: String, _ change: (Int, Double) -> Double) {
        guard var tensor = tensors[name] else { return }
        for i in tensor.elements.indices { tensor.elements[i] = change(i, tensor.elements[i]) }
        tensors[name] = tensor
    }

    func table(_ place: String, in format: NumberFormat) throws -> TensorTable {
        var table = TensorTable(place: place)
        for name in tensors.keys.sorted() {
            guard let tensor = tensors[name] else { continue }
            let rounded = tensor.map { value in
                let nearest = format.round(value)
                return nearest.isFinite ? nearest : value > 0 ? format.largest : -format.largest
            }
            let isStored = ["x", "dt", "B", "C", "z", "dout"].contains(name)
            try table.add(name, rounded, as: isStored ? format : .f32)
        }
        if let ids { try table.add("seq_idx", ids) }
        return table
    }
}

extension VectorCase {
    /// A scan, or its steps.
    ///
    /// - Parameter adjust: changes the operands after they are drawn.
    static func scan(
        _ name: String, _ catches: String, kind: CaseKind = .scan, limits: String? = nil,
        _ describe: (inout SSDCase) -> Void,
        adjust: @escaping @Sendable (inout ScanOperands, NumberFormat) -> Void = { _, _ in }
    ) -> VectorCase {
        // The seed follows from the name, so that a case is the same in whatever suite it stands.
        var item = SSDCase(seed: RandomSource(seed: 2026).stream(name).seed >> 16)
        (item.length, item.chunkSize, item.heads) = (131, 64, 4)
        (item.xHeads, item.bHeads, item.cHeads, item.headDim, item.stateDim) = (4, 2, 2, 16, 32)
        (item.bias, item.skip, item.stateScale, item.decay) = (true, .head, 1, 0.05)
        describe(&item)
        let drawn = item
        var options = ["kind": kind.rawValue, "dt_softplus": "\(drawn.softplus)"]
        if kind != .step { options["chunk_size"] = "\(drawn.chunkSize)" }
        if let limits { options["dt_limit"] = limits }
        return VectorCase(name: name, kind: kind, catches: catches, seed: drawn.seed, options: options) { format in
            var operands = try ScanOperands(drawn)
            adjust(&operands, format)
            return try operands.table(name, in: format)
        }
    }
}

extension RandomSource {
    /// The next number, as a seed.
    fileprivate var seed: UInt64 {
        var copy = self
        return copy.next()
    }
}
