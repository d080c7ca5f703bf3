//  Gated KalmaNet in float64 with one fault.

import DualityCore
import DualityNumerics
import DualityReference

/// A call and the fault a kernel has.
struct FaultyKalman: FamilyAttempt {
    let operands: KalmanOperands<Double>
    let fault: KalmanFault
    let chunkSize: Int

    /// Whether the fault changes what it is about: without an initial state it cannot be ignored.
    var applies: Bool {
        let isSquare = operands.keyDim == operands.valueDim
        let packs = operands.sequences.count > 1
        let hasStates = operands.gram != nil || operands.memory != nil
        func shares(_ heads: Int) -> Bool { heads > 1 && heads < operands.heads }
        switch fault {
        case .normMissing, .normOfQueriesMissing, .normOfKeysMissing, .normEpsilonInside, .normOfMean, .normBFloat16:
            return operands.epsilon != nil
        case .normTwice: return operands.epsilon == nil
        case .headsTiled: return shares(operands.k.shape[1]) || shares(operands.v.shape[1])
        case .queriesAndKeysSwapped: return operands.k.shape == operands.q.shape
        case .alphaMissing, .alphaReversed, .alphaAdded, .alphaSigmoidTwice, .alphaOfPrevious:
            return operands.alpha != nil && operands.iterations > 0
        case .betaMissing, .betaTwice, .betaOnKeysAlone, .betaOnValuesAlone, .betaOnce, .betaSigmoidTwice,
            .betaEpsilonMissing, .betaOfPrevious:
            return operands.beta != nil
        case .decayMissing, .decayOfMemoryMissing, .decayTwice, .decayAfterUpdate, .decayBaseTwo, .decayOneTokenLate,
            .gatesBFloat16, .crossDecayMissing, .insideDecayMissing, .keysNotDecayed, .chunkStateUndecayed:
            return operands.logDecay != nil
        case .decayOfGramMissing: return operands.logDecay != nil && operands.decaysGram && operands.iterations > 0
        case .decayOfGramNotWanted: return operands.logDecay != nil && !operands.decaysGram && operands.iterations > 0
        case .memoryTransposed, .finalMemoryTransposed: return isSquare
        case .finalStatesSwapped: return isSquare && operands.iterations > 0
        case .initialStateIgnored: return hasStates
        case .initialGramIgnored: return operands.gram != nil && operands.memory != nil && operands.iterations > 0
        case .initialMemoryIgnored: return operands.gram != nil && operands.memory != nil
        case .initialMemoryTransposed: return operands.memory != nil && isSquare
        case .initialStateOfFirst: return hasStates && packs
        case .boundaryLeak: return packs
        case .chunkStateLost, .chunkStateBFloat16: return operands.sequences.contains { $0.count > chunkSize }
        default: return operands.iterations > 0 || !isOfSolver
        }
    }

    private var isOfSolver: Bool {
        switch fault {
        case .iterationMissing, .iterationMore, .solvedExactly, .momentumMissing, .omegaConstant, .omegaLate,
            .omegaFromOne, .startAtZero, .startAtQuery, .ridgeMissing, .ridgeNotScaled, .ridgeOfTrace,
            .ridgeMissingInProduct, .ridgeMissingInBounds, .boundsWithoutRidgeAbove, .boundsOfTrace, .normSquared,
            .normBeforeUpdate, .solvedBeforeUpdate, .solverBFloat16, .solverTF32, .solutionBFloat16, .gramBFloat16,
            .normOfChunkStart, .normCrossTermMissing, .normCrossTermOnce:
            true
        default: false
        }
    }

    /// The outputs it leads to; nil where the fault is about something that is not there.
    func outputs() -> [String: Tensor<Double>]? {
        guard applies else { return nil }
        let (heads, values, keys) = (operands.heads, operands.valueDim, operands.keyDim)
        let count = operands.sequences.count
        var o = Tensor(repeating: 0.0, shape: [operands.tokens, heads, values])
        var grams = Tensor(repeating: 0.0, shape: [count, heads, keys, keys])
        var memories = Tensor(repeating: 0.0, shape: [count, heads, keys, values])
        for h in 0..<heads {
            let run = FaultyKalmanHead(head: head(h), fault: fault, chunkSize: chunkSize)
            var last: KalmanState<Double>?
            for (s, tokens) in operands.sequences.enumerated() {
                var state = entering(s, h)
                if fault == .boundaryLeak, let last { state = last }
                var rows = [Double](repeating: 0, count: tokens.count * values)
                let final = run.run(tokens, &state, &rows)
                last = state
                for (i, t) in tokens.enumerated() {
                    for j in 0..<values { o.elements[(t * heads + h) * values + j] = rows[i * values + j] }
                }
                let place = s * heads + h
                write(final, place, &grams, &memories)
            }
        }
        return ["o": o, "final_gram": grams, "final_memory": memories]
    }

