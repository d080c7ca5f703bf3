import DualityCore
import DualityReference
import TestSupport
import Testing

@testable import DualityVerify

/// Every fault of the zoo, planted in a kernel that shares no code with the diagnosis, must be rejected and named.
@Suite struct MutationTests {
    /// What came of one fault on one case.
    struct Outcome {
        let fault: ScanFault
        let name: String
        let verdict: Verdict
        /// The largest change the fault makes to the kernel's own output, in units of sigma.
        let effect: Double
        /// Faults that cannot be told apart from the best one, and the best one.
        let best: [String]
        let all: [String]
    }

    static func outcomes(_ faults: [ScanFault], isBFloat16: Bool) throws -> [Outcome] {
        let format: NumberFormat = isBFloat16 ? .bf16 : .f32
        var outcomes: [Outcome] = []
        for item in try MutationCases.all(format) {
            let judge = try ScanJudge(item.call, inputs: item.tensors, precision: .inferred)
            let call = ScanCall(judge.inputs, ids: judge.ids)
            let right = PlantedKernel(fault: nil, chunk: item.chunk, isBFloat16: isBFloat16).run(call)
            let tables = faults.map { fault -> (ScanFault, ScanResult)? in
                // Only faults that are about something in this case.
                guard call.bent(by: fault, variant: 0) != nil else { return nil }
                if fault == .longCumulativeSums && call.length < 200 { return nil }
                // What such a kernel does where a sequence begins inside a chunk depends on how it resets.
                if call.ids != nil && [.chunkStateStale, .lastChunkDropped].contains(fault) { return nil }
                // Ids that never return are told apart by equality well enough.
                if fault == .resetByID && !item.call.name.contains("returning") { return nil }
                return (fault, PlantedKernel(fault: fault, chunk: item.chunk, isBFloat16: isBFloat16).run(call))
            }.compactMap { $0 }
            let packed = call.ids != nil
            let exact = try SSDForm.recurrent.evaluate(judge.inputs)
            let sigma = try judge.arithmetics(["y": format])[0].roundingSigma(for: judge.inputs)
            outcomes += try parallelMap(tables.count) { i in
                Result {
                    let (fault, result) = tables[i]
                    let effect = max(
                        largest(result.y, right.y, sigma.y),
                        largest(result.sequenceStates, right.sequenceStates, sigma.sequenceStates),
                        largest(result.finalState, right.finalState, sigma.finalState))
                    let report = try Verifier().verify(
                        item.call, inputs: item.tensors, outputs: result.table("planted", y: format, packed: packed))
                    let findings = report.diagnosis.findings
                    let tied = findings.prefix(1) + findings.dropFirst().prefix { $0.isTied }
                    _ = exact
                    return Outcome(
                        fault: fault, name: item.call.name, verdict: report.verdict, effect: effect,
                        best: tied.flatMap(\.names), all: report.diagnosis.names)
                }
            }.map { try $0.get() }
        }
        return outcomes
    }

    private static func largest(_ a: Tensor<Double>, _ b: Tensor<Double>, _ sigma: Tensor<Double>) -> Double {
        var worst = 0.0
        for i in a.elements.indices where a.elements[i] != b.elements[i] {
            let ratio = (a.elements[i] - b.elements[i]).magnitude / sigma.elements[i]
            worst = max(worst, ratio.isNaN ? .infinity : ratio)
        }
        return worst
    }

    @Test(arguments: [false, true]) func everyFaultIsRejectedAndNamed(isBFloat16: Bool) throws {
        let faults = ScanFault.allCases.filter { isBFloat16 ? Self.areWrongInBFloat16($0) : true }
        let outcomes = try Self.outcomes(faults, isBFloat16: isBFloat16)
        // A fault that moves the kernel by more than what no right kernel does cannot hide behind rounding.
        let visible = outcomes.filter { $0.effect > Limits.certainSigma }
        let missed = visible.filter { $0.verdict == .pass }
        #expect(missed.isEmpty, "passed: \(missed.map { "\($0.fault.rawValue) on \($0.name), \($0.effect) sigma" })")
        let seen = Set(visible.map(\.fault))
        // Measured, not derived: in bfloat16 these two move none of these small cases by `certainSigma`. Longer ones show them.
        let hidden: Set<ScanFault> = isBFloat16 ? [.dtBFloat16, .aBFloat16Log] : []
        let never = faults.filter { !seen.contains($0) && !hidden.contains($0) }
        #expect(never.isEmpty, "visible in no case: \(never.map(\.rawValue))")
        let named = visible.filter { $0.best.contains($0.fault.rawValue) }
        let score = Double(named.count) / Double(max(visible.count, 1))
        let unnamed = visible.filter { !$0.best.contains($0.fault.rawValue) }
        #expect(
            score >= 0.95,
            "\(named.count) of \(visible.count) named; not: \(unnamed.map { "\($0.fault.rawValue) on \($0.name): \($0.all)" })"
        )
    }

    /// What a kernel of a bfloat16 model does anyway is no fault of it; and A is exact in bfloat16 there.
    private static func areWrongInBFloat16(_ fault: ScanFault) -> Bool {
        ![
            .productsTF32, .productsBFloat16, .operandsBFloat16, .outputBFloat16, .chunkStatesBFloat16,
            .chunkStatesFloat16,
            .longCumulativeSums, .softplusNaive, .stateFloat16, .aBFloat16,
        ].contains(fault)
    }

    @Test(arguments: [false, true]) func aRightKernelPasses(isBFloat16: Bool) throws {
        let format: NumberFormat = isBFloat16 ? .bf16 : .f32
        for item in try MutationCases.all(format) {
            let judge = try ScanJudge(item.call, inputs: item.tensors, precision: .inferred)
            let call = ScanCall(judge.inputs, ids: judge.ids)
            let result = PlantedKernel(fault: nil, chunk: item.chunk, isBFloat16: isBFloat16).run(call)
            let report = try Verifier().verify(
                item.call, inputs: item.tensors, outputs: result.table("right", y: format, packed: call.ids != nil))
            #expect(report.verdict == .pass, "\(item.call.name): \(report.lines)")
        }
    }
}
