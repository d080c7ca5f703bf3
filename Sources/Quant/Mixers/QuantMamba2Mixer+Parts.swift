//  Steps 2 to 6 of the Mamba-2 mixer of hybrid models, without the last product, as one job.
//
//  Its parts are the key/value heads: a head of x and B with the C, dt and z of the SSM heads that
//  read it. Nothing of another head is touched, so what step 4 writes is still in the processor's
//  cache when step 5 reads it.

import DualityCore
import DualityKernels

extension QuantMamba2Mixer {
    /// - Parameter states: of every cache of the pass; their bytes are written.
    func scanByParts(_ pass: Pass, _ states: [ScanState?], _ rows: Rows, _ parameters: Parameters) {
        let (heads, group) = (shape.xHeads, shape.heads / shape.xHeads)
        let (inner, dim) = (shape.innerSize, shape.headDim)
        let scratch = pass.workspace.scratch
        pass.pool.run(pass.segments.count * heads) { part, thread in
            let (segment, head) = (pass.segments[part / heads], part % heads)
            guard let state = states[segment.sequence] else { return }
            normalizeAndRotate(pass, segment, head, rows)
            for channels in channels(ofPart: head) {
                convolve(pass, segment, state, rows, parameters, channels: channels)
            }
            var (shape, pointers) = (shapeOfOnePart, state.pointers(fromPart: head, of: heads))
            var operands = operands(
                segment, state, rows, parameters, head: head * group, x: head * dim,
                b: self.shape.xSize + head * self.shape.stateDim,
                c: self.shape.xSize + self.shape.bSize + head * group * self.shape.stateDim)
            pass.kernels.ssd_prepare(&shape, &pointers, state.fill, &operands)
            pass.kernels.ssd_extend(&shape, &pointers, state.fill, &operands, 0, Int64(group), scratch[thread])
            pass.kernels.ssd_retain(&shape, &pointers, state.fill, &operands)
            let (first, offset) = (segment.rows.lowerBound, head * group * dim)
            let (y, ld) = (rows.y + first * inner + offset, Int64(rows.columns.count))
            pass.kernels.gated_norm(
                y, Int64(inner), rows.projected + first * rows.columns.count + rows.columns.z + offset, ld, y,
                Int64(inner), Int64(segment.rows.count), Int64(group), Int64(dim), parameters.norm + offset,
                gatedNorm.epsilon)
        }
    }

    /// One key/value head with its SSM heads is a whole scan of its own.
    private var shapeOfOnePart: dk_ssd_shape {
        var one = dk_ssd_shape(shape)
        (one.heads, one.xHeads, one.bHeads) = (Int64(shape.heads / shape.xHeads), 1, 1)
        one.cHeads = one.heads
        return one
    }

    /// Of x, B and C.
    private func channels(ofPart head: Int) -> [Range<Int>] {
        let (dim, states) = (shape.headDim, shape.stateDim)
        let wide = shape.heads / shape.xHeads * states
        let (b, c) = (shape.xSize + head * states, shape.xSize + shape.bSize + head * wide)
        return [head * dim..<(head + 1) * dim, b..<b + states, c..<c + wide]
    }

    /// Steps 2 and 3 for the B of one key/value head and the C of its SSM heads.
    private func normalizeAndRotate(_ pass: Pass, _ segment: Segment, _ head: Int, _ rows: Rows) {
        let (states, group, columns) = (shape.stateDim, shape.heads / shape.xHeads, rows.columns)
        let source = rows.projected + segment.rows.lowerBound * columns.count
        pass.normalizeAndRotate(
            source + columns.b + head * states, stride: columns.count, segment: segment, heads: 1, dim: states,
            norm: bNorm, rotates: rotatesBC)
        pass.normalizeAndRotate(
            source + columns.c + head * group * states, stride: columns.count, segment: segment, heads: group,
            dim: states, norm: cNorm, rotates: rotatesBC)
    }
}