    private func write(
        _ state: KalmanState<Double>, _ place: Int, _ grams: inout Tensor<Double>, _ memories: inout Tensor<Double>
    ) {
        if fault == .finalStateNotWritten { return }
        var (gram, memory) = (state.gram, state.memory)
        if fault == .finalStatesSwapped { (gram, memory) = (memory, gram) }
        if fault == .finalMemoryTransposed { memory = Self.transposed(memory, operands.valueDim) }
        grams.elements.replaceSubrange(place * gram.count..<(place + 1) * gram.count, with: gram)
        memories.elements.replaceSubrange(place * memory.count..<(place + 1) * memory.count, with: memory)
    }

    static func transposed(_ square: [Double], _ width: Int) -> [Double] {
        square.indices.map { square[$0 % width * width + $0 / width] }
    }

    private func entering(_ sequence: Int, _ head: Int) -> KalmanState<Double> {
        var state = operands.entering(fault == .initialStateOfFirst ? 0 : sequence, head)
        switch fault {
        case .initialStateIgnored:
            state = KalmanState(gram: state.gram.map { _ in 0 }, memory: state.memory.map { _ in 0 })
        case .initialGramIgnored: state.gram = state.gram.map { _ in 0 }
        case .initialMemoryIgnored: state.memory = state.memory.map { _ in 0 }
        case .initialMemoryTransposed: state.memory = Self.transposed(state.memory, operands.valueDim)
        default: break
        }
        return state
    }

    /// What a head is computed from.
    private func head(_ h: Int) -> KalmanHead<Double> {
        var changed = operands
        switch fault {
        case .scaleMissing: changed.scale = 1
        case .scaleTwice: changed.scale *= operands.scale
        case .queriesAndKeysSwapped: (changed.q, changed.k) = (operands.k, operands.q)
        case .normTwice: changed.epsilon = 1e-6
        case .headsTiled:
            func tiled(_ tensor: Tensor<Double>) -> Tensor<Double> {
                tensor.selecting((0..<operands.heads).map { $0 % tensor.shape[1] }, axis: 1)
            }
            (changed.k, changed.v) = (tiled(operands.k), tiled(operands.v))
        case .alphaMissing: changed.alpha = nil
        case .alphaSigmoidTwice: changed.alpha = operands.alpha?.map { Double.sigmoid($0) }
        case .betaMissing: changed.beta = nil
        case .betaTwice: changed.beta = operands.beta?.map { $0 * $0 }
        case .betaSigmoidTwice: changed.beta = operands.beta?.map { Double.sigmoid($0) }
        case .betaEpsilonMissing: changed.beta = operands.beta?.map { $0 - 1e-6 }
        case .decayMissing: changed.logDecay = nil
        case .decayOfGramMissing: changed.decaysGram = false
        case .decayOfGramNotWanted: changed.decaysGram = true
        case .decayTwice: changed.logDecay = operands.logDecay?.map { 2 * $0 }
        case .decayBaseTwo: changed.logDecay = operands.logDecay?.map { $0 * 0.6931471805599453 }
        case .gatesBFloat16: changed.logDecay = operands.logDecay?.map { NumberFormat.bf16.round($0) }
        default: break
        }
        var head = changed.head(h)
        normalize(&head, h)
        delay(&head)
        if fault == .normBFloat16 {
            head.q = head.q.map { NumberFormat.bf16.round($0) }
            head.k = head.k.map { NumberFormat.bf16.round($0) }
        }
        return head
    }

    /// Gates of the token before.
    private func delay(_ head: inout KalmanHead<Double>) {
        let whole = head
        for tokens in operands.sequences {
            for t in tokens {
                let isFirst = t == tokens.lowerBound
                switch fault {
                case .alphaOfPrevious: head.alpha[t] = isFirst ? 0 : whole.alpha[t - 1]
                case .betaOfPrevious: head.gate[t] = isFirst ? 1e-6 : whole.gate[t - 1]
                case .decayOneTokenLate: head.logDecay[t] = isFirst ? 0 : whole.logDecay[t - 1]
                default: return
                }
            }
        }
    }

    /// Norms that are others.
    private func normalize(_ head: inout KalmanHead<Double>, _ h: Int) {
        guard let epsilon = operands.epsilon else { return }
        var plain = operands
        plain.epsilon = nil
        let raw = plain.head(h)
        switch fault {
        case .normMissing: (head.q, head.k) = (raw.q, raw.k)
        case .normOfQueriesMissing: head.q = raw.q
        case .normOfKeysMissing: head.k = raw.k
        case .normOfMean:
            let root = Double(head.keyDim).squareRoot()
            (head.q, head.k) = (head.q.map { $0 * root }, head.k.map { $0 * root })
        case .normEpsilonInside:
            for first in stride(from: 0, to: raw.q.count, by: head.keyDim) {
                let row = first..<first + head.keyDim
                let ofQ = (raw.q[row].reduce(0) { $0 + $1 * $1 } + epsilon).squareRoot()
                let ofK = (raw.k[row].reduce(0) { $0 + $1 * $1 } + epsilon).squareRoot()
                for i in row { (head.q[i], head.k[i]) = (raw.q[i] / ofQ, raw.k[i] / ofK) }
            }
        default: break
        }
    }
}
