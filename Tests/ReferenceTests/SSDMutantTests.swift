import DualityCore
import TestSupport
import Testing

@testable import DualityReference

/// The faults that implementations of the operator have had: each must lie far outside every
/// tolerance of these tests.
enum SSDFault: CaseIterable {
    case none
    case readsBeforeTheUpdate
    case doesNotDecayTheToken
    case appliesTheStepTwice
    case skipsTheSteppedInput
    case forgetsTheBias
    case forgetsTheSoftplus
    case interleavesTheGroups
    case gatesBeforeTheSkip
    case roundsTheStateToBFloat16
    case takesTheNaiveSoftplus
    case swapsStateAndHeadDimension
}

/// The recurrence in its plainest words, with one thing wrong.
func recurrence(_ inputs: SSDInputs<Double>, fault: SSDFault) -> (y: [Double], state: [Double]) {
    let (length, heads, headDim, stateDim) = (inputs.length, inputs.heads, inputs.headDim, inputs.stateDim)
    var y = Tensor(repeating: 0.0, shape: [inputs.batch, length, heads, headDim])
    var final = Tensor(repeating: 0.0, shape: [inputs.batch, heads, headDim, stateDim])
    for row in 0..<inputs.batch {
        for h in 0..<heads {
            let xHead = fault == .interleavesTheGroups ? h % inputs.x.shape[2] : inputs.headMap.x[h]
            let bHead = fault == .interleavesTheGroups ? h % inputs.b.shape[2] : inputs.headMap.b[h]
            let cHead = fault == .interleavesTheGroups ? h % inputs.c.shape[2] : inputs.headMap.c[h]
            var state = (0..<headDim * stateDim).map { i in
                inputs.initialState?[row, h, i / stateDim, i % stateDim] ?? 0
            }
            for t in 0..<length {
                var step = inputs.dt[row, t, h] + (fault == .forgetsTheBias ? 0 : inputs.dtBias?[h] ?? 0)
                switch fault {
                case .forgetsTheSoftplus: step = max(step, 0)
                case .takesTheNaiveSoftplus: step = Double(Float.log(1 + Float.exp(Float(step))))
                default: step = .thresholdedSoftplus(step)
                }
                let decay = fault == .doesNotDecayTheToken && t == 0 ? 1 : Double.exp(step * inputs.a[h])
                for p in 0..<headDim {
                    let x = inputs.x[row, t, xHead, p]
                    var sum = 0.0
                    for n in 0..<stateDim {
                        let i = fault == .swapsStateAndHeadDimension ? n % headDim * stateDim + p : p * stateDim + n
                        let before = state[i]
                        state[i] =
                            decay * before + (fault == .appliesTheStepTwice ? step : 1) * step * x
                            * inputs.b[row, t, bHead, n]
                        if fault == .roundsTheStateToBFloat16 { state[i] = Double(Float(BFloat16(state[i]))) }
                        sum += (fault == .readsBeforeTheUpdate ? before : state[i]) * inputs.c[row, t, cHead, n]
                    }
                    let skip = (inputs.d?[h] ?? 0) * (fault == .skipsTheSteppedInput ? step * x : x)
                    let gate = inputs.z.map { Double.silu($0[row, t, h, p]) } ?? 1
                    y[row, t, h, p] = fault == .gatesBeforeTheSkip ? sum * gate + skip : (sum + skip) * gate
                }
            }
            for i in state.indices { final[row, h, i / stateDim, i % stateDim] = state[i] }
        }
    }
    return (y.elements, final.elements)
}

@Suite struct SSDMutantTests {
    @Test(arguments: SSDFault.allCases) func aFaultIsFarOutsideTheTolerances(fault: SSDFault) throws {
        let shape = SSDShape(batch: 1, length: 60, heads: 4, xHeads: 2, bHeads: 2, cHeads: 4, headDim: 7, stateDim: 7)
        let inputs = try shape.inputs().replacing(dtBias: Tensor([-4.0, -2, -1, -3]))
        let right = try SSDForm.recurrent.evaluate(inputs)
        let wrong = recurrence(inputs, fault: fault)
        let error = max(
            relativeL2(wrong.y, right.y.elements), relativeL2(wrong.state, right.finalState.elements))
        if fault == .none {
            #expect(error < 1e-14, "the plain recurrence itself: \(error)")
        } else {
            // 1e-11 is what float64 is held to.
            #expect(error > 1e-8, "\(fault): \(error)")
        }
    }
}
