//  How well a faulty reference explains a kernel: what is left of the error, in units of rounding.
//
//      r_i = kernel_i - faulty_i          sigma'_i² = (ρ sigma_i)² + (u_i |faulty_i - exact_i|)² + (u_out |faulty_i|)²
//      remainder² = mean of (r_i / sigma'_i)²
//
//  Where that leaves too much, the second run of the fault on the magnitudes of its operands says
//  how large its terms are.
//
//  sigma' allows for a faulty kernel whose numbers are larger than the right ones and are rounded
//  accordingly: ρ >= 1 is how much larger the numbers around element i are (those of its token and
//  head, or of its state), u_i what sigma says a rounding of a term of element i is worth.
//
//  A fault that is there in some heads or channels only is found by asking for each of these which
//  is nearer, the exact answer or the faulty one.

import DualityCore
import DualityNumerics
import DualityReference

/// What is left of the error after a fault has been taken into account.
struct FaultScore: Sendable {
    /// Mean and largest of (r / sigma')².
    private(set) var remainder = 0.0
    private(set) var worst = 0.0
    /// Share of the mean of (error / sigma)² that is gone.
    private(set) var explained = 0.0
    /// The same sums by head and by channel, beside those of the exact answer.
    private(set) var byHead: [Part]
    private(set) var byChannel: [Part]
    /// The fraction of the squared error that may remain when a fault is the explanation.
    private let smallShare: Double
    /// Whether the fault changes anything here.
    private(set) var changes = false
    /// Whether few numbers are far off, and the fault brings them back among the others.
    private(set) var liftsOutliers = false

    struct Part: Sendable {
        var count = 0
        var faulty = 0.0
        var exact = 0.0
        var faultyWorst = 0.0
        var exactWorst = 0.0
        var differs = 0.0

        /// Which answer a part has: the right one, the faulty one, both or none.
        var isExact: Bool { isRounding(exact, exactWorst) }
        var isFaulty: Bool { isRounding(faulty, faultyWorst) }

        private func isRounding(_ sum: Double, _ worst: Double) -> Bool {
            sum / Double(count) <= DiagnosisLimits.meanSquare && worst <= DiagnosisLimits.largestSquare
        }
    }

    /// - Parameters:
    ///   - faulty: what the fault leads to, in the order of the evidence.
    ///   - sigmas: of the rounding of the fault's own numbers, where they are made otherwise than
    ///     the right ones: a computed number in place of a copy.
    ///   - magnitudes: the sums of the magnitudes of its terms; where they are larger than those of
    ///     the right numbers, so is what rounding may leave.
    init(
        _ evidence: FaultEvidence, _ faulty: [Double], magnitudes: [Double]? = nil, sigmas: [Double]? = nil
    ) {
        let unit = evidence.relativeSigma / NumberFormat.f32.unitRoundoff
        smallShare = min(DiagnosisLimits.shareLeftInFloat * unit * unit, DiagnosisLimits.largestShareLeft)
        var heads = [Part](repeating: Part(), count: (evidence.head.max() ?? 0) + 1)
        var channels = [Part](repeating: Part(), count: (evidence.channel.max() ?? 0) + 1)
        var (sum, left, difference) = (0.0, 0.0, 0.0)
        var squares = [Double](repeating: 0, count: evidence.groupSquares.count)
        for i in faulty.indices where faulty[i].isFinite { squares[evidence.group[i]] += faulty[i] * faulty[i] }
        let larger = zip(squares, evidence.groupSquares).map {
            $1 > 0 ? min(max($0 / $1, 1), DiagnosisLimits.largestGrowth) : 1
        }
        for i in faulty.indices {
            let (found, exact, value) = (evidence.found[i], evidence.exact[i], faulty[i])
            let sigma = evidence.sigma[i]
            let error = FaultEvidence.square(found - exact, sigma)
            var remainder: Double
            var raw: Double
            if !found.isFinite && !(value.magnitude <= evidence.largest) {
                (remainder, raw) = (0, 0)  // both overflow
            } else {
                // What a fault puts in place of a copied number is computed, in float32 at best.
                let shift =
                    max(evidence.unit[i], DiagnosisLimits.unitsOfComputed * NumberFormat.f32.unitRoundoff)
                    * (value - exact)
                let store = evidence.storage[i] * value
                var spread = (sigma * sigma * larger[evidence.group[i]] + shift * shift + store * store).squareRoot()
                if let magnitudes { spread = max(spread, evidence.unit[i] * magnitudes[i]) }
                if let sigmas { spread = max(spread, sigmas[i]) }
                remainder = FaultEvidence.square(found - value, spread.isFinite ? spread : sigma)
                // A copied number has no rounding of its own; what stands in its place has.
                raw = FaultEvidence.square(found - value, max(sigma, sigmas?[i] ?? 0))
            }
            let differs = value == exact ? 0 : FaultEvidence.square(value - exact, sigma)
            sum += remainder
            left += raw
            difference += differs
            worst = max(worst, remainder)
            func add(_ part: inout Part) {
                part.count += 1
                part.faulty += remainder
                part.exact += error
                part.faultyWorst = max(part.faultyWorst, remainder)
                part.exactWorst = max(part.exactWorst, error)
                part.differs += differs
            }
            add(&heads[evidence.head[i]])
            add(&channels[evidence.channel[i]])
        }
        let n = Double(max(faulty.count, 1))
        remainder = sum / n
        explained = evidence.baseline > 0 ? 1 - left / n / evidence.baseline : 0
        (byHead, byChannel) = (heads, channels)
        changes = difference / n > DiagnosisLimits.change
        let limit = DiagnosisLimits.usualSquare
        liftsOutliers =
            evidence.worst > limit && worst <= min(limit, evidence.worst / 2)
            && remainder <= DiagnosisLimits.meanSquareBesideOutliers
    }

    /// Whether the fault's output is the kernel's to within rounding: what is left looks like
    /// rounding in every number, or is so small a part of the error that rounding in larger
    /// intermediate results explains it.
    var isExplanation: Bool {
        guard changes else { return false }
        if liftsOutliers && explained > 0 { return true }
        if remainder <= DiagnosisLimits.usualMeanSquare && worst <= DiagnosisLimits.usualSquare {
            return explained > DiagnosisLimits.leastShareBesideUsual
        }
        let isRounding = remainder <= DiagnosisLimits.meanSquare && worst <= DiagnosisLimits.largestSquare
        return isRounding && explained > DiagnosisLimits.leastShare || explained > 1 - smallShare
    }

    /// Whether a look at some elements is reason to look at all: much of the error is explained, or
    /// some channel's is.
    var isPromising: Bool {
        changes
            && (isExplanation || explained > DiagnosisLimits.promisingShare
                || byChannel.contains { $0.count > 0 && $0.isFaulty && !$0.isExact })
    }

    /// The parts in which the kernel has the faulty answer, where it has the right one in all
    /// others.
    ///
    /// - Returns: nil where some part has neither, or where all or none have the fault.
    func affected(_ parts: [Part]) -> (parts: [Int], remainder: Double)? {
        var (affected, sum, count, total) = ([Int](), 0.0, 0, 0)
        for (key, part) in parts.enumerated() where part.count > 0 {
            total += 1
            guard part.isExact || part.isFaulty else { return nil }
            let isFaulty = part.isFaulty && part.faulty < DiagnosisLimits.partialAdvantage * part.exact
            if isFaulty { affected.append(key) }
            sum += isFaulty ? part.faulty : part.exact
            count += part.count
        }
        guard !affected.isEmpty, affected.count < total else { return nil }
        return (affected, sum / Double(count))
    }
}
