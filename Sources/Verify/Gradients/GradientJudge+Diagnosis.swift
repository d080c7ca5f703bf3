//  Faults of the backward pass, and which of them explain what was found: those of the formulas,
//  whatever the form, and those of the form in chunks (ChunkedGradientFault.swift).

import DualityCore
import DualityReference

extension GradientJudge {
    static let faults: [LayerFault] = [
        LayerFault(
            name: "grad-dt-misses-a-term", summary: "the gradient of dt leaves out what dt does through the decay"),
        LayerFault(name: "grad-dt-misses-x-term", summary: "the gradient of dt leaves out what dt does to the input"),
        LayerFault(
            name: "grad-dt-misses-softplus", summary: "the gradient of dt is that of the step after the softplus"),
        LayerFault(
            name: "grad-a-misses-dt", summary: "the gradient of A sums those of the log decays without their steps"),
        LayerFault(name: "grad-a-is-of-a-log", summary: "the gradient returned for A is that of A_log"),
        LayerFault(name: "grad-x-misses-d", summary: "the gradient of x leaves out the skip"),
        LayerFault(name: "grad-x-misses-dt", summary: "the gradient of x is that of dt x"),
        LayerFault(
            name: "grad-of-first-head-only", summary: "gradients of shared heads are not summed: the first head's alone"
        ),
        LayerFault(
            name: "grad-of-last-head-only", summary: "gradients of shared heads are not summed: the last head's alone"),
        LayerFault(name: "grad-final-state-ignored", summary: "what the loss says about the final state is ignored"),
        LayerFault(
            name: "grad-initial-state-not-decayed",
            summary: "the gradient of the initial state misses the first token's decay"),
        LayerFault(name: "grad-gate-ignored", summary: "the gradient of y is not passed through the gate"),
        LayerFault(name: "grad-z-of-sigmoid", summary: "the gate's derivative is that of the sigmoid"),
        LayerFault(name: "grad-dt-bias-of-one-row", summary: "the gradient of dt_bias sums over the first row only"),
        LayerFault(name: "grad-b-and-c-swapped", summary: "the gradients of B and C are exchanged"),
    ]

    /// What a diagnosis of gradients can name.
    static let allFaults: [LayerFault] =
        faults + ChunkedGradientFault.all.map { LayerFault(name: $0.name, summary: $0.summary) }

    func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], seeksPairs: Bool
    ) -> Diagnosis {
        guard let parts = try? GradientParts(inputs, upstream) else { return Diagnosis() }
        let evidence = FaultEvidence(found, expectations)
        var trials = Self.faults.compactMap { fault in
            outputs(of: fault, parts).flatMap { trial(fault.name, $0, evidence) }
        }
        var findings = FaultTrial.whole(trials, evidence)
        var structure: [String] = []
        let proposed = chunkSize ?? DiagnosisLimits.usualGradientChunk
        let others = DiagnosisLimits.chunkSizes.filter { $0 != proposed && $0 < inputs.length }
        for size in [proposed] + others where findings.isEmpty {
            let isLong = pairsOfTokens(chunkSize: size) > WorkLimits.gradientPairs
            if isLong {
                structure.append("faults inside chunks of \(size) tokens were not tried: the call is too large")
            }
            let attempts = ChunkedGradientFault.all.filter { !(isLong && $0.isInside) }.flatMap { fault in
                fault.variants.map { (fault.name, $0) }
            }
            let walker = ChunkedGradients(parts, upstream, chunkSize: size, isLong: isLong)
            let more = parallelMap(attempts.count) { i -> FaultTrial? in
                guard let results = try? walker.parts(attempts[i].1).assembled(nil) else { return nil }
                return trial(attempts[i].0, results, evidence)
            }.compactMap { $0 }
            trials += more
            findings = FaultTrial.whole(more, evidence)
        }
        if findings.isEmpty { findings = FaultTrial.partial(trials, evidence) }
        return Diagnosis(findings: findings, structure: structure)
    }

    /// Operations on pairs of tokens of one chunk.
    private func pairsOfTokens(chunkSize: Int) -> Int {
        inputs.batch * inputs.length * min(chunkSize, inputs.length) * inputs.heads * (inputs.headDim + inputs.stateDim)
    }

    private func trial(
        _ name: String, _ results: [String: Tensor<Double>], _ evidence: FaultEvidence
    ) -> FaultTrial? {
        evidence.gather { results[$0] }.map {
            FaultTrial(name: name, isOfPrecision: false, score: FaultScore(evidence, $0))
        }
    }

    /// The gradients that a fault of the formulas leads to; nil where it is about something that is
    /// not there.
    private func outputs(of fault: LayerFault, _ parts: GradientParts) -> [String: Tensor<Double>]? {
        switch fault.name {
        case "grad-final-state-ignored":
            guard upstream.finalState != nil || upstream.sequenceStates != nil else { return nil }
            return try? GradientParts(inputs, SSDUpstream(y: upstream.y)).assembled(nil)
        case "grad-gate-ignored":
            guard inputs.z != nil else { return nil }
            return try? GradientParts(inputs, upstream, ignoresGate: true).assembled(nil)
        default: return try? parts.assembled(fault.name)
        }
    }
}
