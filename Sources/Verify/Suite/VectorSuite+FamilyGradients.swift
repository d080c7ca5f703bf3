//  Test vectors of the gated delta rule and of softmax attention backwards: the operands of a call,
//  and what a loss says about its outputs.

import DualityCore

extension VectorSuite {
    private static func delta(
        _ name: String, _ catches: String, _ describe: @escaping (inout DeltaCase) -> Void = { _ in }
    ) -> VectorCase {
        .delta(name, catches, kind: .gatedDeltaGradients) {
            ($0.length, $0.keyDim, $0.valueDim, $0.chunkSize) = (40, 8, 8, 16)
            describe(&$0)
        }
    }

    static let deltaGradients: [VectorCase] =
        [1, 15, 16, 17, 33].map { length in
            delta("delta-grad-length-\(length)", "the backward pass of lengths around the chunk") { $0.length = length }
        } + deltaGradientShapes + deltaGradientValues

    private static let deltaGradientShapes: [VectorCase] = [
        delta("delta-grad-plain", "q and k that come normalised, no state at either end") {
            ($0.normalizes, $0.stateScale, $0.hasStateGradient) = (false, 0, false)
        },
        delta("delta-grad-final-state-only", "a loss on the final state alone") {
            ($0.length, $0.hasOutputGradient) = (20, false)
        },
        delta("delta-grad-batch", "an index that mixes rows of the batch") { ($0.batch, $0.length) = (3, 20) },
        delta("delta-grad-shared-keys", "gradients of q and k that are sums over the heads that share them") {
            ($0.heads, $0.keyHeads, $0.valueDim) = (4, 2, 6)
        },
        delta("delta-grad-one-head-of-keys", "six heads on one of keys, normalised by nobody") {
            ($0.heads, $0.keyHeads, $0.normalizes) = (6, 1, false)
        },
        delta("delta-grad-odd-dims", "tiles that do not divide K and V") { ($0.keyDim, $0.valueDim) = (7, 5) },
        delta("delta-grad-tiny-dims", "K = V = 1") { ($0.keyDim, $0.valueDim) = (1, 1) },
        delta("delta-grad-chunk-64", "chunks of 64, whose inverse is put together of blocks") {
            ($0.length, $0.chunkSize) = (130, 64)
        },
        delta("delta-grad-width-64", "keys and values of 64") {
            ($0.keyDim, $0.valueDim, $0.length) = (64, 64, 35)
        },
        delta("delta-grad-width-128", "keys and values of 128") {
            ($0.keyDim, $0.valueDim, $0.length, $0.heads, $0.keyHeads) = (128, 128, 20, 1, 1)
        },
        delta("delta-grad-packed", "gradients that stop at packed boundaries around the chunk") {
            ($0.cuts, $0.length, $0.decay) = ([1, 15, 17, 33], 50, 0.01)
        },
        delta("delta-grad-packed-no-state", "packed sequences that begin from nothing") {
            ($0.cuts, $0.stateScale, $0.decay) = ([16, 30], 0, 0.01)
        },
    ]

    private static let deltaGradientValues: [VectorCase] =
        [("1e-8", 1e-8), ("1e-3", 1e-3), ("2", 2), ("30", 30)].map { word, decay in
            delta("delta-grad-decay-\(word)", "the backward pass where -g is around \(word) a token") {
                $0.decay = decay
            }
        }
        + [
            delta("delta-grad-beta-small", "steps near 0, which write next to nothing") { $0.beta = 1e-4...1e-3 },
            delta("delta-grad-beta-one", "steps near 1: the old value is all replaced") { $0.beta = 0.98...1 },
            delta("delta-grad-beta-two", "steps up to 2: keys are turned round") { $0.beta = 1...2 },
            delta("delta-grad-keys-repeated", "keys that come again, whose values are corrected") {
                ($0.keys, $0.beta, $0.decay) = (.repeated, 0.5...1, 1e-3)
            },
            delta("delta-grad-keys-short", "keys of norm 0.3, normalised by nobody") {
                ($0.normalizes, $0.keyNorm) = (false, 0.3)
            },
            delta("delta-grad-epsilon", "q and k so small that the epsilon of their norms decides") {
                ($0.rawScale, $0.length) = (2e-4, 20)
            },
            delta("delta-grad-scale", "a scale of q that is none of 1 / sqrt(K)") {
                ($0.scale, $0.length) = (0.75, 20)
            },
            delta("delta-grad-state-none", "no initial state, whose gradient nobody asks for") { $0.stateScale = 0 },
        ]

    static let attentionGradients: [VectorCase] =
        [1, 63, 64, 65, 130].map { length in
            attention(
                "attn-grad-length-\(length)", "the backward pass of lengths around multiples of a block",
                kind: .attentionGradients,
                length: length, heads: 2, shared: 1, width: 8)
        }
        + [
            attention(
                "attn-grad-full", "attention that is not causal, backwards", kind: .attentionGradients, length: 40,
                ["causal": "false"]),
            attention(
                "attn-grad-cache", "queries behind a cache of keys, backwards", kind: .attentionGradients, length: 9,
                cache: 70),
            attention(
                "attn-grad-one-head-of-keys", "six heads on one of keys", kind: .attentionGradients, length: 30,
                heads: 6, shared: 1),
            attention(
                "attn-grad-own-keys", "every head with keys of its own", kind: .attentionGradients, length: 30,
                heads: 3, shared: 3),
            attention(
                "attn-grad-wide-values", "values of another width", kind: .attentionGradients, length: 30, values: 24),
            attention(
                "attn-grad-window", "a sliding window, backwards", kind: .attentionGradients, length: 70, width: 8,
                ["window": "16"]),
            attention(
                "attn-grad-window-cache", "a window over a cache", kind: .attentionGradients, length: 5, cache: 40,
                ["window": "24"]),
            attention(
                "attn-grad-window-one", "a window of the token alone", kind: .attentionGradients, length: 12,
                ["window": "1"]),
            attention(
                "attn-grad-sink-tokens", "first tokens that stay outside the window", kind: .attentionGradients,
                length: 60, width: 8,
                ["window": "20", "sink_tokens": "4"]),
            attention(
                "attn-grad-sinks", "sinks, whose gradient is a sum over all queries", kind: .attentionGradients,
                length: 40, batch: 2, sinks: true),
            attention(
                "attn-grad-sinks-window", "sinks beside a window", kind: .attentionGradients, length: 40, sinks: true,
                ["window": "12"]),
            attention(
                "attn-grad-scale", "a scale that is none of 1 / sqrt(D)", kind: .attentionGradients, length: 30,
                ["scale": "0.6"]),
            attention(
                "attn-grad-steep", "scores of tens: one key takes all the weight", kind: .attentionGradients,
                length: 40, size: 16),
            attention(
                "attn-grad-overflow", "scores beyond the range of exp", kind: .attentionGradients, length: 30, size: 100
            ),
            attention(
                "attn-grad-flat", "scores near 0: the mean of all values", kind: .attentionGradients, length: 70,
                width: 8, size: 0.01),
            attention(
                "attn-grad-batch", "an index that mixes rows of the batch", kind: .attentionGradients, length: 20,
                batch: 3),
            attention(
                "attn-grad-width-64", "heads of 64", kind: .attentionGradients, length: 40, heads: 2, shared: 1,
                width: 64),
            attention(
                "attn-grad-width-128", "heads of 128", kind: .attentionGradients, length: 30, heads: 2, shared: 1,
                width: 128),
        ]
}
