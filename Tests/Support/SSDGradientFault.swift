//  Backpropagation through the operator as mistaken kernels do it.

import DualityCore
import DualityReference

/// The mistakes that backward passes of the operator are prone to.
package enum SSDGradientFault: CaseIterable {
    case none
    case forgetsTheDecayInTheStep
    case forgetsTheInputInTheStep
    case forgetsTheStepInTheInput
    case readsTheStateBeforeTheUpdate
    case takesTheStateAfterForTheDecay
    case decaysWithItsOwnToken
    case decaysTheFinalState
    case forgetsTheFinalState
    case forgetsTheSkip
    case keepsOneHeadOfAGroup
    case forgetsTheSoftplus
    case forgetsTheClamp
    case gatesWithTheGatedOutput
    case forgetsTheSlopeOfTheGate
    case forgetsThatTheGateComesLast
}

/// Backpropagation through the recurrence in its plainest words, all states kept, with one thing
/// wrong. Shares no code with the forms.
package func plainGradients(
    of inputs: SSDInputs<Double>, upstream: SSDUpstream<Double>, fault: SSDGradientFault
) throws -> SSDGradients<Double> {
    let (length, heads, headDim, stateDim) = (inputs.length, inputs.heads, inputs.headDim, inputs.stateDim)
    let steps = inputs.effectiveSteps()
    var result = SSDGradients(zeroLike: inputs)
    for row in 0..<inputs.batch {
        for h in 0..<heads {
            let (xHead, bHead, cHead) = (inputs.headMap.x[h], inputs.headMap.b[h], inputs.headMap.c[h])
            func decay(_ t: Int) -> Double { .exp(steps[row, t, h] * inputs.a[h]) }
            // states[t] is the state before token t
            var states = [
                (0..<headDim).map { p in (0..<stateDim).map { n in inputs.initialState?[row, h, p, n] ?? 0 } }
            ]
            for t in 0..<length {
                var state = states[t]
                for p in 0..<headDim {
                    for n in 0..<stateDim {
                        state[p][n] =
                            decay(t) * state[p][n]
                            + steps[row, t, h] * inputs.x[row, t, xHead, p] * inputs.b[row, t, bHead, n]
                    }
                }
                states.append(state)
            }
            // r is the gradient of the state after token t
            var r = (0..<headDim).map { p in
                (0..<stateDim).map { n in
                    fault == .forgetsTheFinalState ? 0 : upstream.finalState?[row, h, p, n] ?? 0
                }
            }
            if fault == .decaysTheFinalState, length > 0 { r = r.map { $0.map { $0 * decay(length - 1) } } }
            for t in stride(from: length - 1, through: 0, by: -1) {
                let step = steps[row, t, h]
                var (input, rate) = (0.0, 0.0)
                for p in 0..<headDim {
                    let x = inputs.x[row, t, xHead, p]
                    let skip = inputs.d.map { $0.shape.count == 2 ? $0[h, p] : $0[h] } ?? 0
                    let ungated =
                        (0..<stateDim).reduce(skip * x) { $0 + states[t + 1][p][$1] * inputs.c[row, t, cHead, $1] }
                    var g = upstream.y?[row, t, h, p] ?? 0
                    if let z = inputs.z?[row, t, h, p] {
                        let s = 1 / (1 + Double.exp(-z))
                        let slope = fault == .forgetsTheSlopeOfTheGate ? s : s * (1 + z * (1 - s))
                        result.z?[row, t, h, p] +=
                            g * ungated * slope * (fault == .gatesWithTheGatedOutput ? z * s : 1)
                        if fault != .forgetsThatTheGateComesLast { g *= z * s }
                    }
                    var pull = 0.0
                    for n in 0..<stateDim {
                        let (b, c) = (inputs.b[row, t, bHead, n], inputs.c[row, t, cHead, n])
                        r[p][n] += g * c
                        pull += r[p][n] * b
                        rate +=
                            decay(t) * r[p][n] * states[fault == .takesTheStateAfterForTheDecay ? t + 1 : t][p][n]
                        let read = states[fault == .readsTheStateBeforeTheUpdate ? t : t + 1][p][n]
                        if fault == .keepsOneHeadOfAGroup, p == 0 { result.b[row, t, bHead, n] = 0 }
                        result.b[row, t, bHead, n] += step * r[p][n] * x
                        result.c[row, t, cHead, n] += read * g
                    }
                    input += x * pull
                    result.x[row, t, xHead, p] +=
                        (fault == .forgetsTheStepInTheInput ? 1 : step) * pull
                        + (fault == .forgetsTheSkip ? 0 : skip * g)
                    if inputs.d?.shape.count == 2 { result.d?[h, p] += g * x } else { result.d?[h] += g * x }
                }
                result.a[h] += step * rate
                let u = inputs.dt[row, t, h] + (inputs.dtBias?[h] ?? 0)
                let value = inputs.dtSoftplus && u <= 20 ? Double.log(onePlus: .exp(u)) : u
                let curved = inputs.dtSoftplus && u <= 20 && fault != .forgetsTheSoftplus
                let inside = inputs.dtLimit.contains(value) || fault == .forgetsTheClamp
                let stepGradient =
                    (fault == .forgetsTheInputInTheStep ? 0 : input)
                    + (fault == .forgetsTheDecayInTheStep ? 0 : inputs.a[h] * rate)
                result.dt[row, t, h] = inside ? stepGradient * (curved ? 1 / (1 + .exp(-u)) : 1) : 0
                result.dtBias?[h] += result.dt[row, t, h]
                let carried = fault == .decaysWithItsOwnToken ? decay(max(t - 1, 0)) : decay(t)
                for p in 0..<headDim {
                    for n in 0..<stateDim { r[p][n] *= carried }
                }
            }
            for p in 0..<headDim {
                for n in 0..<stateDim { result.initialState[row, h, p, n] = r[p][n] }
            }
        }
    }
    return result
}
