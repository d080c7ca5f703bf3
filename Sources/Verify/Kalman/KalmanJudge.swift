//  The recurrence of Gated KalmaNet.
//
//  | tensor         | shape           | meaning                                                         |
//  |----------------|-----------------|-----------------------------------------------------------------|
//  | q              | [B, L, H, D]    | before the gate of the output                                   |
//  | k, v           | [B, L, Hk, D], [B, L, Hv, V] | head h reads head h div (H / Hk)                   |
//  | g              | [B, L, H]       | log decay, at most 0; nothing decays if absent                  |
//  | beta           | [B, L, H]       | gate of keys and values; they keep their size if absent         |
//  | alpha          | [B, L, H]       | share of the solution in what is read; 1 if absent              |
//  | initial_gram   | [S, H, D, D]    | zeros if absent; S is B, or the packed sequences                |
//  | initial_memory | [S, H, D, V]    | likewise                                                        |
//  | cu_seqlens     | [S + 1]         | packed, B = 1: where sequences begin                            |
//  | o              | [B, L, H, V]    | output                                                          |
//  | final_gram, final_memory | [S, H, D, D], [S, H, D, V] | outputs; no gram where num_iter is 0       |
//
//  Options: `num_iter` (30 if absent), `ridge_strength` (0.02), `scale` (1 / sqrt(D)),
//  `use_qk_l2norm_in_kernel` (true), `l2norm_epsilon` (1e-6, beside the norm),
//  `use_forgetting_gate_kk` (true: G decays too), `chunk_size` (64). The equations are those of
//  KalmanOperands.swift.

import DualityCore
import DualityNumerics
import DualityReference

struct KalmanJudge: FamilyJudge {
    typealias Head = KalmanHeadExpectation
    typealias Fault = KalmanFault

    let operands: KalmanOperands<Double>
    let chunkSize: Int?
    let inputFormat: NumberFormat
    private let batch: Int
    private let declared: KalmanArithmetic?
    let declaration: String?
    let isStep = false

    init(_ call: CallDescription, inputs source: any TensorSource, precision: DeclaredPrecision) throws {
        let call = try KalmanCall(call, source)
        (operands, batch, chunkSize) = (call.operands, call.batch, call.chunkSize)
        inputFormat = try source.info("v").dtype.numberFormat
        (declared, declaration) = (try precision.kalman(for: .kalman), precision.text)
    }

    var outputs: [OutputShape] {
        let (heads, keys, values) = (operands.heads, operands.keyDim, operands.valueDim)
        let count = operands.sequences.count
        let states = [
            OutputShape(
                name: "final_gram", shape: [count, heads, keys, keys], axes: [.sequence, .head, .state, .channel]),
            OutputShape(
                name: "final_memory", shape: [count, heads, keys, values], axes: [.sequence, .head, .state, .channel]),
        ]
        let o = OutputShape(
            name: "o", shape: [batch, batch == 0 ? 0 : operands.tokens / batch, heads, values],
            axes: [.batch, .token, .head, .channel])
        return [o] + states.dropFirst(operands.iterations > 0 ? 0 : 1)
    }

    func choices(output: NumberFormat) -> FamilyChoices<KalmanArithmetic> {
        declared.map { FamilyChoices(declared: $0) }
            ?? FamilyChoices(inputs: inputFormat, output: output, sizes: chunkSizes)
    }

    /// What the solver amplifies.
    func remarks(_ results: [KalmanHeadExpectation]) -> [String] {
        guard operands.iterations > 0 else { return ["num_iter is 0: nothing is solved, and G is not read"] }
        var worst = (condition: 0.0, head: 0)
        for (h, result) in results.enumerated() where result.condition > worst.condition {
            worst = (result.condition, h)
        }
        guard worst.condition > 0 else { return [] }
        let grown = SolverErrors.amplification(ridge: operands.ridge, iterations: operands.iterations)
        let most = operands.ridge > 0 ? figure(1 + 1 / operands.ridge) : "infinite"
        return [
            "the matrices G + lambda I have conditions of up to \(figure(worst.condition)) behind the last token of a "
                + "sequence (head \(worst.head)), and of 1 + 1 / ridge = \(most) at most; an error of every step of the "
                + "solver grows to \(figure(grown)) times its size in \(operands.iterations) steps"
        ]
    }
}
