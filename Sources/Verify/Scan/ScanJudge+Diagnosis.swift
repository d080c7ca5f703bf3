//  Which part of a scan's outputs a diagnosis looks at, and what the declared arithmetic excuses.

import DualityCore
import DualityNumerics
import DualityReference

extension ScanJudge {
    func diagnose(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation], seeksPairs: Bool
    ) -> Diagnosis {
        // On large operands a part has to do: the heads that err most and the one that errs least,
        // and some of their channels.
        let (heads, channels) = representatives(found, expectations)
        let call = ScanCall(inputs, ids: ids)
        func view(_ heads: [Int], _ channels: [Int]) -> ScanView {
            ScanView(call, found, expectations, heads: heads, channels: channels)
        }
        let worst = heads.max { headError($0, found, expectations) < headError($1, found, expectations) } ?? 0
        let whole = view(heads, channels)
        let isSmall = heads.count * channels.count <= WorkLimits.unscreenedColumns
        let screen = isSmall ? whole : view([worst], screenChannels(of: worst, channels, found, expectations))
        var diagnosis = ScanDiagnosis(
            view: whole, screen: screen, chunkSize: chunkSize ?? DiagnosisLimits.usualChunk, allowed: allowedFaults,
            seeksPairs: seeksPairs)
        var result = diagnosis.run()
        if result.findings.isEmpty && channels.count < inputs.headDim && inputs.headDim == inputs.stateDim {
            // A transposition mixes channels, and takes all those of a head.
            let head = view([worst], Array(0..<inputs.headDim))
            diagnosis = ScanDiagnosis(
                view: head, screen: head, chunkSize: chunkSize ?? DiagnosisLimits.usualChunk, allowed: allowedFaults,
                candidates: [.stateTransposed, .initialStateTransposed], seeksPairs: false)
            result = diagnosis.run()
        }
        return result
    }

    private var work: Int { inputs.batch * inputs.length * inputs.heads * inputs.headDim * inputs.stateDim }

    /// The channel of a head that errs most, and some more.
    private func screenChannels(
        of head: Int, _ channels: [Int], _ found: [String: Tensor<Double>], _ expectations: [Expectation]
    ) -> [Int] {
        var errors = [Double](repeating: 0, count: inputs.headDim)
        for expected in expectations {
            guard let tensor = found[expected.name], let heads = expected.reader(.head),
                let channel = expected.reader(.channel)
            else { continue }
            for i in tensor.elements.indices where heads(i) == head {
                let square = FaultEvidence.square(
                    tensor.elements[i] - expected.exact.elements[i], expected.sigma.elements[i])
                errors[channel(i)] = max(errors[channel(i)], square)
            }
        }
        let worst = channels.max { errors[$0] < errors[$1] } ?? 0
        let count = min(WorkLimits.screenChannels, channels.count)
        return Set((0..<count).map { channels[$0 * channels.count / count] } + [worst]).sorted()
    }

    private func representatives(
        _ found: [String: Tensor<Double>], _ expectations: [Expectation]
    ) -> (heads: [Int], channels: [Int]) {
        let budget = WorkLimits.diagnosis
        guard work > budget else { return (Array(0..<inputs.heads), Array(0..<inputs.headDim)) }
        let perChannel = max(inputs.batch * inputs.length * inputs.stateDim, 1)
        let channelCount = min(
            inputs.headDim, max(budget / (perChannel * min(inputs.heads, WorkLimits.diagnosisHeads)), 2))
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
