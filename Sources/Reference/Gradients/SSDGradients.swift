//  The gradients of the operator: the derivative of a scalar loss with respect to every operand.
//
//      given   g_t = ∂ℒ/∂y_t   and   Ĝ = ∂ℒ/∂S_L
//      wanted  ∂ℒ/∂x, ∂ℒ/∂dt, ∂ℒ/∂A, ∂ℒ/∂B, ∂ℒ/∂C, ∂ℒ/∂D, ∂ℒ/∂z, ∂ℒ/∂dtBias, ∂ℒ/∂S_0
//
//  The chain rule runs through the operator backwards: gate, skip, recurrence, steps. As in the
//  forward direction, a form decides only how the recurrence of one head is done; all the rest is
//  the same for every form and written here once.
//
//      gate         ∂z = g ⊙ y° ⊙ silu'(z),  g <- g ⊙ silu(z)               y°: the output before the gate
//      skip         ∂x_t = D g_t             ∂D = sum over t of g_t x_t
//      recurrence   ∂x̄, ∂B, ∂C, λ = ∂ℒ/∂(ln a), ∂S_0                        HeadGradients.swift and the forms
//      its operands ∂x_t += Δ_t ∂x̄_t         ∂Δ_t = x_t · ∂x̄_t + A λ_t      ∂A = sum over t of Δ_t λ_t
//      steps        ∂dt = ∂Δ dΔ/du           ∂dtBias = its sum over B and L  SSDStepGradients.swift
//
//  What several SSM heads read, they all pull on: the gradients of x, B and C are sums over the
//  heads that the head map sends there.
//
//  Source: the chain rule; state-spaces/mamba, ops/triton/ssd_combined.py,
//  `_mamba_chunk_scan_combined_bwd`.

import DualityCore

/// What the loss says about the outputs of the operator: the upstream gradients that a backward
/// pass starts from.
public struct SSDUpstream<Scalar: RealNumber>: Sendable {
    /// ∂ℒ/∂y, `[B, L, H, P]`; nil where the loss does not look at y.
    public var y: Tensor<Scalar>?
    /// ∂ℒ/∂S_L, `[B, H, P, N]`; nil where the loss does not look at the final state. With packed
    /// sequences that is the state of the last one in each row.
    public var finalState: Tensor<Scalar>?
    /// With respect to the final state of every packed sequence, `[S, H, P, N]`; adds to
    /// `finalState`.
    public var sequenceStates: Tensor<Scalar>?

    /// An absent gradient counts as zero; shapes are checked by `gradients`.
    public init(
        y: Tensor<Scalar>? = nil, finalState: Tensor<Scalar>? = nil, sequenceStates: Tensor<Scalar>? = nil
    ) {
        self.y = y
        self.finalState = finalState
        self.sequenceStates = sequenceStates
    }
}

/// The gradient of the loss with respect to each operand, in the shape of that operand.
public struct SSDGradients<Scalar: RealNumber>: Sendable {
    /// `[B, L, Hx, P]`.
    public var x: Tensor<Scalar>
    /// With respect to the raw step, `[B, L, H]`.
    public var dt: Tensor<Scalar>
    /// `[H]`.
    public var a: Tensor<Scalar>
    /// `[B, L, Gb, N]`.
    public var b: Tensor<Scalar>
    /// `[B, L, Gc, N]`.
    public var c: Tensor<Scalar>
    /// `[H]` or `[H, P]`, as D; nil without D.
    public var d: Tensor<Scalar>?
    /// `[B, L, H, P]`; nil without a gate.
    public var z: Tensor<Scalar>?
    /// `[H]`; nil without a bias.
    public var dtBias: Tensor<Scalar>?
    /// In the shape of the initial state, `[B, H, P, N]` or `[S, H, P, N]`. Where that is absent,
    /// that is zero, one for each sequence all the same.
    public var initialState: Tensor<Scalar>

