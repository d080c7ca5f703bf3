//  Which faults of a kind of the family explain what was found.
//
//  First each fault's own numbers, as for every kind. Where none of them is the kernel's, narrower
//  arithmetics: one whose sigma the errors fit. Last, since a state that nothing holds down grows
//  beyond all rounding, the fault whose numbers are the kernel's to a hundredth of what is wrong.

import DualityCore
import DualityNumerics
import DualityReference

/// A call computed with a fault.
protocol FamilyAttempt: Sendable {
    associatedtype Fault: FamilyFault
    var fault: Fault { get }
    /// The outputs it leads to; nil where the fault is about something that is not there.
    func outputs() -> [String: Tensor<Double>]?
}

extension FamilyJudge where Head.Arithmetic == DeltaArithmetic {
    /// Faults of precision of the gated delta rule and their arithmetics: those of chunks in chunks
    /// of every size.
    func narrower(
        _ base: DeltaArithmetic, _ formats: [(Fault, WritableKeyPath<DeltaArithmetic, NumberFormat>, NumberFormat)]
    ) -> [(Fault, DeltaArithmetic)] {
        var trials: [(Fault, DeltaArithmetic)] = []
        for (fault, path, format) in formats where base[keyPath: path].holds(format) && base[keyPath: path] != format {
            var arithmetic = base
            arithmetic[keyPath: path] = format
            for form in fault.isOfChunks ? chunkSizes.map({ RecurrenceForm.chunked(size: $0) }) : [.recurrent] {
                arithmetic.form = form
                trials.append((fault, arithmetic))
            }
        }
        return trials
    }
}

extension FamilyJudge {
    /// The faults among some attempts that explain the errors, and otherwise nearest to them.
    ///
    /// - Parameter more: attempts that are only made where the first explain nothing.
    func diagnose<Attempt: FamilyAttempt>(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], by attempts: [Attempt], _ more: [Attempt] = []
    ) -> Diagnosis where Attempt.Fault == Fault {
        var (diagnosis, results) = explain(found, expectations, attempts)
        guard diagnosis.findings.isEmpty else { return diagnosis }
        if !more.isEmpty {
            let second = explain(found, expectations, more)
            (diagnosis, results) = (second.diagnosis, results + second.results)
            guard diagnosis.findings.isEmpty else { return diagnosis }
        }
        let evidence = FaultEvidence(found, expectations)
        diagnosis.findings =
            narrower(found, expectations, evidence)
            ?? nearest(zip(attempts + more, results).map { ($0.fault, $1) }, evidence)
        return diagnosis
    }

    private func explain<Attempt: FamilyAttempt>(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], _ attempts: [Attempt]
    ) -> (diagnosis: Diagnosis, results: [[String: Tensor<Double>]?]) where Attempt.Fault == Fault {
        let shapes = outputs
        let results = parallelMap(attempts.count) { i -> [String: Tensor<Double>]? in
            guard var made = attempts[i].outputs() else { return nil }
            for output in shapes { made[output.name] = made[output.name].flatMap { try? $0.reshaped(output.shape) } }
            return made
        }
        let faults = attempts.enumerated().map { i, attempt in
            var fault = attempt.fault.asLayerFault
            fault.attempt = i
            return fault
        }
        return (LayerFault.diagnose(faults, found, expectations) { results[$0.attempt] }, results)
    }

    /// The mildest narrow arithmetic that allows for the errors.
    private func narrower(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], _ evidence: FaultEvidence
    ) -> [Finding]? {
        let formats = Dictionary(expectations.map { ($0.name, $0.format) }, uniquingKeysWith: { first, _ in first })
        let choices = choices(output: formats[outputs[0].name] ?? inputFormat)
        guard choices.all[0].accumulate != .f64 else { return nil }
        for (fault, arithmetic) in narrower(choices) {
            let fit = parallelMap(operands.heads) { h in
                Head.fit(operands, h, arithmetic, (found, formats))
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
        _ trials: [(Fault, [String: Tensor<Double>]?)], _ evidence: FaultEvidence
    ) -> [Finding] {
        var best: (Fault, Double)?
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
