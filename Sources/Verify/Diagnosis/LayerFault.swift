//  Faults of kinds whose faulty references are computed by name: each runs once, and what it leads
//  to is held against what was found.

import DualityCore
import DualityReference

/// A known fault of a layer: its name and the outputs it leads to.
struct LayerFault: Sendable {
    let name: String
    let summary: String
    var isOfPrecision = false
    /// Which of the ways in which kernels have the fault, where there are several.
    var attempt = 0

    /// Runs faults and says which explain what was found.
    ///
    /// - Parameters:
    ///   - sigmas: of the rounding of the outputs of a fault, where these are made otherwise than
    ///     the right ones; those of other outputs may be left out.
    ///   - outputs: those of a fault; nil where it is about something that is not there.
    static func diagnose(
        _ faults: [LayerFault], _ found: [String: Tensor<Double>], _ expectations: [Expectation],
        sigmas: (LayerFault) -> [String: Tensor<Double>]? = { _ in nil },
        outputs: (LayerFault) -> [String: Tensor<Double>]?
    ) -> Diagnosis {
        let evidence = FaultEvidence(found, expectations)
        let trials = faults.compactMap { fault -> FaultTrial? in
            guard let results = outputs(fault), let values = evidence.gather({ results[$0] }) else { return nil }
            let own = sigmas(fault).flatMap { sigmas in
                evidence.gather { name in sigmas[name] ?? found[name].map { $0.map { _ in 0 } } }
            }
            return FaultTrial(
                name: fault.name, isOfPrecision: fault.isOfPrecision, score: FaultScore(evidence, values, sigmas: own))
        }
        let whole = FaultTrial.whole(trials, evidence)
        return Diagnosis(findings: whole.isEmpty ? FaultTrial.partial(trials, evidence) : whole)
    }
}
