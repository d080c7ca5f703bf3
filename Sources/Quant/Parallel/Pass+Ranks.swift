//  The exchanges of a pass: columns that every rank has computed a part of, for all.

import Foundation

extension Pass {
    /// Computes the layer that ends a mixer or an MLP: its inputs come from all ranks, and all
    /// ranks need its outputs, or their own rows of them.
    ///
    /// - Parameters:
    ///   - own: this rank's inputs, row t at `own + t * stride`.
    ///   - produce: is called first, to compute the rows of a range of them.
    func projectForAll(
        _ own: UnsafeMutablePointer<Float>, stride: Int, _ projection: Projection,
        into out: UnsafeMutablePointer<Float>, stride outStride: Int, produce: (Range<Int>) -> Void = { _ in }
    ) {
        let isShared = ranks != nil && projection.cut != nil
        if isShared { overRows(produce) }
        let (x, ld) =
            gatheredBytes(own, stride: stride, for: projection) ?? gathered(own, stride: stride, for: projection)
        let activations = prepare(x, stride: ld, for: [projection]) { if !isShared { produce($0) } }
        multiplyForAll(activations, projection, into: out, stride: outStride)
    }

    /// The whole input of a layer, whose columns several ranks have computed; what is there already
    /// when the layer is not cut.
    ///
    /// - Parameters:
    ///   - own: this rank's columns, row t at `own + t * stride`.
    /// - Returns: `[R, K]` and its stride; good until the next call.
    func gathered(
        _ own: UnsafeMutablePointer<Float>, stride: Int, for projection: Projection
    ) -> (x: UnsafeMutablePointer<Float>, stride: Int) {
        guard let ranks, let shares = projection.cut?.inputShares else { return (own, stride) }
        let width = shares.last?.upperBound ?? 0
        let full = workspace.gathered.pointer(width * rows)
        gather(own, stride: stride, shares, ranks, into: full, stride: width)
        return (full, width)
    }

    /// Computes a layer whose outputs all ranks need, bias and all; of a stream that is divided,
    /// each its own rows.
    func multiplyForAll(
        _ activations: Activations, _ projection: Projection, into out: UnsafeMutablePointer<Float>, stride: Int
    ) {
        let width = projection.outputSize
        guard let ranks, let shares = projection.cut?.outputShares else {
            multiply(activations, projection.products(into: out, stride: stride))
            return projection.addBias(out, stride: stride, rows: 0..<rows, outputs: 0..<width)
        }
        let own = workspace.ownOutputs.pointer(width * rows)
        multiply(activations, projection.products(into: own, stride: width))
        projection.addBias(own, stride: width, rows: 0..<rows, outputs: 0..<width)
        if let division { return deal(own, width: width, shares, division, into: out, stride: stride) }
        gather(own, stride: width, shares, ranks, into: out, stride: stride)
    }

    /// - Parameters:
    ///   - own: this rank's columns, row t at `own + t * stride`.
    ///   - shares: the columns of every rank, in order.
    func gather(
        _ own: UnsafePointer<Float>, stride: Int, _ shares: [Range<Int>], _ ranks: any PartExchange,
        into full: UnsafeMutablePointer<Float>, stride fullStride: Int
    ) {
        let width = shares[ranks.rank].count
        let sizes = shares.map { 4 * rows * $0.count }
        var source = own
        if stride != width && rows > 1 {
            let packed = workspace.sent.pointer(width * rows)
            copyRows(own, stride: stride, into: packed, stride: width, width: width)
            source = UnsafePointer(packed)
        }
        // One row's parts, one after another, are the row.
        if rows == 1 { return ranks.gather(source, sizes: sizes, into: full) }
        let columns = shares.last?.upperBound ?? 0
        let received = workspace.received.pointer(columns * rows)
        ranks.gather(source, sizes: sizes, into: received)
        overRows { range in
            for share in shares where !share.isEmpty {
                let part = received + share.lowerBound * rows
                for t in range {
                    memcpy(full + t * fullStride + share.lowerBound, part + t * share.count, 4 * share.count)
                }
            }
        }
    }

    /// Copies `width` columns of all rows.
    func copyRows(
        _ source: UnsafePointer<Float>, stride: Int, into target: UnsafeMutablePointer<Float>, stride targetStride: Int,
        width: Int
    ) {
        guard width > 0 else { return }
        overRows { range in
            for t in range { memcpy(target + t * targetStride, source + t * stride, 4 * width) }
        }
    }
}
