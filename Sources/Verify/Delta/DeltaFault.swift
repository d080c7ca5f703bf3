//  The zoo of the gated delta rule: mistakes of its kernels, one line each. FaultyDelta.swift says
//  what each one computes. A name is stable.

/// A known mistake of a kernel of the gated delta rule.
enum DeltaFault: String, CaseIterable, Sendable {
    // q and k before any product
    case scaleMissing = "delta-scale-missing"
    case scaleTwice = "delta-scale-twice"
    case scaleOfKeysToo = "delta-scale-on-keys-too"
    case normMissing = "delta-l2norm-missing"
    case normOfQueriesMissing = "delta-l2norm-of-q-missing"
    case normOfKeysMissing = "delta-l2norm-of-k-missing"
    case normTwice = "delta-l2norm-not-wanted"
    case normEpsilonOutside = "delta-l2norm-epsilon-outside"
    case normOfMean = "delta-l2norm-by-the-mean"
    case queriesAndKeysSwapped = "delta-q-and-k-swapped"
    case headsTiled = "delta-heads-tiled"
    // β
    case betaMissing = "delta-beta-missing"
    case betaTwice = "delta-beta-twice"
    case betaOnValueAlone = "delta-beta-on-value-alone"
    case betaOnCorrectionAlone = "delta-beta-on-correction-alone"
    case betaSigmoidTwice = "delta-beta-sigmoid-twice"
    case betaOfNextToken = "delta-beta-one-token-late"
    // The decay
    case decayMissing = "delta-decay-missing"
    case decayTwice = "delta-decay-twice"
    case decayAfterDelta = "delta-decay-after-delta"
    case decayAfterUpdate = "delta-decay-after-update"
    case decayBaseTwo = "delta-decay-base-two"
    case decayOneTokenLate = "delta-decay-one-token-late"
    // The update and what is read
    case correctionMissing = "delta-correction-missing"
    case outputBeforeUpdate = "delta-output-before-update"
    case boundaryLeak = "delta-across-boundary"
    case initialStateIgnored = "delta-initial-state-ignored"
    case initialStateTransposed = "delta-initial-state-transposed"
    case initialStateOfFirst = "delta-initial-state-of-first-sequence"
    case finalStateTransposed = "delta-final-state-transposed"
    case finalStateMissesLast = "delta-final-state-misses-last-token"
    case finalStateNotWritten = "delta-final-state-not-written"
    // The chunked form
    case systemDecayMissing = "delta-wy-decay-missing"
    case systemDecayLate = "delta-wy-decay-one-token-late"
    case systemDecayEarly = "delta-wy-decay-one-token-early"
    case systemBetaMissing = "delta-wy-beta-missing"
    case systemDiagonal = "delta-wy-diagonal-kept"
    case inverseFirstOrder = "delta-inverse-first-order"
    case inverseTruncated = "delta-inverse-truncated"
    case inverseBlocksOnly = "delta-inverse-blocks-not-merged"
    case enteringDecayMissing = "delta-entering-decay-missing"
    case enteringUncorrected = "delta-entering-state-not-corrected"
    case insideDecayMissing = "delta-decay-missing-inside-chunk"
    case crossDecayMissing = "delta-decay-missing-across-chunks"
    case keysNotDecayed = "delta-keys-not-decayed-to-chunk-end"
    case chunkStateLost = "delta-state-lost-between-chunks"
    case chunkStateUndecayed = "delta-state-not-decayed-by-chunk"
    case sumsNotRestarted = "delta-decay-sum-not-restarted"
    // Precision
    case inverseTF32 = "delta-inverse-in-tf32"
    case inverseBFloat16 = "delta-inverse-in-bf16"
    case productsTF32 = "delta-products-in-tf32"
    case productsBFloat16 = "delta-products-in-bf16"
    case stateBFloat16 = "delta-state-in-bf16"
    case stateFloat16 = "delta-state-in-f16"
    case chunkStateBFloat16 = "delta-chunk-state-in-bf16"
    case gatesBFloat16 = "delta-gates-in-bf16"
    case normBFloat16 = "delta-l2norm-in-bf16"

