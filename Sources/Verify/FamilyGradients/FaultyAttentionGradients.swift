//  Softmax attention backwards in float64 with one fault: weights of a row made anew from its lse,
//  then two loops, one that adds up ∂q over keys and one that adds up ∂k and ∂v over queries.

import DualityCore
import DualityReference

/// A call and how its gradients are taken.
struct FaultyAttentionGradients: Sendable {
    let operands: AttentionOperands<Double>
    let pull: Tensor<Double>
    let choice: AttentionBackwardChoice

    /// What a row of the backward pass works with.
    private struct Row {
        let scores: [Double]
        let ofWeights: [Double]
        /// ln of the sum of weights, and the row's correction D.
        let logarithm: Double
        let largest: Double
        let correction: Double
        let sink: Double
    }

    /// The outputs; nil where the choice is about something that is not there.
    func outputs() -> [String: Tensor<Double>]? {
        if choice.swapsResults, operands.k.shape != operands.v.shape { return nil }
        let isOfWindow = choice.window != .right || choice.ignoresSinkTokens
        if isOfWindow, operands.window == nil { return nil }
        let isOfSinks = choice.ignoresSinks || choice.sinks != .right || choice.correction == .withoutSinks
        if isOfSinks, operands.sinks == nil { return nil }
        var outputs = AttentionGradientCall.named(gradients())
        if let tensor = outputs[choice.negates] { outputs[choice.negates] = tensor.map { -$0 } }
        return outputs
    }

    private func gradients() -> AttentionGradients<Double> {
        var result = AttentionGradients(zeroLike: operands)
        for b in 0..<operands.batch {
            for t in 0..<operands.length { for h in 0..<operands.heads { addRow(b, t, h, &result) } }
        }
        if choice.swapsResults { (result.k, result.v) = (result.v, result.k) }
        return result
    }

    private func sees(_ t: Int, _ s: Int, isFaulty: Bool) -> Bool {
        guard isFaulty else { return operands.sees(t, s) }
        let (count, block) = (operands.keyCount, AttentionGradientFault.block)
        var position = t + count - operands.length
        switch choice.mask {
        case .topLeft: position = t
        case .lastBlockMissing: if s >= count / block * block { return false }
        case .firstBlockMissing: if s < block { return false }
        default: break
        }
        if operands.isCausal && choice.mask != .missing {
            let last = choice.mask == .strict ? position - 1 : choice.mask == .late ? position + 1 : position
            if s > last { return false }
        }
        guard let window = operands.window, choice.window != .ignored else { return true }
        if s < operands.sinkTokens && !choice.ignoresSinkTokens { return true }
        return s > position - window - (choice.window == .long ? 1 : choice.window == .short ? -1 : 0)
    }

    private func keyRow(_ b: Int, _ s: Int, _ h: Int) -> Int {
        guard choice.isTiled else { return operands.keyRow(b, s, h) }
        return (b * operands.keyCount + s) * operands.keyHeads + h % operands.keyHeads
    }

    private func row(_ b: Int, _ t: Int, _ h: Int) -> Row? {
        let (width, values) = (operands.keyDim, operands.valueDim)
        let (query, out) = (operands.queryRow(b, t, h) * width, operands.queryRow(b, t, h) * values)
        var (scores, ofWeights) = ([Double](), [Double]())
        for s in 0..<operands.keyCount {
            let (key, value) = (keyRow(b, s, h) * width, keyRow(b, s, h) * values)
            var (score, ofWeight) = (0.0, 0.0)
            for m in 0..<width { score += operands.q.elements[query + m] * operands.k.elements[key + m] }
            for c in 0..<values { ofWeight += pull.elements[out + c] * operands.v.elements[value + c] }
            scores.append(choice.scaleOfScores.factor(operands.scale) * score)
            ofWeights.append(ofWeight)
        }
        let seen = scores.indices.filter { sees(t, $0, isFaulty: choice.isForwardToo) }
        guard let first = seen.first else { return nil }
        // Where sinks are ignored backwards alone, D is that of the right output.
        let own = operands.sinks?.elements[h]
        let sink = choice.ignoresSinks ? nil : own
        let largest = seen.reduce(sink ?? scores[first]) { max($0, scores[$1]) }
        let ofKeys = seen.reduce(0) { $0 + Double.exp(scores[$1] - largest) }
        let sum = ofKeys + (sink.map { Double.exp($0 - largest) } ?? 0)
        let right = choice.isForwardToo || own == nil ? sum : ofKeys + Double.exp((own ?? 0) - largest)
        let divisor = choice.correction == .withoutSinks ? ofKeys : right
        let correction = seen.reduce(0) { $0 + Double.exp(scores[$1] - largest) / divisor * ofWeights[$1] }
        return Row(
            scores: scores, ofWeights: ofWeights, logarithm: largest + Double.log(sum), largest: largest,
            correction: correction, sink: sink.map { Double.exp($0 - largest) / sum } ?? 0)
    }

