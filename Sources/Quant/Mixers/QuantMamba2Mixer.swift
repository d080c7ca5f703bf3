//  The Mamba-2 mixer of the hybrid models, and of plain ones: the twin of the reference's
//  `Mamba2Mixer`.
//
//      1  z | x | B | C | dt = W_in u                      widths  H P | Hx P | Hb N | Hc N | H
//      2  B, C = rms(B), rms(C)                            each head; if the model normalises B and C
//      3  B, C = rope(B), rope(C)                          if the model rotates B and C
//      4  x | B | C = silu( conv(x | B | C) )              depthwise, causal, over x, B and C together
//      5  y = SSD(x, dt, A = -e^A_log, B, C, D, dt_bias)   head h of H reads head h div (H / Hx) of x, and so B and C
//      6  out = W_out gatednorm(y, z)                      groups of channels; the gate comes before the norm
//
//  In hybrid models x and B have the key/value heads, and everything from step 2 to the last
//  product is one job (QuantMamba2Mixer+Parts.swift). In plain ones B and C have a few groups,
//  often one, and a norm may span all heads: there the steps are jobs of their own
//  (QuantMamba2Mixer+Stages.swift).

import DualityCore
import DualityKernels

/// The Mamba-2 mixer of a decoder layer.
struct QuantMamba2Mixer: SequenceMixer {
    /// z, x, B, C and dt, in blocks of their own formats.
    var inputProjection: Projection
    let bNorm: NormWeights?
    let cNorm: NormWeights?
    let rotatesBC: Bool
    /// `[W, C]`: the channels of one tap lie together.
    var taps: [Float]
    /// `[C]`.
    var convolutionBias: [Float]?
    /// A = -e^A_log, `[H]`.
    var a: [Float]
    var dtBias: [Float]
    var d: [Float]
    /// `[H P]`; of all ranks' heads where they are normalised together.
    var gatedNorm: NormWeights
    /// Channels that are normalised together.
    let gatedNormGroup: Int
    var outputProjection: Projection
    /// Its heads are those of this rank.
    var shape: Mamba2Shape
    /// What the step is clamped to.
    let stepLimit: ClosedRange<Float>
    /// Whether heads share nothing but with those of their key/value head.
    let hasParts: Bool
    /// Rounds the state to bfloat16 after every chunk: to show what that costs, and for nothing
    /// else.
    let roundsState: Bool

    var inputs: [Projection] { [inputProjection] }
    var projections: [Projection] { [inputProjection, outputProjection] }
    var goesInRounds: Bool { true }

    /// W.
    var tapCount: Int { taps.count / shape.channels }

    /// Where z, x, B, C and dt begin in a row of in_proj's output.
    struct Columns {
        let z = 0
        let x, b, c, dt, count: Int

        init(_ shape: Mamba2Shape) {
            x = shape.innerSize
            b = x + shape.xSize
            c = b + shape.bSize
            dt = c + shape.cSize
            count = dt + shape.heads
        }
    }

    /// What the steps of a pass read and write, `[R, …]` each.
    struct Rows {
        let columns: Columns
        let projected, convolved, y: UnsafeMutablePointer<Float>
    }

    func extend(
        _ u: Activations, in pass: Pass, caches: inout [QuantCache], layer index: Int,
        into out: UnsafeMutablePointer<Float>, stride: Int
    ) {
        let columns = Columns(shape)
        let inner = shape.innerSize
        let projected = pass.workspace.wide.pointer(columns.count * pass.rows)
        pass.multiply(u, inputProjection.products(into: projected, stride: columns.count))
        inputProjection.addBias(projected, stride: columns.count, rows: 0..<pass.rows, outputs: 0..<columns.count)

        let rows = Rows(
            columns: columns, projected: projected,
            convolved: pass.workspace.convolved.pointer(shape.channels * pass.rows),
            y: pass.workspace.inner.pointer(inner * pass.rows))
        pass.inRounds(&caches, layer: index, of: .scan) { scan($0, &$1, layer: index, rows) }
        if hasParts {
            return pass.projectForAll(rows.y, stride: inner, outputProjection, into: out, stride: stride)
        }
        let (z, zStride) = gatheredGate(pass, rows)
        let (y, ld) = pass.gathered(rows.y, stride: inner, for: outputProjection)
        let activations = pass.prepare(y, stride: ld, for: [outputProjection]) { range in
            normalize(pass, range, y: y, stride: ld, gate: z, zStride: zStride)
        }
        pass.multiplyForAll(activations, outputProjection, into: out, stride: stride)
    }

