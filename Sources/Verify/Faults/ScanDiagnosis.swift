//  The search for the fault of a scan: every fault alone, at other chunk sizes, in some heads or channels only, in pairs.

import DualityCore
import DualityReference

struct ScanDiagnosis: Sendable {
    let call: ScanCall
    let evidence: FaultEvidence
    let chunkSize: Int
    /// Faults that the kernel's declared arithmetic makes right.
    let allowed: Set<ScanFault>
    /// The faults that are tried.
    var candidates = ScanFault.allCases

    /// Pairs are sought only where that is cheap.
    var seeksPairs: Bool

    func run() -> Diagnosis {
        let all = candidates.filter { !allowed.contains($0) }
        var trials = all.flatMap { attempts(at: $0, chunkSize: chunkSize) }
        var findings = FaultTrial.whole(trials, evidence)
        if findings.isEmpty {
            for size in [16, 32, 64, 128, 256] where size != chunkSize && size < call.length && findings.isEmpty {
                let more = all.filter(\.dependsOnChunks).flatMap { attempts(at: $0, chunkSize: size) }
                findings = FaultTrial.whole(more, evidence)
                trials += more
            }
        }
        if findings.isEmpty { findings = narrowStates(trials) }
        if findings.isEmpty { findings = FaultTrial.partial(trials, evidence) }
        if findings.isEmpty && seeksPairs { findings = pairFindings(trials) }
        return Diagnosis(findings: findings)
    }

    private func attempts(at fault: ScanFault, chunkSize: Int) -> [FaultTrial] {
        (0..<fault.variants).compactMap { variant in
            score([fault], variant: variant, chunkSize: chunkSize).map {
                FaultTrial(
                    name: fault.rawValue, isOfPrecision: fault.isOfPrecision,
                    partialName: fault == .skipMissing ? ScanFault.skipMissingSomeChannels.rawValue : fault.rawValue,
                    fault: fault, variant: variant, chunkSize: chunkSize, score: $0)
            }
        }
    }

    private func score(_ faults: [ScanFault], variant: Int, chunkSize: Int) -> FaultScore? {
        guard let scan = FaultyScan(call, faults, variant: variant, chunkSize: chunkSize) else {
            return nil
        }
        let result = scan.run()
        return evidence.gather { result[$0] }.map { evidence.score($0) }
    }

    /// A float32 state all of whose numbers are exact in a narrow format was stored in it, whatever else blurs the picture.
    private func narrowStates(_ trials: [FaultTrial]) -> [Finding] {
        for (fault, format) in [(ScanFault.stateBFloat16, NumberFormat.bf16), (.stateFloat16, .f16)] {
            let numbers = evidence.outputs.indices.filter { evidence.outputs[$0].name != "y" }.flatMap {
                evidence.values(of: $0)
            }
            .filter { $0 != 0 && $0.isFinite }
            guard numbers.count >= 16, numbers.allSatisfy({ format.round($0) == $0 }), !allowed.contains(fault),
                let best = trials.filter({ $0.fault == fault }).min(by: { $0.score.remainder < $1.score.remainder })
            else { continue }
            return [
                Finding(
                    names: [fault.rawValue], scope: "all states are \(format.name) numbers",
                    remainder: best.score.remainder.squareRoot(), worst: best.score.worst.squareRoot(),
                    explained: best.score.explained)
            ]
        }
        return []
    }

    /// Two faults at once: those that explain most, each with every other.
    private func pairFindings(_ trials: [FaultTrial]) -> [Finding] {
        let seeds = trials.filter { $0.score.changes }.sorted { $0.score.remainder < $1.score.remainder }.prefix(4)
        var findings: [Finding] = []
        var tried: Set<Set<ScanFault>> = []
        for seed in seeds {
            for other in ScanFault.allCases where other != seed.fault && !allowed.contains(other) {
                guard let fault = seed.fault, tried.insert([fault, other]).inserted,
                    let score = score([fault, other], variant: seed.variant, chunkSize: seed.chunkSize),
                    score.isExplanation
                else { continue }
                findings.append(
                    Finding(
                        names: [fault.rawValue, other.rawValue], scope: nil,
                        remainder: score.remainder.squareRoot(),
                        worst: score.worst.squareRoot(), explained: score.explained))
            }
        }
        return Array(FaultTrial.ranked(findings, evidence).prefix(3))
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

extension ScanJudge {
    func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], seeksPairs: Bool
    ) -> Diagnosis {
        // On large operands a part has to do: the heads that err most and the one that errs least, and some of their channels,
        // on which nothing else depends.
        let (heads, channels) = representatives(found, expectations)
        var diagnosis = self.diagnosis(found, expectations, heads, channels)
        let isWhole = heads.count == inputs.heads && channels.count == inputs.headDim
        diagnosis.seeksPairs = seeksPairs && isWhole && work < 3_000_000
        var result = diagnosis.run()
        if result.findings.isEmpty && channels.count < inputs.headDim && inputs.headDim == inputs.stateDim,
            let worst = heads.max(by: { headError($0, found, expectations) < headError($1, found, expectations) })
        {
            // A transposition mixes channels, and takes all those of a head.
            diagnosis = self.diagnosis(found, expectations, [worst], Array(0..<inputs.headDim))
            diagnosis.candidates = [.stateTransposed, .initialStateTransposed]
            result = diagnosis.run()
        }
        return result
    }

