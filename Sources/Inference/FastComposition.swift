//  Composition on the fast engine: chunks are read as the sequences of one batch, their memories
//  composed by the equations of the reference, and the question read by the fast engine again.
//
//      rows = extend(caches of all rows, by all rows)       a run of positions at a time
//      cache = compose(rows)                                Reference/Composition, in float32
//
//  A chunk's memory has the bits that it has when it is read alone.

import DualityCore
import DualityQuant
import DualityReference

extension QuantModel {
    /// Reads the rows of a plan in one batch, and the whole context where the plan asks for it.
    ///
    /// - Parameters:
    ///   - readsRows: false where the whole context is all that is wanted of the plan.
    ///   - progress: is told the tokens read and their number.
    /// - Throws: as `extend`; `InputError` (`.unsupported`) where keys and values are not float32.
    public func read(
        _ plan: ChunkPlan, readsRows: Bool = true, progress: ((Int, Int) -> Void)? = nil
    ) throws -> ReadRows<Float> {
        guard keyValueFormat == .f32 else {
            throw InputError(
                .unsupported, in: "composition", expected: "a model that keeps keys and values in f32",
                found: keyValueFormat.rawValue, remedy: "Choose f32 keys and values for the model.")
        }
        let rows = readsRows ? plan.rows : []
        let total = rows.reduce(plan.whole?.count ?? 0) { $0 + $1.tokens.count }
        var done = 0
        var caches = rows.map { _ in
            var cache = makeCache()
            // Where there is no Gated DeltaNet layer this costs nothing, and every type can be made
            // of the same rows.
            cache.trackTransitions()
            return cache
        }
        for turn in 0..<(rows.map(\.runs.count).max() ?? 0) {
            let active = rows.indices.filter { turn < rows[$0].runs.count }
            var batch: [QuantCache] = []
            var tokens: [[Int]] = []
            for i in active {
                let run = rows[i].runs[turn]
                let first = rows[i].runs[..<turn].reduce(0) { $0 + $1.count }
                tokens.append(Array(rows[i].tokens[first..<first + run.count]))
                caches[i].move(to: run.position)
                batch.append(caches[i])
            }
            _ = try extend(&batch, by: tokens, logits: .none)
            for (i, cache) in zip(active, batch) { caches[i] = cache }
            done += tokens.reduce(0) { $0 + $1.count }
            progress?(done, total)
        }
        var whole: HybridCache<Float>?
        if let tokens = plan.whole {
            var cache = makeCache()
            _ = try extend(&cache, by: tokens, logits: .none)
            whole = try HybridCache(cache, configuration: configuration)
            progress?(total, total)
        }
        return ReadRows(rows: try caches.map { try HybridCache($0, configuration: configuration) }, whole: whole)
    }

    /// Composes the memories of a plan's rows and reads all of the question but its last token.
    ///
    /// - Parameters: as of `HybridModel.compose`.
    /// - Throws: as `compose` and `extend`; `InputError` (`.value`) for an empty question.
    public func compose(
        _ read: ReadRows<Float>, plan: ChunkPlan, type: ComposeType, gap: GapVisibility = .hidden, context: [Int],
        question: [Int], forgetsPrefix: Bool = false
    ) throws -> ComposedContext<QuantCache> {
        guard !question.isEmpty else {
            throw InputError(.value, in: "question", expected: "at least one token", found: "none")
        }
        let composed = try HybridCache.composing(
            read, plan: plan, type: type, gap: gap, configuration: configuration)
        var cache = try QuantCache(composed, of: self)
        let first = Array(question.dropLast())
        if !first.isEmpty { _ = try extend(&cache, by: first, logits: .none) }
        if type.keyValues == .sliding && gap == .generation {
            var hidden = try HybridCache(cache, configuration: configuration)
            hidden.hideGap(of: plan)
            cache = try QuantCache(hidden, of: self)
        }
        if forgetsPrefix { cache.move(to: max(0, cache.tokenCount - plan.lead.count)) }
        return ComposedContext(tokens: plan.lead + context + question, cache: cache)
    }
}
