//  Test vectors of softmax attention.

import DualityCore

extension VectorSuite {
    /// - Parameter kind: `attention`, or its gradients.
    static func attention(
        _ name: String, _ catches: String, kind: CaseKind = .attention, length: Int, cache: Int = 0, heads: Int = 4,
        shared: Int = 2, width: Int = 16, values: Int? = nil, batch: Int = 1, size: Double = 1, sinks: Bool = false,
        _ options: [String: String] = [:]
    ) -> VectorCase {
        layer(name, kind, catches: catches, options: options) { draw in
            try draw.add("q", [batch, length, heads, width]) { size * $0.normal() }
            try draw.add("k", [batch, length + cache, shared, width])
            try draw.add("v", [batch, length + cache, shared, values ?? width])
            if sinks { try draw.add("sinks", [heads], as: .f32) { 2 * $0.normal() } }
            if kind == .attentionGradients { try draw.add("dout", [batch, length, heads, values ?? width]) }
        }
    }

    static let attention: [VectorCase] =
        [1, 2, 63, 64, 65, 130].map { length in
            attention("attn-length-\(length)", "lengths around multiples of a block", length: length)
        }
        + [
            attention("attn-full", "attention that is not causal", length: 70, ["causal": "false"]),
            attention("attn-cache", "queries behind a cache of keys", length: 9, cache: 70),
            attention("attn-step", "one query behind a cache, as decoding has it", length: 1, cache: 90, batch: 2),
            attention("attn-one-head-of-keys", "six heads on one of keys", length: 40, heads: 6, shared: 1),
            attention("attn-own-keys", "every head with keys of its own", length: 40, heads: 3, shared: 3),
            attention("attn-wide-values", "values of another width", length: 40, values: 40),
            attention("attn-window", "a sliding window", length: 100, ["window": "16"]),
            attention("attn-window-cache", "a window over a cache", length: 5, cache: 60, ["window": "24"]),
            attention("attn-window-one", "a window of the token alone", length: 20, ["window": "1"]),
            attention(
                "attn-sink-tokens", "first tokens that stay outside the window", length: 90,
                ["window": "20", "sink_tokens": "4"]),
            attention("attn-sinks", "sinks that take weight and have no value", length: 50, sinks: true),
            attention("attn-scale", "a scale that is none of 1 / sqrt(D)", length: 40, ["scale": "0.6"]),
            attention("attn-steep", "scores of tens: one key takes all the weight", length: 70, size: 16),
            attention("attn-overflow", "scores beyond the range of exp", length: 40, size: 100),
            attention("attn-flat", "scores near 0: the mean of all values", length: 130, size: 0.01),
            attention("attn-batch", "an index that mixes rows of the batch", length: 30, batch: 3),
        ]
        + [64, 128, 256].map { width in
            attention(
                "attn-width-\(width)", "heads of \(width)", length: 66, heads: 2, shared: 1, width: width)
        }
}
