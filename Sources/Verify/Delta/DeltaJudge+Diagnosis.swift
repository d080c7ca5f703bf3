//  Which faults of the gated delta rule explain what was found.
//
//  First each fault's own numbers, as for every kind. Where none of them is the kernel's, narrower
//  arithmetics: one whose sigma the errors fit. Last, since a state that nothing holds down grows
//  beyond all rounding, the fault whose numbers are the kernel's to a hundredth of what is wrong.

import DualityCore
import DualityNumerics
import DualityReference

extension DeltaJudge {
    static let faults = DeltaFault.allCases.map(\.asLayerFault)

    func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], seeksPairs: Bool
    ) -> Diagnosis {
        let usual = DeltaFault.allCases.filter { !isStep || !$0.isOfChunks }.map { fault in
            FaultyDelta(operands: operands, fault: fault, chunkSize: chunkSizes.first ?? FamilyLimits.usualChunk)
        }
        var (diagnosis, results) = diagnose(found, expectations, usual)
        guard diagnosis.findings.isEmpty else { return diagnosis }
        // Kernels have chunks of their own, and norms that are rounded step by step.
        var others = [FaultyDelta(operands: operands, fault: .normBFloat16, normsAreStepwise: true)]
        for size in chunkSizes.dropFirst() {
            others += DeltaFault.allCases.filter(\.isOfChunks).map {
                FaultyDelta(operands: operands, fault: $0, chunkSize: size)
            }
        }
        let second = diagnose(found, expectations, others)
        (diagnosis, results) = (second.diagnosis, results + second.results)
        guard diagnosis.findings.isEmpty else { return diagnosis }
        let evidence = FaultEvidence(found, expectations)
        diagnosis.findings =
            narrower(found, expectations, evidence)
            ?? nearest(zip(usual + others, results).map { ($0.fault, $1) }, found, evidence)
        return diagnosis
    }

    private func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], _ attempts: [FaultyDelta]
    ) -> (diagnosis: Diagnosis, results: [[String: Tensor<Double>]?]) {
        let results = parallelMap(attempts.count) { i -> [String: Tensor<Double>]? in
            guard var outputs = attempts[i].outputs() else { return nil }
            outputs["o"] = outputs["o"].flatMap { try? $0.reshaped(self.outputs[0].shape) }
            return outputs
        }
        let faults = attempts.enumerated().map { i, attempt in
            var fault = attempt.fault.asLayerFault
            fault.attempt = i
            return fault
        }
        return (LayerFault.diagnose(faults, found, expectations) { results[$0.attempt] }, results)
    }

    /// The narrow arithmetics that are tried, mild ones first.
    private func narrowArithmetics(_ base: DeltaArithmetic) -> [(DeltaFault, DeltaArithmetic)] {
        var trials: [(DeltaFault, DeltaArithmetic)] = []
        func add(_ fault: DeltaFault, _ path: WritableKeyPath<DeltaArithmetic, NumberFormat>, _ format: NumberFormat) {
            guard base[keyPath: path].holds(format), base[keyPath: path] != format else { return }
            var arithmetic = base
            arithmetic[keyPath: path] = format
            let forms = fault.isOfChunks ? chunkSizes.map { RecurrenceForm.chunked(size: $0) } : [.recurrent]
            for form in forms {
                arithmetic.form = form
                trials.append((fault, arithmetic))
            }
        }
        add(.inverseTF32, \.inverse, .tf32)
        add(.productsTF32, \.products, .tf32)
        add(.inverseBFloat16, \.inverse, .bf16)
        add(.chunkStateBFloat16, \.state, .bf16)
        add(.productsBFloat16, \.products, .bf16)
        add(.stateFloat16, \.state, .f16)
        add(.stateBFloat16, \.state, .bf16)
        return trials
    }

    /// The mildest narrow arithmetic that allows for the errors.
    private func narrower(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], _ evidence: FaultEvidence
    ) -> [Finding]? {
        let formats = Dictionary(expectations.map { ($0.name, $0.format) }, uniquingKeysWith: { first, _ in first })
        let base = choices(output: formats["o"] ?? inputFormat).narrowest
        guard base.accumulate != .f64 else { return nil }
        for (fault, arithmetic) in narrowArithmetics(base) {
            let fit = parallelMap(operands.heads) { h in
                DeltaHeadExpectation.fit(operands, h, arithmetic, found, formats)
            }.reduce(ErrorFit(), +)
            let mean = fit.squares / Double(max(evidence.found.count, 1))
            guard !fit.isOutside, fit.largest <= Limits.sigma, mean >= FamilyLimits.leastMeanOfNarrower,
                mean < FamilyLimits.shareLeftByNarrower * evidence.baseline
            else { continue }
            return [
                Finding(
                    names: [fault.rawValue], scope: nil, remainder: mean.squareRoot(), worst: fit.largest,
                    explained: 1 - mean / evidence.baseline)
            ]
        }
        return nil
    }

    /// The fault whose numbers are nearest, if they are near.
    private func nearest(
        _ trials: [(DeltaFault, [String: Tensor<Double>]?)], _ found: [String: Tensor<Double>],
        _ evidence: FaultEvidence
    ) -> [Finding] {
        var best: (DeltaFault, Double)?
        for (fault, outputs) in trials {
            guard let outputs, let values = evidence.gather({ outputs[$0] }) else { continue }
            var (left, error) = (0.0, 0.0)
            for i in values.indices where evidence.found[i].isFinite && values[i].magnitude < evidence.largest {
                // Relative to the largest, whose squares would overflow.
                let unit = max(evidence.groupSquares[evidence.group[i]].squareRoot(), FamilyLimits.leastSigma)
                let (r, e) = ((evidence.found[i] - values[i]) / unit, (evidence.found[i] - evidence.exact[i]) / unit)
                left += min(r * r, FamilyLimits.ceilingOfGrown)
                error += min(e * e, FamilyLimits.ceilingOfGrown)
            }
            let share = error > 0 ? left / error : 1
            if share < FamilyLimits.shareLeftOfGrown * FamilyLimits.shareLeftOfGrown, share < best?.1 ?? 1 {
                best = (fault, share)
            }
        }
        return best.map { fault, share in
            [Finding(names: [fault.rawValue], scope: nil, remainder: 0, worst: 0, explained: 1 - share)]
        } ?? []
    }
}
