//  The zoo of the scan: mistakes that kernels of state space duality have been seen to make, one
//  line each.
//
//  A name is stable: programs may depend on it. FaultyScan.swift says what each one computes. Where
//  a mistake has several shapes that look the same from outside, they are variants of one fault.
//
//  Source of most of them: issue trackers of the public kernels; docs/verify.md tells which.

import DualityCore
import DualityReference

/// A known mistake of a scan kernel.
enum ScanFault: String, CaseIterable, Sendable {
    // The step
    case softplusNaive = "softplus-naive"
    case softplusMissing = "softplus-missing"
    case softplusThresholdMissing = "softplus-threshold-missing"
    case dtBiasMissing = "dt-bias-missing"
    case dtBiasTwice = "dt-bias-twice"
    case dtBiasAfterSoftplus = "dt-bias-after-softplus"
    case dtClampThousandth = "dt-clamped-at-0.001"
    case dtLimitIgnored = "dt-limit-ignored"
    case dtNotInX = "dt-not-multiplied-into-x"
    case dtTwiceInX = "dt-multiplied-twice-into-x"
    case dtBFloat16 = "dt-in-bf16"
    // Steps and rates that the caller prepared and the kernel prepares again, or that nobody does
    case softplusTwice = "softplus-twice"
    case stepPreparedTwice = "step-prepared-twice"
    case stepNotPrepared = "step-not-prepared"
    case softplusUnwanted = "softplus-not-wanted"
    case dtLimitBeforeSoftplus = "dt-limit-before-softplus"
    case aNegatedTwice = "a-negated-twice"
    case aLogNotExponentiated = "a-log-not-exponentiated"
    // The decay
    case aBFloat16Log = "a-from-bf16-a-log"
    case aBFloat16 = "a-in-bf16"
    case aTakenAsLog = "a-taken-as-a-log"
    case aWithoutDt = "decay-without-dt"
    case decayBFloat16 = "decay-in-bf16"
    case decayOneTokenLate = "decay-one-token-late"
    case maskOffByOne = "decay-off-by-one-in-mask"
    case maskMissesOwn = "decay-misses-own-token-in-mask"
    case chunkStateOffByOne = "decay-off-by-one-in-chunk-state"
    case chunkStateMissesLast = "decay-misses-last-token-in-chunk-state"
    case readOutOffByOne = "decay-off-by-one-in-state-to-output"
    case longCumulativeSums = "cumsum-differences-over-long-range"
    // Chunks and their states
    case stateNotDecayed = "state-not-decayed-into-chunk"
    case readOutNotDecayed = "state-to-output-not-decayed"
    case chunkStateStale = "chunk-state-stale"
    case chunkStateMissing = "chunk-state-missing"
    case readBeforeUpdate = "output-before-update"
    case padding = "padding-before-softplus"
    case lastChunkDropped = "last-partial-chunk-dropped"
    // The initial state
    case initialStateIgnored = "initial-state-ignored"
    case initialStateWrongSequence = "initial-state-of-wrong-sequence"
    case initialStateEverySequence = "initial-state-in-every-sequence"
    case initialStateTransposed = "initial-state-transposed"
    case stateNotCleared = "state-not-cleared"
    // Packing
    case noReset = "no-reset-at-boundary"
    case resetLate = "reset-one-token-late"
    case resetEarly = "reset-one-token-early"
    case resetByID = "reset-by-equal-ids"
    case decayFromChunkStart = "sequence-decayed-from-chunk-start"
    case finalStateOfFirst = "final-state-of-first-sequence"
    case stateTakenEarly = "state-taken-one-token-early"
    case stateTakenLate = "state-taken-one-token-late"
    case stateTakenAtChunk = "state-taken-at-chunk-start"
    case sequenceStatesShifted = "packed-states-of-neighbour"
    // Heads and layouts
    case headMapTiled = "head-map-tiled"
    case groupZeroOnly = "groups-ignored"
    case bcSwapped = "b-and-c-swapped"
    case stateTransposed = "state-transposed"
    // Skip and gate
    case skipMissing = "d-missing"
    case skipMissingSomeChannels = "d-missing-for-some-channels"
    case skipOnSteppedInput = "d-on-dt-x"
    case skipAfterGate = "d-after-gate"
    case gateMissing = "gate-missing"
    case gateSigmoid = "gate-sigmoid-for-silu"
    // Precision
    case stateBFloat16 = "running-state-in-bf16"
    case stateFloat16 = "running-state-in-fp16"
    case chunkStatesBFloat16 = "chunk-states-in-bf16"
    case chunkStatesFloat16 = "chunk-states-in-fp16"
    case productsTF32 = "tf32-products"
    case productsBFloat16 = "bf16-products"
    case operandsBFloat16 = "operands-rounded-to-bf16"
    case outputBFloat16 = "output-rounded-to-bf16"
    case overflowFloat16 = "fp16-overflow"

