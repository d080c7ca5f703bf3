//  From the scores of faults to what is said of them: which explain everything, which some heads or
//  channels, in what order.

import DualityCore

/// A fault, how it was run, and how well it explains the kernel.
struct FaultTrial: Sendable {
    let name: String
    /// True for faults of precision. Two such kernels can break a tie differently and then diverge,
    /// so that most of the error explained is accepted instead of an exact match.
    let isOfPrecision: Bool
    /// What it is called where it acts in some channels or heads only.
    var partialName: String
    let score: FaultScore

    init(name: String, isOfPrecision: Bool, score: FaultScore) {
        (self.name, self.isOfPrecision, self.score, partialName) = (name, isOfPrecision, score, name)
    }

    init(_ fault: ScanFault, _ attempt: FaultAttempt, _ score: FaultScore) {
        self.init(name: fault.rawValue, isOfPrecision: fault.isOfPrecision, score: score)
        if fault == .skipMissing { partialName = ScanFault.skipMissingSomeChannels.rawValue }
    }

    /// Faults that explain everything, best first.
    static func whole(_ trials: [FaultTrial], _ evidence: FaultEvidence) -> [Finding] {
        var best: [String: Finding] = [:]
        var order: [String] = []
        for trial in trials {
            let score = trial.score
            let isLikeness = trial.isOfPrecision && score.changes && score.explained > DiagnosisLimits.likenessShare
            guard score.isExplanation || isLikeness else { continue }
            let finding = Finding(
                names: [trial.name], scope: nil, remainder: score.remainder.squareRoot(),
                worst: score.worst.squareRoot(), explained: score.explained)
            if let other = best[trial.name] {
                if other.remainder <= finding.remainder { continue }
            } else {
                order.append(trial.name)
            }
            best[trial.name] = finding
        }
        return ranked(order.compactMap { best[$0] }, evidence)
    }

    /// Faults that explain some heads or channels, where the others are right.
    static func partial(_ trials: [FaultTrial], _ evidence: FaultEvidence) -> [Finding] {
        var findings: [Finding] = []
        for trial in trials where trial.score.changes && trial.name != ScanFault.skipMissingSomeChannels.rawValue {
            let score = trial.score
            let headwise = score.affected(score.byHead).map { ("head", $0) }
            let channelwise = score.affected(score.byChannel).map { ("channel", $0) }
            guard
                let (word, part) = [headwise, channelwise].compactMap({ $0 })
                    .min(by: { $0.1.remainder < $1.1.remainder })
            else { continue }
            let numbers = word == "head" ? evidence.headNumbers : evidence.channelNumbers
            let affected = part.parts.map { numbers?[$0] ?? $0 }
            let explained = 1 - part.remainder / max(evidence.baseline, 1e-300)
            guard explained > DiagnosisLimits.partialShare else { continue }
            findings.append(
                Finding(
                    names: [trial.partialName],
                    scope: "\(word)\(part.parts.count == 1 ? "" : "s") \(ranges(affected))",
                    remainder: part.remainder.squareRoot(), worst: 0,
                    explained: explained))
        }
        var seen: Set<String> = []
        return ranked(findings, evidence).filter { seen.insert($0.names[0]).inserted }
    }

    /// Best first; what cannot be told apart from the best is marked.
    static func ranked(_ findings: [Finding], _ evidence: FaultEvidence) -> [Finding] {
        var ordered = findings.enumerated().sorted { a, b in
            let (x, y) = (a.element.remainder, b.element.remainder)
            return x == y ? a.offset < b.offset : x < y
        }.map(\.element)
        guard let best = ordered.first else { return [] }
        let slack =
            DiagnosisLimits.tieShare * best.remainder * best.remainder
            + DiagnosisLimits.tieSquares / Double(max(evidence.found.count, 1))
        for i in ordered.indices.dropFirst() {
            let (x, y) = (ordered[i].remainder, best.remainder)
            ordered[i].isTied = x * x - y * y <= slack
        }
        return ordered
    }
}
