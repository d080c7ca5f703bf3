//  The numbers of one output of one head, with what is allowed of each.
//
//  sigma² is the mean square of what a dozen imitations with random roundings are off by, each
//  number's own and that of its row together, and the error of one imitation that rounds to the
//  nearest. The factor before it covers that a dozen is few.

import DualityNumerics

/// One output of a head, sequences or tokens outermost.
struct FamilyNumbers: Sendable {
    let name: String
    /// Numbers in a row, whose errors are much alike.
    let width: Int
    var exact: [Double] = []
    var bound: [Double] = []
    private(set) var variance: [Double] = []

    init(_ name: String, width: Int) { (self.name, self.width) = (name, width) }

    /// Takes the variance from imitations.
    ///
    /// - Parameter runs: the numbers of each; the first rounds to the nearest.
    mutating func sample(_ runs: [[Double]]) {
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
            for i in row { variance[i] = FamilyLimits.factorOfSamples * (sampled[i] + mean) + nearest[i] }
        }
    }
}
