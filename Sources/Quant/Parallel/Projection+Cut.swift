//  A linear layer of which a rank computes some outputs.

/// Which outputs of a linear layer are this rank's, and what is exchanged around it.
struct RowCut: Sendable {
    /// The rank's outputs, in the order in which it keeps them; some may be there twice.
    let rows: [Range<Int>]
    /// The outputs of every rank, where all ranks need all of them.
    var outputShares: [Range<Int>]? = nil
    /// The inputs that every rank computes, where they are exchanged before.
    var inputShares: [Range<Int>]? = nil

    var count: Int { rows.reduce(0) { $0 + $1.count } }
}

extension Projection {
    /// The same layer, of which this rank computes `rows`. Neighbouring ranges are joined.
    func cut(_ rows: [Range<Int>]) -> Projection {
        var joined: [Range<Int>] = []
        for range in rows where !range.isEmpty {
            if let last = joined.last, last.upperBound == range.lowerBound {
                joined[joined.count - 1] = last.lowerBound..<range.upperBound
            } else {
                joined.append(range)
            }
        }
        return with(RowCut(rows: joined))
    }

    /// The same layer, whose inputs come from all ranks and whose outputs go to all.
    ///
    /// - Parameter inputs: the inputs that each rank computes.
    func cut(_ cut: RankCut, inputs: [Range<Int>]) -> Projection {
        let shares = cut.panelRows(outputSize)
        return with(RowCut(rows: [shares[cut.rank]], outputShares: shares, inputShares: inputs))
    }

    private func with(_ cut: RowCut) -> Projection {
        var projection = Projection(blocks: blocks, bias: bias?.elements(cut.rows))
        projection.cut = cut
        return projection
    }
}

extension [Float] {
    /// The elements of several ranges.
    func elements(_ ranges: [Range<Int>]) -> [Float] { ranges.flatMap { self[$0] } }
}
