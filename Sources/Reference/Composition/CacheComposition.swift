//  Reading a context in chunks, and one memory from theirs.
//
//      rows    = the chunks, each read from an empty memory (ChunkPlan.swift)
//      cache   = their kept keys and values, one row after another, as they were rotated; their states composed (StateComposition.swift)
//      then    the query, and whatever is generated, from the plan's next position on
//
//  `sw` types hide a gap of entries. A hidden entry is one that nobody sees from then on, so it is
//  simply dropped.
//
//  Source: awslabs/hybrid-model-factory, models/cache_compose.py; Liu et al., PICASO (arXiv
//  2502.17605).

import DualityCore

/// The memories of the rows of a plan.
public struct ReadRows<Scalar: RealNumber>: Sendable, Equatable {
    /// One cache a row, in order.
    public var rows: [HybridCache<Scalar>]
    /// The memory of the whole context, where the plan asks for one.
    public var whole: HybridCache<Scalar>?

    /// Memories that were read elsewhere; nothing is checked against a plan here.
    public init(rows: [HybridCache<Scalar>], whole: HybridCache<Scalar>?) {
        self.rows = rows
        self.whole = whole
    }
}

/// From whom the gap of a `sw` type is hidden.
public enum GapVisibility: String, Sendable, CaseIterable, Codable {
    /// From everything after the context: what the type means.
    case hidden
    /// From generated tokens; those of the query see everything.
    case generation
    /// From nobody, which is what the official code comes to with transformers 5.3 and eager or
    /// SDPA attention.
    case visible
}

extension HybridModel {
    /// Reads one row of a plan from an empty memory.
    ///
    /// - Parameter tracksTransitions: whether Gated DeltaNet layers keep their transitions, which
    ///   `fuse` and `exact` need.
    /// - Throws: as `extend`.
    public func read(
        _ row: ChunkPlan.Row, tracksTransitions: Bool = false
    ) throws -> HybridCache<Scalar> {
        var cache = makeCache()
        if tracksTransitions { cache.trackTransitions() }
        var first = 0
        for run in row.runs {
            cache.tokenCount = run.position
            _ = try extend(&cache, by: Array(row.tokens[first..<first + run.count]), logits: .none)
            first += run.count
        }
        return cache
    }

    /// Reads all rows of a plan, and the whole context where it asks for that, one after another.
    ///
    /// - Throws: as `extend`.
    public func read(_ plan: ChunkPlan, tracksTransitions: Bool = false) throws -> ReadRows<Scalar> {
        var whole: HybridCache<Scalar>?
        if let tokens = plan.whole {
            var cache = makeCache()
            _ = try extend(&cache, by: tokens, logits: .none)
            whole = cache
        }
        return ReadRows(
            rows: try plan.rows.map { try read($0, tracksTransitions: tracksTransitions) }, whole: whole)
    }

    /// One memory from those of the rows; the next token has the plan's next position.
    ///
    /// - Parameters:
    ///   - type: must ask for the same keys and values as the plan was made for.
    ///   - gap: from whom the gap of a `sw` type is hidden. With `generation`, hide it with
    ///     `hideGap` after the query.
    /// - Throws: `InputError` for rows that are not those of the plan, or of another model.
    /// - Complexity: O(N bytes of the memories); O(N³) a head for `fuse`, O(N³ D³) in Gated
    ///   DeltaNet layers.
    public func compose(
        _ read: ReadRows<Scalar>, plan: ChunkPlan, type: ComposeType, gap: GapVisibility = .hidden
    ) throws(InputError) -> HybridCache<Scalar> {
        try HybridCache.composing(read, plan: plan, type: type, gap: gap, configuration: configuration)
    }
}

