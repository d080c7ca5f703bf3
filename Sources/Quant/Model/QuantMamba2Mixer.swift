//  The Mamba-2 mixer of the hybrid models: the twin of the reference's `Mamba2Mixer`.
//
//      1  z | x | B | C | dt = W_in u                      widths  H P | Hkv P | Hkv N | H N | H
//      2  B, C = rms(B), rms(C)                            each head; if the model normalises B and C
//      3  B, C = rope(B), rope(C)                          if the model rotates B and C
//      4  x | B | C = silu( conv(x | B | C) )              depthwise, causal, over x, B and C together
//      5  y = SSD(x, dt, A = -e^A_log, B, C, D, dt_bias)   x and B have the key/value heads, C and dt have all
//      6  out = W_out gatednorm(y, z)                      each head is a group; the gate comes before the norm
//
//  Steps 2 to 6 up to the last product are one job whose parts are the key/value heads: a head of x
//  and B with the C, dt and z of the SSM heads that read it. Nothing of another head is touched, so
//  what step 4 writes is still in the cache when step 5 reads it.

import DualityCore
import DualityKernels

/// The Mamba-2 mixer of a decoder layer.
struct QuantMamba2Mixer: Sendable {
    /// z, x, B, C and dt, in blocks of their own formats.
    let inputProjection: Projection
    let bNorm: NormWeights?
    let cNorm: NormWeights?
    /// `[W, C]`: the channels of one tap lie together.
    let taps: [Float]
    /// `[C]`.
    let convolutionBias: [Float]?
    /// A = -e^A_log, `[H]`.
    let a: [Float]
    let dtBias: [Float]
    let d: [Float]
    /// `[H P]`.
    let gatedNorm: NormWeights
    let outputProjection: Projection
    let configuration: HybridConfiguration
    /// Rounds the state to bfloat16 after every chunk: to show what that costs, and for nothing
    /// else.
    let roundsState: Bool

    /// Where z, x, B, C and dt begin in a row of in_proj's output.
    private struct Columns {
        let z = 0
        let x, b, c, dt, count: Int

        init(_ configuration: HybridConfiguration) {
            x = configuration.innerSize
            b = x + configuration.keyValueSize
            c = b + configuration.keyValueSize
            dt = c + configuration.innerSize
            count = dt + configuration.headCount
        }
    }

    /// Extends every sequence of the pass by its rows.
    ///
    /// - Parameters:
    ///   - u: `[R, Dm]`, packed for `inputProjection`.
    ///   - out: `[R, Dm]`, row t at `out + t * stride`.
    func extend(
        _ u: Activations, in pass: Pass, caches: inout [QuantCache], layer index: Int,
        into out: UnsafeMutablePointer<Float>, stride: Int
    ) {
        let columns = Columns(configuration)
        let inner = configuration.innerSize
        let projected = pass.workspace.wide.pointer(columns.count * pass.rows)
        pass.multiply(u, inputProjection.products(into: projected, stride: columns.count))
        inputProjection.addBias(projected, stride: columns.count, rows: 0..<pass.rows, outputs: 0..<columns.count)

        let channels = columns.dt - columns.x
        let convolved = pass.workspace.convolved.pointer(channels * pass.rows)
        let y = pass.workspace.inner.pointer(inner * pass.rows)
        for segment in pass.segments { caches[segment.sequence].layers[index].scan?.prepareToWrite() }
        scan(pass, caches.map { $0.layers[index].scan }, columns, projected, convolved, y)

        let activations = pass.prepare(y, stride: inner, for: [outputProjection]) { _ in }
        pass.multiply(activations, outputProjection.products(into: out, stride: stride))
        outputProjection.addBias(out, stride: stride, rows: 0..<pass.rows, outputs: 0..<outputProjection.outputSize)
    }

    /// Steps 2 to 6, without the last product, for all sequences.
    ///
    /// - Parameter states: of every cache of the pass; their bytes are written.
    private func scan(
        _ pass: Pass, _ states: [ScanState?], _ columns: Columns, _ projected: UnsafeMutablePointer<Float>,
        _ convolved: UnsafeMutablePointer<Float>, _ y: UnsafeMutablePointer<Float>
    ) {
        let (heads, group) = (configuration.keyValueHeadCount, configuration.headsPerKeyValueHead)
        let (inner, dim) = (configuration.innerSize, configuration.headDim)
        let channels = columns.dt - columns.x
        let scratch = pass.workspace.scratch
        withParameters { parameters in
            pass.pool.run(pass.segments.count * heads) { part, thread in
                let (segment, head) = (pass.segments[part / heads], part % heads)
                guard let state = states[segment.sequence] else { return }
                let first = segment.rows.lowerBound
                let source = projected + first * columns.count
                let target = convolved + first * channels
                normalizeAndRotate(pass, segment, head, source, columns)
                convolve(pass, segment, head, source + columns.x, columns.count, target, state.window, parameters)

                var (shape, pointers) = (shapeOfOneKeyValueHead, state.pointers(fromKeyValueHead: head))
                var operands = operands(segment, head, state, columns, source, target, y, parameters)
                pass.kernels.ssd_prepare(&shape, &pointers, segment.fill, &operands)
                pass.kernels.ssd_extend(
                    &shape, &pointers, segment.fill, &operands, 0, Int64(group), scratch[thread])
                pass.kernels.ssd_retain(&shape, &pointers, segment.fill, &operands)
                let offset = head * group * dim
                let rows = y + first * inner + offset
                pass.kernels.gated_norm(
                    rows, Int64(inner), source + columns.z + offset, Int64(columns.count), rows, Int64(inner),
                    Int64(segment.rows.count), Int64(group), Int64(dim), parameters.norm + offset, gatedNorm.epsilon)
            }
        }
        guard roundsState else { return }
        for segment in pass.segments { if let state = states[segment.sequence] { Self.roundToBFloat16(state.state) } }
    }

