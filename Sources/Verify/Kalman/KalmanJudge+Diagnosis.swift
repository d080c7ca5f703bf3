//  Which faults of Gated KalmaNet explain what was found: each fault's own numbers, as for every
//  kind; where none of them is the kernel's, narrower arithmetics, one whose sigma the errors fit.

import DualityCore
import DualityNumerics
import DualityReference

extension KalmanJudge {
    static let faults = KalmanFault.allCases.map(\.asLayerFault)

    func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], seeksPairs: Bool
    ) -> Diagnosis {
        // Kernels have chunks of their own.
        let attempts = KalmanFault.allCases.flatMap { fault in
            (fault.isOfChunks ? chunkSizes : chunkSizes.prefix(1) + []).map { size in
                FaultyKalman(operands: operands, fault: fault, chunkSize: size)
            }
        }
        let shape = outputs[0].shape
        let results = parallelMap(attempts.count) { i -> [String: Tensor<Double>]? in
            guard var outputs = attempts[i].outputs() else { return nil }
            outputs["o"] = outputs["o"].flatMap { try? $0.reshaped(shape) }
            return outputs
        }
        let faults = attempts.enumerated().map { i, attempt in
            var fault = attempt.fault.asLayerFault
            fault.attempt = i
            return fault
        }
        var diagnosis = LayerFault.diagnose(faults, found, expectations) { results[$0.attempt] }
        if diagnosis.findings.isEmpty {
            let evidence = FaultEvidence(found, expectations)
            diagnosis.findings =
                narrower(found, expectations, evidence)
                ?? nearest(zip(attempts, results).map { ($0.fault, $1) }, evidence)
        }
        return diagnosis
    }

    /// The mildest narrow arithmetic that allows for the errors.
    private func narrower(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], _ evidence: FaultEvidence
    ) -> [Finding]? {
        let formats = Dictionary(expectations.map { ($0.name, $0.format) }, uniquingKeysWith: { first, _ in first })
        let base = choices(output: formats["o"] ?? inputFormat).all[0]
        guard base.accumulate != .f64 else { return nil }
        for (fault, arithmetic) in trials(base) {
            let fit = parallelMap(operands.heads) { h in
                KalmanHeadExpectation.fit(operands, h, arithmetic, found, formats)
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

    private func trials(_ base: KalmanArithmetic) -> [(KalmanFault, KalmanArithmetic)] {
        var trials: [(KalmanFault, KalmanArithmetic)] = []
        func add(
            _ fault: KalmanFault, _ paths: WritableKeyPath<KalmanArithmetic, NumberFormat>..., as format: NumberFormat
        ) {
            var arithmetic = base
            arithmetic.form = fault.isOfChunks ? .chunked(size: chunkSizes[0]) : .recurrent
            for path in paths where arithmetic[keyPath: path].holds(format) { arithmetic[keyPath: path] = format }
            if arithmetic.description != base.description { trials.append((fault, arithmetic)) }
        }
        if operands.epsilon != nil { add(.normBFloat16, \.normalized, \.norms, \.gated, as: .bf16) }
        if operands.iterations > 0 {
            add(.solutionBFloat16, \.solution, as: .bf16)
            add(.solverTF32, \.products, as: .tf32)
            add(.solverBFloat16, \.products, as: .bf16)
        }
        add(.chunkStateBFloat16, \.state, as: .bf16)
        add(.stateFloat16, \.state, as: .f16)
        add(.stateBFloat16, \.state, as: .bf16)
        return trials
    }

    /// The fault whose numbers are nearest, if they are near: where an iteration diverges nothing
    /// holds them down to rounding.
    private func nearest(
        _ trials: [(KalmanFault, [String: Tensor<Double>]?)], _ evidence: FaultEvidence
    ) -> [Finding] {
        var best: (KalmanFault, Double)?
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
