//  What a kernel with a fault of the zoo does instead.

extension KalmanFault {
    /// In a line.
    var summary: String {
        switch self {
        case .scaleMissing: "o is not scaled"
        case .scaleTwice: "o is scaled twice"
        case .normMissing: "q and k are not normalised"
        case .normOfQueriesMissing: "k is normalised and q is not"
        case .normOfKeysMissing: "q is normalised and k is not"
        case .normTwice: "q and k, which were not to be normalised, are"
        case .normEpsilonInside: "epsilon is added under the root of the norm and not to the norm"
        case .normOfMean: "q and k are divided by the root of the mean of their squares, not of the sum"
        case .queriesAndKeysSwapped: "q and k are taken for each other"
        case .headsTiled: "keys and values are tiled over heads: head h reads h modulo Hk, not h div (H / Hk)"
        case .alphaMissing: "alpha is left out: the solution alone is read with"
        case .alphaReversed: "alpha weighs q and 1 - alpha the solution"
        case .alphaAdded: "alpha times the solution is added to q, which is not taken off: q + alpha x"
        case .alphaSigmoidTwice: "alpha goes through a sigmoid again"
        case .alphaOfPrevious: "a token has the alpha of the token before"
        case .betaMissing: "beta is left out"
        case .betaTwice: "beta is multiplied in twice"
        case .betaOnKeysAlone: "beta multiplies keys and not values"
        case .betaOnValuesAlone: "beta multiplies values and not keys"
        case .betaOnce: "k kT and k vT carry beta once, not twice: beta outside the products"
        case .betaSigmoidTwice: "beta goes through a sigmoid again"
        case .betaEpsilonMissing: "1e-6 is not added to beta"
        case .betaOfPrevious: "a token has the beta of the token before"
        default: solverSummary ?? stateSummary ?? ""
        }
    }

    /// Of decays and the solver.
    private var solverSummary: String? {
        switch self {
        case .decayMissing: "neither state decays"
        case .decayOfGramMissing: "the memory decays and the Gram matrix does not"
        case .decayOfMemoryMissing: "the Gram matrix decays and the memory does not"
        case .decayOfGramNotWanted: "the Gram matrix, which was not to decay, does"
        case .decayTwice: "the states decay twice a token"
        case .decayAfterUpdate: "the states decay after the update: what a token writes decays with them"
        case .decayBaseTwo: "the decay is 2^g, not e^g: gates scaled for the other"
        case .decayOneTokenLate: "a token has the decay of the token before"
        case .iterationMissing: "the solver makes one step less"
        case .iterationMore: "the solver makes one step more"
        case .solvedExactly: "the system is solved to the end, not by num_iter steps"
        case .momentumMissing: "steps leave out (1 - omega) x_prev"
        case .omegaConstant: "omega is 1 in every step: plain gradient steps"
        case .omegaLate: "a step has the omega of the step before, the first 2"
        case .omegaFromOne: "omega begins at 1, not at 2"
        case .startAtZero: "x begins at 0, not at s q"
        case .startAtQuery: "x begins at q, not at s q"
        case .ridgeMissing: "lambda is 0"
        case .ridgeNotScaled: "lambda is ridge_strength itself, not times the norm of G"
        case .ridgeOfTrace: "lambda is ridge_strength times the trace of G, not its norm"
        case .ridgeMissingInProduct: "lambda x is missing from the residual, and not from the bounds of the spectrum"
        case .ridgeMissingInBounds: "the bounds of the spectrum are those without the ridge, 0 and F"
        case .boundsWithoutRidgeAbove: "the spectrum is taken to end at F, not at lambda + F"
        case .boundsOfTrace: "the spectrum is taken to end at lambda + the trace of G"
        case .normSquared: "the norm of G is the sum of its squares, without the root"
        case .normBeforeUpdate: "the norm is that of G before the token"
        case .solvedBeforeUpdate: "the query is solved against G before the token"
        default: nil
        }
    }

    private var stateSummary: String? {
        switch self {
        case .readBeforeUpdate: "the memory is read before the token has written to it"
        case .outputBeforeUpdate: "both states are read before the token: the mask inside a chunk misses its diagonal"
        case .memoryTransposed: "o is M y, not MT y: the memory is read transposed"
        case .boundaryLeak: "the states cross packed boundaries"
        case .initialStateIgnored: "both initial states are ignored"
        case .initialGramIgnored: "the initial Gram matrix is ignored"
        case .initialMemoryIgnored: "the initial memory is ignored"
        case .initialMemoryTransposed: "the initial memory is read transposed, values by keys"
        case .initialStateOfFirst: "every sequence begins with the initial states of the first"
        case .finalMemoryTransposed: "the final memory is written transposed, values by keys"
        case .finalStatesSwapped: "the final states are written in each other's place"
        case .finalStateMissesLast: "the final states are those before the last token"
        case .finalStateNotWritten: "the final states are zero"
        case .chunkStateLost: "every chunk begins with empty states"
        case .chunkStateUndecayed: "the states do not decay from chunk to chunk"
        case .crossDecayMissing: "what a token reads of the states before its chunk has not decayed"
        case .insideDecayMissing: "what a token reads of its own chunk has not decayed"
        case .keysNotDecayed: "what a chunk writes does not decay until its end"
        case .normOfChunkStart: "the norm of G is that before the chunk, for all of its tokens"
        case .normCrossTermMissing:
            "the norm of G leaves out what the state before the chunk has in common with its keys"
        case .normCrossTermOnce:
            "the norm of G counts once, not twice, what the state before the chunk has in common with its keys"
        case .solverBFloat16: "products of the solver are taken in bfloat16"
        case .solverTF32: "products of the solver are taken in TF32"
        case .solutionBFloat16: "the solution is rounded to bfloat16"
        case .stateBFloat16: "both states are stored in bfloat16 after every token"
        case .stateFloat16: "both states are stored in float16 after every token"
        case .gramBFloat16: "the Gram matrix is stored in bfloat16 after every token"
        case .memoryBFloat16: "the memory is stored in bfloat16 after every token"
        case .chunkStateBFloat16: "both states are stored in bfloat16 after every chunk"
        case .gatesBFloat16: "log decays are rounded to bfloat16"
        case .normBFloat16: "normalised q and k are rounded to bfloat16"
        default: nil
        }
    }
}
