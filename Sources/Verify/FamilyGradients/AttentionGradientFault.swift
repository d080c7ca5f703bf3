//  The zoo of softmax attention backwards: mistakes of its kernels, one line each. A name is
//  stable. FaultyAttentionGradients.swift says what each choice computes.

import DualityCore
import DualityNumerics

/// How the parts of a backward pass of attention are taken.
struct AttentionBackwardChoice: Sendable {
    enum Mask: Sendable { case right, missing, strict, late, topLeft, lastBlockMissing, firstBlockMissing }
    enum Window: Sendable { case right, ignored, long, short }
    enum Correction: Sendable { case right, missing, reversed, withoutSinks }
    enum Sinks: Sendable { case right, missing, reversed, unweighted, uncorrected, ofFirstRow }
    enum Weights: Sendable { case right, notNormalised, baseTwo }
    enum Blocks: Sendable { case all, last, first }

    var heads = HeadsUse.sum
    var isTiled = false
    var scaleOfScores = FactorUse.right
    var scaleOfQueries = FactorUse.right
    var scaleOfKeys = FactorUse.right
    var mask = Mask.right
    var window = Window.right
    var ignoresSinkTokens = false
    var ignoresSinks = false
    /// Whether the forward pass made the same mistake of what is seen.
    var isForwardToo = false
    /// Where the mistake of what is seen is made: where ∂q is added up, where ∂k and ∂v are.
    var inQueries = true
    var inKeys = true
    var correction = Correction.right
    var sinks = Sinks.right
    var weights = Weights.right
    var leavesOutWeights = false
    var queryBlocks = Blocks.all
    var keyBlocks = Blocks.all
    var swapsResults = false
    var negates = ""
}

/// A known mistake of a backward pass of softmax attention, in one or several variants.
struct AttentionGradientFault: GradientFault {
    typealias Change = @Sendable (inout AttentionBackwardChoice) -> Void

    let name: String
    let summary: String
    let variants: [Change]

    private init(_ name: String, _ summary: String, _ variants: Change...) {
        (self.name, self.summary, self.variants) = ("attn-grad-" + name, summary, variants)
    }

    /// A mistake of what is seen: in the whole kernel, in the backward pass alone, and in one of
    /// its two loops.
    private init(seen name: String, _ summary: String, _ change: @escaping Change) {
        self.name = "attn-grad-" + name
        self.summary = summary
        variants = [
            {
                change(&$0)
                $0.isForwardToo = true
            }, change,
            {
                change(&$0)
                $0.inKeys = false
            },
            {
                change(&$0)
                $0.inQueries = false
            },
        ]
    }

    /// Its loops over blocks are those of the recomputed softmax.
    var isOfChunks: Bool { false }

    /// Keys or queries of a block.
    static let block = 64

    static let allCases = sizes + seen + softmax + precision.map(\.fault)

    private static let sizes: [AttentionGradientFault] = [
        .init("scale-missing-in-dq", "the gradient of q is not scaled") { $0.scaleOfQueries = .missing },
        .init("scale-twice-in-dq", "the gradient of q is scaled twice") { $0.scaleOfQueries = .twice },
        .init("scale-missing-in-dk", "the gradient of k is not scaled") { $0.scaleOfKeys = .missing },
        .init("scale-twice-in-dk", "the gradient of k is scaled twice") { $0.scaleOfKeys = .twice },
        .init(
            "scale-missing", "scores are not scaled", { $0.scaleOfScores = .missing },
            { ($0.scaleOfScores, $0.scaleOfQueries, $0.scaleOfKeys) = (.missing, .missing, .missing) }),
        .init(
            "scale-twice", "scores are scaled twice", { $0.scaleOfScores = .twice },
            { ($0.scaleOfScores, $0.scaleOfQueries, $0.scaleOfKeys) = (.twice, .twice, .twice) }),
        .init("of-first-head-only", "gradients of shared k and v are not summed over heads: the first head's alone") {
            $0.heads = .first
        },
        .init("of-last-head-only", "gradients of shared k and v are not summed over heads: the last head's alone") {
            $0.heads = .last
        },
        .init("of-heads-averaged", "gradients of shared k and v are the mean over heads, not the sum") {
            $0.heads = .mean
        },
        .init(
            "heads-tiled", "keys are tiled over heads: head h reads and adds to h modulo Hkv, not h div (H / Hkv)"
        ) { $0.isTiled = true },
        .init("dk-and-dv-swapped", "the gradients of k and v are exchanged") { $0.swapsResults = true },
        .init("dq-sign", "the gradient of q has the wrong sign") { $0.negates = "grad_q" },
        .init("dk-sign", "the gradient of k has the wrong sign") { $0.negates = "grad_k" },
    ]

