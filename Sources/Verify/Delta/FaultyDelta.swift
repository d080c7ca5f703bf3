//  The gated delta rule in float64 with one fault.

import DualityCore
import DualityNumerics
import DualityReference

/// A call and the fault a kernel has.
struct FaultyDelta: FamilyAttempt {
    let operands: DeltaOperands<Double>
    let fault: DeltaFault
    var chunkSize = FamilyLimits.usualChunk
    /// Whether norms that are taken in bfloat16 are rounded after every operation, and not once.
    var normsAreStepwise = false

    /// Whether the fault changes what it is about: without an initial state it cannot be ignored.
    var applies: Bool {
        let isSquare = operands.keyDim == operands.valueDim
        let packs = operands.sequences.count > 1
        switch fault {
        case .normMissing, .normOfQueriesMissing, .normOfKeysMissing, .normEpsilonOutside, .normOfMean, .normBFloat16:
            return operands.epsilon != nil
        case .normTwice: return operands.epsilon == nil
        case .headsTiled: return operands.keyHeads > 1 && operands.keyHeads < operands.heads
        case .initialStateIgnored: return operands.initialState != nil
        case .initialStateOfFirst: return operands.initialState != nil && packs
        case .initialStateTransposed: return operands.initialState != nil && isSquare
        case .finalStateTransposed: return isSquare
        case .boundaryLeak: return packs
        case .chunkStateLost, .sumsNotRestarted:
            return operands.sequences.contains { $0.count > chunkSize }
        default: return true
        }
    }

    /// The outputs it leads to; nil where the fault is about something that is not there.
    func outputs() -> [String: Tensor<Double>]? {
        guard applies else { return nil }
        let (heads, values, keys) = (operands.heads, operands.valueDim, operands.keyDim)
        var o = Tensor(repeating: 0.0, shape: operands.v.shape)
        var states = Tensor(repeating: 0.0, shape: [operands.sequences.count, heads, keys, values])
        for h in 0..<heads {
            let head = head(h)
            var last: [Double] = []
            for (s, tokens) in operands.sequences.enumerated() {
                var state = entering(s, h)
                if fault == .boundaryLeak && s > 0 { state = last }
                var rows = [Double](repeating: 0, count: tokens.count * values)
                let final = run(head, tokens, &state, &rows)
                last = state
                for (i, t) in tokens.enumerated() {
                    for j in 0..<values { o.elements[(t * heads + h) * values + j] = rows[i * values + j] }
                }
                let first = (s * heads + h) * keys * values
                for m in 0..<keys {
                    for j in 0..<values {
                        let source = fault == .finalStateTransposed ? j * values + m : m * values + j
                        states.elements[first + m * values + j] =
                            fault == .finalStateNotWritten ? 0 : final[source]
                    }
                }
            }
        }
        return ["o": o, "final_state": states]
    }

    private func entering(_ sequence: Int, _ head: Int) -> [Double] {
        let state = operands.entering(fault == .initialStateOfFirst ? 0 : sequence, head)
        switch fault {
        case .initialStateIgnored: return state.map { _ in 0 }
        case .initialStateTransposed:
            let width = operands.valueDim
            return state.indices.map { state[$0 % width * width + $0 / width] }
        default: return state
        }
    }

    /// - Returns: the final state.
    private func run(
        _ head: DeltaHead<Double>, _ tokens: Range<Int>, _ state: inout [Double], _ rows: inout [Double]
    ) -> [Double] {
        if fault.isOfChunks {
            var chunks = FaultyDeltaChunks(head: head, fault: fault)
            for first in stride(from: tokens.lowerBound, to: tokens.upperBound, by: chunkSize) {
                let part = first..<min(first + chunkSize, tokens.upperBound)
                chunks.run(part, tokens.lowerBound, &state, &rows)
            }
            return state
        }
        var before = state
        for (i, t) in tokens.enumerated() {
            before = state
            step(head, at: t, first: tokens.lowerBound, state: &state, rows: &rows, row: i)
        }
        return fault == .finalStateMissesLast ? before : state
    }

