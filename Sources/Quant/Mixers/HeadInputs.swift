//  Queries, keys and values of the mixers with a matrix-valued state, Gated DeltaNet and Gated
//  KalmaNet: the twin of the reference's `QueryKeyValue`.
//
//      q, k, v = silu( conv(W_q u) ), silu( conv(W_k u) ), silu( conv(W_v u) )        one convolution over q | k | v
//      k, v -> H heads                                                              HeadExpansion, where there is one
//
//  Without a correction nothing is repeated in memory: the kernels read key/value head h div (H /
//  Hkv). Whatever else reads u (gates, decays) is multiplied in the same job and lies behind v in a
//  row.

import DualityCore
import DualityKernels

/// The projections, short convolutions and head expansion in front of a matrix-valued state.
struct HeadInputs: Sendable {
    var query: Projection
    var key: Projection
    var value: Projection
    /// What else reads the stream, in the order of its columns.
    var others: [Projection]
    /// `[W, C]`, the channels of one tap together; nil where nothing is convolved.
    var taps: [Float]?
    /// `[C]`.
    var convolutionBias: [Float]?
    /// C: q and k, and v where it is convolved or activated.
    var channels: Int
    /// Of keys and of values.
    var expansions: [QuantHeadExpansion]
    /// Its heads are those of this rank.
    var configuration: HybridConfiguration
    /// How the heads are shared out; nil for a whole model.
    var cut: HeadCut? = nil

    var inputs: [Projection] { [query, key, value] + others }
    var projections: [Projection] { inputs + expansions.flatMap { [$0.down, $0.up] } }

    /// Rows of a pass, `[R, …]` each.
    struct Rows {
        let q, k, v: UnsafePointer<Float>
        let ldq, ldk, ldv: Int
        /// Heads of k and v.
        let kHeads, vHeads: Int
        /// The columns of `others`, one after another.
        let others: UnsafePointer<Float>
        let ldOthers: Int
    }

    /// - Parameters:
    ///   - states: of every cache of the pass; their windows are advanced.
    func extend(_ u: Activations, in pass: Pass, states: [MatrixState?]) -> Rows {
        let (inner, shared) = (configuration.innerSize, configuration.keyValueSize)
        let ld = inputs.reduce(0) { $0 + $1.outputSize }
        let wide = pass.workspace.wide.pointer(ld * pass.rows)
        var (products, first) = ([Product](), 0)
        for projection in inputs {
            products += projection.products(into: wide + first, stride: ld)
            first += projection.outputSize
        }
        pass.multiply(u, products)
        first = 0
        for projection in inputs {
            projection.addBias(wide + first, stride: ld, rows: 0..<pass.rows, outputs: 0..<projection.outputSize)
            first += projection.outputSize
        }
        let convolved = pass.workspace.convolved.pointer(channels * pass.rows)
        convolve(pass, states, wide, ld, into: convolved)
        let activatesValues = channels > inner + shared
        let v = activatesValues ? convolved + inner + shared : wide + inner + shared
        let rows = Rows(
            q: convolved, k: convolved + inner, v: v, ldq: channels, ldk: channels,
            ldv: activatesValues ? channels : ld, kHeads: configuration.keyValueHeadCount,
            vHeads: configuration.keyValueHeadCount, others: wide + inner + 2 * shared, ldOthers: ld)
        return expansions.isEmpty ? rows : expanded(rows, pass)
    }

    /// Channels of a part of the job.
    private static let channelsTogether = 256

