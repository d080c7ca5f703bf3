//  The heads of one rank of Gated DeltaNet and Gated KalmaNet layers.
//
//      own       q and what steers a head, of the rank's heads; k and v of those that they read; their channels of the convolution
//      whole     W_A of an expansion, which reads k and v of all heads: they are exchanged before it
//      cut       W_B and R of an expansion, by heads; W_o by panels

import Foundation

extension HeadInputs {
    func cut(_ heads: HeadCut) -> HeadInputs {
        let (dim, inner, shared) = (configuration.headDim, configuration.innerSize, configuration.keyValueSize)
        let (own, ownShared) = ([heads.columns(dim)], heads.sharedColumns(dim))
        var result = self
        result.query = query.cut(own)
        result.key = key.cut(ownShared)
        result.value = value.cut(ownShared)
        // Gates have a column for each of a head's values; what steers a head has one per head.
        result.others = others.map { $0.cut([heads.columns($0.outputSize / configuration.headCount)]) }
        let convolved =
            own + ownShared.moved(by: inner) + (channels > inner + shared ? ownShared.moved(by: inner + shared) : [])
        result.taps = taps.map { taps in
            stride(from: 0, to: taps.count, by: channels).flatMap { taps.elements(convolved.moved(by: $0)) }
        }
        result.convolutionBias = convolutionBias?.elements(convolved)
        result.channels = convolved.reduce(0) { $0 + $1.count }
        result.expansions = expansions.map { expansion in
            var expansion = expansion
            expansion.up = expansion.up.cut(own)
            expansion.ownHeads = heads.ownHeads
            return expansion
        }
        result.configuration = configuration.cut(heads)
        result.cut = heads
        return result
    }

    /// Keys or values of all heads, of which a rank has `x`.
    func gathered(_ x: UnsafePointer<Float>, _ ld: Int, _ pass: Pass) -> (x: UnsafePointer<Float>, ld: Int) {
        guard let ranks = pass.ranks, let cut else { return (x, ld) }
        let dim = configuration.headDim
        let owners = cut.sharedOwners
        let own = owners[ranks.rank]
        let width = own.count * dim
        let packed = pass.workspace.ownOutputs.pointer(width * pass.rows)
        for (i, head) in own.enumerated() {
            pass.copyRows(
                x + cut.unit(ofShared: head) * dim, stride: ld, into: packed + i * dim, stride: width, width: dim)
        }
        let all = cut.sharedHeads * dim
        let whole = pass.workspace.gathered.pointer(all * pass.rows)
        let shares = owners.map { $0.lowerBound * dim..<$0.upperBound * dim }
        pass.gather(packed, stride: width, shares, ranks, into: whole, stride: all)
        return (UnsafePointer(whole), all)
    }
}

extension HeadOutput {
    /// - Parameter gateColumn: where the gate begins behind v on this rank.
    func cut(_ heads: HeadCut, gateColumn: Int?) -> HeadOutput {
        var result = self
        result.projection = projection.cut(heads.cut, inputs: heads.shares(headDim))
        result.gateColumn = gateColumn
        return result
    }
}

extension [Range<Int>] {
    func moved(by offset: Int) -> [Range<Int>] {
        map { $0.lowerBound + offset..<$0.upperBound + offset }
    }
}
