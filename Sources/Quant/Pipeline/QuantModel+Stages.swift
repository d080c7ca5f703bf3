//  What goes from stage to stage of a pipeline, and from the last to rank 0.
//
//      hash of the last row (8 bytes), a rank whose rows did not arrive as they were sent or -1 (8), rows in float32
//
//  No stage repeats what another computes, so what is compared are the rows as they were sent and
//  as they have arrived; and what ranks with the same layers have sent. A difference is told on
//  with all that follows, until rank 0 knows of it.

import DualityCore
import Foundation

extension QuantModel {
    /// Rows of one pass, of so many tokens.
    func passRows(_ tokens: Int) -> Int { PipelineStage.rows(of: tokens, stages: stage?.stages.count ?? 1) }

    /// Numbers before the rows of a message.
    private static let headerSize = 4

    /// Waits for the rows of a pass, where others have the layers before this rank's: all of them,
    /// or this rank's own of a stream that is divided.
    func takeStream(_ stream: ResidualStream, _ pass: Pass) {
        guard let stage, let previous = stage.previous else { return }
        ranks?.exchange.enter(.stage(stage.layers.lowerBound))
        let own = pass.ownRows
        let hash = take(
            pass, own.count, width: stream.width, from: previous, into: stream.h + own.lowerBound * stream.width)
        compareArrivals(hash, isWhole: pass.division == nil, stage)
    }

    /// Tells the ranks with the same layers what has come, so that each knows of a difference.
    ///
    /// - Parameters:
    ///   - hash: of the last row, as it was sent.
    ///   - isWhole: whether all of them were sent the same rows.
    private func compareArrivals(_ hash: UInt64, isWhole: Bool, _ stage: PipelineStage) {
        guard let parts, let ranks, let previous = stage.previous else { return }
        let own = [hash, UInt64(bitPattern: Int64(ranks.divergentRank ?? -1))]
        var all = [UInt64](repeating: 0, count: 2 * parts.count)
        own.withUnsafeBytes { own in
            all.withUnsafeMutableBytes { all in
                guard let source = own.baseAddress, let target = all.baseAddress else { return }
                parts.gather(source, sizes: Array(repeating: 16, count: parts.count), into: target)
            }
        }
        for part in 0..<parts.count {
            let divergent = Int64(bitPattern: all[2 * part + 1])
            if divergent >= 0 { ranks.diverged(Int(divergent)) }
            if isWhole, all[2 * part] != all[0] { ranks.diverged(previous - parts.rank + part) }
        }
    }

    /// Gives the rows of a pass to the next stage, if there is one.
    func handOn(_ stream: ResidualStream, _ pass: Pass) {
        guard let next = stage?.next else { return }
        let (width, own) = (stream.width, pass.ownRows)
        let rows = pass.workspace.sent.pointer(Self.headerSize + own.count * width) + Self.headerSize
        let (h, delta) = (stream.h, stream.hasDelta ? stream.delta : nil)
        pass.overOwnRows { range in
            let to = rows + (range.lowerBound - own.lowerBound) * width
            let (from, count) = (range.lowerBound * width, range.count * width)
            guard let delta else {
                memcpy(to, h + from, 4 * count)
                return
            }
            // What the next norm would do first.
            for i in 0..<count { to[i] = h[from + i] + delta[from + i] }
        }
        hand(rows, own.count, width: width, to: next)
    }

    /// Whether rank 0 waits for the logits that this rank has.
    var handsLogitsOn: Bool { stage.map { $0.isLast && $0.rank > 0 } ?? false }

    /// Computes the head, or this rank's rows of it, and gives the logits to rank 0.
    func handLogitsOn(_ u: Activations, _ pass: Pass, hash: UInt64) {
        let width = configuration.vocabularySize
        let isHolder = parts.map { $0.rank == 0 } ?? true
        let rows = pass.workspace.logits.pointer(isHolder ? Self.headerSize + pass.rows * width : Self.headerSize)
        multiplyHead(u, pass, into: rows + Self.headerSize, hash: hash)
        if isHolder { hand(rows + Self.headerSize, pass.rows, width: width, to: 0) }
    }

    /// On rank 0 waits for logits of the last stage; the others go on.
    func takeLogits(_ count: Int, _ pass: Pass, into out: UnsafeMutablePointer<Float>) {
        guard let stage, stage.rank == 0 else { return }
        _ = take(pass, count, width: configuration.vocabularySize, from: stage.last, into: out)
    }

    /// - Parameter rows: behind room for what goes before them.
    private func hand(_ rows: UnsafeMutablePointer<Float>, _ count: Int, width: Int, to rank: Int) {
        guard let ranks else { return }
        let message = UnsafeMutableRawPointer(rows - Self.headerSize)
        message.storeBytes(of: Self.hash(rows, count, width: width), as: UInt64.self)
        message.storeBytes(of: Int64(ranks.divergentRank ?? -1), toByteOffset: 8, as: Int64.self)
        ranks.exchange.post(message, 4 * (Self.headerSize + count * width), to: rank)
    }

    /// - Parameter out: room for `count` rows.
    /// - Returns: the hash of the last of them, as it was sent.
    private func take(
        _ pass: Pass, _ count: Int, width: Int, from rank: Int, into out: UnsafeMutablePointer<Float>
    ) -> UInt64 {
        guard let ranks else { return 0 }
        let size = Self.headerSize + count * width
        let message = UnsafeMutableRawPointer(pass.workspace.received.pointer(size))
        ranks.exchange.take(message, 4 * size, from: rank)
        let rows = message.assumingMemoryBound(to: Float.self) + Self.headerSize
        let divergent = Int(message.load(fromByteOffset: 8, as: Int64.self))
        if divergent >= 0 { ranks.diverged(divergent) }
        let hash = message.load(as: UInt64.self)
        if hash != Self.hash(rows, count, width: width) { ranks.diverged(rank) }
        pool.run(over: count, multiple: 4) { range, _ in
            memcpy(out + range.lowerBound * width, rows + range.lowerBound * width, 4 * range.count * width)
        }
        return hash
    }
}

extension Pass {
    /// The rows of the stream that this rank has.
    var ownRows: Range<Int> { division?.own ?? 0..<rows }

    /// Runs `body` on ranges of them.
    fileprivate func overOwnRows(_ body: (Range<Int>) -> Void) {
        guard let division else { return overRows(body) }
        overOwnRows(division, body)
    }
}
