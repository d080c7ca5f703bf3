//  Softmax attention of queries behind a cache of keys.
//
//      o_t = Σ_s e^(scale q_t · k_s - m) v_s / (Σ_s e^(scale q_t · k_s - m) + e^(sink - m)),   s visible to t
//
//  | tensor | shape           | meaning                                                          |
//  |--------|-----------------|------------------------------------------------------------------|
//  | q      | [B, L, H, D]    | the last L of M positions                                        |
//  | k, v   | [B, M, Hkv, D]  | head h reads head h div (H / Hkv); v may have another width      |
//  | sinks  | [H]             | optional: logits that take weight and have no value              |
//  | o      | [B, L, H, V]    | output; zero where a query sees nothing                          |
//
//  Options: `causal` (true if absent), `window` (keys a query sees, itself the last), `sink_tokens`
//  (the first keys, which every query sees whatever its window), `scale` (1 / sqrt(D) if absent).

import DualityCore
import DualityNumerics
import DualityReference

struct AttentionJudge: KindJudge {
    let call: AttentionCall
    let inputFormat: NumberFormat
    let chunkSize: Int? = nil
    private let declared: AttentionArithmetic?
    private let declaration: String?

    init(_ call: CallDescription, inputs source: any TensorSource, precision: DeclaredPrecision) throws {
        let place = source.place
        let (q, k, v) = try (finite(source, "q"), finite(source, "k"), finite(source, "v"))
        guard q.shape.count == 4, q.shape[2] > 0, q.shape[3] > 0 else {
            throw InputError(.shape, in: "\(place): q", expected: "[B, L, H, D]", found: "\(q.shape)")
        }
        guard k.shape.count == 4, k.shape[0] == q.shape[0], k.shape[1] >= q.shape[1], k.shape[2] > 0,
            q.shape[2] % k.shape[2] == 0, k.shape[3] == q.shape[3]
        else {
            throw InputError(
                .shape, in: "\(place): k",
                expected: "[\(q.shape[0]), M, Hkv, \(q.shape[3])] with M at least the \(q.shape[1]) queries and Hkv a "
                    + "divisor of \(q.shape[2])", found: "\(k.shape)")
        }
        guard v.shape.count == 4, v.shape.dropLast() == k.shape.dropLast() else {
            throw InputError(
                .shape, in: "\(place): v", expected: "\(Array(k.shape.dropLast())) and a width", found: "\(v.shape)")
        }
        let sinks = source.contains("sinks") ? try finite(source, "sinks") : nil
        try sinks?.requireShape([q.shape[2]], "\(place): sinks")
        let scale = try call.number("scale", default: 1 / Double(q.shape[3]).squareRoot())
        guard scale.isFinite else {
            throw InputError(.value, in: "\(call.name): scale", expected: "a finite number", found: "\(scale)")
        }
        self.call = AttentionCall(
            q: q, k: k, v: v, sinks: sinks, scale: scale, isCausal: try call.flag("causal", default: true),
            window: try call.count("window").map { min($0, k.shape[1] + 1) },
            sinkTokens: try call.count("sink_tokens") ?? 0)
        inputFormat = try source.info("q").dtype.numberFormat
        (declared, declaration) = (try precision.attention(for: call.kind), precision.text)
    }

    var outputs: [OutputShape] {
        [
            OutputShape(
                name: "o", shape: [call.q.shape[0], call.length, call.heads, call.valueDim],
                axes: [.batch, .token, .head, .channel])
        ]
    }

    /// The arithmetics a kernel may have, wide ones first.
    private func arithmetics(output: NumberFormat) -> [AttentionArithmetic] {
        if let declared { return [declared] }
        if inputFormat == .f64 || output == .f64 { return [AttentionArithmetic(.f64)] }
        let wide = AttentionArithmetic(inputFormat)
        guard !inputFormat.holds(.f32) else { return [wide] }
        var (flash, eager) = (wide, wide)
        flash.weights = inputFormat
        (eager.weights, eager.scores) = (inputFormat, inputFormat)
        return [wide, flash, eager]
    }