    /// One key/value head with its SSM heads is a whole scan of its own.
    private var shapeOfOneKeyValueHead: dk_ssd_shape {
        var shape = dk_ssd_shape(configuration)
        (shape.heads, shape.xHeads, shape.bHeads) = (Int64(configuration.headsPerKeyValueHead), 1, 1)
        shape.cHeads = shape.heads
        return shape
    }

    /// The operands of one key/value head; `source` and `target` are the first rows of the segment.
    private func operands(
        _ segment: Segment, _ head: Int, _ state: ScanState, _ columns: Columns, _ source: UnsafePointer<Float>,
        _ target: UnsafePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ parameters: Parameters
    ) -> dk_ssd_operands {
        let (inner, shared, dim) = (configuration.innerSize, configuration.keyValueSize, configuration.headDim)
        let channels = columns.dt - columns.x
        let first = head * configuration.headsPerKeyValueHead
        return dk_ssd_operands(
            tokens: Int64(segment.rows.count), x: target + head * dim, ldx: Int64(channels),
            b: target + shared + head * dim, ldb: Int64(channels), c: target + 2 * shared + first * dim,
            ldc: Int64(channels), dt: source + columns.dt + first, lddt: Int64(columns.count),
            a: parameters.a + first, dtBias: parameters.dtBias + first, d: parameters.d + first, softplus: true,
            dtLow: 0, dtHigh: .infinity, y: y + segment.rows.lowerBound * inner + first * dim, ldy: Int64(inner),
            logDecaySum: state.decaySum + first)
    }

    /// Steps 2 and 3 for the B of one key/value head and the C of its SSM heads.
    private func normalizeAndRotate(
        _ pass: Pass, _ segment: Segment, _ head: Int, _ source: UnsafeMutablePointer<Float>, _ columns: Columns
    ) {
        let (dim, group) = (configuration.headDim, configuration.headsPerKeyValueHead)
        let rotates = configuration.mamba2.rotatesBC
        pass.normalizeAndRotate(
            source + columns.b + head * dim, stride: columns.count, segment: segment, heads: 1, dim: dim, norm: bNorm,
            rotates: rotates)
        pass.normalizeAndRotate(
            source + columns.c + head * group * dim, stride: columns.count, segment: segment, heads: group, dim: dim,
            norm: cNorm, rotates: rotates)
    }

    /// Step 4 for the channels of one key/value head and its SSM heads.
    private func convolve(
        _ pass: Pass, _ segment: Segment, _ head: Int, _ source: UnsafePointer<Float>, _ stride: Int,
        _ target: UnsafeMutablePointer<Float>, _ window: UnsafeMutablePointer<Float>, _ parameters: Parameters
    ) {
        let (dim, shared) = (configuration.headDim, configuration.keyValueSize)
        let wide = configuration.headsPerKeyValueHead * dim
        let channels = 2 * shared + configuration.innerSize
        for range in [
            head * dim..<(head + 1) * dim, shared + head * dim..<shared + (head + 1) * dim,
            2 * shared + head * wide..<2 * shared + (head + 1) * wide,
        ] {
            pass.kernels.conv_silu(
                source, Int64(stride), target, Int64(channels), Int64(segment.rows.count), window, Int64(channels),
                Int64(configuration.mamba2.convolutionTaps), parameters.taps, parameters.bias,
                Int64(range.lowerBound), Int64(range.upperBound))
        }
    }

    /// The small parameters as the kernels take them.
    private struct Parameters {
        let a, dtBias, d, taps: UnsafePointer<Float>
        let bias: UnsafePointer<Float>?
        let norm: UnsafePointer<Float>
    }

    private func withParameters(_ body: (Parameters) -> Void) {
        func lend(
            _ a: UnsafePointer<Float>, _ dtBias: UnsafePointer<Float>, _ d: UnsafePointer<Float>,
            _ taps: UnsafePointer<Float>, _ bias: UnsafePointer<Float>?, _ norm: UnsafePointer<Float>
        ) {
            body(Parameters(a: a, dtBias: dtBias, d: d, taps: taps, bias: bias, norm: norm))
        }
        if let convolutionBias {
            lend(a, dtBias, d, taps, convolutionBias, gatedNorm.weight)
        } else {
            lend(a, dtBias, d, taps, nil, gatedNorm.weight)
        }
    }

    private static func roundToBFloat16(_ state: UnsafeMutableBufferPointer<Float>) {
        for i in state.indices { state[i] = Float(BFloat16(state[i])) }
    }
}

extension Segment {
    /// Tokens of the chunk of the scan that the segment begins in.
    var fill: Int64 { Int64(position % Int(DK_SSD_CHUNK)) }
}
