//  Ranges of layers on ranks: a prompt goes through them in pieces, one behind another.
//
//      stage 0     piece 0   piece 1   piece 2   …
//      stage 1               piece 0   piece 1   …        the stream [rows, Dm] goes from stage to stage, in float32
//      stage 2                         piece 0   …        the last has the head: its logits go to rank 0
//
//  A prompt may be cut anywhere at no change of bits, so nothing is computed otherwise than in one
//  process. A stage is one rank with whole layers, or T neighbouring ranks with rows of them:
//
//      rank  t + T p     part t of stage p, which hands the stream on to part t of stage p + 1

import DualityKernels

/// The layers of all ranks, seen from one of them.
package struct PipelineStage: Sendable, Equatable {
    let rank: Int
    /// How many ranks have rows of the same layers: T.
    package let parts: Int
    /// The layers of every stage; with more stages than layers some have none.
    package let ranges: [Range<Int>]
    /// The stages that have layers, in order.
    let stages: [Int]

    /// - Parameters:
    ///   - layerBytes: of every layer. The head counts for nothing, as a prompt needs one row of
    ///     it.
    ///   - shares: of the stages.
    ///   - parts: ranks of a stage.
    init(rank: Int, layerBytes: [Int], shares: [Int], parts: Int = 1) {
        let ranges = RankCut(rank: rank / parts, shares: shares).parts(layerBytes)
        let stages = ranges.indices.filter { !ranges[$0].isEmpty }
        (self.rank, self.parts) = (rank, parts)
        (self.ranges, self.stages) = (ranges, stages.isEmpty ? [0] : stages)
    }

    /// The stage of this rank.
    private var index: Int { rank / parts }
    var layers: Range<Int> { ranges[index] }

    /// Whether it computes anything.
    var takesPart: Bool { stages.contains(index) }
    /// Whether this rank begins with the embedding.
    var isFirst: Bool { stages.first == index }
    /// Whether it has the head, or rows of it.
    var isLast: Bool { stages.last == index }
    /// The rank that has all logits.
    var last: Int { stages[stages.count - 1] * parts }
    /// Whom the stream comes from, and whom it goes to.
    var previous: Int? { neighbour(-1) }
    var next: Int? { neighbour(1) }

    private func neighbour(_ step: Int) -> Int? {
        guard let place = stages.firstIndex(of: index), stages.indices.contains(place + step) else { return nil }
        return stages[place + step] * parts + rank % parts
    }

    /// How many passes rank 0 computes before it asks for the logits of the first of them: as many
    /// as are on their way.
    var delay: Int { rank == 0 && !isLast ? stages.count : 0 }

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
