//  What a diagnosis has to explain: the numbers of a kernel beside the exact ones, in units of
//  rounding.

import DualityCore
import DualityNumerics
import DualityReference

/// The elements that a diagnosis looks at.
struct FaultEvidence: Sendable {
    /// Of each output: its name and the flat indices that are compared.
    let outputs: [(name: String, elements: [Int])]
    let found: [Double]
    let exact: [Double]
    let sigma: [Double]
    /// sigma over the sum of magnitudes.
    let unit: [Double]
    /// The unit roundoff of the output's format.
    let storage: [Double]
    let head: [Int]
    let channel: [Int]
    /// Which numbers belong together, and the sums of squares of the exact ones.
    let group: [Int]
    let groupSquares: [Double]
    /// Mean and largest of (error / sigma)².
    let baseline: Double
    let worst: Double
    /// The median of sigma over the sum of magnitudes, at least that of float32.
    let relativeSigma: Double

    /// The largest number of the kernel's arithmetic: beyond it float32 overflows, where float64
    /// does not.
    let largest: Double

    /// What heads and channels are called, where only some are looked at.
    var headNumbers: [Int]?
    var channelNumbers: [Int]?

    init(_ found: [String: Tensor<Double>], _ expectations: [Expectation]) {
        var outputs: [(String, [Int])] = []
        var (values, exact, sigma, unit, storage) = ([Double](), [Double](), [Double](), [Double](), [Double]())
        var (headOf, channelOf) = ([Int](), [Int]())
        var (groupOf, groups) = ([Int](), [Double]())
        for expected in expectations {
            guard let tensor = found[expected.name] else { continue }
            let (head, channel) = (expected.reader(.head), expected.reader(.channel))
            let elements = Array(tensor.elements.indices)
            // The numbers of one token and head, or of one state; a layer's row where there are no
            // heads.
            let width = head.map(\.inner) ?? expected.exact.shape.last ?? 1
            let firstGroup = groups.count
            groups += [Double](repeating: 0, count: tensor.count / max(width, 1) + 1)
            for i in elements {
                groupOf.append(firstGroup + i / max(width, 1))
                groups[firstGroup + i / max(width, 1)] += expected.exact.elements[i] * expected.exact.elements[i]
                values.append(tensor.elements[i])
                exact.append(expected.exact.elements[i])
                let s = expected.sigma.elements[i]
                sigma.append(s)
                let magnitude = expected.magnitudes?.elements[i] ?? expected.exact.elements[i].magnitude
                unit.append(
                    magnitude > 0 ? min(s / magnitude, DiagnosisLimits.largestUnit) : expected.format.unitRoundoff)
                storage.append(max(expected.format.unitRoundoff, DiagnosisLimits.leastStorage))
                headOf.append(head?(i) ?? 0)
                channelOf.append(channel?(i) ?? 0)
            }
            outputs.append((expected.name, elements))
        }
        (self.outputs, self.found, self.exact, self.sigma) = (outputs, values, exact, sigma)
        (self.unit, self.storage, head, channel) = (unit, storage, headOf, channelOf)
        (group, groupSquares) = (groupOf, groups)
        relativeSigma = max(unit.sorted()[safe: unit.count / 2] ?? 0, NumberFormat.f32.unitRoundoff)
        let isWide = expectations.contains { $0.format == .f64 }
        largest = isWide ? Double.greatestFiniteMagnitude : NumberFormat.f32.largest
        let squares = values.indices.map { Self.square(values[$0] - exact[$0], sigma[$0]) }
        baseline = squares.reduce(0, +) / Double(max(values.count, 1))
        worst = squares.max() ?? 0
    }

    /// (r / sigma)², with a ceiling so that one infinity does not drown everything else.
    @inline(__always)
    static func square(_ remainder: Double, _ sigma: Double) -> Double {
        if remainder == 0 { return 0 }
        let ratio = remainder / sigma
        return ratio.isFinite ? min(ratio * ratio, DiagnosisLimits.ceiling) : DiagnosisLimits.ceiling
    }

    /// The faulty outputs in the order of the evidence.
    func gather(_ outputs: (String) -> Tensor<Double>?) -> [Double]? {
        var values: [Double] = []
        values.reserveCapacity(found.count)
        for (name, elements) in self.outputs {
            guard let tensor = outputs(name) else { return nil }
            for i in elements { values.append(tensor.elements[i]) }
        }
        return values
    }

    /// The numbers that were found in one of the outputs.
    func values(of output: Int) -> ArraySlice<Double> {
        let first = outputs[..<output].reduce(0) { $0 + $1.elements.count }
        return found[first..<first + outputs[output].elements.count]
    }
}

extension Array {
    /// The element at an index; nil outside.
    fileprivate subscript(safe index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}
