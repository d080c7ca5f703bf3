//  How the parts of a backward pass of the gated delta rule are taken: the steps of
//  DeltaRecurrentGradients.swift, and those of DeltaChunkedGradients.swift that have mistakes of
//  their own.

/// What a part of a backward pass is taken from.
struct DeltaBackwardChoice: Sendable {
    enum NormBack: Sendable { case right, missing, projectionMissing, factorMissing }
    enum Beta: Sendable { case right, withoutCorrection, ofDelta, withoutValue }
    enum Decay: Sendable { case right, undecayed, uncorrected, afterUpdate, late, early, zero }
    enum Sums: Sendable { case right, notSummed, forwards, acrossChunks }
    enum Adjoint: Sendable { case right, missing, withoutBeta, tokenBefore }
    enum State: Sendable { case right, before, faded }
    /// A sum over pairs of tokens of one chunk.
    enum Pairs: Sendable { case right, missing, reversed, notDecayed, withoutBeta, withDiagonal, withoutDiagonal }

    // Before anything else, forwards and backwards.
    var heads = HeadsUse.sum
    var isTiled = false
    var swapsOperands = false
    var ignoresNorm = false
    var exponent = 1.0
    var isDecayLate = false
    var beta = FactorUse.right
    var sigmoidOfBeta = false

    // q
    var scaleOfQueries = FactorUse.right
    var scaleInStates = FactorUse.right
    var scaleInKeys = false
    var normOfQueries = NormBack.right
    var normOfKeys = NormBack.right
    var queryReads = State.right
    var queryPairs = Pairs.right

    // k, β, v, g
    var leavesOutWrites = false
    var leavesOutCorrection = false
    var correctionReads = State.right
    var keyPairs = Pairs.right
    var system = Pairs.right
    var ofBeta = Beta.right
    var leavesOutBetaOfValue = false
    var ofDecay = Decay.right
    var decayFactor = 1.0
    var sums = Sums.right

    // The gradient of the state, and states that are made anew.
    var passes = Adjoint.right
    var corrects = Adjoint.right
    var ownOutputLate = false
    var ignoresFinal = false
    var leaksAcross = false
    var statesFromZero = false
    var adjointsLost = false
    var statesLost = false

    // The initial state.
    var initialUndecayed = false
    var initialTransposed = false

    // What is handed back.
    var swapsResults = false
    var negates = ""
}