    /// What the kernel does instead, in a line.
    var summary: String {
        switch self {
        case .softplusNaive: "softplus as log(1 + exp(u)) in float32: wrong below u = -7, zero below -17"
        case .softplusMissing: "dt + dt_bias is taken for the step, without softplus"
        case .softplusThresholdMissing: "log(1 + exp(u)) without the branch u > 20: infinite above u = 88"
        case .dtBiasMissing: "dt_bias is not added"
        case .dtBiasTwice: "dt_bias is added twice"
        case .dtBiasAfterSoftplus: "dt_bias is added after the softplus"
        case .dtClampThousandth: "the step is clamped to at least 0.001"
        case .dtLimitIgnored: "the step is not clamped to dt_limit"
        case .dtNotInX: "x enters the state without its step: B x in place of dt B x"
        case .dtTwiceInX: "x is multiplied by its step twice"
        case .dtBFloat16: "the step is made or stored in bfloat16"
        case .softplusTwice: "the step passes through softplus twice: the caller made it, and the kernel again"
        case .stepPreparedTwice:
            "dt_bias and softplus are applied twice: the caller made the step, and the kernel again"
        case .stepNotPrepared: "dt is taken for the step: neither dt_bias nor softplus is applied"
        case .softplusUnwanted: "the step passes through softplus although it is given as it is"
        case .dtLimitBeforeSoftplus: "dt + dt_bias is clamped to dt_limit before the softplus"
        case .aNegatedTwice: "A is negated once more, so that states grow"
        case .aLogNotExponentiated: "the rate is A_log itself, not exponentiated"
        case .aBFloat16Log: "A = -exp(A_log) from an A_log rounded to bfloat16"
        case .aBFloat16: "A is rounded to bfloat16"
        case .aTakenAsLog: "A is exponentiated once more: -exp(A)"
        case .aWithoutDt: "the decay is exp(A), without the step"
        case .decayBFloat16: "the decay of each token is rounded to bfloat16"
        case .decayOneTokenLate: "token t decays the state by the step of token t - 1"
        case .maskOffByOne: "inside a chunk a token's own decay is applied to its own input"
        case .maskMissesOwn: "inside a chunk the decay of the token that reads is left out"
        case .chunkStateOffByOne: "in the state of a chunk a token's own decay is applied to its own input"
        case .chunkStateMissesLast: "in the state of a chunk the decay of its last token is left out"
        case .readOutOffByOne: "the entering state is read with the decay up to the token before"
        case .longCumulativeSums: "decays as differences of a float32 sum that runs over the whole sequence"
        case .stateNotDecayed: "the state is passed to the next chunk without the chunk's decay"
        case .readOutNotDecayed: "the entering state is read without the decay inside the chunk"
        case .chunkStateStale: "a chunk reads the state that entered the chunk before it"
        case .chunkStateMissing: "a chunk does not read the state that enters it"
        case .readBeforeUpdate: "y_t is read from the state before token t"
        case .padding: "the last partial chunk is padded before the softplus, so that padding decays the state"
        case .lastChunkDropped: "the final state is that before the last partial chunk"
        case .initialStateIgnored: "the initial state is taken for zero"
        case .initialStateWrongSequence: "the initial state of another sequence (or row) is used"
        case .initialStateEverySequence: "every packed sequence starts from the row's initial state"
        case .initialStateTransposed: "the initial state is read as [N, P]"
        case .stateNotCleared:
            "something stood in the state at the start of a sequence: memory that was not cleared, or another state"
        case .noReset: "the state runs on across packed boundaries"
        case .resetLate: "the state is reset one token after a packed boundary"
        case .resetEarly: "the state is reset one token before a packed boundary"
        case .resetByID: "sequences are told apart by equal ids only, so that an id that returns sees its first run"
        case .decayFromChunkStart:
            "a sequence that begins inside a chunk decays its initial state from the chunk's start"
        case .finalStateOfFirst: "the final state is that of the row's first sequence"
        case .stateTakenEarly: "the states handed back are those before the last token of each sequence"
        case .stateTakenLate: "the state of a packed sequence is taken after the first token of the next"
        case .stateTakenAtChunk: "the state of a packed sequence is the one that entered its last chunk"
        case .sequenceStatesShifted: "the state of a packed sequence is returned as that of its neighbour"
        case .headMapTiled: "head h reads group h mod G in place of h / (H / G)"
        case .groupZeroOnly: "every head reads group 0"
        case .bcSwapped: "B and C are exchanged"
        case .stateTransposed: "the final state is returned as [N, P]"
        case .skipMissing: "D x is not added"
        case .skipMissingSomeChannels: "D x is not added in some channels or heads"
        case .skipOnSteppedInput: "D multiplies dt x in place of x"
        case .skipAfterGate: "D x is added after the gate"
        case .gateMissing: "y is not multiplied by silu(z)"
        case .gateSigmoid: "y is multiplied by sigmoid(z) in place of silu(z)"
        case .stateBFloat16: "the running state is kept in bfloat16"
        case .stateFloat16: "the running state is kept in float16"
        case .chunkStatesBFloat16: "the states that chunks read are stored in bfloat16"
        case .chunkStatesFloat16: "the states that chunks read are stored in float16"
        case .productsTF32: "matrix products take TF32 operands"
        case .productsBFloat16: "matrix products take bfloat16 operands"
        case .operandsBFloat16: "x, B and C are rounded to bfloat16 on reading"
        case .outputBFloat16: "y is rounded to bfloat16 before it is stored"
        case .overflowFloat16: "numbers beyond 65504 become infinite: something is float16"
        }
    }

