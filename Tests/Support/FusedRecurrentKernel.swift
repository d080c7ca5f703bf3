//  A token-by-token kernel of a GPU, as flash-linear-attention has it: the state stays in float32
//  registers, dt x is stored in the model's format, decays come from the fast exponential.
//
//      v = fl(Δ x)        h <- h exp(Δ A) + k vᵀ        o = fl(h q)        y = fl(fl(o + D x) silu(z))
//
//  Source: fla-org/flash-linear-attention, ops/common/fused_recurrent.py, written from its
//  equations.

import DualityCore
import DualityReference

/// A right kernel with the errors of a GPU's exponentials.
public struct FusedRecurrentKernel: Sendable {
    let exponential: TableExponential
    let isBFloat16: Bool

    public init(exponential: TableExponential, isBFloat16: Bool) {
        (self.exponential, self.isBFloat16) = (exponential, isBFloat16)
    }

    /// The kernel's numbers, widened.
    public func callAsFunction(_ exact: SSDInputs<Double>) throws -> SSDOutputs<Double> {
        let inputs: SSDInputs<Float> = try exact.converted()
        let steps = inputs.effectiveSteps()
        var outputs = SSDOutputs(for: inputs, statesEvery: nil)
        for run in inputs.runs {
            for head in 0..<inputs.heads {
                let result = walk(inputs, steps, run, head)
                outputs.store(result, of: run, head: head, steps: steps, rate: inputs.a.elements[head])
            }
        }
        outputs.gatherFinalStates(of: inputs)
        outputs.y = outputs.y.map(stored)
        if inputs.d != nil {
            addSkip(of: inputs, to: &outputs.y)
            outputs.y = outputs.y.map(stored)
        }
        if inputs.z != nil {
            applyGate(of: inputs, to: &outputs.y)
            outputs.y = outputs.y.map(stored)
        }
        return outputs.converted()
    }

    private func stored(_ value: Float) -> Float { isBFloat16 ? Float(BFloat16(value)) : value }

    private func walk(
        _ inputs: SSDInputs<Float>, _ steps: Tensor<Float>, _ run: SSDRun, _ head: Int
    ) -> HeadResult<Float> {
        let (headDim, stateDim) = (inputs.headDim, inputs.stateDim)
        func rows(_ tensor: Tensor<Float>, _ head: Int, _ width: Int) -> [Float] {
            columns(of: tensor, row: run.row, tokens: run.tokens, head: head, width: width)
        }
        let step = rows(steps, head, 1)
        let x = rows(inputs.x, inputs.headMap.x[head], headDim)
        let b = rows(inputs.b, inputs.headMap.b[head], stateDim)
        let c = rows(inputs.c, inputs.headMap.c[head], stateDim)
        var state = run.initialState(of: head, in: inputs)
        var y = x
        for t in step.indices {
            let decay = exponential(step[t] * inputs.a.elements[head])
            for p in 0..<headDim {
                let value = stored(step[t] * x[t * headDim + p])
                var sum: Float = 0
                for n in 0..<stateDim {
                    let i = p * stateDim + n
                    state[i] = state[i] * decay + b[t * stateDim + n] * value
                    sum += state[i] * c[t * stateDim + n]
                }
                y[t * headDim + p] = sum
            }
        }
        return HeadResult(y: y, states: [state])
    }
}
