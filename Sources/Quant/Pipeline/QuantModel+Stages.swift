//  What goes from stage to stage of a pipeline, and from the last to rank 0.
//
//      hash of the last row (8 bytes), a rank whose rows did not arrive as they were sent or -1 (8), rows in float32
//
//  No stage repeats what another computes, so what is compared are the rows as they were sent and
//  as they have arrived. A difference is told on with all that follows, until rank 0 knows of it.

import DualityCore
import Foundation

extension QuantModel {
    /// This rank's layers of the model. The weights stay where they are; of a mapped file a rank
    /// touches those of its layers.
    ///
    /// - Parameter shares: of the work, one number per rank; nil for equal ones.
    /// - Throws: `InputError` (`.shape`) for another number of shares than ranks.
    package func staged(_ exchange: any RankExchange, shares: [Int]? = nil) throws(InputError) -> QuantModel {
        let shares = try exchange.shares(shares)
        var model = self
        model.stage = PipelineStage(rank: exchange.rank, layerBytes: layers.map(\.byteCount), shares: shares)
        (model.ranks, model.rankShares) = (RankGroup(exchange), shares)
        return model
    }

    /// Rows of one pass, of so many tokens.
    func passRows(_ tokens: Int) -> Int { PipelineStage.rows(of: tokens, stages: stage?.ranks.count ?? 1) }

    /// Numbers before the rows of a message.
    private static let headerSize = 4

    /// Waits for the rows of a pass, where another rank has the layers before this one's.
    func takeStream(_ stream: ResidualStream, _ pass: Pass) {
        guard let stage, let previous = stage.previous else { return }
        ranks?.exchange.enter(.stage(stage.layers.lowerBound))
        take(pass, width: stream.width, from: previous, into: stream.h)
    }

    /// Gives the rows of a pass to the next stage, if there is one.
    func handOn(_ stream: ResidualStream, _ pass: Pass) {
        guard let next = stage?.next else { return }
        let width = stream.width
        let rows = pass.workspace.sent.pointer(Self.headerSize + pass.rows * width) + Self.headerSize
        let (h, delta) = (stream.h, stream.hasDelta ? stream.delta : nil)
        pass.overRows { range in
            let places = range.lowerBound * width..<range.upperBound * width
            guard let delta else {
                memcpy(rows + places.lowerBound, h + places.lowerBound, 4 * places.count)
                return
            }
            // What the next norm would do first.
            for i in places { rows[i] = h[i] + delta[i] }
        }
        hand(rows, pass.rows, width: width, to: next)
    }

    /// Whether rank 0 waits for the logits that this rank computes.
    var handsLogitsOn: Bool { stage.map { $0.isLast && $0.rank > 0 } ?? false }

    /// Computes the head and gives the logits to rank 0.
    func handLogitsOn(_ u: Activations, _ pass: Pass) {
        let width = configuration.vocabularySize
        let rows = pass.workspace.sent.pointer(Self.headerSize + pass.rows * width) + Self.headerSize
        multiplyHead(u, pass, into: rows, hash: 0)
        hand(rows, pass.rows, width: width, to: 0)
    }

    /// On rank 0 waits for logits of the last stage; the others go on.
    func takeLogits(_ count: Int, _ pass: Pass, into out: UnsafeMutablePointer<Float>) {
        guard let stage, stage.rank == 0 else { return }
        let some = Pass(
            kernels: pass.kernels, pool: pass.pool, workspace: pass.workspace, segments: [], rows: count,
            cosines: pass.cosines, sines: pass.sines)
        take(some, width: configuration.vocabularySize, from: stage.last, into: out)
    }

    /// - Parameter rows: at least one, behind room for what goes before them.
    private func hand(_ rows: UnsafeMutablePointer<Float>, _ count: Int, width: Int, to rank: Int) {
        guard let ranks else { return }
        let message = UnsafeMutableRawPointer(rows - Self.headerSize)
        message.storeBytes(of: Self.hash(rows, count, width: width), as: UInt64.self)
        message.storeBytes(of: Int64(ranks.divergentRank ?? -1), toByteOffset: 8, as: Int64.self)
        ranks.exchange.post(message, 4 * (Self.headerSize + count * width), to: rank)
    }

    /// - Parameter out: room for all rows of the pass.
    private func take(_ pass: Pass, width: Int, from rank: Int, into out: UnsafeMutablePointer<Float>) {
        guard let ranks else { return }
        let size = Self.headerSize + pass.rows * width
        let message = UnsafeMutableRawPointer(pass.workspace.received.pointer(size))
        ranks.exchange.take(message, 4 * size, from: rank)
        let rows = message.assumingMemoryBound(to: Float.self) + Self.headerSize
        let divergent = Int(message.load(fromByteOffset: 8, as: Int64.self))
        if divergent >= 0 { ranks.diverged(divergent) }
        if message.load(as: UInt64.self) != Self.hash(rows, pass.rows, width: width) { ranks.diverged(rank) }
        pass.copyRows(rows, stride: width, into: out, stride: width, width: width)
    }
}
