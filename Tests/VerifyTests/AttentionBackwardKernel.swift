import DualityCore

@testable import DualityVerify

/// A backward pass of attention in Float, right or with one planted fault: whole rows whose weights
/// are kept, or blocks of keys and queries whose weights are made anew. It shares nothing with the
/// reference, the imitation or the diagnosis.
struct AttentionBackwardKernel: Sendable {
    /// Keys and queries of a block of the running form; nil for whole rows.
    var block: Int?
    /// Whether weights, gradients of scores and the output are bfloat16, and scores of whole rows.
    var isNarrow = false
    /// What is wrong, by the name that the diagnosis should find.
    var mistake = ""

    var plant: String { mistake.isEmpty ? "" : "attn-grad-\(mistake)" }

    static let plants = [
        "scale-missing-in-dq", "scale-twice-in-dq", "scale-missing-in-dk", "scale-twice-in-dk", "scale-missing",
        "scale-twice", "of-first-head-only", "of-last-head-only", "of-heads-averaged", "heads-tiled",
        "dk-and-dv-swapped", "dq-sign", "dk-sign", "mask-missing", "mask-misses-diagonal", "mask-sees-next-token",
        "mask-from-the-first-key", "window-ignored", "window-one-too-long", "window-one-too-short",
        "sink-tokens-ignored", "row-correction-missing", "row-correction-sign", "row-correction-without-sinks",
        "weights-missing-in-ds", "softmax-not-normalised", "softmax-base-two", "sinks-ignored", "dsinks-missing",
        "dsinks-sign", "dsinks-unweighted", "dsinks-misses-correction", "dsinks-of-first-row", "weights-in-bf16",
    ]
    static let blockPlants = [
        "last-keys-missing", "first-block-missing", "dq-of-last-block-only", "dk-of-last-block-only",
        "mask-sees-next-token", "window-one-too-long", "window-one-too-short", "mask-misses-diagonal",
    ]

    private func planted(_ name: String) -> Bool { mistake == name }
    private func narrow(_ x: Float) -> Float {
        isNarrow || planted("weights-in-bf16") ? DeltaKernel.bf16(x) : x
    }

    private struct Operands {
        var (q, k, v, pull) = ([Float](), [Float](), [Float](), [Float]())
        var (queries, keys, heads, shared, width, values) = (0, 0, 0, 0, 0, 0)
        var scale: Float = 1
        var options: [String: String] = [:]
    }

    func callAsFunction(_ source: TensorTable, _ options: [String: String]) throws -> [String: Tensor<Double>] {
        func read(_ name: String) throws -> Tensor<Float> { try source.tensor(name) }
        let (q, k, v, pull) = try (read("q"), read("k"), read("v"), read("dout"))
        let sinks = source.contains("sinks") ? try read("sinks") : nil
        var own = Operands()
        (own.q, own.k, own.v, own.pull) = (q.elements, k.elements, v.elements, pull.elements)
        (own.queries, own.keys, own.heads) = (q.shape[1], k.shape[1], q.shape[2])
        (own.shared, own.width, own.values) = (k.shape[2], q.shape[3], v.shape[3])
        own.scale = options["scale"].flatMap { Float($0) } ?? 1 / Float(own.width).squareRoot()
        own.options = options
        var (dq, dk, dv) = (q.map { _ in Float(0) }, k.map { _ in Float(0) }, v.map { _ in Float(0) })
        var ds = [Float](repeating: 0, count: own.heads)
        for b in 0..<q.shape[0] {
            for h in 0..<own.heads {
                for t in 0..<own.queries {
                    row(own, b, t, h, sinks?.elements[h], &dq.elements, &dk.elements, &dv.elements, &ds)
                }
            }
        }
        if planted("dk-and-dv-swapped") { (dk, dv) = (dv, dk) }
        var results: [String: Tensor<Double>] = [
            "grad_q": dq.map { Double(planted("dq-sign") ? -$0 : $0) },
            "grad_k": dk.map { Double(planted("dk-sign") ? -$0 : $0) }, "grad_v": dv.map { Double($0) },
        ]
        if sinks != nil { results["grad_sinks"] = Tensor(shape: [own.heads], unchecked: ds.map { Double($0) }) }
        return results
    }

    private func visible(_ own: Operands, _ t: Int, _ s: Int, isBackward: Bool) -> Bool {
        // In blocks the forward pass, which left the logarithms, is right.
        let mistake = block == nil || isBackward ? self.mistake : ""
        let here = mistake == "mask-from-the-first-key" ? t : t + own.keys - own.queries
        if mistake == "last-keys-missing", s >= own.keys / 64 * 64 { return false }
        if mistake == "first-block-missing", s < 64 { return false }
        if own.options["causal"] != "false", mistake != "mask-missing" {
            if mistake == "mask-misses-diagonal", s >= here { return false }
            if s > here + (mistake == "mask-sees-next-token" ? 1 : 0) { return false }
        }
        guard var window = own.options["window"].flatMap({ Int($0) }), mistake != "window-ignored" else { return true }
        if s < own.options["sink_tokens"].flatMap({ Int($0) }) ?? 0, mistake != "sink-tokens-ignored" { return true }
        if mistake == "window-one-too-long" { window += 1 }
        if mistake == "window-one-too-short" { window -= 1 }
        return here - s < window
    }

