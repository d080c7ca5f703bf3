//  Faults of kinds whose faulty references are computed by name: each runs once, and what it leads
//  to is held against what was found.

import DualityCore
import DualityReference

/// A known fault of a layer: its name and the outputs it leads to.
struct LayerFault: Sendable {
    let name: String
    let summary: String
    var isOfPrecision = false

    /// Runs faults and says which explain what was found.
    ///
    /// - Parameter outputs: those of a fault; nil where it is about something that is not there.
    static func diagnose(
        _ faults: [LayerFault], _ found: [String: Tensor<Double>], _ expectations: [Expectation],
        outputs: (LayerFault) -> [String: Tensor<Double>]?
    ) -> Diagnosis {
        let evidence = FaultEvidence(found, expectations)
        let trials = faults.compactMap { fault -> FaultTrial? in
            guard let results = outputs(fault), let values = evidence.gather({ results[$0] }) else { return nil }
            return FaultTrial(
                name: fault.name, isOfPrecision: fault.isOfPrecision, score: FaultScore(evidence, values))
        }
        let whole = FaultTrial.whole(trials, evidence)
        return Diagnosis(findings: whole.isEmpty ? FaultTrial.partial(trials, evidence) : whole)
    }
}
