import DualityCore
import DualityNumerics
import DualityReference

@testable import DualityVerify

/// The operands that faults are planted on: in kind those of the standard suite, in shape and
/// numbers others.
enum MutationCases {
    struct Case: Sendable {
        let call: CallDescription
        let tensors: TensorTable
        /// The chunk size of the kernel, which need not be that of the call.
        let chunk: Int
    }

    /// Small ones, whose kernels have the chunks that are proposed.
    static func small(_ format: NumberFormat) throws -> [Case] {
        try cases.map { item in
            Case(
                call: item.call, tensors: try item.tensors(in: format),
                chunk: Int(item.options["chunk_size"] ?? "16") ?? 16)
        }
    }

    /// All scans and steps of the standard suite. Every other kernel has chunks of its own.
    static func standard(_ format: NumberFormat) throws -> [Case] {
        try VectorSuite.standard.cases.filter { [.scan, .step].contains($0.kind) }.enumerated().map { i, item in
            let proposed = Int(item.options["chunk_size"] ?? "1") ?? 1
            return Case(
                call: item.call, tensors: try item.tensors(in: format),
                chunk: item.kind == .step ? 1 : i % 2 == 0 ? proposed : proposed == 64 ? 32 : 64)
        }
    }

    private static func small(_ item: inout SSDCase) {
        (item.length, item.chunkSize, item.heads, item.xHeads, item.bHeads, item.cHeads) = (43, 16, 4, 4, 2, 2)
        (item.headDim, item.stateDim, item.decay) = (6, 10, 0.03)
    }

    private static let cases: [VectorCase] = [
        .scan("mutant-plain", "") {
            small(&$0)
            ($0.gate, $0.skip) = (true, .channel)
        },
        .scan("mutant-square", "") {
            small(&$0)
            ($0.headDim, $0.stateDim, $0.batch) = (8, 8, 2)
        },
        .scan("mutant-hybrid", "") {
            small(&$0)
            ($0.heads, $0.xHeads, $0.bHeads, $0.cHeads) = (6, 2, 2, 6)
        },
        .scan("mutant-packed", "") {
            small(&$0)
            ($0.cuts, $0.decay, $0.skip) = ([9, 21, 37], 0.01, .none)
        },
        .scan("mutant-packed-row", "") {
            small(&$0)
            ($0.cuts, $0.decay) = ([20, 32], 0.01)
        } adjust: { operands, _ in
            operands.keepStatesOfRows(1)
        },
        .scan("mutant-returning", "") {
            small(&$0)
            ($0.cuts, $0.decay) = ([12, 25], 0.01)
        } adjust: { operands, _ in
            operands.keepStatesOfRows(1)
            operands.ids = operands.ids?.map { $0 == 2 ? 0 : $0 }
        },
        .scan("mutant-small-steps", "") {
            small(&$0)
            $0.decay = 5
        } adjust: { operands, _ in
            operands.change("dt") { i, value in value - Double(1 + i % 11) }
        },
        .scan("mutant-huge-steps", "") {
            small(&$0)
            $0.decay = 0.001
        } adjust: { operands, _ in
            operands.change("dt") { i, value in value + Double(i * 5 % 96) }
        },
        .scan("mutant-dominant", "") {
            small(&$0)
            ($0.length, $0.stateScale, $0.skip) = (90, 1e6, .none)
        },
        .scan("mutant-no-state", "") {
            small(&$0)
            ($0.stateScale, $0.gate) = (0, true)
        },
        .scan("mutant-no-softplus", "") {
            small(&$0)
            ($0.softplus, $0.bias) = (false, false)
        },
        .scan("mutant-limit", "", limits: "0.1,0.6") { small(&$0) },
        .scan("mutant-large", "") {
            small(&$0)
        } adjust: { operands, _ in
            for name in ["x", "B", "C"] { operands.change(name) { _, value in value * 2048 } }
        },
        .scan("mutant-long", "") {
            small(&$0)
            ($0.length, $0.decay, $0.heads, $0.xHeads, $0.bHeads, $0.cHeads) = (600, 2, 2, 2, 1, 1)
            ($0.headDim, $0.stateDim) = (3, 6)
        },
    ]
}

extension ScanResult {
    /// The results as a kernel's author would hand them in.
    func table(_ place: String, y format: NumberFormat, packed: Bool) throws -> TensorTable {
        var table = TensorTable(place: place)
        try table.add("y", y, as: format)
        try table.add("final_states", finalState, as: .f32)
        if packed { try table.add("varlen_states", sequenceStates, as: .f32) }
        return table
    }
}
