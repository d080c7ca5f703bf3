//  The layers of the fast model, in the order of their reference siblings.
//
//      h = h + mixer( rms(h; inputNorm) )
//      h = h + mlp( rms(h; feedForwardNorm) )          not in plain Mamba-2 models
//
//  What a sublayer adds stays apart (`delta`) until the next norm reads it, so that adding and
//  normalising are one walk through memory.

import DualityCore
import DualityKernels

/// RMSNorm weights, `[width]`.
struct NormWeights: Sendable {
    let weight: [Float]
    let epsilon: Float
}

/// A mixer and an MLP, pre-normalised, with residuals.
struct QuantDecoderLayer: Sendable {
    let inputNorm: NormWeights
    let mixer: any SequenceMixer
    /// The MLP and its norm, where the layer has one.
    let feedForward: (norm: NormWeights, mlp: QuantFeedForward)?

    var projections: [Projection] {
        mixer.projections + (feedForward.map { [$0.mlp.gate, $0.mlp.up, $0.mlp.down] } ?? [])
    }

    /// The bytes of its matrices.
    var byteCount: Int { projections.reduce(0) { $0 + $1.byteCount } }
    /// Of its matrices, for one token.
    var multiplyAdds: Int { projections.reduce(0) { $0 + $1.columns * $1.outputSize } }

    /// Extends every sequence of the pass by its rows.
    ///
    /// - Parameters:
    ///   - stream: residual stream and pending addition; advanced.
    ///   - index: which layer of the caches.
    func extend(_ stream: inout ResidualStream, in pass: Pass, caches: inout [QuantCache], layer index: Int) {
        let mixed = stream.normalized(inputNorm, for: mixer.inputs, in: pass)
        mixer.extend(mixed, in: pass, caches: &caches, layer: index, into: stream.delta, stride: stream.width)
        stream.hasDelta = true
        guard let feedForward else { return }
        let u = stream.normalized(feedForward.norm, for: [feedForward.mlp.gate, feedForward.mlp.up], in: pass)
        feedForward.mlp.extend(u, in: pass, into: stream.delta, stride: stream.width)
        stream.hasDelta = true
    }
}

/// The residual stream of a pass, `[R, Dm]`, and what is still to be added to it.
struct ResidualStream {
    let width: Int
    let h: UnsafeMutablePointer<Float>
    let delta: UnsafeMutablePointer<Float>
    let u: UnsafeMutablePointer<Float>
    var hasDelta = false

    init(width: Int, rows: Int, workspace: Workspace) {
        self.width = width
        h = workspace.stream.pointer(rows * width)
        delta = workspace.delta.pointer(rows * width)
        u = workspace.normalized.pointer(rows * width)
    }

    /// Adds what is pending, normalises, and packs the result for `matrices`.
    mutating func normalized(_ norm: NormWeights, for matrices: [Projection], in pass: Pass) -> Activations {
        if let division = pass.division { return normalizedByRows(norm, for: matrices, in: pass, division) }
        let (width, h, delta, u, adds) = (width, h, delta, u, hasDelta)
        hasDelta = false
        return norm.weight.withUnsafeBufferPointer { weight in
            pass.prepare(u, stride: width, for: matrices) { rows in
                Self.normalize(
                    rows, width: width, h: h, delta: adds ? delta : nil, u: u, weight: weight, epsilon: norm.epsilon,
                    kernels: pass.kernels)
            }
        }
    }

    /// The same for single rows of the pass, without packing: row `rows[i]` goes to row i of `out`.
    func normalized(
        _ norm: NormWeights, rows: [Int], in pass: Pass, into out: UnsafeMutablePointer<Float>
    ) {
        if let division = pass.division { return normalizedByRows(norm, rows: rows, in: pass, division, into: out) }
        normalizeEach(norm, rows: rows, in: pass, into: out)
    }

    /// Rows that this rank has, one after another.
    func normalizeEach(
        _ norm: NormWeights, rows: [Int], in pass: Pass, into out: UnsafeMutablePointer<Float>
    ) {
        norm.weight.withUnsafeBufferPointer { weight in
            for (i, row) in rows.enumerated() {
                Self.normalize(
                    0..<1, width: width, h: h + row * width, delta: hasDelta ? delta + row * width : nil,
                    u: out + i * width, weight: weight,
                    epsilon: norm.epsilon, kernels: pass.kernels)
            }
        }
    }

    /// This rank's rows: row t goes to `out + t * width`.
    func normalize(
        _ norm: NormWeights, in pass: Pass, _ division: Pass.Division, into out: UnsafeMutablePointer<Float>
    ) {
        let (width, h, delta) = (width, h, hasDelta ? delta : nil)
        norm.weight.withUnsafeBufferPointer { weight in
            pass.overOwnRows(division) {
                Self.normalize(
                    $0, width: width, h: h, delta: delta, u: out, weight: weight, epsilon: norm.epsilon,
                    kernels: pass.kernels)
            }
        }
    }

    private static func normalize(
        _ rows: Range<Int>, width: Int, h: UnsafeMutablePointer<Float>, delta: UnsafeMutablePointer<Float>?,
        u: UnsafeMutablePointer<Float>, weight: UnsafeBufferPointer<Float>, epsilon: Float, kernels: KernelTable
    ) {
        guard let weight = weight.baseAddress else { return }
        let (first, count, ld) = (rows.lowerBound * width, Int64(rows.count), Int64(width))
        if let delta {
            kernels.add_rms_norm(h + first, ld, delta + first, ld, u + first, ld, count, ld, weight, epsilon)
        } else {
            kernels.rms_norm(h + first, ld, u + first, ld, count, 1, ld, weight, epsilon)
        }
    }
}

/// The gated MLP: `mlp(u) = W_down ( silu(W_gate u) ⊙ W_up u )`.
struct QuantFeedForward: Sendable {
    let gate: Projection
    let up: Projection
    let down: Projection

    /// - Parameter out: `[R, Dm]`, row t at `out + t * stride`.
    func extend(_ u: Activations, in pass: Pass, into out: UnsafeMutablePointer<Float>, stride: Int) {
        let width = gate.outputSize
        let wide = pass.workspace.wide.pointer(2 * width * pass.rows)
        let hidden = pass.workspace.inner.pointer(width * pass.rows)
        let ld = 2 * width
        pass.multiply(u, gate.products(into: wide, stride: ld) + up.products(into: wide + width, stride: ld))
        func activate(_ rows: Range<Int>) {
            let first = wide + rows.lowerBound * ld
            pass.kernels.silu_multiply(
                first, Int64(ld), first + width, Int64(ld), hidden + rows.lowerBound * width, Int64(width),
                Int64(rows.count), Int64(width))
        }
        pass.projectForAll(hidden, stride: width, down, into: out, stride: stride, produce: activate)
    }
}
