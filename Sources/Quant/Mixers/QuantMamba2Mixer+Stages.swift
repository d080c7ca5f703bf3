//  Steps 4 to 6 of the Mamba-2 mixer of plain models, without the last product.
//
//      convolution     a job over blocks of channels
//      scan            a job over blocks of heads, which share B and C of their group
//      gated norm      with the packing of its rows for W_out
//
//  Plain models neither normalise nor rotate B and C. Heads of one group read the same B, so a part
//  of the second job must not begin before B of all tokens is convolved and kept.

import DualityCore
import DualityKernels

extension QuantMamba2Mixer {
    /// Channels of a part: few enough for several threads, enough for rows to be read in lines.
    private static let channelsTogether = 256
    /// Heads of a part, which share what is copied of B.
    private static let headsTogether = 8

    /// Steps 4 and 5.
    ///
    /// - Parameter states: of every cache of the pass; their bytes are written.
    func scanByStages(_ pass: Pass, _ states: [ScanState?], _ rows: Rows, _ parameters: Parameters) {
        let (channels, heads) = (shape.channels, shape.heads)
        let blocks = (channels + Self.channelsTogether - 1) / Self.channelsTogether
        pass.pool.run(pass.segments.count * blocks) { part, _ in
            let (segment, block) = (pass.segments[part / blocks], part % blocks)
            guard let state = states[segment.sequence] else { return }
            let first = block * Self.channelsTogether
            convolve(
                pass, segment: segment, state: state, rows: rows, parameters: parameters,
                channels: first..<min(first + Self.channelsTogether, channels))
        }
        let groups = (heads + Self.headsTogether - 1) / Self.headsTogether
        let scratch = pass.workspace.scratch
        onAll(pass, states: states, rows: rows, parameters: parameters) { pass.kernels.ssd_prepare($0, $1, $2, $3) }
        pass.pool.run(pass.segments.count * groups) { part, thread in
            let (segment, group) = (pass.segments[part / groups], part % groups)
            guard let state = states[segment.sequence] else { return }
            var (shape, pointers) = (dk_ssd_shape(self.shape), state.pointers)
            var operands = operands(segment, state, rows, parameters)
            let first = group * Self.headsTogether
            pass.kernels.ssd_extend(
                &shape, &pointers, state.fill, &operands, Int64(first),
                Int64(min(first + Self.headsTogether, heads)), scratch[thread])
        }
        onAll(pass, states: states, rows: rows, parameters: parameters) { pass.kernels.ssd_retain($0, $1, $2, $3) }
    }

    /// The gate of the heads of all ranks, which a norm may span.
    func gatheredGate(_ pass: Pass, _ rows: Rows) -> (z: UnsafeMutablePointer<Float>, stride: Int) {
        let (own, stride) = (rows.projected + rows.columns.z, rows.columns.count)
        guard let ranks = pass.ranks, let shares = outputProjection.cut?.inputShares else { return (own, stride) }
        let width = shares.last?.upperBound ?? 0
        let all = pass.workspace.gatheredGate.pointer(width * pass.rows)
        pass.gather(own, stride: stride, shares, ranks, into: all, stride: width)
        return (all, width)
    }

    /// The norm of step 6, in place, over the heads of all ranks.
    func normalize(
        _ pass: Pass, _ range: Range<Int>, y: UnsafeMutablePointer<Float>, stride: Int,
        gate z: UnsafeMutablePointer<Float>, zStride: Int
    ) {
        let first = y + range.lowerBound * stride
        pass.kernels.gated_norm(
            first, Int64(stride), z + range.lowerBound * zStride, Int64(zStride), first, Int64(stride),
            Int64(range.count), Int64(gatedNorm.weight.count / gatedNormGroup), Int64(gatedNormGroup), gatedNorm.weight,
            gatedNorm.epsilon)
    }

    private typealias ScanCall = (
        UnsafePointer<dk_ssd_shape>, UnsafePointer<dk_ssd_cache>, Int64, UnsafePointer<dk_ssd_operands>
    ) -> Void

    /// A call for all heads of every segment.
    private func onAll(
        _ pass: Pass, states: [ScanState?], rows: Rows, parameters: Parameters, call: ScanCall
    ) {
        for segment in pass.segments {
            guard let state = states[segment.sequence] else { continue }
            var (shape, pointers) = (dk_ssd_shape(self.shape), state.pointers)
            var operands = operands(segment, state, rows, parameters)
            call(&shape, &pointers, state.fill, &operands)
        }
    }

    /// Of all heads.
    private func operands(
        _ segment: Segment, _ state: ScanState, _ rows: Rows, _ parameters: Parameters
    ) -> dk_ssd_operands {
        operands(
            segment, state, rows, parameters, head: 0, x: 0, b: shape.xSize, c: shape.xSize + shape.bSize)
    }
}