    private var work: Int { inputs.batch * inputs.length * inputs.heads * inputs.headDim * inputs.stateDim }

    private func diagnosis(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], _ heads: [Int], _ channels: [Int]
    ) -> ScanDiagnosis {
        func cut(_ tensor: Tensor<Double>, _ name: String) -> Tensor<Double> {
            let axis = name == "y" ? 2 : 1
            return tensor.selecting(heads, axis: axis).selecting(channels, axis: axis + 1)
        }
        var call = ScanCall(inputs, ids: ids)
        let isWhole = heads.count == inputs.heads && channels.count == inputs.headDim
        var (values, expected) = (found, expectations)
        if !isWhole {
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
        return ScanDiagnosis(
            call: call, evidence: evidence, chunkSize: chunkSize ?? 256, allowed: allowedFaults, seeksPairs: false)
    }

    private func representatives(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation]
    ) -> (heads: [Int], channels: [Int]) {
        let budget = 12_000_000
        guard work > budget else { return (Array(0..<inputs.heads), Array(0..<inputs.headDim)) }
        let perChannel = max(inputs.batch * inputs.length * inputs.stateDim, 1)
        let channelCount = min(inputs.headDim, max(budget / (perChannel * min(inputs.heads, 6)), 2))
        let headCount = min(inputs.heads, max(budget / (perChannel * channelCount), 2))
        let errors = (0..<inputs.heads).map { headError($0, found, expectations) }
        let ordered = (0..<inputs.heads).sorted { errors[$0] > errors[$1] }
        let heads =
            headCount == inputs.heads ? ordered : Array(ordered.prefix(headCount - 1)) + [ordered[inputs.heads - 1]]
        // Spread over the head, so that a fault of some channels is seen.
        let channels = (0..<channelCount).map { $0 * inputs.headDim / channelCount }
        return (heads.sorted(), channels)
    }

    private func headError(_ head: Int, _ found: [String: Tensor<Double>], _ expectations: [Expectation]) -> Double {
        var worst = 0.0
        for expected in expectations {
            guard let tensor = found[expected.name], let reader = expected.reader(.head) else { continue }
            for first in stride(from: head * reader.inner, to: tensor.count, by: reader.inner * reader.length) {
                for i in first..<first + reader.inner {
                    worst = max(
                        worst,
                        FaultEvidence.square(
                            tensor.elements[i] - expected.exact.elements[i], expected.sigma.elements[i]))
                }
            }
        }
        return worst
    }

    /// What the declared arithmetic allows is not a fault.
    private var allowedFaults: Set<ScanFault> {
        var allowed: Set<ScanFault> = []
        let arithmetic = arithmetics([:])[0]
        if arithmetic.softplus == .naive { allowed.insert(.softplusNaive) }
        func narrow(_ format: NumberFormat) -> Bool { !format.holds(.f32) }
        if narrow(arithmetic.products) {
            allowed.formUnion([.productsTF32, .productsBFloat16, .operandsBFloat16])
        }
        if narrow(arithmetic.chunkStates) { allowed.formUnion([.chunkStatesBFloat16, .chunkStatesFloat16]) }
        if narrow(arithmetic.state) { allowed.formUnion([.stateBFloat16, .stateFloat16]) }
        if narrow(arithmetic.output) { allowed.insert(.outputBFloat16) }
        if narrow(arithmetic.steps) { allowed.insert(.dtBFloat16) }
        return allowed
    }
}
