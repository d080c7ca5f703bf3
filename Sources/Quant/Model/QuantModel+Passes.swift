//  The passes of the fast model: tokens cut into pieces, and every piece's way through the layers.
//
//      piece       some rows of some sequences, together at most `rowLimit`
//      pass        embedding of the rows, layers, what the head needs
//      score       the head, for the rows that are wanted; of a pipeline rank 0 asks for them later

import DualityCore
import DualityKernels

extension QuantModel {
    /// - Parameters:
    ///   - kept: for each sequence, behind how many of its tokens a copy of its cache is wanted: in
    ///     order, fewer than there are; empty for none of any sequence. Only where `keepsBetweenRows`.
    ///   - rowsTogether: how many of the wanted rows `score` multiplies with the head at a time.
    ///   - score: is given the wanted rows of each pass that has some.
    /// - Returns: the copies, those of a sequence in the order of their tokens.
    @discardableResult
    func extend(
        _ caches: inout [QuantCache], by tokens: [[Int]], wanting wanted: [Int], keeping kept: [[Int]] = [],
        rowsTogether: Int, score: (ResidualStream, [WantedRow], Pass) -> Void
    ) throws -> [[QuantCache]] {
        guard caches.count == tokens.count, wanted.count == tokens.count, kept.isEmpty || kept.count == tokens.count
        else {
            throw InputError(
                .shape, in: "batch", expected: "one cache a sequence, \(tokens.count)", found: "\(caches.count)")
        }
        for (tokens, cache) in zip(tokens, caches) { try check(tokens, cache) }
        let keeper = try CacheKeeper(kept, tokens, caches, isPossible: keepsBetweenRows)
        guard let ranks, ranks.isFirst else {
            return compute(&caches, tokens, wanted: wanted, keeper: keeper, score: score)
        }
        try ranks.withTurn {
            try ranks.announce(&caches, tokens, wanted, rowsTogether: rowsTogether)
            _ = compute(&caches, tokens, wanted: wanted, keeper: keeper, score: score)
        }
        try requireAgreement()
        return []
    }

    /// Whether copies of a cache can be had from between the tokens that a call reads: on one rank,
    /// where all mixers go in rounds.
    package var keepsBetweenRows: Bool { ranks == nil && layers.allSatisfy(\.mixer.goesInRounds) }

    private func compute(
        _ caches: inout [QuantCache], _ tokens: [[Int]], wanted: [Int], keeper: CacheKeeper,
        score: (ResidualStream, [WantedRow], Pass) -> Void
    ) -> [[QuantCache]] {
        defer { ranks?.exchange.enter(.outside) }
        let ends = zip(caches, tokens).map { $0.tokenCount + $1.count }
        let limit = passRows(tokens.reduce(0) { $0 + $1.count })
        var read = Array(repeating: 0, count: tokens.count)
        caches += keeper.places
        workspaces.withWorkspace { workspace in
            var unscored: [(stream: ResidualStream, rows: [WantedRow], pass: Pass)] = []
            func scoreFirst() {
                let (stream, rows, pass) = unscored.removeFirst()
                if !rows.isEmpty { score(stream, rows, pass) }
            }
            while true {
                let pieces = keeper.cut(pieces(tokens, caches, read, limit), behind: read)
                if pieces.isEmpty { break }
                let (stream, rows, pass) = pass(
                    &caches, tokens: tokens, read: read, pieces: pieces, ends: ends, wishes: wanted,
                    workspace: workspace)
                unscored.append((stream, rows, pass))
                // Before the stream goes on: whoever waits for these logits to be asked for may be
                // whom the stream waits for.
                if unscored.count > (stage?.delay ?? 0) { scoreFirst() }
                handOn(stream, pass)
                for piece in pieces {
                    read[piece.sequence] += piece.count
                    caches[piece.sequence].tokenCount += piece.count
                }
            }
            while !unscored.isEmpty { scoreFirst() }
        }
        return keeper.takeCopies(from: &caches)
    }

