import DualityCore
import DualityReference

@testable import DualityVerify

/// Kernels of attention in Float, right or with one planted fault: whole rows as an eager one has
/// them, or blocks of keys with a running maximum. They share nothing with the reference or the
/// diagnosis.
struct AttentionKernel: Sendable {
    /// Keys of a block of the running form; nil for whole rows.
    var block: Int?
    /// Whether weights, and scores of whole rows, are bfloat16.
    var isNarrow = false
    /// What is wrong, by the name that the diagnosis should find.
    var plant = ""

    static let plants = [
        "attn-scale-missing", "attn-scale-twice", "attn-mask-missing", "attn-mask-misses-diagonal",
        "attn-mask-sees-next-token", "attn-mask-from-the-first-key", "attn-masked-scores-are-zero",
        "attn-window-ignored", "attn-window-one-too-long", "attn-window-one-too-short", "attn-sink-tokens-ignored",
        "attn-sinks-ignored", "attn-heads-tiled", "attn-softmax-without-maximum", "attn-softmax-not-normalised",
        "attn-softmax-base-two", "attn-scores-in-bf16", "attn-weights-in-bf16",
    ]
    static let blockPlants = [
        "attn-blocks-not-rescaled", "attn-last-keys-missing", "attn-first-block-missing", "attn-scores-in-bf16",
        "attn-weights-in-bf16",
    ]
    /// What kernels of a model in bfloat16 do anyway.
    static let usualInBFloat16: Set = ["attn-scores-in-bf16", "attn-weights-in-bf16"]

    /// Whole rows and blocks, each with every plant.
    static var planted: [AttentionKernel] {
        plants.map { AttentionKernel(plant: $0) } + blockPlants.map { AttentionKernel(block: 64, plant: $0) }
    }

    func callAsFunction(_ source: TensorTable, _ options: [String: String]) throws -> Tensor<Double> {
        func read(_ name: String) throws -> Tensor<Float> { try source.tensor(name) }
        let (q, k, v) = try (read("q"), read("k"), read("v"))
        let sinks = source.contains("sinks") && plant != "attn-sinks-ignored" ? try read("sinks") : nil
        let (batch, queries, heads, width) = (q.shape[0], q.shape[1], q.shape[2], q.shape[3])
        let (keys, shared, values) = (k.shape[1], k.shape[2], v.shape[3])
        var scale = options["scale"].flatMap { Float($0) } ?? 1 / Float(width).squareRoot()
        if plant == "attn-scale-missing" { scale = 1 }
        if plant == "attn-scale-twice" { scale *= scale }
        var o = Tensor(repeating: 0.0, shape: [batch, queries, heads, values])
        for b in 0..<batch {
            for h in 0..<heads {
                let own = plant == "attn-heads-tiled" ? h % shared : h * shared / heads
                for t in 0..<queries {
                    var scores = [Float](repeating: -.infinity, count: keys)
                    for s in 0..<keys {
                        guard visible(t, s, keys - queries, options) else {
                            if plant == "attn-masked-scores-are-zero" { scores[s] = 0 }
                            continue
                        }
                        var sum: Float = 0
                        for i in 0..<width {
                            sum +=
                                q.elements[((b * queries + t) * heads + h) * width + i]
                                * k.elements[((b * keys + s) * shared + own) * width + i]
                        }
                        let rounds = plant == "attn-scores-in-bf16" || isNarrow && block == nil
                        // An eager kernel stores the product, and again what scaling leaves.
                        if rounds && block == nil { sum = DeltaKernel.bf16(sum) }
                        scores[s] = rounds ? DeltaKernel.bf16(sum * scale) : sum * scale
                    }
                    let rows = (0..<keys).map { s in
                        let at = ((b * keys + s) * shared + own) * values
                        return v.elements[at..<at + values]
                    }
                    let row =
                        block.map { running(scores, rows, $0, sinks?.elements[h], values) }
                        ?? whole(scores, rows, sinks?.elements[h], values)
                    for j in 0..<values { o.elements[((b * queries + t) * heads + h) * values + j] = Double(row[j]) }
                }
            }
        }
        return o
    }

    private func visible(_ t: Int, _ s: Int, _ offset: Int, _ options: [String: String]) -> Bool {
        let here = plant == "attn-mask-from-the-first-key" ? t : t + offset
        if options["causal"] != "false", plant != "attn-mask-missing" {
            if plant == "attn-mask-misses-diagonal", s >= here { return false }
            if s > here + (plant == "attn-mask-sees-next-token" ? 1 : 0) { return false }
        }
        guard var window = options["window"].flatMap({ Int($0) }), plant != "attn-window-ignored" else { return true }
        let first = options["sink_tokens"].flatMap { Int($0) } ?? 0
        if s < first, plant != "attn-sink-tokens-ignored" { return true }
        if plant == "attn-window-one-too-long" { window += 1 }
        if plant == "attn-window-one-too-short" { window -= 1 }
        return here - s < window
    }

    private func exp(_ x: Float) -> Float { Float.exp(plant == "attn-softmax-base-two" ? x * 0.6931472 : x) }
    private func narrow(_ x: Float) -> Float {
        isNarrow || plant == "attn-weights-in-bf16" ? DeltaKernel.bf16(x) : x
    }

    private func whole(_ scores: [Float], _ rows: [ArraySlice<Float>], _ sink: Float?, _ values: Int) -> [Float] {
        var out = [Float](repeating: 0, count: values)
        guard let top = scores.max(), top > -.infinity else { return out }
        let largest = plant == "attn-softmax-without-maximum" ? 0 : max(top, sink ?? top)
        var weights = scores.map { $0 > -.infinity ? exp($0 - largest) : 0 }
        let sum = weights.reduce(sink.map { exp($0 - largest) } ?? 0, +)
        if plant != "attn-softmax-not-normalised" { weights = weights.map { $0 / sum } }
        for (w, row) in zip(weights, rows) where w != 0 {
            for (j, x) in row.enumerated() { out[j] += narrow(w) * x }
        }
        return out
    }

    private func running(
        _ scores: [Float], _ rows: [ArraySlice<Float>], _ block: Int, _ sink: Float?, _ values: Int
    ) -> [Float] {
        var out = [Float](repeating: 0, count: values)
        var (largest, sum) = (sink ?? -Float.infinity, Float(sink == nil ? 0 : 1))
        for first in stride(from: 0, to: scores.count, by: block) {
            let part = first..<min(first + block, scores.count)
            if plant == "attn-last-keys-missing", part.count < block { continue }
            if plant == "attn-first-block-missing", first == 0 { continue }
            let top = max(largest, scores[part].max() ?? largest)
            guard top > -.infinity else { continue }
            if plant != "attn-blocks-not-rescaled", largest > -.infinity {
                let fade = exp(largest - top)
                sum *= fade
                for j in out.indices { out[j] *= fade }
            }
            largest = top
            for s in part where scores[s] > -.infinity {
                let w = exp(scores[s] - top)
                sum += w
                for (j, x) in rows[s].enumerated() { out[j] += narrow(w) * x }
            }
        }
        return sum > 0 && plant != "attn-softmax-not-normalised" ? out.map { $0 / sum } : out
    }
}