    private func convolve(
        _ pass: Pass, _ states: [MatrixState?], _ source: UnsafePointer<Float>, _ ld: Int,
        into target: UnsafeMutablePointer<Float>
    ) {
        guard channels > 0 else { return }
        guard let taps else {
            return pass.overRows { rows in
                for t in rows {
                    pass.kernels.silu(source + t * ld, target + t * channels, Int64(channels))
                }
            }
        }
        let blocks = (channels + Self.channelsTogether - 1) / Self.channelsTogether
        let (width, tapCount) = (Int64(channels), Int64(taps.count / channels))
        func run(_ taps: UnsafePointer<Float>, _ bias: UnsafePointer<Float>?) {
            pass.pool.run(pass.segments.count * blocks) { part, _ in
                let (segment, block) = (pass.segments[part / blocks], part % blocks)
                guard let state = states[segment.sequence] else { return }
                let first = segment.rows.lowerBound
                let begin = block * Self.channelsTogether
                pass.kernels.conv_silu(
                    source + first * ld, Int64(ld), target + first * channels, width, Int64(segment.rows.count),
                    state.window, width, tapCount, taps, bias, Int64(begin),
                    Int64(min(begin + Self.channelsTogether, channels)))
            }
        }
        if let convolutionBias { run(taps, convolutionBias) } else { run(taps, nil) }
    }

    private func expanded(_ rows: Rows, _ pass: Pass) -> Rows {
        let (inner, heads) = (configuration.innerSize, configuration.headCount)
        let expanded = pass.workspace.expanded.pointer(2 * inner * pass.rows)
        for (i, (x, ld)) in [(rows.k, rows.ldk), (rows.v, rows.ldv)].enumerated() {
            let (all, allStride) = gathered(x, ld, pass)
            expansions[i].expand(all, allStride, in: pass, into: expanded + i * inner, stride: 2 * inner)
        }
        return Rows(
            q: rows.q, k: expanded, v: expanded + inner, ldq: rows.ldq, ldk: 2 * inner, ldv: 2 * inner,
            kHeads: heads, vHeads: heads, others: rows.others, ldOthers: rows.ldOthers)
    }
}

/// Key/value heads to as many as there are query heads: `y_h = sum over g of R[h, g] u_g`, plus
/// heads of `W_B silu(W_A u)`. The twin of the reference's `HeadExpansion`.
struct QuantHeadExpansion: Sendable {
    /// W_A, `[ρ, Hkv D]`.
    let down: Projection
    /// W_B, `[H D, ρ]`.
    var up: Projection
    /// R, `[H, Hkv]`; nil for the repetition.
    let mixture: [Float]?
    let heads, sharedHeads, headDim: Int
    /// Those of this rank; nil for all.
    var ownHeads: Range<Int>? = nil

    /// - Parameter out: `[R, H D]`, row t at `out + t * stride`.
    func expand(
        _ x: UnsafePointer<Float>, _ ld: Int, in pass: Pass, into out: UnsafeMutablePointer<Float>, stride: Int
    ) {
        let rank = down.outputSize
        let hidden = pass.workspace.hidden.pointer(rank * pass.rows)
        pass.multiply(pass.prepare(x, stride: ld, for: [down]) { _ in }, down.products(into: hidden, stride: rank))
        let activated = pass.prepare(hidden, stride: rank, for: [up]) { rows in
            let first = hidden + rows.lowerBound * rank
            pass.kernels.silu(first, first, Int64(rows.count * rank))
        }
        pass.multiply(activated, up.products(into: out, stride: stride))
        pass.overRows { rows in for t in rows { add(x + t * ld, to: out + t * stride, pass.kernels) } }
    }

    private func add(_ x: UnsafePointer<Float>, to y: UnsafeMutablePointer<Float>, _ kernels: KernelTable) {
        let own = ownHeads ?? 0..<heads
        for head in own {
            let target = y + (head - own.lowerBound) * headDim
            guard let mixture else {
                let source = x + head / (heads / sharedHeads) * headDim
                kernels.add(target, source, target, Int64(headDim))
                continue
            }
            for g in 0..<sharedHeads {
                let weight = mixture[head * sharedHeads + g]
                for d in 0..<headDim { target[d] += weight * x[g * headDim + d] }
            }
        }
    }
}
