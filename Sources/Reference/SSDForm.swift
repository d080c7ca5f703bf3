//  The operator, in whichever form: the same function computed in different orders.
//
//      y_t = (S_t C_t + D x_t) ⊙ silu(z_t)
//
//  A form decides only how S_t C_t and the final state come about, for one head at a time; the steps before and the skip
//  and the gate after are the same for all and written here once.

import DualityCore

/// What the operator returns.
public struct SSDOutputs<Scalar: RealNumber>: Sendable {
    /// Output, `[B, L, H, P]`.
    public var y: Tensor<Scalar>
    /// State after the last token, `[B, H, P, N]`.
    public var finalState: Tensor<Scalar>
    /// Sum over tokens of Δ A, `[B, H]`: the logarithm of how much of the initial state is left. Always in float64, since
    /// states are composed with differences of it.
    public var logDecay: Tensor<Double>
}

/// One of the forms of state space duality.
public enum SSDForm: Sendable, Hashable {
    /// Token by token: O(L P N) time, O(P N) memory a head. The oracle.
    case recurrent
    /// Attention inside chunks of `size` tokens, a recurrence between them: O(L (Q (P + N) + P N)) time. Any size >= 1,
    /// also one that exceeds L or does not divide it.
    case chunked(size: Int)
    /// Masked attention over the whole sequence: O(L² (P + N)) time.
    case quadratic

    /// Runs the operator.
    ///
    /// All forms agree up to rounding, whatever the chunk size. With L = 0 the final state is the initial one.
    ///
    /// - Returns: y `[B, L, H, P]`, the final state `[B, H, P, N]` and the summed log decay `[B, H]`.
    /// - Throws: `InputError` (`.value`) when the chunk size is not positive.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func evaluate<Scalar: RealNumber>(_ inputs: SSDInputs<Scalar>) throws(InputError) -> SSDOutputs<Scalar> {
        if case .chunked(let size) = self, size < 1 {
            throw InputError(.value, in: "chunk size", expected: "at least 1", found: "\(size)")
        }
        let steps = inputs.effectiveSteps()
        let (heads, headDim, stateDim) = (inputs.heads, inputs.headDim, inputs.stateDim)
        let stateSize = headDim * stateDim
        var outputs = SSDOutputs(
            y: Tensor<Scalar>(repeating: .zero, shape: [inputs.batch, inputs.length, heads, headDim]),
            finalState: inputs.initialState
                ?? Tensor(repeating: .zero, shape: [inputs.batch, heads, headDim, stateDim]),
            logDecay: Tensor(repeating: 0, shape: [inputs.batch, heads]))

        for row in 0..<inputs.batch {
            for head in 0..<heads {
                let place = row * heads + head
                let stateRange = place * stateSize..<(place + 1) * stateSize
                let sequence = HeadSequence(
                    inputs, steps: steps, row: row, tokens: 0..<inputs.length, head: head,
                    initialState: Array(outputs.finalState.elements[stateRange]))
                let result: HeadResult<Scalar>
                switch self {
                case .recurrent: result = sequence.recurrent()
                case .chunked(let size): result = sequence.chunked(size: size)
                case .quadratic: result = sequence.quadratic()
                }
                outputs.finalState.elements.replaceSubrange(stateRange, with: result.state)
                for t in 0..<inputs.length {
                    let first = ((row * inputs.length + t) * heads + head) * headDim
                    for p in 0..<headDim { outputs.y.elements[first + p] = result.y[t * headDim + p] }
                    outputs.logDecay.elements[place] +=
                        steps.elements[(row * inputs.length + t) * heads + head].double * inputs.a.elements[head].double
                }
            }
        }
        addSkip(of: inputs, to: &outputs.y)
        applyGate(of: inputs, to: &outputs.y)
        return outputs
    }
}

/// y += D x, before the gate; D is one number a head or one a channel.
private func addSkip<Scalar: RealNumber>(of inputs: SSDInputs<Scalar>, to y: inout Tensor<Scalar>) {
    guard let d = inputs.d else { return }
    let (heads, headDim, xHeads) = (inputs.heads, inputs.headDim, inputs.x.shape[2])
    let perChannel = d.shape.count == 2
    for token in 0..<inputs.batch * inputs.length {
        for head in 0..<heads {
            let first = (token * heads + head) * headDim
            let xFirst = (token * xHeads + inputs.headMap.x[head]) * headDim
            for p in 0..<headDim {
                let weight = d.elements[perChannel ? head * headDim + p : head]
                y.elements[first + p] += weight * inputs.x.elements[xFirst + p]
            }
        }
    }
}

/// y ⊙= silu(z).
private func applyGate<Scalar: RealNumber>(of inputs: SSDInputs<Scalar>, to y: inout Tensor<Scalar>) {
    guard let z = inputs.z else { return }
    for i in y.elements.indices { y.elements[i] *= .silu(z.elements[i]) }
}
