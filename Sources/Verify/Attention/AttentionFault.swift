//  The zoo of softmax attention: mistakes of its kernels, one line each. A name is stable.

/// A known mistake of a kernel of softmax attention.
enum AttentionFault: String, CaseIterable, Sendable {
    case scaleMissing = "attn-scale-missing"
    case scaleTwice = "attn-scale-twice"
    case maskMissing = "attn-mask-missing"
    case maskStrict = "attn-mask-misses-diagonal"
    case maskLate = "attn-mask-sees-next-token"
    case maskTopLeft = "attn-mask-from-the-first-key"
    case maskedAsZero = "attn-masked-scores-are-zero"
    case windowIgnored = "attn-window-ignored"
    case windowLong = "attn-window-one-too-long"
    case windowShort = "attn-window-one-too-short"
    case sinkTokensIgnored = "attn-sink-tokens-ignored"
    case sinksIgnored = "attn-sinks-ignored"
    case headsTiled = "attn-heads-tiled"
    case maximumMissing = "attn-softmax-without-maximum"
    case normMissing = "attn-softmax-not-normalised"
    case baseTwo = "attn-softmax-base-two"
    case rescaleMissing = "attn-blocks-not-rescaled"
    case lastBlockMissing = "attn-last-keys-missing"
    case lastBlockAlone = "attn-first-block-missing"
    case scoresBFloat16 = "attn-scores-in-bf16"
    case weightsBFloat16 = "attn-weights-in-bf16"
    case productsTF32 = "attn-products-in-tf32"
    case productsBFloat16 = "attn-products-in-bf16"

    /// Keys of a block of an online softmax: those of the public kernels.
    static let block = 64

    /// What is rounded where, which differs from kernel to kernel.
    enum Rounding: CaseIterable {
        /// The last number before it is used: a score that is scaled, a weight e^(s - max).
        case last
        /// Every number on the way: q · k and again what scaling leaves, a weight over the sum of
        /// all.
        case every
        /// Weights beside the maximum of the keys so far, block by block.
        case blocks
    }

    /// The ways in which kernels have the fault.
    var roundings: [Rounding] {
        switch self {
        case .scoresBFloat16: [.last, .every]
        case .weightsBFloat16: Rounding.allCases
        default: [.last]
        }
    }

    /// What a kernel with the fault does instead.
    var summary: String {
        switch self {
        case .scaleMissing: "scores are not scaled"
        case .scaleTwice: "scores are scaled twice: by 1 / D where the scale is 1 / sqrt(D)"
        case .maskMissing: "tokens see those after them"
        case .maskStrict: "the causal mask leaves out the token itself"
        case .maskLate: "the causal mask lets a token see the next one"
        case .maskTopLeft: "the causal mask begins at the first key: the keys before the first query are forgotten"
        case .maskedAsZero: "what is masked has a score of 0 and takes part in the softmax"
        case .windowIgnored: "the window is ignored"
        case .windowLong: "the window has one key too many"
        case .windowShort: "the window has one key too few"
        case .sinkTokensIgnored: "the first keys, which every query sees, are outside its window"
        case .sinksIgnored: "the sinks take no weight"
        case .headsTiled: "keys are tiled over heads: head h reads h modulo Hkv, not h div (H / Hkv)"
        case .maximumMissing: "the softmax does not take off its maximum: it overflows, or loses what is small"
        case .normMissing: "weights are not divided by their sum"
        case .baseTwo: "weights are 2^s, not e^s: scores scaled for the other"
        case .rescaleMissing: "what blocks of 64 keys have added up is not rescaled when the maximum grows"
        case .lastBlockMissing: "keys after the last whole block of 64 are left out"
        case .lastBlockAlone: "the first block of 64 keys is left out"
        case .scoresBFloat16: "scores are rounded to bfloat16"
        case .weightsBFloat16: "weights are rounded to bfloat16"
        case .productsTF32: "matrix products are taken in TF32"
        case .productsBFloat16: "matrix products are taken in bfloat16"
        }
    }

    var isOfPrecision: Bool {
        [.scoresBFloat16, .weightsBFloat16, .productsTF32, .productsBFloat16].contains(self)
    }

    var asLayerFault: LayerFault { LayerFault(name: rawValue, summary: summary, isOfPrecision: isOfPrecision) }
}