    private func step(
        _ head: DeltaHead<Double>, at t: Int, first: Int, state: inout [Double], rows: inout [Double], row: Int
    ) {
        let (keys, values) = (head.keyDim, head.valueDim)
        let own = t == first ? 0.0 : head.logDecay[t - 1]
        let exponent: Double =
            switch fault {
            case .decayMissing: 0
            case .decayTwice: 2 * head.logDecay[t]
            case .decayBaseTwo: head.logDecay[t] * 0.6931471805599453
            case .decayOneTokenLate: own
            case .gatesBFloat16: NumberFormat.bf16.round(head.logDecay[t])
            default: head.logDecay[t]
            }
        let decay = Double.exp(exponent)
        let beta: Double =
            switch fault {
            case .betaMissing: 1
            case .betaTwice: head.beta[t] * head.beta[t]
            case .betaSigmoidTwice: Double.sigmoid(head.beta[t])
            case .betaOfNextToken: t == first ? 0 : head.beta[t - 1]
            default: head.beta[t]
            }
        if fault != .decayAfterDelta && fault != .decayAfterUpdate { scale(&state, decay) }
        var delta = [Double](repeating: 0, count: values)
        for m in 0..<keys {
            let key = head.k[t * keys + m]
            for j in 0..<values { delta[j] += key * state[m * values + j] }
        }
        for j in 0..<values {
            let (v, known) = (head.v[t * values + j], delta[j])
            switch fault {
            case .betaOnValueAlone: delta[j] = beta * v - known
            case .betaOnCorrectionAlone: delta[j] = v - beta * known
            case .correctionMissing: delta[j] = beta * v
            default: delta[j] = beta * (v - known)
            }
        }
        if fault == .decayAfterDelta { scale(&state, decay) }
        if fault == .outputBeforeUpdate { read(head, at: t, state: state, rows: &rows, row: row) }
        for m in 0..<keys {
            let key = head.k[t * keys + m]
            for j in 0..<values { state[m * values + j] += key * delta[j] }
        }
        if fault == .decayAfterUpdate { scale(&state, decay) }
        if fault == .stateBFloat16 { state = state.map { NumberFormat.bf16.round($0) } }
        if fault == .stateFloat16 { state = state.map { NumberFormat.f16.round($0) } }
        if fault != .outputBeforeUpdate { read(head, at: t, state: state, rows: &rows, row: row) }
    }

    private func scale(_ state: inout [Double], _ factor: Double) {
        for i in state.indices { state[i] *= factor }
    }

    private func read(_ head: DeltaHead<Double>, at t: Int, state: [Double], rows: inout [Double], row: Int) {
        let (keys, values) = (head.keyDim, head.valueDim)
        for m in 0..<keys {
            let query = head.q[t * keys + m]
            for j in 0..<values { rows[row * values + j] += query * state[m * values + j] }
        }
    }

    /// What a head is computed from.
    private func head(_ h: Int) -> DeltaHead<Double> {
        var changed = operands
        switch fault {
        case .scaleMissing: changed.scale = 1
        case .scaleTwice: changed.scale *= operands.scale
        case .queriesAndKeysSwapped: (changed.q, changed.k) = (operands.k, operands.q)
        case .normTwice: changed.epsilon = 1e-6
        case .headsTiled:
            let order = (0..<operands.heads).map { $0 % operands.keyHeads }
            (changed.q, changed.k) = (operands.q.selecting(order, axis: 1), operands.k.selecting(order, axis: 1))
        default: break
        }
        var head = changed.head(h)
        normalize(&head, h)
        if fault == .scaleOfKeysToo { for i in head.k.indices { head.k[i] *= operands.scale } }
        return head
    }

    /// Norms that are others.
    private func normalize(_ head: inout DeltaHead<Double>, _ h: Int) {
        guard let epsilon = operands.epsilon else { return }
        var plain = operands
        plain.epsilon = nil
        switch fault {
        case .normMissing: head = plain.head(h)
        case .normOfQueriesMissing: head.q = plain.head(h).q
        case .normOfKeysMissing: head.k = plain.head(h).k
        case .normOfMean:
            let root = Double(head.keyDim).squareRoot()
            for i in head.k.indices { (head.q[i], head.k[i]) = (head.q[i] * root, head.k[i] * root) }
        case .normBFloat16 where normsAreStepwise:
            let raw = plain.head(h)
            for t in 0..<head.beta.count {
                let row = t * head.keyDim..<(t + 1) * head.keyDim
                narrow(&head.k, raw.k, row, times: 1, epsilon)
                narrow(&head.q, raw.q, row, times: operands.scale, epsilon)
            }
        case .normBFloat16:
            for i in head.k.indices {
                head.k[i] = NumberFormat.bf16.round(head.k[i])
                if operands.scale != 0 {
                    head.q[i] = operands.scale * NumberFormat.bf16.round(head.q[i] / operands.scale)
                }
            }
        case .normEpsilonOutside:
            let raw = plain.head(h)
            for t in 0..<head.beta.count {
                let row = t * head.keyDim..<(t + 1) * head.keyDim
                let ofK = raw.k[row].reduce(0) { $0 + $1 * $1 }.squareRoot() + epsilon
                let ofQ = raw.q[row].reduce(0) { $0 + $1 * $1 }.squareRoot() / operands.scale.magnitude + epsilon
                for i in row { (head.q[i], head.k[i]) = (raw.q[i] / ofQ, raw.k[i] / ofK) }
            }
        default: break
        }
    }

    /// A row over its norm: x rsqrt(sum(x x) + ε), every operation rounded to bfloat16, and then
    /// scaled.
    private func narrow(
        _ target: inout [Double], _ raw: [Double], _ row: Range<Int>, times scale: Double, _ epsilon: Double
    ) {
        func short(_ x: Double) -> Double { NumberFormat.bf16.round(x) }
        guard scale != 0 else { return }
        let numbers = row.map { raw[$0] / scale }
        let sum = short(numbers.reduce(0) { $0 + short($1 * $1) })
        let factor = short(1 / short(sum + epsilon).squareRoot())
        for (i, x) in zip(row, numbers) { target[i] = scale * short(x * factor) }
    }
}