    /// The gradient with respect to `A_log`, `[H]`: A = -exp(A_log), hence ∂A_log = A ∂A.
    ///
    /// - Parameter rates: A itself, `[H]`.
    public func logarithmicRate(_ rates: Tensor<Scalar>) -> Tensor<Scalar> {
        precondition(rates.shape == a.shape, "one rate a head")
        return Tensor(zip(rates.elements, a.elements).map { $0 * $1 })
    }

    /// Zero for every operand that there is.
    package init(zeroLike inputs: SSDInputs<Scalar>) {
        func zero(_ shape: [Int]) -> Tensor<Scalar> { Tensor(repeating: .zero, shape: shape) }
        x = zero(inputs.x.shape)
        dt = zero(inputs.dt.shape)
        a = zero(inputs.a.shape)
        b = zero(inputs.b.shape)
        c = zero(inputs.c.shape)
        d = inputs.d.map { zero($0.shape) }
        z = inputs.z.map { zero($0.shape) }
        dtBias = inputs.dtBias.map { zero($0.shape) }
        let states = inputs.initialState?.shape[0] ?? inputs.packing?.count ?? inputs.batch
        initialState = zero([states, inputs.heads, inputs.headDim, inputs.stateDim])
    }
}

extension SSDForm {
    /// Runs the operator backwards.
    ///
    /// The gradients are those of the function that `evaluate` computes, clamps and thresholds
    /// included, and agree between the forms up to rounding. The recurrent form takes O(L P N) time
    /// and O(√L P N) memory a head, the chunked one O(L (Q (P + N) + P N)) and O((L / Q) P N); the
    /// quadratic form is a single chunk, the associative one has its leaves for chunks. A gate
    /// costs one more forward pass.
    ///
    /// - Parameters:
    ///   - inputs: the operands of the forward pass.
    ///   - upstream: ∂ℒ/∂y and ∂ℒ/∂S_L; an absent one counts as zero.
    /// - Throws: `InputError`: `.shape` naming `dout`, `dfinal_states` or `dvarlen_states` when it
    ///   has another shape than the output it belongs to, `.value` when the chunk size or leaf is
    ///   not positive, `.unsupported` for the convolution form.
    @specialized(where Scalar == Float)
    @specialized(where Scalar == Double)
    public func gradients<Scalar: RealNumber>(
        of inputs: SSDInputs<Scalar>, upstream: SSDUpstream<Scalar>
    ) throws(InputError) -> SSDGradients<Scalar> {
        if case .chunked(let size) = self { try requirePositive(size, "chunk size") }
        if case .associative(_, let leaf) = self { try requirePositive(leaf, "leaf") }
        try upstream.check(inputs)
        let steps = inputs.effectiveSteps()
        return try ssdGradients(of: inputs, steps: steps, upstream: upstream) { () throws(InputError) in
            try evaluate(inputs.withoutGate()).y
        } ofHead: { run, head, g, finalState throws(InputError) in
            try HeadSequence(inputs, steps: steps, run: run, head: head, checkpoints: []).gradients(
                in: self, y: g, finalState: finalState)
        }
    }
}

/// The operator backwards around the gradients of one head.
///
/// - Parameters:
///   - steps: Δ, `[B, L, H]`.
///   - ungated: y before the gate; asked for where there is one.
///   - ofHead: the gradients of one head of one run, from g `[L, P]` and Ĝ `[P, N]`.
@inline(__always)
@specialized(where Scalar == Float)
@specialized(where Scalar == Double)
package func ssdGradients<Scalar: RealNumber>(
    of inputs: SSDInputs<Scalar>, steps: Tensor<Scalar>, upstream: SSDUpstream<Scalar>,
    ungated: () throws(InputError) -> Tensor<Scalar>,
    ofHead: (SSDRun, Int, [Scalar], [Scalar]) throws(InputError) -> HeadGradients<Scalar>
) throws(InputError) -> SSDGradients<Scalar> {
    var gradients = SSDGradients(zeroLike: inputs)
    var outputGradient =
        upstream.y
        ?? Tensor(repeating: .zero, shape: [inputs.batch, inputs.length, inputs.heads, inputs.headDim])
    if let z = inputs.z {
        let ungated = try ungated()
        for i in outputGradient.elements.indices {
            let g = outputGradient.elements[i]
            gradients.z?.elements[i] = g * ungated.elements[i] * .siluDerivative(z.elements[i])
            outputGradient.elements[i] = g * .silu(z.elements[i])
        }
    }
    gradients.addSkip(of: inputs, outputGradient: outputGradient)

    let finalStates = upstream.finalStates(in: inputs)
    let stateSize = inputs.headDim * inputs.stateDim
    var stepGradient = Tensor<Scalar>(repeating: .zero, shape: steps.shape)
    for run in inputs.runs {
        for head in 0..<inputs.heads {
            let place = run.sequence * inputs.heads + head
            let result = try ofHead(
                run, head,
                columns(of: outputGradient, row: run.row, tokens: run.tokens, head: head, width: inputs.headDim),
                Array(finalStates.elements[place * stateSize..<(place + 1) * stateSize]))
            gradients.add(result, of: run, head: head, in: inputs, steps: steps, to: &stepGradient)
        }
    }
    gradients.setStep(of: inputs, from: stepGradient)
    return gradients
}

