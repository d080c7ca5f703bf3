//  Causal grouped-query attention over pages of keys and values, with or without a sliding window:
//  the twin of the reference's `Attention`.
//
//      q = rope( rms(W_q u) )     k = rope( rms(W_k u) )     v = W_v u
//      o_h[t] = sum over s <= t of  softmax_s( q_h[t] · k_g[s] / sqrt(D) )  v_g[s],     g = h div (H / Hkv)
//      y = W_o concat_h(o_h)
//
//  With a window of W tokens the sum is over t - W < s <= t, and pages behind it are let go.
//
//  Between the projections every key/value head is a part of one job: it normalises and rotates its
//  own query heads and key, stores key and value, and attends; nothing of another head is read.
//  Where threads cannot share the heads evenly (a token of one sequence on a wide machine, or a
//  model with one key/value head), a long sequence's keys are split into segments as well, and a
//  prompt's rows into ranges, with the same bits.

import DualityCore
import DualityKernels

/// The attention mixer of a decoder layer.
struct QuantAttention: SequenceMixer {
    var query: Projection
    var key: Projection
    var value: Projection
    var output: Projection
    let queryNorm: NormWeights
    let keyNorm: NormWeights
    /// Its heads are those of this rank.
    var configuration: HybridConfiguration
    let keyValueFormat: KeyValueFormat
    /// W, the tokens that one sees, itself among them; nil for all.
    var window: Int? = nil

    var inputs: [Projection] { [query, key, value] }
    var projections: [Projection] { inputs + [output] }
    var goesInRounds: Bool { true }

    func extend(
        _ u: Activations, in pass: Pass, caches: inout [QuantCache], layer index: Int,
        into out: UnsafeMutablePointer<Float>, stride: Int
    ) {
        let (inner, shared) = (configuration.innerSize, configuration.keyValueSize)
        let ld = inner + 2 * shared
        let wide = pass.workspace.wide.pointer(ld * pass.rows)
        let (q, k, v) = (wide, wide + inner, wide + inner + shared)
        pass.multiply(
            u,
            query.products(into: q, stride: ld) + key.products(into: k, stride: ld)
                + value.products(into: v, stride: ld))

        let attended = pass.workspace.inner.pointer(inner * pass.rows)
        pass.inRounds(&caches, layer: index, of: .keysAndValues) { pass, caches in
            for segment in pass.segments {
                caches[segment.sequence].layers[index].keyValues?.prepareToWrite(segment.rows.count, window: window)
            }
            attend(pass, caches: caches, index: index, q: q, k: k, v: v, ld: ld, into: attended)
            for segment in pass.segments {
                caches[segment.sequence].layers[index].keyValues?.advance(by: segment.rows.count)
            }
        }

        pass.projectForAll(attended, stride: inner, output, into: out, stride: stride)
    }

    private func attend(
        _ pass: Pass, caches: [QuantCache], index: Int, q: UnsafeMutablePointer<Float>,
        k: UnsafeMutablePointer<Float>, v: UnsafeMutablePointer<Float>, ld: Int,
        into attended: UnsafeMutablePointer<Float>
    ) {
        let heads = configuration.keyValueHeadCount
        let scratch = pass.workspace.scratch
        let bySegments = splitsKeys(pass, caches[pass.segments[0].sequence].layers[index].keyValues?.count ?? 0)
        let byRows = splitsRows(pass)
        pass.pool.run(pass.segments.count * heads) { part, thread in
            let (segment, head) = (pass.segments[part / heads], part % heads)
            guard let pages = caches[segment.sequence].layers[index].keyValues else { return }
            let (first, stored) = (segment.rows.lowerBound, pages.count)
            finishQueries(pass, segment: segment, head: head, q: q, ld: ld)
            finishKeys(pass, segment: segment, head: head, k: k, v: v, ld: ld)
            pages.withAddresses { pages in
                var shape = dk_attention_shape(configuration, keyValueFormat, window: window)
                let (position, count) = (Int64(stored), Int64(segment.rows.count))
                let (begin, end, stride) = (Int64(head), Int64(head + 1), Int64(ld))
                pass.kernels.kv_store(
                    &shape, pages, position, count, k + first * ld, stride, v + first * ld, stride, begin, end)
                if bySegments || byRows { return }
                pass.kernels.attention(
                    &shape, pages, position, q + first * ld, stride, attended + first * configuration.innerSize,
                    Int64(configuration.innerSize), 0, count, begin, end, scratch[thread])
            }
        }
        if byRows { attendByRows(pass, caches: caches, index: index, q: q, ld: ld, into: attended) }
        guard bySegments, let pages = caches[pass.segments[0].sequence].layers[index].keyValues else { return }
        attendBySegments(pass, pages, q, into: attended)
    }

    /// Whether the heads of the pass's only token leave threads idle that its keys could occupy.
    private func splitsKeys(_ pass: Pass, _ stored: Int) -> Bool {
        let (heads, threads) = (configuration.keyValueHeadCount, pass.pool.threadCount)
        return window == nil && pass.rows == 1 && stored >= Int(DK_KV_SEGMENT) && heads < 2 * threads
            && heads % threads != 0
    }

    /// Rows of a part of a prompt.
    private static let rowsOfAPart = 64

