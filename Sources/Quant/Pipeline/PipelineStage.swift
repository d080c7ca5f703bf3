//  Whole layers on each rank: a prompt goes through them in pieces, one behind another.
//
//      stage 0     piece 0   piece 1   piece 2   …
//      stage 1               piece 0   piece 1   …        the stream [rows, Dm] goes from stage to stage, in float32
//      stage 2                         piece 0   …        the last has the head: its logits go to rank 0
//
//  A prompt may be cut anywhere at no change of bits, and every layer is one rank's whole, so
//  nothing is computed otherwise than in one process.

import DualityKernels

/// How ranks divide a model.
package enum RankDivision: Sendable {
    /// Every matrix by its rows.
    case rows
    /// By layers.
    case layers

    /// For messages.
    var text: String {
        switch self {
        case .rows: "by rows, --tensor-parallel"
        case .layers: "by layers, --pipeline-parallel"
        }
    }
}

/// The layers of all ranks, seen from one of them.
package struct PipelineStage: Sendable, Equatable {
    let rank: Int
    /// The layers of every rank; with more ranks than layers some have none.
    package let ranges: [Range<Int>]
    /// The ranks that have layers, in order: the stages.
    let ranks: [Int]

    /// - Parameters:
    ///   - layerBytes: of every layer. The head counts for nothing, as a prompt needs one row of
    ///     it.
    ///   - shares: of the ranks.
    init(rank: Int, layerBytes: [Int], shares: [Int]) {
        let ranges = RankCut(rank: rank, shares: shares).parts(layerBytes)
        let ranks = ranges.indices.filter { !ranges[$0].isEmpty }
        (self.rank, self.ranges, self.ranks) = (rank, ranges, ranks.isEmpty ? [0] : ranks)
    }

    var layers: Range<Int> { ranges[rank] }

    /// Whether it computes anything.
    var takesPart: Bool { ranks.contains(rank) }
    /// Whether this rank begins with the embedding.
    var isFirst: Bool { ranks.first == rank }
    /// Whether it has the head.
    var isLast: Bool { last == rank }
    var last: Int { ranks[ranks.count - 1] }
    /// Whom the stream comes from, and whom it goes to.
    var previous: Int? { neighbour(-1) }
    var next: Int? { neighbour(1) }

    private func neighbour(_ step: Int) -> Int? {
        guard let place = ranks.firstIndex(of: rank), ranks.indices.contains(place + step) else { return nil }
        return ranks[place + step]
    }

    /// How many passes rank 0 computes before it asks for the logits of the first of them: as many
    /// as are on their way.
    var delay: Int { rank == 0 && !isLast ? ranks.count : 0 }

    /// Pieces per stage that a prompt is cut into, where it is long enough: of n pieces and P
    /// stages all work for n - P + 1 of n + P - 1 turns.
    private static let piecesPerStage = 4

    /// Rows of a pass.
    ///
    /// - Parameters:
    ///   - tokens: of all sequences that are extended.
    ///   - stages: how many there are; one has no reason to cut a prompt.
    package static func rows(of tokens: Int, stages: Int) -> Int {
        let limit = QuantModel.rowLimit
        guard stages > 1 else { return limit }
        let (chunk, pieces) = (Int(DK_SSD_CHUNK), piecesPerStage * stages)
        let rows = (tokens + pieces - 1) / pieces
        return min(max((rows + chunk - 1) / chunk, 1) * chunk, limit)
    }

    /// For people: `layers 0–11, 12–23, none`.
    package var text: String {
        let parts = ranges.map { range in
            switch range.count {
            case 0: "none"
            case 1: "\(range.lowerBound)"
            default: "\(range.lowerBound)–\(range.upperBound - 1)"
            }
        }
        return "layers " + parts.joined(separator: ", ")
    }
}