    /// Steps 2 to 6 without the last product, or to 5 in plain models.
    private func scan(_ pass: Pass, _ caches: inout [QuantCache], layer index: Int, _ rows: Rows) {
        for segment in pass.segments { caches[segment.sequence].layers[index].scan?.prepareToWrite() }
        let states = caches.map { $0.layers[index].scan }
        if shape.heads > 0 {
            withParameters { parameters in
                if hasParts {
                    scanByParts(pass, states, rows, parameters)
                } else {
                    scanByStages(pass, states, rows, parameters)
                }
            }
        }
        for segment in pass.segments {
            caches[segment.sequence].layers[index].scan?.advance(by: segment.rows.count)
        }
        if roundsState {
            for segment in pass.segments { states[segment.sequence].map { Self.roundToBFloat16($0.state) } }
        }
    }

    /// The operands of heads from `head` on, which is the first of a head of x, B and C; they lie
    /// `x`, `b` and `c` channels into a row.
    func operands(
        _ segment: Segment, _ state: ScanState, _ rows: Rows, _ parameters: Parameters, head: Int, x: Int, b: Int,
        c: Int
    ) -> dk_ssd_operands {
        let (inner, channels, columns) = (shape.innerSize, Int64(shape.channels), rows.columns)
        let first = segment.rows.lowerBound
        let convolved = rows.convolved + first * shape.channels
        return dk_ssd_operands(
            tokens: Int64(segment.rows.count), x: convolved + x, ldx: channels, b: convolved + b, ldb: channels,
            c: convolved + c, ldc: channels, dt: rows.projected + first * columns.count + columns.dt + head,
            lddt: Int64(columns.count), a: parameters.a + head, dtBias: parameters.dtBias + head,
            d: parameters.d + head, softplus: true, dtLow: stepLimit.lowerBound, dtHigh: stepLimit.upperBound,
            y: rows.y + first * inner + head * shape.headDim, ldy: Int64(inner), logDecaySum: state.decaySum + head)
    }

    /// Step 4 for a range of channels.
    func convolve(
        _ pass: Pass, segment: Segment, state: ScanState, rows: Rows, parameters: Parameters,
        channels range: Range<Int>
    ) {
        let (first, channels) = (segment.rows.lowerBound, Int64(shape.channels))
        pass.kernels.conv_silu(
            rows.projected + first * rows.columns.count + rows.columns.x, Int64(rows.columns.count),
            rows.convolved + first * shape.channels, channels, Int64(segment.rows.count), state.window, channels,
            Int64(tapCount), parameters.taps, parameters.bias, Int64(range.lowerBound), Int64(range.upperBound))
    }

    /// The small parameters as the kernels take them.
    struct Parameters {
        let a, dtBias, d, taps: UnsafePointer<Float>
        let bias: UnsafePointer<Float>?
        let norm: UnsafePointer<Float>
    }

    private func withParameters(_ body: (Parameters) -> Void) {
        func lend(
            a: UnsafePointer<Float>, dtBias: UnsafePointer<Float>, d: UnsafePointer<Float>,
            taps: UnsafePointer<Float>, bias: UnsafePointer<Float>?, norm: UnsafePointer<Float>
        ) {
            body(Parameters(a: a, dtBias: dtBias, d: d, taps: taps, bias: bias, norm: norm))
        }
        if let convolutionBias {
            return lend(a: a, dtBias: dtBias, d: d, taps: taps, bias: convolutionBias, norm: gatedNorm.weight)
        }
        lend(a: a, dtBias: dtBias, d: d, taps: taps, bias: nil, norm: gatedNorm.weight)
    }

    private static func roundToBFloat16(_ state: UnsafeMutableBufferPointer<Float>) {
        for i in state.indices { state[i] = Float(BFloat16(state[i])) }
    }
}

extension dk_ssd_shape {
    init(_ shape: Mamba2Shape) {
        self.init(
            heads: Int64(shape.heads), xHeads: Int64(shape.xHeads), bHeads: Int64(shape.bHeads),
            cHeads: Int64(shape.cHeads), headDim: Int64(shape.headDim), stateDim: Int64(shape.stateDim))
    }
}
