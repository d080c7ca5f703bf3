//  The passes of the fast model: tokens cut into pieces, and every piece's way through the layers.
//
//      piece       some rows of some sequences, together at most `rowLimit`
//      pass        embedding of the rows, layers, what the head needs
//      score       the head, for the rows that are wanted; of a pipeline rank 0 asks for them later

import DualityCore
import DualityKernels

extension QuantModel {
    func compute(
        _ caches: inout [QuantCache], _ tokens: [[Int]], _ wanted: [Int],
        _ score: (ResidualStream, [WantedRow], Pass) -> Void
    ) {
        defer { ranks?.exchange.enter(.outside) }
        let ends = zip(caches, tokens).map { $0.tokenCount + $1.count }
        let limit = passRows(tokens.reduce(0) { $0 + $1.count })
        var read = Array(repeating: 0, count: tokens.count)
        workspaces.withWorkspace { workspace in
            var unscored: [(stream: ResidualStream, rows: [WantedRow], pass: Pass)] = []
            func scoreFirst() {
                let (stream, rows, pass) = unscored.removeFirst()
                if !rows.isEmpty { score(stream, rows, pass) }
            }
            while true {
                let pieces = pieces(tokens, caches, read, limit)
                if pieces.isEmpty { break }
                let (stream, rows, pass) = pass(
                    &caches, tokens: tokens, read: read, pieces: pieces, ends: ends, wishes: wanted,
                    workspace: workspace)
                unscored.append((stream, rows, pass))
                // Before the stream goes on: whoever waits for these logits to be asked for may be
                // whom the stream waits for.
                if unscored.count > (stage?.delay ?? 0) { scoreFirst() }
                handOn(stream, pass)
                for (sequence, count) in pieces {
                    read[sequence] += count
                    caches[sequence].tokenCount += count
                }
            }
            while !unscored.isEmpty { scoreFirst() }
        }
    }

    /// A row whose logits are wanted: of the pass, and which of its sequence's wanted rows it is.
    typealias WantedRow = (row: Int, sequence: Int, result: Int)

    /// What the next pass reads of each sequence: at most `rowLimit` rows together, in whole chunks
    /// of the scan where a sequence goes on after.
    private func pieces(
        _ tokens: [[Int]], _ caches: [QuantCache], _ read: [Int], _ rowLimit: Int
    ) -> [(sequence: Int, count: Int)] {
        let chunk = Int(DK_SSD_CHUNK)
        let limit = layers.contains(where: \.mixer.roundsState) ? chunk : rowLimit
        var pieces: [(sequence: Int, count: Int)] = []
        var room = rowLimit
        for sequence in tokens.indices where room > 0 {
            let left = tokens[sequence].count - read[sequence]
            var count = min(left, room, limit)
            if count < left {
                let end = (caches[sequence].tokenCount + count) / chunk * chunk
                if end > caches[sequence].tokenCount { count = end - caches[sequence].tokenCount }
            }
            if count > 0 { pieces.append((sequence, count)) }
            room -= count
        }
        return pieces
    }

    private func pass(
        _ caches: inout [QuantCache], tokens: [[Int]], read: [Int], pieces: [(sequence: Int, count: Int)],
        ends: [Int], wishes: [Int], workspace: Workspace
    ) -> (ResidualStream, [WantedRow], Pass) {
        let count = pieces.reduce(0) { $0 + $1.count }
        let half = configuration.headDim / 2
        let (cosines, sines) = (workspace.cosines.pointer(count * half), workspace.sines.pointer(count * half))
        var stream = ResidualStream(width: configuration.hiddenSize, rows: count, workspace: workspace)
        var segments: [Segment] = []
        var wanted: [WantedRow] = []
        let (takesPart, embeds) = (stage?.takesPart ?? true, stage?.isFirst ?? true)
        var first = 0
        for (sequence, length) in pieces {
            let position = caches[sequence].tokenCount
            segments.append(Segment(sequence: sequence, rows: first..<first + length))
            let (h, ids) = (stream.h + first * configuration.hiddenSize, tokens[sequence][read[sequence]...])
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
                let result = read[sequence] + t - (tokens[sequence].count - wishes[sequence])
                if result >= 0 { wanted.append((first + t, sequence, result)) }
            }
            first += length
        }
        var pass = Pass(
            kernels: kernels, pool: pool, workspace: workspace, segments: segments, rows: count, cosines: cosines,
            sines: sines, ranks: stage == nil ? ranks?.exchange : nil, wire: wire)
        pass.rowShares = rowShares(count)
        takeStream(stream, pass)
        for i in stage?.layers ?? layers.indices {
            ranks?.exchange.enter(stage == nil ? .layer(i) : .stage(i))
            layers[i].extend(&stream, in: pass, caches: &caches, layer: i)
        }
        ranks?.exchange.enter(stage == nil ? .head : .stage(nil))
        return (stream, wanted, pass)
    }
}
