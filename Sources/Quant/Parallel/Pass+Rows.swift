//  The residual stream divided by rows, in passes of many: every rank adds and normalises rows of
//  its own.
//
//      Δ    [T, columns of the rank]  ->  [rows of the rank, Dm]     every rank gives every other its rows
//      u    [rows of the rank, Dm]    ->  [T, Dm]                    as bytes, where products read bytes
//
//  A norm works on a row, so no sum is cut here either. What steers heads (steps, decays) is
//  computed from u in float32: the rank that has the row multiplies it for all ranks.

import DualityCore
import DualityKernels
import Foundation

extension Pass {
    /// A division of a pass among the ranks.
    struct Division {
        let ranks: any PartExchange
        /// The rows of every rank.
        let shares: [Range<Int>]
        var own: Range<Int> { shares[ranks.rank] }
    }

    /// Nil where every rank has all rows of the stream.
    var division: Division? {
        guard let ranks, let rowShares else { return nil }
        return Division(ranks: ranks, shares: rowShares)
    }

    /// The group of the bytes that matrices read the stream in, where few of their rows read
    /// anything else; nil for others.
    static func streamGroup(_ matrices: [Projection]) -> Int? {
        let blocks = matrices.flatMap { $0.blocks.map(\.matrix) }
        let groups = Set(
            blocks.compactMap { matrix -> Int? in
                if case .int8(let group) = matrix.activationForm { group } else { nil }
            })
        let others = blocks.reduce(0) { $0 + ($1.readsBytes ? 0 : $1.rows) }
        guard groups.count == 1, let group = groups.first, let width = blocks.first?.columns, 4 * others <= width
        else { return nil }
        return group
    }

    /// Gives every rank its rows of what this rank has computed the columns of.
    ///
    /// - Parameters:
    ///   - own: `[T, width]`, the columns of this rank.
    ///   - shares: the columns of every rank.
    ///   - out: row t of this rank's goes to `out + t * stride`.
    func deal(
        _ own: UnsafePointer<Float>, width: Int, _ shares: [Range<Int>], _ division: Division,
        into out: UnsafeMutablePointer<Float>, stride: Int
    ) {
        let rows = division.own
        let received = workspace.received.pointer(rows.count * (shares.last?.upperBound ?? 0))
        division.ranks.deal(
            own, sizes: division.shares.map { 4 * $0.count * width }, into: received,
            receiving: shares.map { 4 * rows.count * $0.count })
        overOwnRows(division) { range in
            for share in shares where !share.isEmpty {
                let part = received + rows.count * share.lowerBound
                for t in range {
                    let (from, to) = (part + (t - rows.lowerBound) * share.count, out + t * stride + share.lowerBound)
                    memcpy(to, from, 4 * share.count)
                }
            }
        }
    }

    /// Runs `body` on ranges of this rank's rows.
    func overOwnRows(_ division: Division, _ body: (Range<Int>) -> Void) {
        let (first, count) = (division.own.lowerBound, division.own.count)
        guard count > 0 else { return }
        pool.run(over: count, multiple: 4) { range, _ in body(first + range.lowerBound..<first + range.upperBound) }
    }

    /// The products of the matrices that read no bytes, of all rows, which their ranks compute.
    ///
    /// - Parameter u: this rank's rows of the stream, one after another.
    func multiplyByRows(
        _ u: UnsafePointer<Float>, _ matrices: [Projection], _ division: Division
    ) -> [Activations.Ready] {
        let blocks = matrices.flatMap(\.blocks).filter { !$0.matrix.readsBytes }
        guard !blocks.isEmpty else { return [] }
        let (width, count) = (blocks.reduce(0) { $0 + $1.matrix.rows }, division.own.count)
        let own = workspace.ownOutputs.pointer(width * count)
        let all = workspace.steering.pointer(width * rows)
        var (ready, products, first) = ([Activations.Ready](), [Product](), 0)
        for block in blocks {
            ready.append(Activations.Ready(weights: block.matrix.weights.base, y: all + first, stride: width))
            products.append(Product(MatrixRows(matrix: block.matrix), output: own + first, stride: width))
            first += block.matrix.rows
        }
        if count > 0 {
            let part = Pass(
                kernels: kernels, pool: pool, workspace: workspace, segments: [], rows: count, cosines: cosines,
                sines: sines)
            let projections = blocks.map { Projection(blocks: [$0], bias: nil) }
            part.multiply(part.prepare(u, stride: projections[0].columns, for: projections) { _ in }, products)
        }
        division.ranks.gather(own, sizes: division.shares.map { 4 * width * $0.count }, into: all)
        return ready
    }
}

extension PackedMatrix {
    /// Whether its activations are rounded to bytes.
    var readsBytes: Bool { if case .int8 = activationForm { true } else { false } }
}

extension ResidualStream {
    /// What `normalized` does, where every rank has rows of its own.
    mutating func normalizedByRows(
        _ norm: NormWeights, for matrices: [Projection], in pass: Pass, _ division: Pass.Division
    ) -> Activations {
        let (own, width, u) = (division.own, width, u)
        let part = pass.workspace.ownStream.pointer(own.count * width)
        normalize(norm, in: pass, division, into: part - own.lowerBound * width)
        hasDelta = false
        guard let group = Pass.streamGroup(matrices) else {
            division.ranks.gather(part, sizes: division.shares.map { 4 * width * $0.count }, into: u)
            return pass.prepare(u, stride: width, for: matrices) { _ in }
        }
        let ready = pass.multiplyByRows(part, matrices, division)
        let messages = division.shares.map { ByteMessage(rows: $0.count, columns: width, group: group) }
        let message = messages[division.ranks.rank]
        let sent = UnsafeMutableRawPointer(pass.workspace.sent.pointer((message.byteCount + 3) / 4))
        pass.overOwnRows(division) { range in
            let local = range.lowerBound - own.lowerBound..<range.upperBound - own.lowerBound
            message.write(part, width, local, pass.kernels, into: sent)
        }
        let sizes = messages.map(\.byteCount)
        let received = UnsafeMutableRawPointer(pass.workspace.received.pointer((sizes.reduce(0, +) + 3) / 4))
        division.ranks.gather(sent, sizes: sizes, into: received)
        pass.overRows { range in
            var part = UnsafeRawPointer(received)
            for (message, rows) in zip(messages, division.shares) {
                if rows.overlaps(range) {
                    let some = rows.clamped(to: range)
                    message.read(
                        part, some.lowerBound - rows.lowerBound..<some.upperBound - rows.lowerBound, pass.kernels,
                        into: u + rows.lowerBound * width, width)
                }
                part += message.byteCount
            }
        }
        var activations = pass.prepare(u, stride: width, for: matrices, where: \.readsBytes) { _ in }
        activations.ready = ready
        return activations
    }

    /// Single rows of the pass, of each of which one rank has the stream, on all ranks; ascending.
    func normalizedByRows(
        _ norm: NormWeights, rows: [Int], in pass: Pass, _ division: Pass.Division,
        into out: UnsafeMutablePointer<Float>
    ) {
        let own = rows.filter(division.own.contains)
        let part = pass.workspace.ownStream.pointer(own.count * width)
        normalizeEach(norm, rows: own, in: pass, into: part)
        let sizes = division.shares.map { share in 4 * width * rows.count { share.contains($0) } }
        division.ranks.gather(part, sizes: sizes, into: out)
    }
}
