//  The B'MOJO-F mixer: sliding-window attention and, in the same softmax, attention to what another
//  mixer makes of the tokens behind the window. The twin of the reference's `BMojo`.
//
//      f = mixer(u)                                                the fading tokens; a Mamba-2, GDN or GKA layer
//      in context    q  = rope(rms(W_q u)),    keys s in t-W+1 … t         k  = rope(rms(W_k u_s)),    v  = W_v u_s
//      fading        q' = rope(rms(W_q' u)),   keys s in t-2W+1 … t-W      k' = rope(rms(W_k' f_s)),   v' = W_v' f_s
//      o = one softmax over both sets,   out = W_o concat_h(o_h)   Kernels/Attention/FadingAttention.h
//
//  The primed projections are the same ones unless the model unties them.

import DualityCore
import DualityKernels

/// The B'MOJO-F mixer of a decoder layer.
struct QuantBMojo: SequenceMixer {
    /// What makes the fading tokens.
    var mixer: any SequenceMixer
    /// Attention of the in-context tokens, and the output projection.
    var attention: QuantAttention
    /// Queries of, and keys and values from, the fading tokens, where they have projections of
    /// their own; its output projection is not used.
    var fading: QuantAttention?
    /// W.
    let window: Int

    var inputs: [Projection] { mixer.inputs + attention.inputs + (fading.map { [$0.query] } ?? []) }
    var projections: [Projection] { mixer.projections + attention.projections + (fading?.inputs ?? []) }
    var roundsState: Bool { mixer.roundsState }
    var goesInRounds: Bool { mixer.goesInRounds }

    private var configuration: HybridConfiguration { attention.configuration }

    /// Rows of queries, keys and values of both sets, side by side.
    private struct Rows {
        let ld: Int
        let q, k, v, fadingQ, fadingK, fadingV: UnsafeMutablePointer<Float>
    }

    func extend(
        _ u: Activations, in pass: Pass, caches: inout [QuantCache], layer index: Int,
        into out: UnsafeMutablePointer<Float>, stride: Int
    ) {
        let (inner, shared) = (configuration.innerSize, configuration.keyValueSize)
        let ld = (fading == nil ? 1 : 2) * inner + 4 * shared
        let q = pass.workspace.outer.pointer(ld * pass.rows)
        let fadingQ = fading == nil ? q : q + inner
        let k = fadingQ + inner
        let rows = Rows(
            ld: ld, q: q, k: k, v: k + shared, fadingQ: fadingQ, fadingK: k + 2 * shared, fadingV: k + 3 * shared)
        // Before the mixer, whose steps take the memory that u is packed in.
        pass.multiply(
            u,
            attention.query.products(into: rows.q, stride: ld) + attention.key.products(into: rows.k, stride: ld)
                + attention.value.products(into: rows.v, stride: ld)
                + (fading?.query.products(into: rows.fadingQ, stride: ld) ?? []))
        let width = configuration.hiddenSize
        let f = pass.workspace.fading.pointer(width * pass.rows)
        // All rows of f are needed by all ranks.
        var whole = pass
        whole.rowShares = nil
        mixer.extend(u, in: whole, caches: &caches, layer: index, into: f, stride: width)
        let source = fading ?? attention
        pass.multiply(
            pass.prepare(f, stride: width, for: [source.key, source.value]) { _ in },
            source.key.products(into: rows.fadingK, stride: ld)
                + source.value.products(into: rows.fadingV, stride: ld))
        let attended = pass.workspace.inner.pointer(inner * pass.rows)
        pass.inRounds(&caches, layer: index, of: .keysAndValues) { pass, caches in
            for segment in pass.segments {
                let count = segment.rows.count
                caches[segment.sequence].layers[index].keyValues?.prepareToWrite(count, window: window)
                caches[segment.sequence].layers[index].fading?.prepareToWrite(count, window: 2 * window)
            }
            attend(pass, caches.map { $0.layers[index] }, rows, into: attended)
            for segment in pass.segments {
                caches[segment.sequence].layers[index].keyValues?.advance(by: segment.rows.count)
                caches[segment.sequence].layers[index].fading?.advance(by: segment.rows.count)
            }
        }
        pass.projectForAll(attended, stride: inner, attention.output, into: out, stride: stride)
    }

    /// Both sets of every key/value head, a part of the job each.
    private func attend(
        _ pass: Pass, _ caches: [QuantLayerCache], _ rows: Rows, into attended: UnsafeMutablePointer<Float>
    ) {
        let heads = configuration.keyValueHeadCount
        let (inner, scratch) = (Int64(configuration.innerSize), pass.workspace.scratch)
        pass.pool.run(pass.segments.count * heads) { part, thread in
            let (segment, head) = (pass.segments[part / heads], part % heads)
            let cache = caches[segment.sequence]
            guard let keyValues = cache.keyValues, let fadingKeyValues = cache.fading else { return }
            attention.finishQueries(pass, segment: segment, head: head, q: rows.q, ld: rows.ld)
            attention.finishKeys(pass, segment: segment, head: head, k: rows.k, v: rows.v, ld: rows.ld)
            fading?.finishQueries(pass, segment: segment, head: head, q: rows.fadingQ, ld: rows.ld)
            (fading ?? attention).finishKeys(
                pass, segment: segment, head: head, k: rows.fadingK, v: rows.fadingV, ld: rows.ld)
            keyValues.withAddresses { pages in
                fadingKeyValues.withAddresses { fadingPages in
                    var shape = dk_attention_shape(configuration, attention.keyValueFormat, window: window)
                    let (position, count) = (Int64(keyValues.count), Int64(segment.rows.count))
                    let fadingPosition = Int64(fadingKeyValues.count)
                    let (begin, end, ld) = (Int64(head), Int64(head + 1), Int64(rows.ld))
                    let first = segment.rows.lowerBound * rows.ld
                    pass.kernels.kv_store(
                        &shape, pages, position, count, rows.k + first, ld, rows.v + first, ld, begin, end)
                    pass.kernels.kv_store(
                        &shape, fadingPages, fadingPosition, count, rows.fadingK + first, ld, rows.fadingV + first, ld,
                        begin, end)
                    var context = dk_attention_set(pages: pages, position: position, q: rows.q + first, ldq: ld)
                    var faded = dk_attention_set(
                        pages: fadingPages, position: fadingPosition, q: rows.fadingQ + first, ldq: ld)
                    pass.kernels.fading_attention(
                        &shape, &context, &faded, count,
                        attended + segment.rows.lowerBound * configuration.innerSize, inner, begin, end,
                        scratch[thread])
                }
            }
        }
    }
}