    private func weight(_ row: Row, _ s: Int) -> Double {
        switch choice.weights {
        case .right: Double.exp(row.scores[s] - row.logarithm)
        case .notNormalised: Double.exp(row.scores[s] - row.largest)
        case .baseTwo: Double.exp(0.6931471805599453 * (row.scores[s] - row.logarithm))
        }
    }

    private func addRow(_ b: Int, _ t: Int, _ h: Int, _ result: inout AttentionGradients<Double>) {
        guard let row = row(b, t, h) else { return }
        let (width, values) = (operands.keyDim, operands.valueDim)
        let (query, out) = (operands.queryRow(b, t, h) * width, operands.queryRow(b, t, h) * values)
        let taken: Double =
            switch choice.correction {
            case .missing: 0
            case .reversed: -row.correction
            default: row.correction
            }
        addSinks(row, b, h, &result)
        let (share, block) = (share(h), AttentionGradientFault.block)
        let lastBlock = (t + operands.keyCount - operands.length) / block
        for s in 0..<operands.keyCount {
            let (key, value) = (keyRow(b, s, h) * width, keyRow(b, s, h) * values)
            let w = weight(row, s)
            let ofScore = (choice.leavesOutWeights ? 1 : w) * (row.ofWeights[s] - taken)
            let isOfQueries =
                switch choice.queryBlocks {
                case .all: true
                case .last: s / block == (operands.isCausal ? lastBlock : (operands.keyCount - 1) / block)
                case .first: s < block
                }
            if isOfQueries, sees(t, s, isFaulty: choice.inQueries) {
                let factor = choice.scaleOfQueries.factor(operands.scale) * ofScore
                for m in 0..<width { result.q.elements[query + m] += factor * operands.k.elements[key + m] }
            }
            let isOfKeys =
                switch choice.keyBlocks {
                case .all: true
                case .last: t / block == (operands.length - 1) / block
                case .first: t < block
                }
            guard isOfKeys, sees(t, s, isFaulty: choice.inKeys) else { continue }
            let factor = share * choice.scaleOfKeys.factor(operands.scale) * ofScore
            for m in 0..<width { result.k.elements[key + m] += factor * operands.q.elements[query + m] }
            for c in 0..<values { result.v.elements[value + c] += share * w * pull.elements[out + c] }
        }
    }

    private func addSinks(_ row: Row, _ b: Int, _ h: Int, _ result: inout AttentionGradients<Double>) {
        switch choice.sinks {
        case .right: result.sinks?.elements[h] -= row.sink * row.correction
        case .missing: break
        case .reversed: result.sinks?.elements[h] += row.sink * row.correction
        case .unweighted: result.sinks?.elements[h] -= row.correction
        case .uncorrected: result.sinks?.elements[h] -= row.sink
        case .ofFirstRow: if b == 0 { result.sinks?.elements[h] -= row.sink * row.correction }
        }
    }

    /// How much of what a head says is added to the gradients of its keys.
    private func share(_ h: Int) -> Double {
        let group = operands.heads / operands.keyHeads
        let rank = choice.isTiled ? h / operands.keyHeads : h % group
        return choice.heads.share(of: rank, among: group)
    }
}
