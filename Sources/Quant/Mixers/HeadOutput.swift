//  What follows a matrix-valued state, the twin of the reference's `GatedHeadOutput`:
//
//      out = W_o concat_h( rms(o_h; w) ⊙ silu(W_g u)_h )          the gate where there is one

import DualityCore
import DualityKernels

/// Norm, gate and output projection of Gated DeltaNet and Gated KalmaNet.
struct HeadOutput: Sendable {
    /// One weight for all heads, `[D]`.
    let norm: NormWeights
    var projection: Projection
    /// Where W_g u begins among the other columns of a row; nil without a gate.
    var gateColumn: Int?
    let headDim: Int

    /// Normalises and gates head `head` of the rows of a segment, in place.
    ///
    /// - Parameters:
    ///   - o: `[R, H D]`.
    ///   - stride: H D.
    func finish(
        _ o: UnsafeMutablePointer<Float>, _ stride: Int, head: Int, of segment: Segment, _ rows: HeadInputs.Rows,
        _ kernels: KernelTable
    ) {
        let (first, offset) = (segment.rows.lowerBound, head * headDim)
        let y = o + first * stride + offset
        let gate = gateColumn.map { rows.others + first * rows.ldOthers + $0 + offset }
        norm.weight.withUnsafeBufferPointer { weight in
            guard let weight = weight.baseAddress else { return }
            kernels.norm_gate(
                y, Int64(stride), gate, Int64(rows.ldOthers), y, Int64(stride), Int64(segment.rows.count), 1,
                Int64(headDim), weight, norm.epsilon)
        }
    }
}