    /// A row whose logits are wanted: of the pass, and which of its sequence's wanted rows it is.
    typealias WantedRow = (row: Int, sequence: Int, result: Int)

    /// What the next pass reads of each sequence: at most `rowLimit` rows together, in whole chunks
    /// of the scan where a sequence goes on after.
    private func pieces(
        _ tokens: [[Int]], _ caches: [QuantCache], _ read: [Int], _ rowLimit: Int
    ) -> [CacheKeeper.Piece] {
        let chunk = Int(DK_SSD_CHUNK)
        let limit = layers.contains(where: \.mixer.roundsState) ? chunk : rowLimit
        var pieces: [CacheKeeper.Piece] = []
        var room = rowLimit
        for sequence in tokens.indices where room > 0 {
            let left = tokens[sequence].count - read[sequence]
            var count = min(left, room, limit)
            if count < left {
                let end = (caches[sequence].tokenCount + count) / chunk * chunk
                if end > caches[sequence].tokenCount { count = end - caches[sequence].tokenCount }
            }
            if count > 0 { pieces.append(.init(sequence: sequence, count: count)) }
            room -= count
        }
        return pieces
    }

    private func pass(
        _ caches: inout [QuantCache], tokens: [[Int]], read: [Int], pieces: [CacheKeeper.Piece],
        ends: [Int], wishes: [Int], workspace: Workspace
    ) -> (ResidualStream, [WantedRow], Pass) {
        let count = pieces.reduce(0) { $0 + $1.count }
        let half = configuration.headDim / 2
        let (cosines, sines) = (workspace.cosines.pointer(count * half), workspace.sines.pointer(count * half))
        var stream = ResidualStream(width: configuration.hiddenSize, rows: count, workspace: workspace)
        var segments: [Segment] = []
        var wanted: [WantedRow] = []
        let (takesPart, embeds) = (stage?.takesPart ?? true, stage?.isFirst ?? true)
        var (first, begun) = (0, read)
        for piece in pieces {
            let (sequence, length, before) = (piece.sequence, piece.count, begun[piece.sequence])
            let position = caches[sequence].tokenCount + before - read[sequence]
            segments.append(Segment(sequence: sequence, rows: first..<first + length, keptAs: piece.keptAs))
            let (h, ids) = (stream.h + first * configuration.hiddenSize, tokens[sequence][before...])
            let begin = first
            if takesPart {
                pool.run(over: length, multiple: 16) { range, _ in
                    rope?.fill(
                        cosines + (begin + range.lowerBound) * half, sines + (begin + range.lowerBound) * half,
                        positions: position + range.lowerBound..<position + range.upperBound, length: ends[sequence])
                    guard embeds else { return }
                    for t in range {
                        embedding.row(ids[ids.startIndex + t], kernels, into: h + t * configuration.hiddenSize)
                    }
                }
            }
            for t in 0..<length {
                let result = before + t - (tokens[sequence].count - wishes[sequence])
                if result >= 0 { wanted.append((first + t, sequence, result)) }
            }
            first += length
            begun[sequence] += length
        }
        var pass = Pass(
            kernels: kernels, pool: pool, workspace: workspace, segments: segments, rows: count, cosines: cosines,
            sines: sines, ranks: parts, wire: wire)
        pass.rowShares = rowShares(count)
        takeStream(stream, pass)
        for i in stage?.layers ?? layers.indices {
            ranks?.exchange.enter(stage == nil ? .layer(i) : .stage(i))
            layers[i].extend(&stream, in: pass, caches: &caches, layer: i)
        }
        ranks?.exchange.enter(stage == nil ? .head : .stage(nil))
        return (stream, wanted, pass)
    }

    func check(_ tokens: [Int], _ cache: QuantCache) throws(InputError) {
        try configuration.requireReadable(tokens, behind: cache.tokenCount, limit: contextLimit)
        guard cache.shape == QuantCache.Shape(cacheConfiguration, keyValueFormat) else {
            throw InputError(
                .value, in: "cache", expected: "one made by this model", found: "one of another shape",
                remedy: "Start from the model's makeCache().")
        }
    }
}
