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

struct DeltaJudge: KindJudge {
    let operands: DeltaOperands<Double>
    let chunkSize: Int?
    let inputFormat: NumberFormat
    let isStep: Bool
    private let batch: Int
    private let declared: DeltaArithmetic?
    private let declaration: String?

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
        if let i = g.elements.firstIndex(where: { $0 > 0 }) {
            throw InputError(
                .value, in: "\(place): g[\(i)]", expected: "the logarithm of a decay, at most 0",
                found: "\(g.elements[i])",
                remedy: "If g is the decay itself, take its logarithm.")
        }
        try InputError.requireSize([batch, length, heads, v.shape[3]], "\(place): v", of: "values")
        try InputError.requireSize(q.shape, "\(place): q", of: "keys")
        try InputError.requireSize(
            [batch, heads, q.shape[3], v.shape[3]], "\(place): q, v", of: "states [B, H, K, V]")
        var ranges = (0..<batch).map { $0 * length..<($0 + 1) * length }
        if source.contains("cu_seqlens") { ranges = try Self.packed(source, batch: batch, length: length) }
        try InputError.requireSize(
            [ranges.count, heads, q.shape[3], v.shape[3]], "\(place): q, v", of: "states [S, H, K, V]")
        let state = source.contains("initial_state") ? try finite(source, "initial_state") : nil
        try state?.requireShape([ranges.count, heads, q.shape[3], v.shape[3]], "\(place): initial_state")
        let tokens = batch * length
        let epsilon = try call.number("l2norm_epsilon", default: 1e-6)
        guard epsilon >= 0, epsilon.isFinite else {
            throw InputError(
                .value, in: "\(call.name): l2norm_epsilon", expected: "a number of at least 0", found: "\(epsilon)")
        }
        let scale = try call.number("scale", default: 1 / Double(q.shape[3]).squareRoot())
        guard scale.isFinite else {
            throw InputError(.value, in: "\(call.name): scale", expected: "a finite number", found: "\(scale)")
        }
        operands = DeltaOperands(
            q: try q.reshaped([tokens, q.shape[2], q.shape[3]]), k: try k.reshaped([tokens, q.shape[2], q.shape[3]]),
            v: try v.reshaped([tokens, heads, v.shape[3]]), logDecay: try g.reshaped([tokens, heads]),
            beta: try beta.reshaped([tokens, heads]), initialState: state, sequences: ranges, scale: scale,
            epsilon: try call.flag("use_qk_l2norm_in_kernel", default: false) ? epsilon : nil)
        chunkSize = try call.count("chunk_size").map { min($0, FamilyLimits.largestChunk) }
        inputFormat = try source.info("v").dtype.numberFormat
        isStep = call.kind == .gatedDeltaStep
        self.batch = batch
        (declared, declaration) = (try precision.delta(for: call.kind), precision.text)
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

    /// Tokens in a chunk: as proposed, and as public kernels have them. None where there are none;
    /// no two that are the whole sequence.
    var chunkSizes: [Int] {
        guard !isStep else { return [] }
        let longest = operands.sequences.map(\.count).max() ?? 0
        var sizes = [chunkSize ?? FamilyLimits.usualChunk]
        for size in FamilyLimits.chunkSizes where !sizes.contains(where: { min($0, longest) == min(size, longest) }) {
            sizes.append(size)
        }
        return sizes
    }

    /// The arithmetics a kernel may have.
    func choices(output: NumberFormat) -> DeltaChoices {
        declared.map { DeltaChoices(declared: $0) }
            ?? DeltaChoices(
                inputs: inputFormat, output: output, sizes: chunkSizes, normalizes: operands.epsilon != nil)
    }

    /// What is expected of the outputs, by the arithmetics of which each head has its best.
    func expect(_ found: [String: Tensor<Double>], formats: [String: NumberFormat]) throws -> Expectations {
        let choices = choices(output: formats["o"] ?? inputFormat)
        let results = parallelMap(operands.heads) { h in
            DeltaHeadExpectation.best(operands, h, choices, found, formats)
        }
        var expectations: [Expectation] = []
        for (place, output) in outputs.enumerated() {
            guard found[output.name] != nil, let format = formats[output.name] else { continue }
            let size = place == 0 ? operands.valueDim : operands.keyDim * operands.valueDim
            let count = output.shape.reduce(1, *)
            var exact = Tensor(repeating: 0.0, shape: output.shape)
            var errors = [LayerError](repeating: LayerError(bound: 0, variance: 0), count: count)
            for (h, result) in results.enumerated() {
                let numbers = place == 0 ? result.o : result.states
                for i in numbers.exact.indices {
                    let target = (i / size * operands.heads + h) * size + i % size
                    exact.elements[target] = numbers.exact[i]
                    errors[target] = result.error(output.name, i, as: format)
                }
            }
            expectations.append(
                Expectation(
                    output.name, axes: output.axes, exact: exact, errors: errors, magnitudes: nil, format: format))
        }
        return Expectations(
            outputs: expectations, precision: words(results.map(\.arithmetic)),
            remarks: remarks(results), decays: decays)
    }

    private var decays: [Double] {
        let tokens = max(operands.v.shape[0], 1)
        return (0..<operands.heads).map { h in
            stride(from: h, to: operands.logDecay.count, by: operands.heads).reduce(0) {
                $0 - operands.logDecay.elements[$1]
            } / Double(tokens)
        }
    }

    private func words(_ chosen: [DeltaArithmetic]) -> String {
        if let declaration { return "\(declaration): \(chosen.first?.description ?? "")" }
        let forms = Set(chosen.map(\.description)).sorted().joined(separator: " or ")
        return "\(forms) (inferred from the tensors)"
    }

    private func remarks(_ results: [DeltaHeadExpectation]) -> [String] {
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
        let growth = results.map(\.growth).max() ?? 1
        if growth > 1 + 1e-9 {
            remarks.append(
                "beta |k|² exceeds 2: an error of the state grows by up to \(figure(growth)) in a token, and so does the "
                    + "bound")
        }
        return remarks
    }
}
