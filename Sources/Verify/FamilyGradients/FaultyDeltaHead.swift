//  One head of the gated delta rule backwards in float64, with the choices of a fault.

import DualityCore
import DualityReference

/// A head on its way back.
struct FaultyDeltaHead {
    let head: DeltaHead<Double>
    let choice: DeltaBackwardChoice
    let chunkSize: Int
    /// ∂ℒ/∂o, `[T, V]`.
    let pull: [Double]
    /// The scale that q has been multiplied with.
    let scaleOfQueries: Double
    private(set) var result: DeltaHeadGradients<Double>
    /// δ and X of every token, `[T, V]`.
    private var (delta, solved) = ([Double](), [Double]())

    private var keys: Int { head.keyDim }
    private var values: Int { head.valueDim }

    init(
        head: DeltaHead<Double>, choice: DeltaBackwardChoice, chunkSize: Int, pull: [Double], scale: Double
    ) {
        (self.head, self.choice, self.chunkSize, self.pull) = (head, choice, max(chunkSize, 1), pull)
        scaleOfQueries = scale
        result = DeltaHeadGradients(zeroLike: head)
        delta = [Double](repeating: 0, count: head.v.count)
        solved = delta
    }

    /// Adds the gradients of a sequence; `adjoint` becomes that of its initial state.
    mutating func goBack(_ tokens: Range<Int>, _ entering: [Double], _ adjoint: inout [Double]) {
        var states = [entering]
        for t in tokens.dropLast() {
            var state = states[states.count - 1]
            if choice.statesLost && t > tokens.lowerBound && (t - tokens.lowerBound) % chunkSize == 0 {
                state = state.map { _ in 0 }
            }
            _ = head.evaluate(.recurrent, t..<t + 1, state: &state)
            states.append(state)
        }
        for (i, t) in tokens.enumerated().reversed() {
            if (i + 1) % chunkSize == 0, i + 1 < tokens.count, choice.adjointsLost {
                adjoint = adjoint.map { _ in 0 }
            }
            var before = states[i]
            if choice.statesLost, i > 0, i % chunkSize == 0 { before = before.map { _ in 0 } }
            step(t, tokens, before, &adjoint)
        }
        for first in stride(from: tokens.lowerBound, to: tokens.upperBound, by: chunkSize) {
            addPairs(first..<min(first + chunkSize, tokens.upperBound))
        }
        resum(tokens)
    }

    private func scale(_ use: FactorUse, _ own: Double) -> Double {
        switch use {
        case .right: 1
        case .missing: own != 0 ? 1 / own : 1
        case .twice: own
        }
    }

    private mutating func step(_ t: Int, _ tokens: Range<Int>, _ before: [Double], _ adjoint: inout [Double]) {
        let (decay, beta) = (Double.exp(head.logDecay[t]), head.beta[t])
        let faded = before.map { decay * $0 }
        var known = [Double](repeating: 0, count: values)
        for m in 0..<keys { for c in 0..<values { known[c] += head.k[t * keys + m] * faded[m * values + c] } }
        var ofDelta = [Double](repeating: 0, count: values)
        let inStates = scale(choice.scaleInStates, scaleOfQueries)
        for c in 0..<values { delta[t * values + c] = beta * (head.v[t * values + c] - known[c]) }
        for m in 0..<keys {
            let (key, query) = (head.k[t * keys + m], head.q[t * keys + m])
            for c in 0..<values {
                let (place, y) = (m * values + c, pull[t * values + c])
                let read: Double =
                    switch choice.queryReads {
                    case .right: faded[place] + key * delta[t * values + c]
                    case .faded: faded[place]
                    case .before: before[place]
                    }
                result.q[t * keys + m] += read * y
                if choice.ownOutputLate { ofDelta[c] += key * adjoint[place] }
                adjoint[place] += inStates * query * y
                if !choice.ownOutputLate { ofDelta[c] += key * adjoint[place] }
            }
        }
        for c in 0..<values {
            let (d, v) = (ofDelta[c], head.v[t * values + c])
            solved[t * values + c] = d
            result.v[t * values + c] += choice.leavesOutBetaOfValue ? d : beta * d
            switch choice.ofBeta {
            case .right: result.beta[t] += d * (v - known[c])
            case .withoutCorrection: result.beta[t] += d * v
            case .ofDelta: result.beta[t] += d * delta[t * values + c]
            case .withoutValue: result.beta[t] -= d * known[c]
            }
        }
        leave(t, tokens: tokens, before: before, faded: faded, ofDelta: ofDelta, adjoint: &adjoint)
    }

