//  The zoo of the gated delta rule backwards: mistakes of its kernels, one line each. A name is
//  stable. FaultyDeltaGradients.swift says what each choice computes.

import DualityCore
import DualityNumerics

/// A known mistake of a backward pass of the gated delta rule, in one or several variants.
struct DeltaGradientFault: GradientFault {
    typealias Change = @Sendable (inout DeltaBackwardChoice) -> Void

    let name: String
    let summary: String
    let variants: [Change]
    private(set) var isOfChunks = false

    private init(_ name: String, _ summary: String, _ variants: Change...) {
        (self.name, self.summary, self.variants) = ("delta-grad-" + name, summary, variants)
    }

    private init(ofChunks name: String, _ summary: String, _ variants: Change...) {
        (self.name, self.summary, self.variants) = ("delta-grad-" + name, summary, variants)
        isOfChunks = true
    }

    static let allCases = operands + queriesAndKeys + gates + states + chunks + precision.map(\.fault)

    private static let operands: [DeltaGradientFault] = [
        .init("of-first-head-only", "gradients of shared q and k are not summed over heads: the first head's alone") {
            $0.heads = .first
        },
        .init("of-last-head-only", "gradients of shared q and k are not summed over heads: the last head's alone") {
            $0.heads = .last
        },
        .init("of-heads-averaged", "gradients of shared q and k are the mean over heads, not the sum") {
            $0.heads = .mean
        },
        .init("heads-tiled", "keys are tiled over heads: head h reads and adds to h modulo Hk, not h div (H / Hk)") {
            $0.isTiled = true
        },
        .init("q-and-k-swapped", "q and k are taken for each other") { $0.swapsOperands = true },
        .init("dq-and-dk-swapped", "the gradients of q and k are exchanged") { $0.swapsResults = true },
        .init("l2norm-ignored", "q and k are not normalised, forwards or backwards") { $0.ignoresNorm = true },
        .init(
            "decay-base-two", "decays are 2^g, not e^g", { $0.exponent = 0.6931471805599453 },
            { ($0.exponent, $0.decayFactor) = (0.6931471805599453, 0.6931471805599453) }),
        .init(
            "decay-twice", "the state decays twice a token", { $0.exponent = 2 },
            { ($0.exponent, $0.decayFactor) = (2, 2) }),
        .init(
            "decay-missing", "nothing decays, forwards or backwards", { $0.exponent = 0 },
            { ($0.exponent, $0.ofDecay) = (0, .zero) }),
        .init("decay-one-token-late", "a token has the decay of the token before") { $0.isDecayLate = true },
        .init("beta-missing", "beta is left out, forwards and backwards") { $0.beta = .missing },
        .init("beta-twice", "beta is multiplied in twice") { $0.beta = .twice },
        .init("beta-sigmoid-twice", "beta goes through a sigmoid again") { $0.sigmoidOfBeta = true },
    ]

    private static let queriesAndKeys: [DeltaGradientFault] = [
        .init("scale-missing-in-dq", "the gradient of q is not scaled") { $0.scaleOfQueries = .missing },
        .init("scale-twice-in-dq", "the gradient of q is scaled twice") { $0.scaleOfQueries = .twice },
        .init("scale-missing-in-states", "q is not scaled where it enters the gradient of the state") {
            $0.scaleInStates = .missing
        },
        .init("scale-twice-in-states", "q is scaled twice where it enters the gradient of the state") {
            $0.scaleInStates = .twice
        },
        .init("scale-on-dk", "the gradient of k is scaled as that of q") { $0.scaleInKeys = true },
        .init("l2norm-derivative-missing", "the gradients of q and k are those of the normalised ones") {
            ($0.normOfQueries, $0.normOfKeys) = (.missing, .missing)
        },
        .init("l2norm-derivative-of-q-missing", "the gradient of q is that of the normalised q") {
            $0.normOfQueries = .missing
        },
        .init("l2norm-derivative-of-k-missing", "the gradient of k is that of the normalised k") {
            $0.normOfKeys = .missing
        },
        .init(
            "l2norm-projection-missing", "the norm counts as a constant: what it depends on q and k is left out",
            { ($0.normOfQueries, $0.normOfKeys) = (.projectionMissing, .projectionMissing) },
            { $0.normOfQueries = .projectionMissing }, { $0.normOfKeys = .projectionMissing }),
        .init(
            "l2norm-factor-missing", "gradients that come through the norm are not divided by it",
            { ($0.normOfQueries, $0.normOfKeys) = (.factorMissing, .factorMissing) },
            { $0.normOfQueries = .factorMissing }, { $0.normOfKeys = .factorMissing }),
        .init("dq-of-state-before", "the gradient of q reads the state before its token has written") {
            $0.queryReads = .faded
        },
        .init("dq-of-previous-state", "the gradient of q reads the state of the token before, not decayed") {
            $0.queryReads = .before
        },
        .init("dk-misses-write", "the gradient of k leaves out what k writes") { $0.leavesOutWrites = true },
        .init("dk-misses-correction", "the gradient of k leaves out what k reads for the correction") {
            $0.leavesOutCorrection = true
        },
        .init("dk-of-undecayed-state", "the gradient of k reads the state before it has decayed") {
            $0.correctionReads = .before
        },
        .init("dq-sign", "the gradient of q has the wrong sign") { $0.negates = "grad_q" },
        .init("dk-sign", "the gradient of k has the wrong sign") { $0.negates = "grad_k" },
    ]

