//  The gated delta rule backwards in float64 with one fault: the recurrence backwards with its
//  choices, then what the pairs of a chunk would have given otherwise.
//
//  The δ of the recurrence and the gradients X of β r (DeltaChunkedGradients.swift) are those of
//  any chunk, so that ∂A_ij = -X_i · δ_j and ∂P_ij = ∂o_i · δ_j of pairs inside chunks can be added
//  once more, with the fault's own weights, or taken off.

import DualityCore
import DualityReference

/// A call and how its gradients are taken.
struct FaultyDeltaGradients: Sendable {
    let operands: DeltaOperands<Double>
    let upstream: DeltaUpstream<Double>
    let choice: DeltaBackwardChoice
    let chunkSize: Int

    /// The outputs; nil where the choice is about something that is not there.
    func outputs() -> [String: Tensor<Double>]? {
        if choice.initialTransposed, operands.keyDim != operands.valueDim { return nil }
        var outputs = DeltaGradientCall.named(gradients(), hasState: operands.initialState != nil)
        if let tensor = outputs[choice.negates] { outputs[choice.negates] = tensor.map { -$0 } }
        return outputs
    }

    private func gradients() -> DeltaGradients<Double> {
        var changed = operands
        if choice.swapsOperands { (changed.q, changed.k) = (operands.k, operands.q) }
        if choice.ignoresNorm { changed.epsilon = nil }
        var result = DeltaGradients(zeroLike: changed)
        let group = changed.heads / changed.keyHeads
        for h in 0..<changed.heads {
            let shared = choice.isTiled ? h % changed.keyHeads : h / group
            var run = FaultyDeltaHead(
                head: head(changed, h, shared), choice: choice, chunkSize: chunkSize,
                pull: changed.pull(h, upstream), scale: operands.scale)
            var leaked: [Double]?
            for (s, tokens) in changed.sequences.enumerated().reversed() {
                var adjoint = choice.ignoresFinal ? [] : changed.leaving(s, h, upstream)
                if adjoint.isEmpty { adjoint = [Double](repeating: 0, count: changed.keyDim * changed.valueDim) }
                if choice.leaksAcross, let leaked { for i in adjoint.indices { adjoint[i] += leaked[i] } }
                var entering = changed.entering(s, h)
                if choice.statesFromZero { entering = entering.map { _ in 0 } }
                run.goBack(tokens, entering, &adjoint)
                leaked = adjoint
                let first = (s * changed.heads + h) * adjoint.count
                let width = changed.valueDim
                for i in adjoint.indices {
                    let source = choice.initialTransposed ? i % width * width + i / width : i
                    result.initialState.elements[first + i] = adjoint[source]
                }
            }
            add(run, head: h, shared: shared, group: group, result: &result)
        }
        unnormalize(&result, changed)
        if choice.swapsResults || choice.swapsOperands { (result.q, result.k) = (result.k, result.q) }
        return result
    }

    /// The head's operands, by its own head of keys, with the faults of beta and decay.
    private func head(_ changed: DeltaOperands<Double>, _ h: Int, _ shared: Int) -> DeltaHead<Double> {
        var tiled = changed
        if choice.isTiled {
            let order = (0..<changed.heads).map { $0 % changed.keyHeads }
            (tiled.q, tiled.k) = (changed.q.selecting(order, axis: 1), changed.k.selecting(order, axis: 1))
        }
        var head = tiled.head(h)
        for t in head.beta.indices {
            if choice.sigmoidOfBeta { head.beta[t] = Double.sigmoid(head.beta[t]) }
            if choice.beta == .missing { head.beta[t] = 1 }
            if choice.beta == .twice { head.beta[t] *= head.beta[t] }
        }
        if choice.isDecayLate {
            for tokens in changed.sequences {
                for t in tokens.reversed() { head.logDecay[t] = t == tokens.lowerBound ? 0 : head.logDecay[t - 1] }
            }
        }
        for t in head.logDecay.indices { head.logDecay[t] *= choice.exponent }
        return head
    }

    private func add(
        _ run: FaultyDeltaHead, head h: Int, shared: Int, group: Int, result: inout DeltaGradients<Double>
    ) {
        let (keys, values) = (operands.keyDim, operands.valueDim)
        let rank = choice.isTiled ? h / operands.keyHeads : h % group
        let share = choice.heads.share(of: rank, among: group)
        let scale = choice.scaleOfQueries.factor(operands.scale)
        for t in 0..<operands.v.shape[0] {
            let row = (t * operands.keyHeads + shared) * keys
            for m in 0..<keys {
                result.q.elements[row + m] += share * scale * run.result.q[t * keys + m]
                result.k.elements[row + m] +=
                    share * (choice.scaleInKeys ? operands.scale : 1) * run.result.k[t * keys + m]
            }
            for c in 0..<values {
                result.v.elements[(t * operands.heads + h) * values + c] = run.result.v[t * values + c]
            }
            result.logDecay.elements[t * operands.heads + h] = choice.decayFactor * run.result.logDecay[t]
            result.beta.elements[t * operands.heads + h] = run.result.beta[t]
        }
    }

    private func unnormalize(_ result: inout DeltaGradients<Double>, _ changed: DeltaOperands<Double>) {
        guard let epsilon = changed.epsilon else { return }
        normBack(&result.q, changed.q, epsilon, choice.normOfQueries)
        normBack(&result.k, changed.k, epsilon, choice.normOfKeys)
    }

    private func normBack(
        _ gradient: inout Tensor<Double>, _ raw: Tensor<Double>, _ epsilon: Double, _ kind: DeltaBackwardChoice.NormBack
    ) {
        guard kind != .missing else { return }
        for first in stride(from: 0, to: raw.count, by: operands.keyDim) {
            let row = first..<first + operands.keyDim
            let norm = row.reduce(epsilon) { $0 + raw.elements[$1] * raw.elements[$1] }.squareRoot()
            let along = row.reduce(0) { $0 + raw.elements[$1] * gradient.elements[$1] } / norm
            for i in row {
                if kind != .projectionMissing { gradient.elements[i] -= raw.elements[i] / norm * along }
                if kind != .factorMissing { gradient.elements[i] /= norm }
            }
        }
    }
}
