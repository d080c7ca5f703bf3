//  The operator, in whichever form: the same function computed in different orders.
//
//      y_t = (S_t C_t + D x_t) ⊙ silu(z_t)
//
//  A form decides only how S_t C_t and the states come about, for one head of one sequence at a
//  time. The steps before, the skip and the gate after are the same for all and written here once.

import DualityCore

/// One of the forms of state space duality.
public enum SSDForm: Sendable, Hashable {
    /// Token by token: O(L P N) time, O(P N) memory a head. The oracle.
    case recurrent
    /// Attention inside chunks of `size` tokens, a recurrence between them: O(L (Q (P + N) + P N))
    /// time. Any size >= 1, also one that exceeds L or does not divide it.
    case chunked(size: Int)
    /// Masked attention over the whole sequence: O(L² (P + N)) time.
    case quadratic
    /// Segments of `leaf` tokens composed in a tree: O(L P N) time.
    case associative(tree: ScanTree, leaf: Int)
    /// A convolution, where dt, B and C do not change within a sequence: O(L² P) time, term by
    /// term.
    case convolution

    /// The form's name without its parameters, as on the command line.
    public var name: String {
        switch self {
        case .recurrent: "recurrent"
        case .chunked: "chunked"
        case .quadratic: "quadratic"
        case .associative: "associative"
        case .convolution: "convolution"
        }
    }

    /// Q of the chunked form.
    public var chunkSize: Int? {
        if case .chunked(let size) = self { size } else { nil }
    }

    /// Runs the operator.
    ///
    /// All forms agree up to rounding, whatever their parameters. With L = 0 the final state is the
    /// initial one.
    ///
    /// - Parameters:
    ///   - inputs: the operands.
    ///   - interval: when given, the states after every so many tokens of each row are returned
    ///     too.
    /// - Throws: `InputError` (`.value`) when the chunk size, the leaf or the interval is not
    ///   positive, or when the operands of the convolution form change with time.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func evaluate<Scalar: RealNumber>(
        _ inputs: SSDInputs<Scalar>, statesEvery interval: Int? = nil
    ) throws(InputError) -> SSDOutputs<Scalar> {
        switch self {
        case .recurrent:
            return try ssd(inputs, statesEvery: interval) { $0.recurrent() }
        case .chunked(let size):
            try requirePositive(size, "chunk size")
            return try ssd(inputs, statesEvery: interval) { $0.chunked(size: size) }
        case .quadratic:
            return try ssd(inputs, statesEvery: interval) { $0.quadratic() }
        case .associative(let tree, let leaf):
            try requirePositive(leaf, "leaf")
            return try ssd(inputs, statesEvery: interval) { $0.associative(tree: tree, leaf: leaf) }
        case .convolution:
            return try ssd(inputs, statesEvery: interval) { sequence throws(InputError) in
                try sequence.convolution(convolveDirectly)
            }
        }
    }

    /// Runs the operator in the convolution form, with a convolution of the caller's.
    ///
    /// - Throws: as `evaluate`, and what `convolve` throws.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public static func convolution<Scalar: RealNumber>(
        _ inputs: SSDInputs<Scalar>, statesEvery interval: Int? = nil, by convolve: CausalConvolving<Scalar>
    ) throws(InputError) -> SSDOutputs<Scalar> {
        try ssd(inputs, statesEvery: interval) { sequence throws(InputError) in
            try sequence.convolution(convolve)
        }
    }
}

/// The operator around a form.
private func ssd<Scalar: RealNumber>(
    _ inputs: SSDInputs<Scalar>, statesEvery interval: Int?,
    _ form: (HeadSequence<Scalar>) throws(InputError) -> HeadResult<Scalar>
) throws(InputError) -> SSDOutputs<Scalar> {
    if let interval { try requirePositive(interval, "interval of states") }
    let steps = inputs.effectiveSteps()
    var outputs = SSDOutputs(for: inputs, statesEvery: interval)
    for run in inputs.runs {
        for head in 0..<inputs.heads {
            let sequence = HeadSequence(inputs, steps: steps, run: run, head: head, checkpoints: outputs.boundaries)
            outputs.store(try form(sequence), of: run, head: head, steps: steps, rate: inputs.a.elements[head])
        }
    }
    outputs.gatherFinalStates(of: inputs)
    addSkip(of: inputs, to: &outputs.y)
    applyGate(of: inputs, to: &outputs.y)
    return outputs
}

func requirePositive(_ number: Int, _ name: String) throws(InputError) {
    guard number >= 1 else {
        throw InputError(.value, in: name, expected: "at least 1", found: "\(number)")
    }
}

/// y += D x, before the gate; D is one number per head or one a channel.
@specialized(where Scalar == Float)
@specialized(where Scalar == Double)
package func addSkip<Scalar: RealNumber>(of inputs: SSDInputs<Scalar>, to y: inout Tensor<Scalar>) {
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
@specialized(where Scalar == Float)
@specialized(where Scalar == Double)
package func applyGate<Scalar: RealNumber>(of inputs: SSDInputs<Scalar>, to y: inout Tensor<Scalar>) {
    guard let z = inputs.z else { return }
    for i in y.elements.indices { y.elements[i] *= .silu(z.elements[i]) }
}