    private func row(
        _ own: Operands, _ b: Int, _ t: Int, _ h: Int, _ sink: Float?, _ dq: inout [Float], _ dk: inout [Float],
        _ dv: inout [Float], _ ds: inout [Float]
    ) {
        let group = own.heads / own.shared
        let head = planted("heads-tiled") ? h % own.shared : h / group
        let (query, out) = (
            ((b * own.queries + t) * own.heads + h) * own.width, ((b * own.queries + t) * own.heads + h) * own.values
        )
        func key(_ s: Int) -> Int { ((b * own.keys + s) * own.shared + head) * own.width }
        func value(_ s: Int) -> Int { ((b * own.keys + s) * own.shared + head) * own.values }
        let inScores = planted("scale-missing") ? 1 : planted("scale-twice") ? own.scale * own.scale : own.scale
        var (scores, pulled) = ([Float](repeating: 0, count: own.keys), [Float](repeating: 0, count: own.keys))
        for s in 0..<own.keys {
            for m in 0..<own.width { scores[s] += own.q[query + m] * own.k[key(s) + m] }
            scores[s] *= inScores
            if isNarrow && block == nil { scores[s] = DeltaKernel.bf16(scores[s]) }
            for c in 0..<own.values { pulled[s] += own.pull[out + c] * own.v[value(s) + c] }
        }
        let seen = (0..<own.keys).filter { visible(own, t, $0, isBackward: false) }
        guard !seen.isEmpty else { return }
        let counted = planted("sinks-ignored") ? nil : sink
        let largest = seen.reduce(counted ?? -.infinity) { max($0, scores[$1]) }
        let base: Float = planted("softmax-base-two") ? 0.6931472 : 1
        let sum = seen.reduce(counted.map { Float.exp($0 - largest) } ?? 0) { $0 + Float.exp(scores[$1] - largest) }
        let without = seen.reduce(0) { $0 + Float.exp(scores[$1] - largest) }
        let logarithm = planted("softmax-not-normalised") ? largest : largest + Float.log(sum)
        var correction: Float = 0
        if block == nil {
            let divisor = planted("row-correction-without-sinks") ? without : sum
            for s in seen { correction += Float.exp(scores[s] - largest) / divisor * pulled[s] }
        } else {
            for c in 0..<own.values {
                var o: Float = 0
                for s in seen { o += narrow(Float.exp(scores[s] - largest)) * own.v[value(s) + c] }
                correction += own.pull[out + c] * (isNarrow ? DeltaKernel.bf16(o / sum) : o / sum)
            }
        }
        let ofSink = counted.map { Float.exp($0 - largest) / sum } ?? 0
        switch mistake {
        case "dsinks-missing": break
        case "dsinks-sign": ds[h] += ofSink * correction
        case "dsinks-unweighted": ds[h] -= correction
        case "dsinks-misses-correction": ds[h] -= ofSink
        case "dsinks-of-first-row": if b == 0 { ds[h] -= ofSink * correction }
        default: ds[h] -= ofSink * correction
        }
        if planted("row-correction-missing") { correction = 0 }
        if planted("row-correction-sign") { correction = -correction }
        var share: Float = planted("of-heads-averaged") ? 1 / Float(group) : 1
        let rank = planted("heads-tiled") ? h / own.shared : h % group
        if planted("of-first-head-only") && rank > 0 || planted("of-last-head-only") && rank < group - 1 { share = 0 }
        if planted("dk-of-last-block-only"), t / 64 != (own.queries - 1) / 64 { share = 0 }
        var (forQ, forK) = (own.scale, own.scale)
        if planted("scale-missing-in-dq") { forQ = 1 }
        if planted("scale-twice-in-dq") { forQ *= forQ }
        if planted("scale-missing-in-dk") { forK = 1 }
        if planted("scale-twice-in-dk") { forK *= forK }
        let lastBlock = own.options["causal"] == "false" ? (own.keys - 1) / 64 : (t + own.keys - own.queries) / 64
        for s in 0..<own.keys where visible(own, t, s, isBackward: true) {
            let w = Float.exp(base * (scores[s] - logarithm))
            let ofScore = narrow((planted("weights-missing-in-ds") ? 1 : w) * (pulled[s] - correction))
            let isTaken = !planted("dq-of-last-block-only") || s / 64 == lastBlock
            for m in 0..<own.width {
                if isTaken { dq[query + m] += forQ * ofScore * own.k[key(s) + m] }
                dk[key(s) + m] += share * forK * ofScore * own.q[query + m]
            }
            for c in 0..<own.values { dv[value(s) + c] += share * narrow(w) * own.pull[out + c] }
        }
    }
}
