//  The heads of one rank of every kind of mixer.
//
//  A mixer of fewer heads: its configuration has those of the rank, and so have the caches that it
//  extends. What it needs of others is on its last projection (Projection+Cut.swift).

import DualityCore

extension QuantAttention {
    func cut(_ heads: HeadCut) -> any SequenceMixer { attention(heads) }

    func attention(_ heads: HeadCut) -> QuantAttention {
        let dim = configuration.headDim
        var result = self
        result.query = query.cut([heads.columns(dim)])
        result.key = key.cut(heads.sharedColumns(dim))
        result.value = value.cut(heads.sharedColumns(dim))
        result.output = output.cut(heads.cut, inputs: heads.shares(dim))
        result.configuration = configuration.cut(heads)
        return result
    }
}

extension QuantBMojo {
    func cut(_ heads: HeadCut) -> any SequenceMixer {
        var result = self
        result.mixer = mixer.cut(heads)
        result.attention = attention.attention(heads)
        result.fading = fading?.attention(heads)
        return result
    }
}

extension QuantGatedDeltaNet {
    func cut(_ heads: HeadCut) -> any SequenceMixer {
        let own = heads.ownHeads
        var result = self
        result.heads = self.heads.cut(heads)
        result.output = output.cut(heads, gateColumn: output.gateColumn.map { _ in 2 * own.count })
        result.rates = Array(rates[own])
        result.decayBias = Array(decayBias[own])
        return result
    }
}

extension QuantGatedKalmaNet {
    func cut(_ heads: HeadCut) -> any SequenceMixer {
        let (own, all) = (heads.ownHeads, self.heads.configuration.headCount)
        func column(_ whole: Int?) -> Int? { whole.map { $0 / all * own.count } }
        var result = self
        result.heads = self.heads.cut(heads)
        result.output = output.cut(heads, gateColumn: column(output.gateColumn))
        (result.betaColumn, result.alphaColumn, result.decayColumn) = (
            column(betaColumn), column(alphaColumn), column(decayColumn)
        )
        result.rates = Array(rates[own])
        result.decayBias = Array(decayBias[own])
        return result
    }
}

extension QuantMamba2Mixer {
    /// z, C and dt of the rank's heads, and x and B of those that they read; in plain models x of
    /// the rank's heads, and B and C of the groups that they read.
    func cut(_ heads: HeadCut) -> any SequenceMixer {
        let (dim, states, columns) = (shape.headDim, shape.stateDim, Columns(shape))
        let own = heads.ownHeads
        let x = hasParts ? heads.sharedColumns(dim) : [heads.columns(dim)]
        let b = heads.sharedColumns(states)
        let c = hasParts ? [heads.columns(states)] : b
        var result = self
        result.inputProjection = inputProjection.cut(
            [heads.columns(dim)] + x.moved(by: columns.x) + b.moved(by: columns.b) + c.moved(by: columns.c)
                + [own].moved(by: columns.dt))
        let channels = x + b.moved(by: shape.xSize) + c.moved(by: shape.xSize + shape.bSize)
        result.taps = stride(from: 0, to: taps.count, by: shape.channels).flatMap {
            taps.elements(channels.moved(by: $0))
        }
        result.convolutionBias = convolutionBias?.elements(channels)
        result.a = Array(a[own])
        result.dtBias = Array(dtBias[own])
        result.d = Array(d[own])
        if hasParts {
            result.gatedNorm = NormWeights(
                weight: Array(gatedNorm.weight[heads.columns(dim)]), epsilon: gatedNorm.epsilon)
        }
        result.outputProjection = outputProjection.cut(heads.cut, inputs: heads.shares(dim))
        let units = heads.own.count
        result.shape = Mamba2Shape(
            heads: own.count, headDim: dim, stateDim: states, xHeads: hasParts ? units : own.count, bHeads: units,
            cHeads: hasParts ? own.count : units)
        return result
    }
}

extension QuantFeedForward {
    func cut(_ cut: RankCut) -> QuantFeedForward {
        let shares = cut.panelRows(gate.outputSize)
        let own = [shares[cut.rank]]
        return QuantFeedForward(gate: gate.cut(own), up: up.cut(own), down: down.cut(cut, inputs: shares))
    }
}

extension HybridConfiguration {
    /// That of mixers and caches with the heads of one rank.
    func cut(_ heads: HeadCut) -> HybridConfiguration {
        var result = self
        result.headCount = heads.ownHeads.count
        result.keyValueHeadCount = plainMamba2 == nil ? heads.own.count : heads.ownHeads.count
        result.plainMamba2?.groups = heads.own.count
        return result
    }

    /// How the heads of its mixers are shared out.
    func headCut(_ cut: RankCut) -> HeadCut {
        HeadCut(cut, heads: headCount, sharedHeads: plainMamba2?.groups ?? keyValueHeadCount)
    }
}