    private static let seen: [AttentionGradientFault] = [
        .init(seen: "mask-missing", "tokens see those after them") { $0.mask = .missing },
        .init(seen: "mask-misses-diagonal", "the causal mask leaves out the token itself") { $0.mask = .strict },
        .init(seen: "mask-sees-next-token", "the causal mask lets a token see the next one") { $0.mask = .late },
        .init(
            seen: "mask-from-the-first-key",
            "the causal mask begins at the first key: the keys before the first query are forgotten"
        ) { $0.mask = .topLeft },
        .init(seen: "last-keys-missing", "keys after the last whole block of 64 are left out") {
            $0.mask = .lastBlockMissing
        },
        .init(seen: "first-block-missing", "the first block of 64 keys is left out") { $0.mask = .firstBlockMissing },
        .init(seen: "window-ignored", "the window is ignored") { $0.window = .ignored },
        .init(seen: "window-one-too-long", "the window has one key too many") { $0.window = .long },
        .init(seen: "window-one-too-short", "the window has one key too few") { $0.window = .short },
        .init(seen: "sink-tokens-ignored", "the first keys, which every query sees, are outside its window") {
            $0.ignoresSinkTokens = true
        },
    ]

    private static let softmax: [AttentionGradientFault] = [
        .init("row-correction-missing", "the softmax's row correction, the sum of do o, is left out") {
            $0.correction = .missing
        },
        .init("row-correction-sign", "the softmax's row correction is added, not taken off") {
            $0.correction = .reversed
        },
        .init("row-correction-without-sinks", "the row correction is that of weights without the sinks") {
            $0.correction = .withoutSinks
        },
        .init("weights-missing-in-ds", "the gradient of scores is not multiplied by the weights") {
            $0.leavesOutWeights = true
        },
        .init("softmax-not-normalised", "weights are made anew without their sum") { $0.weights = .notNormalised },
        .init("softmax-base-two", "weights are made anew as 2^(s - lse), not e^(s - lse)") { $0.weights = .baseTwo },
        .init(
            "sinks-ignored", "the sinks take no weight", { $0.ignoresSinks = true },
            { ($0.ignoresSinks, $0.isForwardToo) = (true, true) }),
        .init("dsinks-missing", "the gradient of the sinks is zero") { $0.sinks = .missing },
        .init("dsinks-sign", "the gradient of the sinks has the wrong sign") { $0.sinks = .reversed },
        .init("dsinks-unweighted", "the gradient of the sinks is not multiplied by their weights") {
            $0.sinks = .unweighted
        },
        .init("dsinks-misses-correction", "the gradient of the sinks leaves out the row correction") {
            $0.sinks = .uncorrected
        },
        .init("dsinks-of-first-row", "the gradient of the sinks sums over the first row of the batch alone") {
            $0.sinks = .ofFirstRow
        },
        .init("dq-of-last-block-only", "the gradient of q is that of its last block of 64 keys: not added up") {
            $0.queryBlocks = .last
        },
        .init("dq-of-first-block-only", "the gradient of q is that of its first block of 64 keys") {
            $0.queryBlocks = .first
        },
        .init("dk-of-last-block-only", "the gradients of k and v are those of the last block of 64 queries") {
            $0.keyBlocks = .last
        },
        .init("dk-of-first-block-only", "the gradients of k and v are those of the first block of 64 queries") {
            $0.keyBlocks = .first
        },
    ]

    /// Faults of precision, mild ones first, and the format that is too narrow.
    static let precision:
        [(
            fault: AttentionGradientFault, path: WritableKeyPath<AttentionArithmetic, NumberFormat> & Sendable,
            format: NumberFormat
        )] = [
            (.init("products-in-tf32", "matrix products are taken in TF32"), \.products, .tf32),
            (
                .init("weights-in-bf16", "weights and the gradients of scores are rounded to bfloat16"), \.weights,
                .bf16
            ),
            (.init("products-in-bf16", "matrix products are taken in bfloat16"), \.products, .bf16),
            (
                .init("scores-in-bf16", "scores and the gradients of weights are rounded to bfloat16"), \.scores,
                .bf16
            ),
        ]
}