    private static let gates: [DeltaGradientFault] = [
        .init("dv-misses-beta", "the gradient of v is that of beta v") { $0.leavesOutBetaOfValue = true },
        .init("dbeta-without-correction", "the gradient of beta reads v, not v - S k") {
            $0.ofBeta = .withoutCorrection
        },
        .init("dbeta-of-delta", "the gradient of beta reads delta, in which beta is already") { $0.ofBeta = .ofDelta },
        .init("dbeta-misses-value", "the gradient of beta leaves out the value: - S k alone") {
            $0.ofBeta = .withoutValue
        },
        .init("dg-of-undecayed-state", "the gradient of g reads the state before it has decayed") {
            $0.ofDecay = .undecayed
        },
        .init("dg-misses-correction", "the gradient of g leaves out what the correction reads") {
            $0.ofDecay = .uncorrected
        },
        .init("dg-of-state-after", "the gradient of g reads the state after its token has written") {
            $0.ofDecay = .afterUpdate
        },
        .init("dg-one-token-late", "the gradient of g is that of the token before") { $0.ofDecay = .late },
        .init("dg-one-token-early", "the gradient of g is that of the token after") { $0.ofDecay = .early },
        .init(ofChunks: "dg-not-summed", "the gradient of g is that of the running sum of a chunk") {
            $0.sums = .notSummed
        },
        .init(ofChunks: "dg-summed-forwards", "the gradient of g sums from the chunk's start, not to its end") {
            $0.sums = .forwards
        },
        .init(ofChunks: "dg-sum-not-restarted", "the sum of the gradient of g is not restarted at chunks") {
            $0.sums = .acrossChunks
        },
        .init("dg-sign", "the gradient of g has the wrong sign") { $0.negates = "grad_g" },
    ]

    private static let states: [DeltaGradientFault] = [
        .init("state-not-decayed", "the gradient of the state does not decay on its way back") {
            $0.passes = .missing
        },
        .init("state-decay-off-by-one", "the gradient of the state decays by the g of the token before") {
            $0.passes = .tokenBefore
        },
        .init("state-not-corrected", "the gradient of the state does not pass the correction: I, not I - beta k k") {
            $0.corrects = .missing
        },
        .init("state-corrected-without-beta", "the gradient of the state passes I - k k, without beta") {
            $0.corrects = .withoutBeta
        },
        .init("misses-own-output", "what a token writes does not see its own output") { $0.ownOutputLate = true },
        .init("final-state-ignored", "what the loss says about the final state is ignored") {
            $0.ignoresFinal = true
        },
        .init("across-boundary", "the gradient of the state crosses packed boundaries") { $0.leaksAcross = true },
        .init("initial-state-ignored", "states are made anew without the initial state") { $0.statesFromZero = true },
        .init("initial-state-not-decayed", "the gradient of the initial state misses the first token's decay") {
            $0.initialUndecayed = true
        },
        .init("initial-state-transposed", "the gradient of the initial state is written transposed") {
            $0.initialTransposed = true
        },
    ]

    private static let chunks: [DeltaGradientFault] = [
        .init(ofChunks: "state-lost-between-chunks", "the gradient of a state is not passed to the chunk before") {
            $0.adjointsLost = true
        },
        .init(ofChunks: "recomputed-states-lost", "every chunk is gone back through as if its state had been empty") {
            $0.statesLost = true
        },
        .init(ofChunks: "system-missing", "the gradient does not pass the triangular system of a chunk") {
            $0.system = .missing
        },
        .init(ofChunks: "system-sign", "the gradient of the triangular system has the wrong sign") {
            $0.system = .reversed
        },
        .init(ofChunks: "system-not-decayed", "the gradient of the triangular system is without its decays") {
            $0.system = .notDecayed
        },
        .init(ofChunks: "system-without-beta", "the gradient of the triangular system is without beta") {
            $0.system = .withoutBeta
        },
        .init(ofChunks: "system-diagonal-kept", "the gradient of the triangular system keeps its diagonal") {
            $0.system = .withDiagonal
        },
        .init(ofChunks: "dq-inside-missing", "the gradient of q leaves out tokens of its own chunk") {
            $0.queryPairs = .missing
        },
        .init(ofChunks: "dq-inside-not-decayed", "what the gradient of q takes from its own chunk has not decayed") {
            $0.queryPairs = .notDecayed
        },
        .init(
            ofChunks: "dq-misses-diagonal", "the gradient of q leaves out what its own token wrote: a mask off by one"
        ) {
            $0.queryPairs = .withoutDiagonal
        },
        .init(ofChunks: "dk-inside-missing", "the gradient of k leaves out the queries of its own chunk") {
            $0.keyPairs = .missing
        },
        .init(
            ofChunks: "dk-inside-not-decayed",
            "what the gradient of k takes from queries of its own chunk has not decayed"
        ) {
            $0.keyPairs = .notDecayed
        },
        .init(ofChunks: "dk-misses-diagonal", "the gradient of k leaves out its own token's query: a mask off by one") {
            $0.keyPairs = .withoutDiagonal
        },
    ]

    /// Faults of precision, mild ones first, and the format that is too narrow.
    static let precision:
        [(
            fault: DeltaGradientFault, path: WritableKeyPath<DeltaArithmetic, NumberFormat> & Sendable,
            format: NumberFormat
        )] = [
            (.init(ofChunks: "inverse-in-tf32", "the triangular inverse is kept in TF32"), \.inverse, .tf32),
            (.init(ofChunks: "products-in-tf32", "matrix products are taken in TF32"), \.products, .tf32),
            (.init(ofChunks: "inverse-in-bf16", "the triangular inverse is kept in bfloat16"), \.inverse, .bf16),
            (.init(ofChunks: "products-in-bf16", "matrix products are taken in bfloat16"), \.products, .bf16),
            (.init("states-in-bf16", "states that are made anew are stored in bfloat16"), \.state, .bf16),
        ]
}
