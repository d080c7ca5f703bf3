//  The operator, as it is defined. Start here: every other file of this folder computes the same
//  numbers in another order, and is tested against this one.
//
//      Δ_t = clamp(softplus(dt_t + dtBias))              the step of token t, one number per head
//      S_t = exp(Δ_t A) S_{t-1} + Δ_t x_t B_tᵀ           the state, [P, N] per head
//      y_t = (S_t C_t + D x_t) ⊙ silu(z_t)               the output, [P] per head
//
//  | symbol | shape        | meaning                                                          |
//  |--------|--------------|------------------------------------------------------------------|
//  | x      | [B, L, H, P] | input                                                            |
//  | dt     | [B, L, H]    | raw step, `dtBias` [H] its offset                                |
//  | A      | [H]          | rate of decay, at most zero                                      |
//  | B, C   | [B, L, G, N] | direction in which a token is written, and read                  |
//  | D      | [H]          | skip weight ([H, P] too)                                         |
//  | z      | [B, L, H, P] | gate                                                             |
//
//  Which head of x, B and C an SSM head reads is said by the head map; a run is one sequence of one
//  row (Packing.swift). Nothing here is fast: one number after another, in float64.
//
//  Source: Mamba-2 (arXiv 2405.21060), equations 1 and 2 with the discretization of section 2.

import DualityCore

extension SSDInputs<Double> {
    /// The operator by its definition.
    ///
    /// - Returns: y `[B, L, H, P]`, and the state after each sequence, `[S, H, P, N]`.
    /// - Complexity: O(B L H P N) time.
    public func definition() -> (y: Tensor<Double>, states: Tensor<Double>) {
        let step = effectiveSteps()
        var y = Tensor(repeating: 0.0, shape: [batch, length, heads, headDim])
        var states = Tensor(repeating: 0.0, shape: [runs.count, heads, headDim, stateDim])
        for run in runs {
            for h in 0..<heads {
                let (xHead, bHead, cHead) = (headMap.x[h], headMap.b[h], headMap.c[h])
                var state = run.initialState(of: h, in: self)
                for t in run.tokens {
                    let decay = Double.exp(step[run.row, t, h] * a[h])
                    for p in 0..<headDim {
                        let input = x[run.row, t, xHead, p]
                        for n in 0..<stateDim {
                            state[p * stateDim + n] *= decay
                            state[p * stateDim + n] += step[run.row, t, h] * input * b[run.row, t, bHead, n]
                            y[run.row, t, h, p] += state[p * stateDim + n] * c[run.row, t, cHead, n]
                        }
                        if let d { y[run.row, t, h, p] += (d.shape.count == 2 ? d[h, p] : d[h]) * input }
                        if let z { y[run.row, t, h, p] *= .silu(z[run.row, t, h, p]) }
                    }
                }
                for i in state.indices { states[run.sequence, h, i / stateDim, i % stateDim] = state[i] }
            }
        }
        return (y, states)
    }
}
