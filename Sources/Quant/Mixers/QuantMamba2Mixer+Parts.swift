//  Steps 2 to 6 of the Mamba-2 mixer of hybrid models, without the last product, as one job.
//
//  Its parts are the key/value heads: a head of x and B with the C, dt and z of the SSM heads that
//  read it. Nothing of another head is touched, so what step 4 writes is still in the processor's
//  cache when step 5 reads it. Where there are fewer such parts than threads, the scan of a prompt
//  is a job of its own, over SSM heads.

import DualityCore
import DualityKernels

extension QuantMamba2Mixer {
    /// - Parameter states: of every cache of the pass; their bytes are written.
    func scanByParts(_ pass: Pass, _ states: [ScanState?], _ rows: Rows, _ parameters: Parameters) {
        let (heads, group) = (shape.xHeads, shape.heads / shape.xHeads)
        let parts = pass.segments.count * heads
        let scratch = pass.workspace.scratch
        func part(_ index: Int) -> ScanPart? {
            let (segment, head) = (pass.segments[index / heads], index % heads)
            return states[segment.sequence].map {
                scanPart(segment, head: head, state: $0, rows: rows, parameters: parameters)
            }
        }
        func begin(_ part: inout ScanPart) {
            normalizeAndRotate(pass, part.segment, part.head, rows)
            for channels in channels(ofPart: part.head) {
                convolve(
                    pass, segment: part.segment, state: part.state, rows: rows, parameters: parameters,
                    channels: channels)
            }
            pass.kernels.ssd_prepare(&part.shape, &part.pointers, part.state.fill, &part.operands)
        }
        func scan(_ part: inout ScanPart, _ range: Range<Int>, _ thread: Int) {
            pass.kernels.ssd_extend(
                &part.shape, &part.pointers, part.state.fill, &part.operands, Int64(range.lowerBound),
                Int64(range.upperBound), scratch[thread])
        }
        func finish(_ part: inout ScanPart) {
            pass.kernels.ssd_retain(&part.shape, &part.pointers, part.state.fill, &part.operands)
            normalize(pass, part, rows, parameters)
        }
        guard splitsHeads(pass) else {
            return pass.pool.run(parts) { index, thread in
                guard var part = part(index) else { return }
                begin(&part)
                scan(&part, 0..<group, thread)
                finish(&part)
            }
        }
        pass.pool.run(parts) { index, _ in if var part = part(index) { begin(&part) } }
        pass.pool.run(parts * group) { index, thread in
            guard var part = part(index / group) else { return }
            scan(&part, index % group..<index % group + 1, thread)
        }
        pass.pool.run(parts) { index, _ in if var part = part(index) { finish(&part) } }
    }

    /// Whether the parts of the pass leave threads idle that its SSM heads could occupy.
    private func splitsHeads(_ pass: Pass) -> Bool {
        let (parts, threads) = (pass.segments.count * shape.xHeads, pass.pool.threadCount)
        return shape.heads > shape.xHeads && pass.rows >= Int(DK_SSD_CHUNK) && parts < 2 * threads
            && parts % threads != 0
    }

    /// A part as the kernels take it.
    private struct ScanPart {
        let segment: Segment
        let head: Int
        let state: ScanState
        var shape: dk_ssd_shape
        var pointers: dk_ssd_cache
        var operands: dk_ssd_operands
    }

    private func scanPart(
        _ segment: Segment, head: Int, state: ScanState, rows: Rows, parameters: Parameters
    ) -> ScanPart {
        let group = shape.heads / shape.xHeads
        return ScanPart(
            segment: segment, head: head, state: state, shape: shapeOfOnePart,
            pointers: state.pointers(fromPart: head, of: shape.xHeads),
            operands: operands(
                segment, state, rows, parameters, head: head * group, x: head * shape.headDim,
                b: shape.xSize + head * shape.stateDim,
                c: shape.xSize + shape.bSize + head * group * shape.stateDim))
    }

    /// Step 6 for the SSM heads of a part.
    private func normalize(_ pass: Pass, _ part: ScanPart, _ rows: Rows, _ parameters: Parameters) {
        let (inner, group, dim) = (shape.innerSize, shape.heads / shape.xHeads, shape.headDim)
        let (first, offset) = (part.segment.rows.lowerBound, part.head * group * dim)
        let (y, ld) = (rows.y + first * inner + offset, Int64(rows.columns.count))
        pass.kernels.gated_norm(
            y, Int64(inner), rows.projected + first * rows.columns.count + rows.columns.z + offset, ld, y,
            Int64(inner), Int64(part.segment.rows.count), Int64(group), Int64(dim), parameters.norm + offset,
            gatedNorm.epsilon)
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
