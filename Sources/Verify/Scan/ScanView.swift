//  Some heads and some channels of a call, and what a kernel made of them: y of a head and channel,
//  and its rows of the state, depend on no others, so that a fault can be tried on a few of them.

import DualityCore
import DualityReference

/// A way to be wrong: some faults at once, in one of their shapes, with chunks of some size.
struct FaultAttempt: Sendable {
    let faults: [ScanFault]
    let variant: Int
    let chunkSize: Int
}

/// A part of a call and of a kernel's outputs.
struct ScanView: Sendable {
    let call: ScanCall
    let evidence: FaultEvidence

    /// - Parameters:
    ///   - found: the whole outputs.
    ///   - heads, channels: those that are looked at, ascending.
    init(
        _ call: ScanCall, _ found: [String: Tensor<Double>], _ expectations: [Expectation], heads: [Int],
        channels: [Int]
    ) {
        func cut(_ tensor: Tensor<Double>, _ name: String) -> Tensor<Double> {
            let axis = name == "y" ? 2 : 1
            return tensor.selecting(heads, axis: axis).selecting(channels, axis: axis + 1)
        }
        var (call, values, expected) = (call, found, expectations)
        if heads.count < call.heads || channels.count < call.headDim {
            call = call.part(heads: heads, channels: channels)
            for (name, tensor) in found { values[name] = cut(tensor, name) }
            expected = expectations.map { item in
                Expectation(
                    name: item.name, axes: item.axes, exact: cut(item.exact, item.name), bound: nil,
                    sigma: cut(item.sigma, item.name), magnitudes: item.magnitudes.map { cut($0, item.name) },
                    format: item.format)
            }
        }
        var evidence = FaultEvidence(values, expected)
        (evidence.headNumbers, evidence.channelNumbers) = (heads, channels)
        (self.call, self.evidence) = (call, evidence)
    }

    /// How well an attempt explains what is seen here; nil where it is about an operand that is not
    /// there.
    ///
    /// - Parameter isPatient: whether an attempt that accounts for most of the error, and leaves
    ///   more than rounding of the right numbers, is judged by the rounding of its own terms. That
    ///   takes a second run.
    func score(_ attempt: FaultAttempt, isPatient: Bool = false) -> FaultScore? {
        guard
            var scan = FaultyScan(call, attempt.faults, variant: attempt.variant, chunkSize: attempt.chunkSize)
        else { return nil }
        let result = scan.run()
        guard let values = evidence.gather({ result[$0] }) else { return nil }
        let score = FaultScore(evidence, values)
        guard isPatient, score.changes, !score.isExplanation, score.explained > DiagnosisLimits.leastShare else {
            return score
        }
        scan.sumsMagnitudes = true
        let sums = scan.run()
        return FaultScore(evidence, values, magnitudes: evidence.gather { sums[$0] })
    }
}