extension SSDInputs {
    /// The same operands with the output left as it is before the gate.
    fileprivate func withoutGate() throws(InputError) -> SSDInputs {
        try SSDInputs(
            x: x, dt: dt, a: a, b: b, c: c, d: d, dtBias: dtBias, initialState: initialState, packing: packing,
            headMap: headMap, dtSoftplus: dtSoftplus, dtLimit: dtLimit)
    }
}

extension SSDUpstream {
    package func check(_ inputs: SSDInputs<Scalar>) throws(InputError) {
        let (batch, heads, headDim, stateDim) = (inputs.batch, inputs.heads, inputs.headDim, inputs.stateDim)
        try y?.requireShape([batch, inputs.length, heads, headDim], "dout")
        try finalState?.requireShape([batch, heads, headDim, stateDim], "dfinal_states")
        try sequenceStates?.requireShape(
            [inputs.packing?.count ?? batch, heads, headDim, stateDim], "dvarlen_states")
    }

    /// Ĝ of every sequence, `[S, H, P, N]`: what is asked of a row's final state is asked of its
    /// last sequence.
    package func finalStates(in inputs: SSDInputs<Scalar>) -> Tensor<Scalar> {
        let shape = [inputs.heads, inputs.headDim, inputs.stateDim]
        let size = shape.reduce(1, *)
        let runs = inputs.runs
        var states = sequenceStates ?? Tensor(repeating: .zero, shape: [runs.count] + shape)
        guard let finalState else { return states }
        for (i, run) in runs.enumerated() where i + 1 == runs.count || runs[i + 1].row != run.row {
            for j in 0..<size { states.elements[i * size + j] += finalState.elements[run.row * size + j] }
        }
        return states
    }
}

extension SSDGradients {
    /// The skip, y_t += D x_t: ∂x_t += D g_t and ∂D += g_t x_t, summed over the channels where D is
    /// one number per head.
    fileprivate mutating func addSkip(of inputs: SSDInputs<Scalar>, outputGradient: Tensor<Scalar>) {
        guard let weights = inputs.d, var weightGradient = d else { return }
        let (heads, headDim, xHeads) = (inputs.heads, inputs.headDim, inputs.x.shape[2])
        let perChannel = weights.shape.count == 2
        for token in 0..<inputs.batch * inputs.length {
            for head in 0..<heads {
                let first = (token * heads + head) * headDim
                let xFirst = (token * xHeads + inputs.headMap.x[head]) * headDim
                var sum = Scalar.zero  // of one token, so that D per head is not one chain of L P additions
                for p in 0..<headDim {
                    let g = outputGradient.elements[first + p]
                    let product = g * inputs.x.elements[xFirst + p]
                    x.elements[xFirst + p] += weights.elements[perChannel ? head * headDim + p : head] * g
                    if perChannel { weightGradient.elements[head * headDim + p] += product } else { sum += product }
                }
                if !perChannel { weightGradient.elements[head] += sum }
            }
        }
        d = weightGradient
    }
}
