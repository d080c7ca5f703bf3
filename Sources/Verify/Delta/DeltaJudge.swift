//  The gated delta rule, over whole sequences and token by token.
//
//  | tensor        | shape        | meaning                                                          |
//  |---------------|--------------|------------------------------------------------------------------|
//  | q, k          | [B, L, Hk, K] | head h reads head h div (H / Hk)                                |
//  | v             | [B, L, H, V] |                                                                  |
//  | g             | [B, L, H]    | log decay, at most 0                                             |
//  | beta          | [B, L, H]    | step                                                             |
//  | initial_state | [S, H, K, V] | zeros if absent; S is B, or the packed sequences                 |
//  | cu_seqlens    | [S + 1]      | packed, B = 1: where sequences begin                             |
//  | o             | [B, L, H, V] | output                                                           |
//  | final_state   | [S, H, K, V] | output                                                           |
//
//  Options: `scale` of q (1 / sqrt(K) if absent), `use_qk_l2norm_in_kernel` and `l2norm_epsilon`
//  (1e-6), `chunk_size` (64 if absent). The equations are those of DeltaOperands.swift.

import DualityCore
import DualityNumerics
import DualityReference

struct DeltaJudge: FamilyJudge {
    typealias Head = DeltaHeadExpectation
    typealias Fault = DeltaFault

    let operands: DeltaOperands<Double>
    let chunkSize: Int?
    let inputFormat: NumberFormat
    let isStep: Bool
    private let batch: Int
    private let declared: DeltaArithmetic?
    let declaration: String?

    init(_ call: CallDescription, inputs source: any TensorSource, precision: DeclaredPrecision) throws {
        let place = source.place
        let (q, k, v) = try (finite(source, "q"), finite(source, "k"), finite(source, "v"))
        let (g, beta) = try (finite(source, "g"), finite(source, "beta"))
        guard v.shape.count == 4, v.shape[2] > 0 else {
            throw InputError(.shape, in: "\(place): v", expected: "[B, L, H, V]", found: "\(v.shape)")
        }
        let (batch, length, heads) = (v.shape[0], v.shape[1], v.shape[2])
        guard q.shape.count == 4, q.shape[0] == batch, q.shape[1] == length, q.shape[2] > 0,
            heads % q.shape[2] == 0, q.shape[3] > 0
        else {
            throw InputError(
                .shape, in: "\(place): q",
                expected: "[\(batch), \(length), Hk, K] with Hk a divisor of the \(heads) heads of v",
                found: "\(q.shape)")
        }
        try k.requireShape(q.shape, "\(place): k")
        try g.requireShape([batch, length, heads], "\(place): g")
        try beta.requireShape([batch, length, heads], "\(place): beta")
        try FamilyCall.requireDecays(g, place)
        try InputError.requireSize([batch, length, heads, v.shape[3]], "\(place): v", of: "values")
        try InputError.requireSize(q.shape, "\(place): q", of: "keys")
        try InputError.requireSize(
            [batch, heads, q.shape[3], v.shape[3]], "\(place): q, v", of: "states [B, H, K, V]")
        let ranges = try FamilyCall.sequences(source, batch: batch, length: length)
        try InputError.requireSize(
            [ranges.count, heads, q.shape[3], v.shape[3]], "\(place): q, v", of: "states [S, H, K, V]")
        let state = source.contains("initial_state") ? try finite(source, "initial_state") : nil
        try state?.requireShape([ranges.count, heads, q.shape[3], v.shape[3]], "\(place): initial_state")
        let tokens = batch * length
        operands = DeltaOperands(
            q: try q.reshaped([tokens, q.shape[2], q.shape[3]]), k: try k.reshaped([tokens, q.shape[2], q.shape[3]]),
            v: try v.reshaped([tokens, heads, v.shape[3]]), logDecay: try g.reshaped([tokens, heads]),
            beta: try beta.reshaped([tokens, heads]), initialState: state, sequences: ranges,
            scale: try FamilyCall.scale(call, width: q.shape[3]),
            epsilon: try FamilyCall.epsilon(call, normalizes: false))
        chunkSize = try call.count("chunk_size").map { min($0, FamilyLimits.largestChunk) }
        inputFormat = try source.info("v").dtype.numberFormat
        isStep = call.kind == .gatedDeltaStep
        self.batch = batch
        (declared, declaration) = (try precision.delta(for: call.kind), precision.text)
    }

    var outputs: [OutputShape] {
        let tokens = operands.v.shape[0]
        return [
            OutputShape(
                name: "o",
                shape: [batch, batch == 0 ? 0 : tokens / batch, operands.heads, operands.valueDim],
                axes: [.batch, .token, .head, .channel]),
            OutputShape(
                name: "final_state",
                shape: [operands.sequences.count, operands.heads, operands.keyDim, operands.valueDim],
                axes: [.sequence, .head, .state, .channel]),
        ]
    }

    func choices(output: NumberFormat) -> FamilyChoices<DeltaArithmetic> {
        declared.map { FamilyChoices(declared: $0) }
            ?? FamilyChoices(
                inputs: inputFormat, output: output, sizes: chunkSizes, normalizes: operands.epsilon != nil)
    }

    func remarks(_ results: [DeltaHeadExpectation]) -> [String] {
        remarks(growth: results.map(\.growth).max() ?? 1)
    }

    /// - Parameter growth: what an error of the state grows by in a token.
    func remarks(growth: Double) -> [String] {
        var remarks: [String] = []
        let conditions =
            isStep
            ? []
            : parallelMap(operands.heads) { h in
                DeltaBound.condition(
                    of: operands.head(h), operands.sequences, chunkSize: chunkSize ?? FamilyLimits.usualChunk)
            }
        if let condition = conditions.max(), condition > 1 {
            let head = conditions.firstIndex(of: condition) ?? 0
            remarks.append(
                "the triangular systems I + A of chunks of \(chunkSize ?? FamilyLimits.usualChunk) have conditions |T| (I + |A|) of up to "
                    + "\(figure(condition)) (head \(head))")
        }
        if growth > 1 + 1e-9 {
            remarks.append(
                "beta |k|² exceeds 2: an error of the state grows by up to \(figure(growth)) in a token, and so does the "
                    + "bound")
        }
        return remarks
    }
}
