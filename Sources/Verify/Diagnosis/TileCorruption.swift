//  A tile that is wrong while everything around it is right: a missing synchronisation, a stale
//  buffer, an index off in one block. No reference explains its numbers; its outline gives it away.

import DualityCore
import DualityReference

enum TileCorruption {
    static let name = "race-like-tile"
    static let summary =
        "a tile of the output is corrupted and everything around it right: a race, a stale buffer, a wrong index"

    /// The box that holds all that is wrong, where it is small, filled, and the rest of the outputs
    /// is right.
    static func find(_ found: [String: Tensor<Double>], _ expectations: [Expectation]) -> Finding? {
        var box: (scope: String, share: Double)?
        var (outside, total) = (0.0, 0)
        for expected in expectations {
            guard let tensor = found[expected.name] else { continue }
            var wrong: [Int] = []
            for i in tensor.elements.indices {
                let square = FaultEvidence.square(
                    tensor.elements[i] - expected.exact.elements[i], expected.sigma.elements[i])
                if square > DiagnosisLimits.usualSquare { wrong.append(i) } else { outside += square }
            }
            total += tensor.count
            guard !wrong.isEmpty else { continue }
            // What is a few sigma off is no stale number.
            let worst =
                wrong.map {
                    FaultEvidence.square(tensor.elements[$0] - expected.exact.elements[$0], expected.sigma.elements[$0])
                }.max() ?? 0
            guard wrong.count >= DiagnosisLimits.tileCount, worst > DiagnosisLimits.tileSquare else { return nil }
            // A second output that is wrong as well is no tile.
            guard box == nil, let tile = outline(wrong, expected) else { return nil }
            box = tile
        }
        guard let box else { return nil }
        return Finding(
            names: [name], scope: box.scope, remainder: (outside / Double(max(total, 1))).squareRoot(), worst: 0,
            explained: 1)
    }

    private static func outline(_ wrong: [Int], _ expected: Expectation) -> (String, Double)? {
        var (volume, whole) = (1, 1)
        var parts: [String] = []
        for axis in expected.axes {
            guard let reader = expected.reader(axis) else { continue }
            let touched = wrong.map { reader($0) }
            guard let low = touched.min(), let high = touched.max() else { return nil }
            volume *= high - low + 1
            whole *= reader.length
            // Spread over most tokens it is no tile, whatever its other sides.
            let isLong = axis == .token && reader.length > DiagnosisLimits.tileTokens
            if isLong, DiagnosisLimits.tileFilling * (high - low + 1) > reader.length { return nil }
            if high - low + 1 < reader.length || axis == .token {
                parts.append("\(axis.rawValue)\(low == high ? "" : "s") \(ranges(Array(low...high)))")
            }
        }
        // At least half of the box is wrong, and the box is a small part of the output.
        guard DiagnosisLimits.tileFilling * wrong.count >= volume, DiagnosisLimits.tileShare * volume <= whole,
            !parts.isEmpty
        else { return nil }
        return (parts.joined(separator: ", "), Double(wrong.count) / Double(volume))
    }
}
