//  The numbers of one output of one head, with what is allowed of each.
//
//  sigma² is the mean square of what a dozen imitations with random roundings are off by, each
//  number's own and that of its row together, and the error of one imitation that rounds to the
//  nearest. The factor before it covers that a dozen is few.

import DualityNumerics

/// One output of a part, sequences or tokens outermost, then the heads that are one part.
struct FamilyNumbers: Sendable {
    let name: String
    /// Numbers in a row, whose errors are much alike.
    let width: Int
    /// Which axis of the output is that of heads; those before it are outermost here too.
    let headAxis: Int
    /// Whether sigma judges what has no bound. It cannot where a number has none because squares on
    /// the way to it leave the range of the kernel's format: imitations have that range without
    /// end.
    var judgesUnbounded = true
    var exact: [Double] = []
    var bound: [Double] = []
    private(set) var variance: [Double] = []

    init(_ name: String, width: Int, headAxis: Int) {
        (self.name, self.width, self.headAxis) = (name, width, headAxis)
    }

    /// Where number i of part h stands in an output of this shape, `[B, L, H, …]` or `[S, H, …]`.
    func place(_ i: Int, in shape: [Int], heads: Int, _ h: Int) -> Int {
        let size = shape[headAxis...].reduce(1, *) / max(heads, 1)
        return (i / size * heads + h) * size + i % size
    }

    /// Takes the variance from imitations.
    ///
    /// - Parameters:
    ///   - runs: the numbers of each; the first rounds to the nearest.
    ///   - floor: what is lost below the smallest number, which no imitation has.
    mutating func sample(_ runs: [[Double]], floor: Double = 0) {
        func squares(_ run: [Double]) -> [Double] { zip(run, exact).map { ($0 - $1) * ($0 - $1) } }
        let count = Double(max(runs.count - 1, 1))
        let nearest = squares(runs[0])
        var sampled = exact.map { _ in 0.0 }
        for run in runs.dropFirst() {
            for (i, square) in squares(run).enumerated() { sampled[i] += square / count }
        }
        variance = sampled
        for first in stride(from: 0, to: sampled.count, by: max(width, 1)) {
            let row = first..<min(first + width, sampled.count)
            let mean =
                row.reduce(0) { $0 + sampled[$1] + FamilyLimits.shareOfNearest * nearest[$1] } / Double(row.count)
            for i in row {
                variance[i] = FamilyLimits.factorOfSamples * (sampled[i] + mean) + nearest[i] + floor * floor
            }
        }
    }
}
