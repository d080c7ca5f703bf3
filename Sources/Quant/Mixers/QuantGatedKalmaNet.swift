//  The Gated KalmaNet mixer: the twin of the reference's `GatedKalmaNet`.
//
//      q, k, v = short convolutions of projections of u                          HeadInputs.swift
//      β = sigmoid(W_b u + b_b)     α = sigmoid(W_α u + b_α)     γ = -e^A_log softplus(W_a u + dt_bias)
//      o = ridge regression over what was read, by Chebyshev iteration           Kernels/Delta/KalmaRule.h
//      out = W_o concat_h( rms(o_h; w) ⊙ silu(W_g u)_h )                         HeadOutput.swift
//
//  The Gram matrix of the keys is float32 in every precision of the weights, as the official server
//  demands: what is solved with it has a condition of 1 + 1 / ridge.

import DualityCore
import DualityKernels

/// The Gated KalmaNet mixer of a decoder layer.
struct QuantGatedKalmaNet: SequenceMixer {
    /// Behind v in a row, `[H]` each, those that there are: W_b u, W_α u, W_a u; then W_g u.
    var heads: HeadInputs
    var output: HeadOutput
    /// Where they begin behind v; nil for one that the model does not have.
    var betaColumn, alphaColumn, decayColumn: Int?
    /// -e^A_log, `[H]`.
    var rates: [Float]
    /// dt_bias, `[H]`.
    var decayBias: [Float]
    let parameters: GatedKalmaNetParameters

    var inputs: [Projection] { heads.inputs }
    var projections: [Projection] { heads.projections + [output.projection] }

    func extend(
        _ u: Activations, in pass: Pass, caches: inout [QuantCache], layer index: Int,
        into out: UnsafeMutablePointer<Float>, stride: Int
    ) {
        for segment in pass.segments { caches[segment.sequence].layers[index].matrix?.prepareToWrite() }
        let states = caches.map { $0.layers[index].matrix }
        let rows = heads.extend(u, in: pass, states: states)
        let (count, inner) = (heads.configuration.headCount, heads.configuration.innerSize)
        let o = pass.workspace.inner.pointer(inner * pass.rows)
        let scratch = pass.workspace.scratch
        var shape = dk_rule_shape(
            heads: Int64(count), kHeads: Int64(rows.kHeads), vHeads: Int64(rows.vHeads),
            headDim: Int64(heads.configuration.headDim))
        lend { rates, bias in
            withUnsafePointer(to: &shape) { shape in
                pass.pool.run(pass.segments.count * count) { part, thread in
                    let (segment, head) = (pass.segments[part / count], part % count)
                    guard let state = states[segment.sequence] else { return }
                    var operands = operands(segment, rows: rows, state: state, o: o, rates: rates, bias: bias)
                    pass.kernels.kalma_extend(
                        shape, state.state(0), state.state(1), &operands, Int64(head), Int64(head + 1),
                        scratch[thread])
                    output.finish(o, inner, head: head, of: segment, rows, pass.kernels)
                }
            }
        }
        pass.projectForAll(o, stride: inner, output.projection, into: out, stride: stride)
    }

    private func lend(_ body: (UnsafePointer<Float>, UnsafePointer<Float>) -> Void) { body(rates, decayBias) }

    private func operands(
        _ segment: Segment, rows: HeadInputs.Rows, state: MatrixState, o: UnsafeMutablePointer<Float>,
        rates: UnsafePointer<Float>, bias: UnsafePointer<Float>
    ) -> dk_kalma_operands {
        let (first, inner) = (segment.rows.lowerBound, heads.configuration.innerSize)
        let (gates, ld) = (rows.others + first * rows.ldOthers, Int64(rows.ldOthers))
        let scale = parameters.rescales ? 1 / Float(heads.configuration.headDim).squareRoot() : 1
        return dk_kalma_operands(
            tokens: Int64(segment.rows.count), q: rows.q + first * rows.ldq, ldq: Int64(rows.ldq),
            k: rows.k + first * rows.ldk, ldk: Int64(rows.ldk), v: rows.v + first * rows.ldv, ldv: Int64(rows.ldv),
            alpha: alphaColumn.map { gates + $0 }, ldalpha: ld, beta: betaColumn.map { gates + $0 }, ldbeta: ld,
            decay: decayColumn.map { gates + $0 }, lddecay: ld, rates: rates, dtBias: bias,
            decaysGram: parameters.decaysGram, iterations: Int64(parameters.iterations),
            ridge: Float(parameters.ridge), scale: scale, logDecaySum: state.decaySum, o: o + first * inner,
            ldo: Int64(inner))
    }
}
