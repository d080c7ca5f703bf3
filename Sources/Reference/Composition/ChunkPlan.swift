//  How a context is cut into the rows that a model reads apart, and where each row's tokens stand.
//
//  Full keys and values: N pieces of floor(L/N) tokens, one more in the first L mod N; no prefix.
//  Otherwise, with p prefix tokens:
//
//      row_i = filler … filler ++ prefix ++ chunk_i          chunks of c = ceil(L/N) tokens; late ones may be short or empty
//
//  so that all rows have m = c + p tokens. Of row 0 every token is kept, of the others the chunk.
//  Without a prefix, a few filler tokens take its place.
//
//  | positions   | row i                                             | next token |
//  |-------------|---------------------------------------------------|------------|
//  | independent | 0 … m - 1                                         | m          |
//  | sequential  | 0 … p - 1, then p + i c … p + (i + 1) c - 1       | L + p      |
//
//  With sequential positions a short last chunk ends at the end of its range, so that the next
//  position can be smaller than the last one; that is what the official code does, and what its
//  fixtures hold.
//
//  Source: awslabs/hybrid-model-factory, models/cache_compose.py (chunk_input_ids,
//  chunk_and_prepend_input_ids, create_position_ids_for_chunks).

import DualityCore

/// The rows that are read from an empty memory each.
public struct ChunkPlan: Sendable, Equatable {
    /// One row.
    public struct Row: Sendable, Equatable {
        /// Token ids: filler, then prefix, then chunk; with full keys and values the chunk alone.
        public let tokens: [Int]
        /// The last so many tokens' keys and values are kept.
        public let kept: Int
        /// The tokens as runs of consecutive positions: how many, and the first one's.
        public let runs: [Run]

        /// Neighbouring tokens at consecutive positions.
        public struct Run: Sendable, Equatable {
            /// How many tokens, at least one.
            public let count: Int
            /// The position of the first of them.
            public let position: Int
        }
    }

    /// The rows, in the order of their chunks in the context; N of them.
    public let rows: [Row]
    /// The whole context, to be read in one piece for its keys and values; nil where the rows give
    /// them.
    public let whole: [Int]?
    /// The position of the token after the context.
    public let nextPosition: Int
    /// Filler and prefix tokens in front of the first row.
    public let lead: [Int]

    /// Tokens whose keys and values are kept: L + p, or L.
    public var keptCount: Int { whole?.count ?? rows.reduce(0) { $0 + $1.kept } }
    /// Of these, the entries that `sw` types hide: all but the first prefix and the last chunk.
    public var gap: Range<Int> {
        lead.count..<max(lead.count, keptCount - (rows.last?.kept ?? 0))
    }

    /// - Parameters:
    ///   - context: L tokens, at least one.
    ///   - chunks: N >= 1.
    ///   - prefix: in front of every chunk; empty for `fillerLead` filler tokens instead.
    ///   - filler: the token that fills short rows, a line feed in the official tool.
    ///   - sequentialPositions: whether rows keep the positions of the context. Means nothing with
    ///     full keys and values.
    /// - Throws: `InputError` (`.value`) for an empty context or fewer than one chunk.
    public init(
        context: [Int], chunks: Int, prefix: [Int] = [], filler: Int, keyValues: ComposeType.KeyValues,
        sequentialPositions: Bool = false, fillerLead: Int = 1
    ) throws(InputError) {
        guard !context.isEmpty else {
            throw InputError(.value, in: "context", expected: "at least one token", found: "none")
        }
        guard chunks >= 1 else {
            throw InputError(.value, in: "chunks", expected: "at least 1", found: "\(chunks)")
        }
        guard fillerLead >= 0 else {
            throw InputError(.value, in: "filler tokens", expected: "at least 0", found: "\(fillerLead)")
        }
        if keyValues == .full {
            rows = Self.pieces(context, chunks)
            whole = context
            nextPosition = context.count
            lead = []
            return
        }
        whole = nil
        let lead = prefix.isEmpty ? Array(repeating: filler, count: fillerLead) : prefix
        let size = (context.count + chunks - 1) / chunks
        rows = (0..<chunks).map { i in
            let chunk = context[min(i * size, context.count)..<min((i + 1) * size, context.count)]
            let fill = Array(repeating: filler, count: size - chunk.count)
            let tokens = fill + lead + chunk
            let runs =
                sequentialPositions
                ? [
                    Row.Run(count: lead.count, position: 0),
                    Row.Run(count: size, position: lead.count + i * size),
                ]
                : [Row.Run(count: tokens.count, position: 0)]
            return Row(
                tokens: tokens, kept: i == 0 ? tokens.count : chunk.count, runs: runs.filter { $0.count > 0 })
        }
        self.lead = lead
        nextPosition = lead.count + (sequentialPositions ? context.count : size)
    }

    private static func pieces(_ context: [Int], _ chunks: Int) -> [Row] {
        var first = 0
        return (0..<chunks).map { i in
            let count = context.count / chunks + (i < context.count % chunks ? 1 : 0)
            defer { first += count }
            return Row(
                tokens: Array(context[first..<first + count]), kept: count,
                runs: count > 0 ? [Row.Run(count: count, position: 0)] : [])
        }
    }
}