    /// Whether what it computes depends on where chunks begin.
    var dependsOnChunks: Bool {
        switch self {
        case .maskOffByOne, .maskMissesOwn, .chunkStateOffByOne, .chunkStateMissesLast, .readOutOffByOne,
            .stateNotDecayed,
            .readOutNotDecayed, .chunkStateStale, .chunkStateMissing, .padding, .lastChunkDropped, .decayFromChunkStart,
            .resetByID, .stateBFloat16, .stateFloat16, .chunkStatesBFloat16, .chunkStatesFloat16, .productsTF32,
            .productsBFloat16, .stateTakenAtChunk:
            true
        default: false
        }
    }

    /// Whether it only coarsens the arithmetic: then a kernel's output is explained by likeness,
    /// not to the last rounding.
    var isOfPrecision: Bool {
        switch self {
        case .stateBFloat16, .stateFloat16, .chunkStatesBFloat16, .chunkStatesFloat16, .productsTF32, .productsBFloat16,
            .operandsBFloat16, .outputBFloat16, .dtBFloat16, .decayBFloat16, .longCumulativeSums, .softplusNaive:
            true
        default: false
        }
    }

    /// How many shapes it comes in.
    var variants: Int {
        switch self {
        case .stateBFloat16, .stateFloat16, .longCumulativeSums: 3
        case .headMapTiled: 7
        case .overflowFloat16, .resetByID, .productsTF32, .productsBFloat16, .decayOneTokenLate, .dtBFloat16,
            .dtLimitBeforeSoftplus, .aLogNotExponentiated, .sequenceStatesShifted:
            2
        default: 1
        }
    }
}