    func expect(_ found: [String: Tensor<Double>], formats: [String: NumberFormat]) throws -> Expectations {
        let format = formats["o"] ?? inputFormat
        let choices = arithmetics(output: format)
        let tensor = found["o"]
        let results = parallelMap(call.heads) { h in
            var best: (rows: [AttentionErrors], worst: Double, choice: Int)?
            for (i, arithmetic) in choices.enumerated() {
                let rows = errors(h, arithmetic)
                let worst = largest(h, rows, tensor, format)
                if best.map({ worst < $0.worst }) ?? true { best = (rows, worst, i) }
                if worst < Limits.sigma / 2 { break }
            }
            return best ?? (rows: [], worst: 0, choice: 0)
        }
        let shape = outputs[0].shape
        var exact = Tensor(repeating: 0.0, shape: shape)
        var sizes = [LayerError](repeating: LayerError(bound: 0, variance: 0), count: exact.count)
        for (h, result) in results.enumerated() {
            for (i, row) in result.rows.enumerated() {
                for j in 0..<call.valueDim {
                    let target = (i * call.heads + h) * call.valueDim + j
                    exact.elements[target] = row.exact[j]
                    sizes[target] = Self.stored(row, j, format)
                }
            }
        }
        let words = Set(results.map { "\(choices[$0.choice])" }).sorted().joined(separator: " or ")
        return Expectations(
            outputs: [
                Expectation(
                    "o", axes: outputs[0].axes, exact: exact, errors: sizes, magnitudes: nil, format: format)
            ],
            precision: declaration.map { "\($0): \(words)" } ?? "\(words) (inferred from the tensors)")
    }

    /// All queries of a head, batch and tokens outermost.
    private func errors(_ h: Int, _ arithmetic: AttentionArithmetic) -> [AttentionErrors] {
        let shared = call.keyHead(h)
        return (0..<call.q.shape[0] * call.length).map { i in
            let (b, t) = (i / call.length, i % call.length)
            let seen = (0..<call.keyCount).filter { call.sees(t, $0) }
            return AttentionErrors(
                call.query(b, t, h), seen.map { AttentionCall.row(call.k, b, $0, shared) },
                seen.map { AttentionCall.row(call.v, b, $0, shared) }, width: call.valueDim, scale: call.scale,
                sink: call.sinks?.elements[h], arithmetic)
        }
    }

    private static func stored(_ row: AttentionErrors, _ j: Int, _ format: NumberFormat) -> LayerError {
        guard row.exact[j].isFinite, row.variance[j].isFinite else { return LayerError(bound: .infinity, variance: 1) }
        return LayerError(bound: row.bound[j], variance: row.variance[j]).stored(row.exact[j], as: format)
    }

    private func largest(
        _ h: Int, _ rows: [AttentionErrors], _ tensor: Tensor<Double>?, _ format: NumberFormat
    ) -> Double {
        guard let tensor else { return 0 }
        var (worst, squares) = (0.0, 0.0)
        for (i, row) in rows.enumerated() {
            for j in 0..<call.valueDim {
                let error = (tensor.elements[(i * call.heads + h) * call.valueDim + j] - row.exact[j]).magnitude
                let allowed = Self.stored(row, j, format)
                guard error != 0, allowed.bound.isFinite else { continue }
                let ratio = error / max(allowed.variance.squareRoot(), 1e-150)
                worst = max(worst, error <= allowed.bound ? ratio : 1e30)
                squares += ratio.isFinite ? min(ratio * ratio, 1e16) : 1e16
            }
        }
        return worst < 1e30 ? worst : 1e30 + squares
    }

    static let faults = AttentionFault.allCases.map(\.asLayerFault)

    func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], seeksPairs: Bool
    ) -> Diagnosis {
        let results = parallelMap(AttentionFault.allCases.count) { call.run(AttentionFault.allCases[$0]) }
        let byName = Dictionary(
            zip(AttentionFault.allCases.map(\.rawValue), results), uniquingKeysWith: { first, _ in first })
        return LayerFault.diagnose(Self.faults, found, expectations) { fault in
            (byName[fault.name] ?? nil).map { ["o": $0] }
        }
    }
}
