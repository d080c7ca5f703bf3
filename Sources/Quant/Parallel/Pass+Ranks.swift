//  The exchanges of a pass: columns that every rank has computed a part of, for all.

import Foundation

extension Pass {
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

    /// Computes a layer whose outputs all ranks need, bias and all.
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
        gather(own, stride: width, shares, ranks, into: out, stride: stride)
    }

    /// - Parameters:
    ///   - own: this rank's columns, row t at `own + t * stride`.
    ///   - shares: the columns of every rank, in order.
    func gather(
        _ own: UnsafePointer<Float>, stride: Int, _ shares: [Range<Int>], _ ranks: any RankExchange,
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