    private mutating func leave(
        _ t: Int, tokens: Range<Int>, before: [Double], faded: [Double], ofDelta: [Double],
        adjoint: inout [Double]
    ) {
        let (decay, beta) = (Double.exp(head.logDecay[t]), head.beta[t])
        var ofDecay = 0.0
        for m in 0..<keys {
            let key = head.k[t * keys + m]
            for c in 0..<values {
                let (place, d) = (m * values + c, delta[t * values + c])
                if !choice.leavesOutWrites { result.k[t * keys + m] += adjoint[place] * d }
                if !choice.leavesOutCorrection {
                    let read = choice.correctionReads == .before ? before[place] : faded[place]
                    result.k[t * keys + m] -= beta * read * ofDelta[c]
                }
                let corrected = adjoint[place] - beta * key * ofDelta[c]
                switch choice.ofDecay {
                case .undecayed: ofDecay += corrected * before[place]
                case .uncorrected: ofDecay += adjoint[place] * faded[place]
                case .afterUpdate: ofDecay += adjoint[place] * (faded[place] + key * d)
                case .zero: break
                default: ofDecay += corrected * faded[place]
                }
                switch choice.corrects {
                case .missing: break
                case .withoutBeta: adjoint[place] -= key * ofDelta[c]
                default: adjoint[place] = corrected
                }
            }
        }
        result.logDecay[t] += ofDecay
        let isFirst = t == tokens.lowerBound
        if isFirst && choice.initialUndecayed { return }
        let exponent: Double =
            switch choice.passes {
            case .missing: 0
            case .tokenBefore: isFirst ? 0 : head.logDecay[t - 1]
            default: head.logDecay[t]
            }
        let passed = choice.passes == .right ? decay : Double.exp(exponent)
        for i in adjoint.indices { adjoint[i] *= passed }
    }

    /// How much of a pair's part is added to what is right.
    private func excess(_ kind: DeltaBackwardChoice.Pairs, _ i: Int, _ j: Int, _ decay: Double) -> Double {
        switch kind {
        case .right: 0
        case .missing: -decay
        case .reversed: -2 * decay
        case .notDecayed: 1 - decay
        case .withoutBeta: head.beta[i] != 0 ? decay * (1 / head.beta[i] - 1) : 0
        case .withDiagonal: i == j ? 1 : 0
        case .withoutDiagonal: i == j ? -1 : 0
        }
    }

    private mutating func addPairs(_ tokens: Range<Int>) {
        guard choice.system != .right || choice.queryPairs != .right || choice.keyPairs != .right else { return }
        var crossing = [Double](repeating: 0, count: tokens.count + 1)
        for i in tokens {
            var sum = 0.0
            for j in (tokens.lowerBound...i).reversed() {
                let decay = Double.exp(sum)
                sum += head.logDecay[j]
                var (system, pair, overlap) = (0.0, 0.0, 0.0)
                for c in 0..<values {
                    system -= solved[i * values + c] * delta[j * values + c]
                    pair += pull[i * values + c] * delta[j * values + c]
                }
                for m in 0..<keys { overlap += head.k[i * keys + m] * head.k[j * keys + m] }
                let ofA = i == j && choice.system != .withDiagonal ? 0 : system * excess(choice.system, i, j, decay)
                let (ofQ, ofK) = (
                    pair * excess(choice.queryPairs, i, j, decay), pair * excess(choice.keyPairs, i, j, decay)
                )
                let beta = head.beta[i]
                for m in 0..<keys {
                    let (row, column) = (i * keys + m, j * keys + m)
                    result.q[row] += ofQ * head.k[column]
                    result.k[column] += ofK * head.q[row] + ofA * beta * head.k[row]
                    result.k[row] += ofA * beta * head.k[column]
                }
                // Without beta in the system nothing of it is in the gradient of beta.
                if choice.system != .withoutBeta { result.beta[i] += ofA * overlap }
                if j < i {
                    crossing[j + 1 - tokens.lowerBound] += ofA * beta * overlap
                    crossing[i + 1 - tokens.lowerBound] -= ofA * beta * overlap
                }
            }
        }
        var sum = 0.0
        for t in tokens {
            sum += crossing[t - tokens.lowerBound]
            result.logDecay[t] += sum
        }
    }

    /// The gradient of g with its sums taken otherwise.
    private mutating func resum(_ tokens: Range<Int>) {
        let exact = tokens.map { result.logDecay[$0] }
        for i in exact.indices {
            let t = tokens.lowerBound + i
            let first = i / chunkSize * chunkSize
            let next = (i + 1) % chunkSize == 0 || i + 1 == exact.count ? 0 : exact[i + 1]
            switch choice.sums {
            case .right: break
            case .notSummed: result.logDecay[t] = exact[i] - next
            case .forwards: result.logDecay[t] = exact[first] - next
            case .acrossChunks:
                for later in stride(from: first + chunkSize, to: exact.count, by: chunkSize) {
                    result.logDecay[t] += exact[later]
                }
            }
            if choice.ofDecay == .late { result.logDecay[t] = i > 0 ? exact[i - 1] : 0 }
            if choice.ofDecay == .early { result.logDecay[t] = i + 1 < exact.count ? exact[i + 1] : 0 }
        }
    }
}
