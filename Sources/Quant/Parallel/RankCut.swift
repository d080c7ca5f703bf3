//  Who computes what: units of work shared out among ranks.
//
//      rank t of R has units  ⌊n s_t⌋ ..< ⌊n s_(t+1)⌋          s_t the part of all shares that ranks before t have
//
//  A unit is computed whole on one rank, so no cut changes a bit. Shares may be uneven, and of few
//  units a rank may get none.

import DualityKernels

/// The shares of all ranks, seen from one of them.
package struct RankCut: Sendable, Equatable {
    /// Which of the ranks this is.
    package let rank: Int
    /// Sums of the shares before each rank, and of all.
    private let sums: [Int]

    /// - Parameter shares: of the ranks, at least 1 each; equal ones for equal ranks.
    package init(rank: Int, shares: [Int]) {
        self.rank = rank
        sums = shares.reduce(into: [0]) { $0.append(($0.last ?? 0) + max($1, 1)) }
    }

    /// R.
    package var count: Int { sums.count - 1 }

    /// The units of every rank, of `n`.
    func units(_ n: Int) -> [Range<Int>] {
        let all = sums[count]
        return (0..<count).map { n * sums[$0] / all..<n * sums[$0 + 1] / all }
    }

    /// Neighbouring items of unequal cost, for every rank: an item is of the rank in whose part of
    /// all cost its middle lies.
    func parts(_ costs: [Int]) -> [Range<Int>] {
        let (all, shares) = (2 * Double(costs.reduce(0, +)), Double(sums[count]))
        var before = 0.0
        let ranks = costs.map { cost -> Int in
            let middle = 2 * before + Double(cost)
            before += Double(cost)
            guard all > 0 else { return 0 }
            return (0..<count - 1).first { middle * shares < Double(sums[$0 + 1]) * all } ?? count - 1
        }
        return (0..<count).map { rank in
            let first = ranks.firstIndex { $0 >= rank } ?? costs.count
            return first..<max(first, ranks.firstIndex { $0 > rank } ?? costs.count)
        }
    }

    /// The rows of every rank of a matrix of `rows` rows, in whole panels.
    func panelRows(_ rows: Int) -> [Range<Int>] {
        let panel = Int(DK_PANEL_ROWS)
        return units(PackedMatrix.panels(rows)).map {
            min($0.lowerBound * panel, rows)..<min($0.upperBound * panel, rows)
        }
    }
}

/// The heads of mixers, shared out: the unit is a key/value head (a group of B and C in plain
/// Mamba-2 models) with the heads that read it.
///
/// Where there are fewer of them than ranks, they are parted: `parts` units then have the same
/// key/value head, each with a part of the heads that read it, and every one of them computes keys
/// and values (or B) itself.
struct HeadCut: Sendable {
    let cut: RankCut
    /// Key/value heads, and heads that read each.
    let sharedHeads, group: Int
    /// Units of one key/value head.
    let parts: Int
    /// The units of every rank.
    private let units: [Range<Int>]

    init(_ cut: RankCut, heads: Int, sharedHeads: Int) {
        let group = heads / max(sharedHeads, 1)
        parts = (1...max(group, 1)).first { group % $0 == 0 && sharedHeads * $0 >= cut.count } ?? max(group, 1)
        (self.cut, self.sharedHeads, self.group) = (cut, sharedHeads, group)
        units = cut.units(sharedHeads * parts)
    }

    /// Heads of one unit.
    var headsOfUnit: Int { group / parts }
    /// The units of this rank.
    var own: Range<Int> { units[cut.rank] }
    /// The heads of this rank.
    var ownHeads: Range<Int> { heads(own) }

    private func heads(_ units: Range<Int>) -> Range<Int> {
        units.lowerBound * headsOfUnit..<units.upperBound * headsOfUnit
    }

    /// Columns of this rank where every head has `width`.
    func columns(_ width: Int) -> Range<Int> { columns(ownHeads, width) }

    /// Columns of every rank where every head has `width`.
    func shares(_ width: Int) -> [Range<Int>] { units.map { columns(heads($0), width) } }

    /// Columns that this rank reads where every key/value head has `width`: one range for each of
    /// its units.
    func sharedColumns(_ width: Int) -> [Range<Int>] {
        own.map { columns($0 / parts..<$0 / parts + 1, width) }
    }

    /// The key/value heads that each rank is the first to have, so that every head is some rank's.
    var sharedOwners: [Range<Int>] {
        units.map { ($0.lowerBound + parts - 1) / parts..<($0.upperBound + parts - 1) / parts }
    }

    /// Which of this rank's units is the first of key/value head `head`.
    func unit(ofShared head: Int) -> Int { head * parts - own.lowerBound }

    private func columns(_ heads: Range<Int>, _ width: Int) -> Range<Int> {
        heads.lowerBound * width..<heads.upperBound * width
    }
}
