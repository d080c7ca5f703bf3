//  The zoo of Gated KalmaNet: mistakes of its kernels, one line each. FaultyKalman.swift says what
//  each one computes. A name is stable.

/// A known mistake of a kernel of Gated KalmaNet.
enum KalmanFault: String, CaseIterable, Sendable {
    // q and k before any product, and the scale of o
    case scaleMissing = "kalman-scale-missing"
    case scaleTwice = "kalman-scale-twice"
    case normMissing = "kalman-l2norm-missing"
    case normOfQueriesMissing = "kalman-l2norm-of-q-missing"
    case normOfKeysMissing = "kalman-l2norm-of-k-missing"
    case normTwice = "kalman-l2norm-not-wanted"
    case normEpsilonInside = "kalman-l2norm-epsilon-inside"
    case normOfMean = "kalman-l2norm-by-the-mean"
    case queriesAndKeysSwapped = "kalman-q-and-k-swapped"
    case headsTiled = "kalman-heads-tiled"
    // α
    case alphaMissing = "kalman-alpha-missing"
    case alphaReversed = "kalman-alpha-reversed"
    case alphaAdded = "kalman-alpha-added"
    case alphaSigmoidTwice = "kalman-alpha-sigmoid-twice"
    case alphaOfPrevious = "kalman-alpha-one-token-late"
    // β
    case betaMissing = "kalman-beta-missing"
    case betaTwice = "kalman-beta-twice"
    case betaOnKeysAlone = "kalman-beta-on-keys-alone"
    case betaOnValuesAlone = "kalman-beta-on-values-alone"
    case betaOnce = "kalman-beta-once-in-products"
    case betaSigmoidTwice = "kalman-beta-sigmoid-twice"
    case betaEpsilonMissing = "kalman-beta-epsilon-missing"
    case betaOfPrevious = "kalman-beta-one-token-late"
    // The decay
    case decayMissing = "kalman-decay-missing"
    case decayOfGramMissing = "kalman-decay-of-gram-missing"
    case decayOfMemoryMissing = "kalman-decay-of-memory-missing"
    case decayOfGramNotWanted = "kalman-decay-of-gram-not-wanted"
    case decayTwice = "kalman-decay-twice"
    case decayAfterUpdate = "kalman-decay-after-update"
    case decayBaseTwo = "kalman-decay-base-two"
    case decayOneTokenLate = "kalman-decay-one-token-late"
    // The solver
    case iterationMissing = "kalman-iteration-missing"
    case iterationMore = "kalman-iteration-more"
    case solvedExactly = "kalman-solved-exactly"
    case momentumMissing = "kalman-momentum-missing"
    case omegaConstant = "kalman-omega-constant"
    case omegaLate = "kalman-omega-one-step-late"
    case omegaFromOne = "kalman-omega-from-one"
    case startAtZero = "kalman-start-at-zero"
    case startAtQuery = "kalman-start-at-q"
    case ridgeMissing = "kalman-ridge-missing"
    case ridgeNotScaled = "kalman-ridge-not-scaled"
    case ridgeOfTrace = "kalman-ridge-by-the-trace"
    case ridgeMissingInProduct = "kalman-ridge-missing-in-product"
    case ridgeMissingInBounds = "kalman-ridge-missing-in-bounds"
    case boundsWithoutRidgeAbove = "kalman-bounds-end-at-f"
    case boundsOfTrace = "kalman-bounds-by-the-trace"
    case normSquared = "kalman-norm-squared"
    case normBeforeUpdate = "kalman-norm-before-update"
    case solvedBeforeUpdate = "kalman-solved-before-update"
    // What is read, and the states
    case readBeforeUpdate = "kalman-read-before-update"
    case outputBeforeUpdate = "kalman-output-before-update"
    case memoryTransposed = "kalman-memory-transposed"
    case boundaryLeak = "kalman-across-boundary"
    case initialStateIgnored = "kalman-initial-states-ignored"
    case initialGramIgnored = "kalman-initial-gram-ignored"
    case initialMemoryIgnored = "kalman-initial-memory-ignored"
    case initialMemoryTransposed = "kalman-initial-memory-transposed"
    case initialStateOfFirst = "kalman-initial-states-of-first-sequence"
    case finalMemoryTransposed = "kalman-final-memory-transposed"
    case finalStatesSwapped = "kalman-final-states-swapped"
    case finalStateMissesLast = "kalman-final-states-miss-last-token"
    case finalStateNotWritten = "kalman-final-states-not-written"
    // Chunks
    case chunkStateLost = "kalman-states-lost-between-chunks"
    case chunkStateUndecayed = "kalman-states-not-decayed-by-chunk"
    case crossDecayMissing = "kalman-decay-missing-across-chunks"
    case insideDecayMissing = "kalman-decay-missing-inside-chunk"
    case keysNotDecayed = "kalman-keys-not-decayed-to-chunk-end"
    case normOfChunkStart = "kalman-norm-of-chunk-start"
    case normCrossTermMissing = "kalman-norm-cross-term-missing"
    case normCrossTermOnce = "kalman-norm-cross-term-once"
    // Precision
    case solverBFloat16 = "kalman-solver-in-bf16"
    case solverTF32 = "kalman-solver-in-tf32"
    case solutionBFloat16 = "kalman-solution-in-bf16"
    case stateBFloat16 = "kalman-states-in-bf16"
    case stateFloat16 = "kalman-states-in-f16"
    case gramBFloat16 = "kalman-gram-in-bf16"
    case memoryBFloat16 = "kalman-memory-in-bf16"
    case chunkStateBFloat16 = "kalman-chunk-states-in-bf16"
    case gatesBFloat16 = "kalman-gates-in-bf16"
    case normBFloat16 = "kalman-l2norm-in-bf16"

    var isOfPrecision: Bool {
        switch self {
        case .solverBFloat16, .solverTF32, .solutionBFloat16, .stateBFloat16, .stateFloat16, .gramBFloat16,
            .memoryBFloat16, .chunkStateBFloat16, .gatesBFloat16, .normBFloat16:
            true
        default: false
        }
    }

    /// Whether it is one of kernels that take chunks together.
    var isOfChunks: Bool {
        switch self {
        case .chunkStateLost, .chunkStateUndecayed, .crossDecayMissing, .insideDecayMissing, .keysNotDecayed,
            .normOfChunkStart, .normCrossTermMissing, .normCrossTermOnce, .chunkStateBFloat16:
            true
        default: false
        }
    }
}