    /// What a kernel with the fault does instead.
    var summary: String {
        switch self {
        case .scaleMissing: "q is not scaled"
        case .scaleTwice: "q is scaled twice"
        case .scaleOfKeysToo: "the scale of q is multiplied into k as well"
        case .normMissing: "q and k are not normalised"
        case .normOfQueriesMissing: "k is normalised and q is not"
        case .normOfKeysMissing: "q is normalised and k is not"
        case .normTwice: "q and k, which were not to be normalised, are"
        case .normEpsilonOutside: "epsilon is added to the norm and not under its root"
        case .normOfMean: "q and k are divided by the root of the mean of their squares, not of the sum"
        case .queriesAndKeysSwapped: "q and k are taken for each other"
        case .headsTiled: "keys are tiled over heads: head h reads h modulo Hk, not h div (H / Hk)"
        case .betaMissing: "beta is left out"
        case .betaTwice: "beta is multiplied in twice"
        case .betaOnValueAlone: "beta multiplies the value and not the correction: beta v - S k"
        case .betaOnCorrectionAlone: "beta multiplies the correction and not the value: v - beta S k"
        case .betaSigmoidTwice: "beta goes through a sigmoid again"
        case .betaOfNextToken: "a token has the beta of the token before"
        case .decayMissing: "the state does not decay"
        case .decayTwice: "the state decays twice a token"
        case .decayAfterDelta: "the correction reads the state before it has decayed"
        case .decayAfterUpdate: "the state decays after the update: what a token writes decays with it"
        case .decayBaseTwo: "the decay is 2^g, not e^g: gates scaled for the other"
        case .decayOneTokenLate: "a token has the decay of the token before"
        case .correctionMissing: "the value is written as it is: the state's own answer is not taken off"
        case .outputBeforeUpdate:
            "a token reads the state before it has written to it: the mask inside a chunk misses its diagonal"
        case .boundaryLeak: "the state crosses packed boundaries"
        case .initialStateIgnored: "the initial state is ignored"
        case .initialStateTransposed: "the initial state is read transposed, values by keys"
        case .initialStateOfFirst: "every sequence begins with the initial state of the first"
        case .finalStateTransposed: "the final state is written transposed, values by keys"
        case .finalStateMissesLast: "the final state is that before the last token"
        case .finalStateNotWritten: "the final state is zero"
        case .systemDecayMissing: "the triangular system of a chunk is without its decays"
        case .systemDecayLate: "decays in the triangular system reach one token too far: that of j counts"
        case .systemDecayEarly: "decays in the triangular system end one token too early: that of i is missing"
        case .systemBetaMissing: "the triangular system of a chunk is without beta"
        case .systemDiagonal: "the triangular system keeps its diagonal: a token corrects itself"
        case .inverseFirstOrder: "the triangular inverse is I - A"
        case .inverseTruncated: "the series of the triangular inverse ends after A^3"
        case .inverseBlocksOnly: "the triangular inverse is that of its blocks of 16 alone"
        case .enteringDecayMissing: "the correction reads the state before the chunk as if it did not decay in it"
        case .enteringUncorrected: "the state before the chunk does not take part in the correction"
        case .insideDecayMissing: "what a token reads of its own chunk has not decayed"
        case .crossDecayMissing: "what a token reads of the state before its chunk has not decayed"
        case .keysNotDecayed: "what a chunk writes does not decay until its end"
        case .chunkStateLost: "every chunk begins with an empty state"
        case .chunkStateUndecayed: "the state does not decay from chunk to chunk"
        case .sumsNotRestarted: "the sums of the log decays are not restarted at chunks"
        case .inverseTF32: "the triangular inverse is kept in TF32"
        case .inverseBFloat16: "the triangular inverse is kept in bfloat16"
        case .productsTF32: "matrix products are taken in TF32"
        case .productsBFloat16: "matrix products are taken in bfloat16"
        case .stateBFloat16: "the state is stored in bfloat16 after every token"
        case .stateFloat16: "the state is stored in float16 after every token"
        case .chunkStateBFloat16: "the state is stored in bfloat16 after every chunk"
        case .gatesBFloat16: "log decays are rounded to bfloat16"
        case .normBFloat16: "normalised q and k are rounded to bfloat16"
        }
    }

    var isOfPrecision: Bool {
        switch self {
        case .inverseTF32, .inverseBFloat16, .productsTF32, .productsBFloat16, .stateBFloat16, .stateFloat16,
            .chunkStateBFloat16, .gatesBFloat16, .normBFloat16:
            true
        default: false
        }
    }

    /// Whether it is one of the chunked form.
    var isOfChunks: Bool {
        switch self {
        case .systemDecayMissing, .systemDecayLate, .systemDecayEarly, .systemBetaMissing, .systemDiagonal,
            .inverseFirstOrder, .inverseTruncated, .inverseBlocksOnly, .enteringDecayMissing,
            .enteringUncorrected, .insideDecayMissing, .crossDecayMissing, .keysNotDecayed,
            .chunkStateLost, .chunkStateUndecayed, .sumsNotRestarted, .inverseTF32, .inverseBFloat16,
            .productsTF32, .productsBFloat16, .chunkStateBFloat16:
            true
        default: false
        }
    }
}