extension HybridCache {
    /// What `HybridModel.compose` returns, for a model of this configuration.
    public static func composing(
        _ read: ReadRows<Scalar>, plan: ChunkPlan, type: ComposeType, gap: GapVisibility = .hidden,
        configuration: HybridConfiguration
    ) throws(InputError) -> HybridCache<Scalar> {
        let needsRows = type.keyValues != .full || type.states != .zero
        guard read.rows.count == plan.rows.count || !needsRows, (read.whole != nil) == (type.keyValues == .full) else {
            throw InputError(
                .value, in: "memories of chunks",
                expected: "\(plan.rows.count) rows, \(type.keyValues == .full ? "and" : "without") the whole context",
                found: "\(read.rows.count), \(read.whole == nil ? "without" : "and") the whole context")
        }
        for cache in read.rows + [read.whole].compactMap({ $0 }) {
            guard cache.fits(configuration) else {
                throw InputError(
                    .value, in: "memories of chunks", expected: "memories of this model", found: "one of another shape")
            }
        }
        // Rows without a token say nothing about the state.
        let rows = zip(read.rows, plan.rows).filter { !$1.tokens.isEmpty }
        var cache = HybridCache(configuration)
        cache.tokenCount = plan.nextPosition
        let hidden = type.keyValues == .sliding && gap == .hidden ? plan.gap : 0..<0
        for i in cache.layers.indices {
            var layer = cache.layers[i]
            if type.states != .zero {
                layer = try LayerCache.composingStates(
                    of: rows.map { $0.0.layers[i] }, type.states, decaysGram: configuration.gatedKalmaNet.decaysGram)
            }
            if let whole = read.whole {
                layer.keyValues = whole.layers[i].keyValues
                layer.fadingKeyValues = whole.layers[i].fadingKeyValues
            } else {
                let kept = rows.map(\.1.kept)
                let hiddenFromWindows = type.keyValues == .sliding && gap != .visible ? plan.gap : 0..<0
                layer.keyValues = cache.layers[i].keyValues?.concatenating(
                    rows.map { $0.0.layers[i].keyValues }, kept: kept,
                    hidden: cache.layers[i].keyValues?.limit == nil ? hidden : hiddenFromWindows)
                layer.fadingKeyValues = cache.layers[i].fadingKeyValues?.concatenating(
                    rows.map { $0.0.layers[i].fadingKeyValues }, kept: kept, hidden: hiddenFromWindows)
            }
            cache.layers[i] = layer
        }
        return cache
    }
}

extension HybridCache {
    /// Begins to keep the transitions of Gated DeltaNet layers.
    mutating func trackTransitions() {
        for i in layers.indices { layers[i].trackTransitions() }
    }

    /// Moves the next position back by the length of the plan's prefix.
    ///
    /// The official tool does so by accident when it begins to generate after sequential positions:
    /// it numbers the last token of the question by the length of context and question, and forgets
    /// the prefix before them. Only to compare with it.
    public mutating func forgetPrefix(of plan: ChunkPlan) {
        tokenCount = max(0, tokenCount - plan.lead.count)
    }

    /// Drops the gap of a `sw` type from layers that remember everything; in layers with a window
    /// it was hidden from the start.
    public mutating func hideGap(of plan: ChunkPlan) {
        for i in layers.indices where layers[i].keyValues != nil && layers[i].keyValues?.limit == nil {
            layers[i].keyValues?.remove(plan.gap)
        }
    }
}

extension KeyValueCache {
    /// The last `kept` entries of each part, one part after another; of these the last `limit`,
    /// without those in `hidden`.
    ///
    /// A part may have forgotten the oldest of its entries; they are then beyond the limit here
    /// too.
    fileprivate func concatenating(
        _ parts: [KeyValueCache?], kept: [Int], hidden: Range<Int>
    ) -> KeyValueCache {
        var result = self
        let total = kept.reduce(0, +)
        let oldest = limit.map { max(0, total - $0) } ?? 0
        var end = 0
        for (part, kept) in zip(parts, kept) {
            end += kept
            guard let part else { continue }
            // Entry e of the whole is entry e - end + count of this part.
            for entry in max(end - min(kept, part.count), oldest)..<max(end, oldest) where !hidden.contains(entry) {
                let row = entry - end + part.count
                for head in result.keys.indices {
                    result.keys[head].appendRows(columns: 0..<headDim, of: part.keys[head].rows(row..<row + 1))
                    result.values[head].appendRows(columns: 0..<headDim, of: part.values[head].rows(row..<row + 1))
                }
            }
        }
        return result
    }
}
