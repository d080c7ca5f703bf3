//  The search for the fault of a scan: every fault alone, at other chunk sizes, in some heads or
//  channels only, in pairs.

import DualityCore
import DualityNumerics
import DualityReference

struct ScanDiagnosis: Sendable {
    /// What is to be explained.
    let view: ScanView
    /// The head that errs most and a few of its channels: what explains nothing there is not run on
    /// the rest.
    let screen: ScanView
    let chunkSize: Int
    /// Faults that the kernel's declared arithmetic makes right.
    let allowed: Set<ScanFault>
    /// The faults that are tried.
    var candidates = ScanFault.allCases
    var seeksPairs = true

    private var evidence: FaultEvidence { view.evidence }
    private var isScreened: Bool { screen.evidence.found.count < view.evidence.found.count }

    func run() -> Diagnosis {
        let all = candidates.filter { !allowed.contains($0) }
        var seen: [(attempt: FaultAttempt, score: FaultScore)] = []
        var trials: [FaultTrial] = []
        var findings: [Finding] = []
        let others = DiagnosisLimits.chunkSizes.filter { $0 != chunkSize && $0 < view.call.length }
        for size in [chunkSize] + others where findings.isEmpty {
            let faults = size == chunkSize ? all : all.filter(\.dependsOnChunks)
            let attempts = faults.flatMap { fault in
                (0..<fault.variants).map { FaultAttempt(faults: [fault], variant: $0, chunkSize: size) }
            }
            let glances: [(attempt: FaultAttempt, score: FaultScore)] = attempts.compactMap { attempt in
                screen.score(attempt).map { (attempt: attempt, score: $0) }
            }
            let more =
                glances.compactMap { trial($0.attempt, glance: $0.score) } + attempts.compactMap { transposition($0) }
            findings = FaultTrial.whole(more, evidence)
            trials += more
            seen += glances
        }
        if findings.isEmpty { findings = narrowStates() }
        if findings.isEmpty { findings = FaultTrial.partial(trials, evidence) }
        if findings.isEmpty { findings = shiftedStates() }
        if findings.isEmpty && seeksPairs { findings = pairFindings(seen) }
        return Diagnosis(findings: findings)
    }

    /// A closer look at an attempt that explains something at first glance; nil where it explains
    /// nothing.
    private func trial(_ attempt: FaultAttempt, glance: FaultScore) -> FaultTrial? {
        guard let fault = attempt.faults.first else { return nil }
        if isScreened {
            guard glance.isPromising else { return nil }
        }
        return view.score(attempt, isPatient: true).map { FaultTrial(fault, attempt, $0) }
    }

    /// A state with its axes exchanged needs all channels of a head, which a screen may not have.
    private func transposition(_ attempt: FaultAttempt) -> FaultTrial? {
        guard let fault = attempt.faults.first, screen.call.isCut,
            [.stateTransposed, .initialStateTransposed].contains(fault)
        else { return nil }
        return view.score(attempt, isPatient: true).map { FaultTrial(fault, attempt, $0) }
    }

    /// A float32 state all of whose numbers are exact in a narrow format was stored in it, whatever
    /// else blurs the picture.
    private func narrowStates() -> [Finding] {
        for (fault, format) in [(ScanFault.stateBFloat16, NumberFormat.bf16), (.stateFloat16, .f16)] {
            let numbers = evidence.outputs.indices.filter { evidence.outputs[$0].name != "y" }.flatMap {
                evidence.values(of: $0)
            }
            .filter { $0 != 0 && $0.isFinite }
            guard numbers.count >= DiagnosisLimits.narrowStates, numbers.allSatisfy({ format.round($0) == $0 }),
                !allowed.contains(fault)
            else { continue }
            let scores = (0..<fault.variants).compactMap {
                view.score(FaultAttempt(faults: [fault], variant: $0, chunkSize: chunkSize))
            }
            guard let best = scores.min(by: { $0.remainder < $1.remainder }) else { continue }
            return [
                Finding(
                    names: [fault.rawValue], scope: "all states are \(format.name) numbers",
                    remainder: best.remainder.squareRoot(), worst: best.worst.squareRoot(), explained: best.explained)
            ]
        }
        return []
    }

    /// Something that stood in the state at the start of a sequence: first of those without an
    /// initial state, then of all.
    private func shiftedStates() -> [Finding] {
        let fault = ScanFault.stateNotCleared
        guard candidates.contains(fault), !allowed.contains(fault) else { return [] }
        for onlyWithout in [true, false] {
            guard let values = StateShift(view, onlyWithoutState: onlyWithout)?.outputs else { continue }
            let trial = FaultTrial(
                name: fault.rawValue, isOfPrecision: false, score: FaultScore(evidence, values))
            let findings = FaultTrial.whole([trial], evidence)
            if !findings.isEmpty { return findings }
        }
        return []
    }

    /// Two faults at once: those that explain most, each with every other.
    private func pairFindings(_ seen: [(attempt: FaultAttempt, score: FaultScore)]) -> [Finding] {
        let seeds = seen.filter { $0.score.changes }.sorted { $0.score.remainder < $1.score.remainder }
            .prefix(DiagnosisLimits.pairSeeds)
        var findings: [Finding] = []
        var tried: Set<Set<ScanFault>> = []
        for (seed, _) in seeds {
            guard let fault = seed.faults.first else { continue }
            for other in ScanFault.allCases where other != fault && !allowed.contains(other) {
                guard tried.insert([fault, other]).inserted else { continue }
                // The shape of the one that has several.
                let variants = fault.variants == 1 ? Array(0..<other.variants) : [seed.variant]
                for variant in variants {
                    let pair = FaultAttempt(faults: [fault, other], variant: variant, chunkSize: seed.chunkSize)
                    guard let glance = screen.score(pair, isPatient: true), glance.isExplanation,
                        let score = isScreened ? view.score(pair, isPatient: true) : glance, score.isExplanation
                    else { continue }
                    findings.append(
                        Finding(
                            names: [fault.rawValue, other.rawValue], scope: nil,
                            remainder: score.remainder.squareRoot(), worst: score.worst.squareRoot(),
                            explained: score.explained))
                }
            }
        }
        return Array(FaultTrial.ranked(findings, evidence).prefix(DiagnosisLimits.pairsReported))
    }
}

/// `2, 5-7` of ascending numbers.
func ranges(_ numbers: [Int]) -> String {
    var parts: [String] = []
    var i = 0
    while i < numbers.count {
        var j = i
        while j + 1 < numbers.count && numbers[j + 1] == numbers[j] + 1 { j += 1 }
        parts.append(j == i ? "\(numbers[i])" : "\(numbers[i])-\(numbers[j])")
        i = j + 1
    }
    return parts.joined(separator: ", ")
}
