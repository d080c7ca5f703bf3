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
    let declaration: String?

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
        for (name, shape) in [("q", q.shape), ("k", k.shape), ("v", v.shape)] {
            try InputError.requireSize(shape, "\(place): \(name)", of: "a tensor")
        }
        try InputError.requireSize(q.shape.dropLast() + [v.shape[3]], "\(place): q, v", of: "outputs [B, L, H, V]")
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
    func arithmetics(output: NumberFormat) -> [AttentionArithmetic] {
        if let declared { return [declared] }
        if inputFormat == .f64 || output == .f64 {
            var double = AttentionArithmetic(.f64)
            double.output = output
            return [double]
        }
        var wide = AttentionArithmetic(.f32)
        wide.output = output
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
            var best: (rows: [AttentionErrors], fit: ErrorFit, choice: AttentionArithmetic)?
            for arithmetic in choices {
                let rows = errors(h, arithmetic)
                let fit = fit(head: h, rows: rows, tensor: tensor, arithmetic: arithmetic, format: format)
                if best.map({ fit < $0.fit }) ?? true { best = (rows, fit, arithmetic) }
                if fit.isGood { break }
            }
            return best ?? (rows: [], fit: ErrorFit(), choice: choices[0])
        }
        let shape = outputs[0].shape
        var exact = Tensor(repeating: 0.0, shape: shape)
        var sizes = [LayerError](repeating: LayerError(bound: 0, variance: 0), count: exact.count)
        for (h, result) in results.enumerated() {
            for (i, row) in result.rows.enumerated() {
                for j in 0..<call.valueDim {
                    let target = (i * call.heads + h) * call.valueDim + j
                    exact.elements[target] = row.exact[j]
                    sizes[target] = Self.allowed(row, j, result.choice, format)
                }
            }
        }
        let words = Set(results.map { "\($0.choice)" }).sorted().joined(separator: " or ")
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

    private static func allowed(
        _ row: AttentionErrors, _ j: Int, _ arithmetic: AttentionArithmetic, _ format: NumberFormat
    ) -> LayerError {
        .promised(
            row.exact[j], bound: row.overflows ? .infinity : row.bound[j], variance: row.variance[j],
            accumulate: arithmetic.accumulate, stored: [arithmetic.output, format])
    }

    private func fit(
        head h: Int, rows: [AttentionErrors], tensor: Tensor<Double>?, arithmetic: AttentionArithmetic,
        format: NumberFormat
    ) -> ErrorFit {
        var fit = ErrorFit()
        guard let tensor else { return fit }
        for (i, row) in rows.enumerated() {
            for j in 0..<call.valueDim {
                let found = tensor.elements[(i * call.heads + h) * call.valueDim + j]
                fit.add(found, row.exact[j], Self.allowed(row, j, arithmetic, format))
            }
        }
        return fit
    }

    static let faults = AttentionFault.allCases.map(\.asLayerFault)

    func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], seeksPairs: Bool
    ) -> Diagnosis {
        let attempts = AttentionFault.allCases.flatMap { fault in fault.roundings.map { (fault, $0) } }
        let results = parallelMap(attempts.count) { call.run(attempts[$0].0, attempts[$0].1) }
        let faults = attempts.enumerated().map { i, attempt in
            var fault = attempt.0.asLayerFault
            fault.attempt = i
            return fault
        }
        return LayerFault.diagnose(faults, found, expectations) { fault in
            results[fault.attempt].map { ["o": $0] }
        }
    }
}