    /// Whether the heads of the pass leave threads idle that its rows could occupy.
    private func splitsRows(_ pass: Pass) -> Bool {
        let (parts, threads) = (configuration.keyValueHeadCount * pass.segments.count, pass.pool.threadCount)
        return pass.rows >= 2 * Self.rowsOfAPart && parts < 2 * threads && parts % threads != 0
    }

    /// Attention of a prompt whose keys and values are stored: a part of the job is a head and some
    /// rows, the later ones, which see more, first.
    private func attendByRows(
        _ pass: Pass, caches: [QuantCache], index: Int, q: UnsafePointer<Float>, ld: Int,
        into attended: UnsafeMutablePointer<Float>
    ) {
        let (heads, inner, scratch) = (configuration.keyValueHeadCount, configuration.innerSize, pass.workspace.scratch)
        let ranges = pass.segments.indices.flatMap { segment in
            let count = pass.segments[segment].rows.count
            return stride(from: 0, to: count, by: Self.rowsOfAPart).reversed().map {
                (segment: segment, rows: $0..<min($0 + Self.rowsOfAPart, count))
            }
        }
        pass.pool.run(ranges.count * heads) { part, thread in
            let (range, head) = (ranges[part / heads], Int64(part % heads))
            let segment = pass.segments[range.segment]
            guard let pages = caches[segment.sequence].layers[index].keyValues else { return }
            let first = segment.rows.lowerBound
            pages.withAddresses { addresses in
                var shape = dk_attention_shape(configuration, keyValueFormat, window: window)
                pass.kernels.attention(
                    &shape, addresses, Int64(pages.count), q + first * ld, Int64(ld), attended + first * inner,
                    Int64(inner), Int64(range.rows.lowerBound), Int64(range.rows.upperBound), head, head + 1,
                    scratch[thread])
            }
        }
    }

    /// Attention of the pass's only token, whose key and value are stored: a part of the job is a
    /// head and a segment of its keys.
    private func attendBySegments(
        _ pass: Pass, _ pages: KeyValuePages, _ q: UnsafePointer<Float>, into attended: UnsafeMutablePointer<Float>
    ) {
        var shape = dk_attention_shape(configuration, keyValueFormat, window: window)
        let (heads, position) = (configuration.keyValueHeadCount, pages.count)
        let segments = position / Int(DK_KV_SEGMENT) + 1
        let partial = pass.workspace.partial.pointer(
            segments * configuration.headCount * Int(dk_attention_partial_floats(&shape)))
        let scratch = pass.workspace.scratch
        pages.withAddresses { pages in
            pass.pool.run(segments * heads) { part, thread in
                var shape = dk_attention_shape(configuration, keyValueFormat, window: window)
                let head = Int64(part % heads)
                pass.kernels.attention_partial(
                    &shape, pages, Int64(position), q, Int64(part / heads), head, head + 1, partial, scratch[thread])
            }
        }
        pass.kernels.attention_merge(&shape, Int64(segments), partial, attended, 0, Int64(configuration.headCount))
    }

    /// Bias, norm and rotation of the query heads that read one key/value head.
    func finishQueries(
        _ pass: Pass, segment: Segment, head: Int, q: UnsafeMutablePointer<Float>, ld: Int
    ) {
        let (dim, group) = (configuration.headDim, configuration.headsPerKeyValueHead)
        let offset = head * group * dim
        query.addBias(q, stride: ld, rows: segment.rows, outputs: offset..<offset + group * dim)
        pass.normalizeAndRotate(
            q + segment.rows.lowerBound * ld + offset, stride: ld, segment: segment, heads: group, dim: dim,
            norm: queryNorm, rotates: true)
    }

    /// Bias, norm and rotation of one key head, and the bias of its value.
    func finishKeys(
        _ pass: Pass, segment: Segment, head: Int, k: UnsafeMutablePointer<Float>,
        v: UnsafeMutablePointer<Float>, ld: Int
    ) {
        let dim = configuration.headDim
        let offset = head * dim
        key.addBias(k, stride: ld, rows: segment.rows, outputs: offset..<offset + dim)
        value.addBias(v, stride: ld, rows: segment.rows, outputs: offset..<offset + dim)
        pass.normalizeAndRotate(
            k + segment.rows.lowerBound * ld + offset, stride: ld, segment: segment, heads: 1, dim: dim, norm: keyNorm,
            rotates: true)
    }
}

extension Pass {
    /// Normalises and rotates `heads` heads of the rows of a segment in place; `x` is the first of
    /// them in the first row.
    func normalizeAndRotate(
        _ x: UnsafeMutablePointer<Float>, stride: Int, segment: Segment, heads: Int, dim: Int, norm: NormWeights?,
        rotates: Bool
    ) {
        let (rows, ld) = (Int64(segment.rows.count), Int64(stride))
        norm?.weight.withUnsafeBufferPointer { weight in
            guard let weight = weight.baseAddress, let epsilon = norm?.epsilon else { return }
            kernels.rms_norm(x, ld, x, ld, rows, Int64(heads), Int64(dim), weight, epsilon)
        }
        guard rotates else { return }
        let table = segment.rows.lowerBound * (dim / 2)
        kernels.rope(x, ld, rows, Int64(heads), Int64(dim), cosines + table, sines + table)
    }
}
