//  One head over one run of tokens: what is left of the operator once batch, heads, groups and
//  packing are peeled off.
//
//      S_t = a_t S_{t-1} + x̄_t B_tᵀ          y_t = S_t C_t          a_t = exp(Δ_t A),  x̄_t = Δ_t x_t
//
//  Every form is a function from a `HeadSequence` to a `HeadResult`. What the forms have in common,
//  the steps before and the skip and the gate after, is in SSDForm.swift. The rows are copied out
//  of the tensors one head at a time, so that they lie together while O(L N P) work is done on
//  them.

import DualityCore

/// The operands of the recurrence for one head over one run of tokens.
package struct HeadSequence<Scalar: RealNumber> {
    /// Number of tokens, L.
    package let length: Int
    /// Head dimension, P.
    package let headDim: Int
    /// State dimension, N.
    package let stateDim: Int
    /// Input times step, x̄ = Δ x, `[L, P]`.
    package let x: [Scalar]
    /// Input direction, `[L, N]`.
    package let b: [Scalar]
    /// Output direction, `[L, N]`.
    package let c: [Scalar]
    /// ln a_t = Δ_t A, `[L]`, at most zero. Decays are only ever known by their logarithms, which
    /// add.
    package let logDecay: [Scalar]
    /// S_0, `[P, N]`.
    package let initialState: [Scalar]
    /// Where in its row the run begins. Chunks are counted from the start of the row, whatever runs
    /// it holds.
    package let start: Int
    /// Token counts after which the state is wanted, ascending; the last is L.
    package let checkpoints: [Int]

    package init(
        length: Int, headDim: Int, stateDim: Int, x: [Scalar], b: [Scalar], c: [Scalar], logDecay: [Scalar],
        initialState: [Scalar], start: Int, checkpoints: [Int]
    ) {
        (self.length, self.headDim, self.stateDim) = (length, headDim, stateDim)
        (self.x, self.b, self.c, self.logDecay) = (x, b, c, logDecay)
        (self.initialState, self.start, self.checkpoints) = (initialState, start, checkpoints)
    }
}

/// What a form makes of a `HeadSequence`.
package struct HeadResult<Scalar: RealNumber> {
    /// S_t C_t, `[L, P]`.
    package var y: [Scalar]
    /// S_t after each of the `checkpoints`, `[P, N]` each; the last is S_L.
    package var states: [[Scalar]]

    package init(y: [Scalar], states: [[Scalar]]) {
        (self.y, self.states) = (y, states)
    }
}

extension HeadSequence {
    /// Copies the rows of one head out of the operands, through the head map.
    ///
    /// - Parameters:
    ///   - steps: Δ, `[B, L, H]`.
    ///   - run: which tokens.
    ///   - head: SSM head.
    ///   - checkpoints: where the state is wanted besides the end, as positions in the row.
    init(_ inputs: SSDInputs<Scalar>, steps: Tensor<Scalar>, run: SSDRun, head: Int, checkpoints: [Int]) {
        let (row, tokens) = (run.row, run.tokens)
        length = tokens.count
        headDim = inputs.headDim
        stateDim = inputs.stateDim
        let a = inputs.a.elements[head]
        let step = columns(of: steps, row: row, tokens: tokens, head: head, width: 1)
        logDecay = step.map { $0 * a }
        var x = columns(of: inputs.x, row: row, tokens: tokens, head: inputs.headMap.x[head], width: headDim)
        for t in 0..<length {
            for p in 0..<headDim { x[t * headDim + p] *= step[t] }
        }
        self.x = x
        b = columns(of: inputs.b, row: row, tokens: tokens, head: inputs.headMap.b[head], width: stateDim)
        c = columns(of: inputs.c, row: row, tokens: tokens, head: inputs.headMap.c[head], width: stateDim)
        initialState = run.initialState(of: head, in: inputs)
        start = tokens.lowerBound
        self.checkpoints =
            checkpoints.filter { $0 > tokens.lowerBound && $0 < tokens.upperBound }
            .map { $0 - tokens.lowerBound } + [length]
    }
}

/// `tensor[row, tokens, head, :]` of a `[B, L, heads, width]` tensor as one array,
/// `[tokens, width]`.
@inlinable
package func columns<Scalar: RealNumber>(
    of tensor: Tensor<Scalar>, row: Int, tokens: Range<Int>, head: Int, width: Int
) -> [Scalar] {
    let (length, heads) = (tensor.shape[1], tensor.shape[2])
    var rows: [Scalar] = []
    rows.reserveCapacity(tokens.count * width)
    for t in tokens {
        let first = ((row * length + t) * heads + head) * width
        rows.append(contentsOf: tensor.elements[first..<first + width])
    }
    return rows
}
