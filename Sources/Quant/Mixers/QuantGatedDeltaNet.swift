//  The Gated DeltaNet mixer: the twin of the reference's `GatedDeltaNet`.
//
//      q, k, v = short convolutions of projections of u                          HeadInputs.swift
//      β = sigmoid(W_b u)  (doubled where negative eigenvalues are allowed)       γ = -e^A_log softplus(W_gk u + dt_bias)
//      o = gated delta rule of q, k, v, β, γ                                     Kernels/Delta/DeltaRule.h
//      out = W_o concat_h( rms(o_h; w) ⊙ silu(W_g u)_h )                         HeadOutput.swift
//
//  Convolutions are a job over channels, rule and norm one over heads.

import DualityCore
import DualityKernels

/// The Gated DeltaNet mixer of a decoder layer.
struct QuantGatedDeltaNet: SequenceMixer {
    /// Behind v in a row: W_b u, W_gk u and, if there is a gate, W_g u.
    var heads: HeadInputs
    var output: HeadOutput
    /// -e^A_log, `[H]`.
    var rates: [Float]
    /// dt_bias, `[H]`.
    var decayBias: [Float]
    let allowsNegativeEigenvalues: Bool

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
                    var operands = operands(segment, rows: rows, o: o, rates: rates, bias: bias)
                    pass.kernels.delta_extend(
                        shape, state.state(0), &operands, Int64(head), Int64(head + 1), scratch[thread])
                    if state.layout.tracks {
                        (operands.v, operands.o) = (nil, nil)
                        pass.kernels.delta_extend(
                            shape, state.state(1), &operands, Int64(head), Int64(head + 1), scratch[thread])
                    }
                    output.finish(o, inner, head: head, of: segment, rows, pass.kernels)
                }
            }
        }
        pass.projectForAll(o, stride: inner, output.projection, into: out, stride: stride)
    }

    private func lend(_ body: (UnsafePointer<Float>, UnsafePointer<Float>) -> Void) { body(rates, decayBias) }

    private func operands(
        _ segment: Segment, rows: HeadInputs.Rows, o: UnsafeMutablePointer<Float>, rates: UnsafePointer<Float>,
        bias: UnsafePointer<Float>
    ) -> dk_delta_operands {
        let (first, inner) = (segment.rows.lowerBound, heads.configuration.innerSize)
        let (gates, ld) = (rows.others + first * rows.ldOthers, Int64(rows.ldOthers))
        return dk_delta_operands(
            tokens: Int64(segment.rows.count), q: rows.q + first * rows.ldq, ldq: Int64(rows.ldq),
            k: rows.k + first * rows.ldk, ldk: Int64(rows.ldk), v: rows.v + first * rows.ldv, ldv: Int64(rows.ldv),
            beta: gates, ldbeta: ld, decay: gates + heads.configuration.headCount, lddecay: ld, rates: rates,
            dtBias: bias, reach: allowsNegativeEigenvalues ? 2 : 1, o: o + first * inner, ldo: Int64(inner))
    }
}
