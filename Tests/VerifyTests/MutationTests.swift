import DualityCore
import DualityNumerics
import DualityReference
import Foundation
import TestSupport
import Testing

@testable import DualityVerify

/// Every fault of the zoo, planted in a kernel that shares no code with the diagnosis, must be
/// rejected and named.
@Suite struct MutationTests {
    /// What came of one fault on one case.
    struct Outcome {
        let fault: ScanFault
        let name: String
        let verdict: Verdict
        /// The largest change the fault makes to the kernel's own output, in units of the sigma of
        /// the likeliest arithmetic.
        let effect: Double
        /// The same in units of the largest sigma, number by number, of all arithmetics that the
        /// judge lets pass: what no right kernel explains.
        let certainEffect: Double
        /// Faults that cannot be told apart from the best one, and the best one.
        let best: [String]
        let all: [String]
    }

    static func outcomes(
        _ faults: [ScanFault], isBFloat16: Bool, on cases: [MutationCases.Case]
    ) throws -> [Outcome] {
        let format: NumberFormat = isBFloat16 ? .bf16 : .f32
        return try cases.flatMap { item -> [Outcome] in
            let judge = try ScanJudge(item.call, inputs: item.tensors, precision: .inferred)
            let call = ScanCall(judge.inputs, ids: judge.ids)
            let isStep = item.call.kind == .step
            let right = PlantedKernel(fault: nil, chunk: item.chunk, isBFloat16: isBFloat16, isStep: isStep).run(call)
            let planted = faults.filter { fault in
                // Only faults that are about something in this case.
                guard call.bent(by: fault, variant: 0) != nil else { return false }
                if fault == .longCumulativeSums && call.length < 200 { return false }
                // What such a kernel does where a sequence begins inside a chunk depends on how it
                // resets.
                if call.ids != nil && [.chunkStateStale, .lastChunkDropped].contains(fault) { return false }
                // Ids that never return are told apart by equality well enough.
                return fault != .resetByID || item.call.name.contains("returning")
            }
            let packed = call.ids != nil
            let sigmas = try judge.arithmetics(["y": format]).map { try $0.roundingSigma(for: judge.inputs) }
            return try parallelMap(planted.count) { i in
                Result {
                    let fault = planted[i]
                    let kernel = PlantedKernel(
                        fault: fault, chunk: item.chunk, isBFloat16: isBFloat16, isStep: isStep)
                    let result = kernel.run(call)
                    func effect(_ sigmas: ArraySlice<SSDErrorSizes>) -> Double {
                        max(
                            largest(result.y, right.y, sigmas.map(\.y)),
                            largest(result.sequenceStates, right.sequenceStates, sigmas.map(\.sequenceStates)),
                            largest(result.finalState, right.finalState, sigmas.map(\.finalState)))
                    }
                    let report = try Verifier().verify(
                        item.call, inputs: item.tensors, outputs: result.table("planted", y: format, packed: packed))
                    let findings = report.diagnosis.findings
                    let tied = findings.prefix(1) + findings.dropFirst().prefix { $0.isTied }
                    return Outcome(
                        fault: fault, name: item.call.name, verdict: report.verdict, effect: effect(sigmas.prefix(1)),
                        certainEffect: effect(sigmas[...]),
                        best: tied.flatMap(\.names), all: report.diagnosis.names)
                }
            }.map { try $0.get() }
        }
    }

    private static func largest(_ a: Tensor<Double>, _ b: Tensor<Double>, _ sigmas: [Tensor<Double>]) -> Double {
        var worst = 0.0
        for i in a.elements.indices where a.elements[i] != b.elements[i] {
            let sigma = sigmas.reduce(0) { max($0, $1.elements[i]) }
            let ratio = (a.elements[i] - b.elements[i]).magnitude / sigma
            worst = max(worst, ratio.isNaN ? .infinity : ratio)
        }
        return worst
    }

    @Test(arguments: [false, true]) func everyFaultIsRejectedAndNamed(isBFloat16: Bool) throws {
        let faults = ScanFault.allCases.filter { isBFloat16 ? Self.areWrongInBFloat16($0) : true }
        let cases = try MutationCases.small(isBFloat16 ? .bf16 : .f32)
        let outcomes = try Self.outcomes(faults, isBFloat16: isBFloat16, on: cases)
        // A fault that moves the kernel by more than what any right kernel does cannot hide behind
        // rounding. Of those that move it by more than the likeliest kernel errs, few may err as
        // another right kernel does, such as one whose exponentials err together.
        let visible = outcomes.filter { $0.effect > Limits.certainSigma }
        let missed = visible.filter { $0.verdict == .pass }
        let hidden = outcomes.filter { $0.certainEffect > Limits.certainSigma && $0.verdict == .pass }
        func words(_ list: [Outcome]) -> [String] {
            list.map { "\($0.fault.rawValue) on \($0.name), \($0.effect), \($0.certainEffect) sigma" }
        }
        #expect(hidden.isEmpty, "passed: \(words(hidden))")
        #expect(missed.count * 500 <= visible.count, "passed: \(words(missed)) of \(visible.count)")
        let seen = Set(visible.map(\.fault))
        let never = faults.filter { !seen.contains($0) }
        #expect(never.isEmpty, "visible in no case: \(never.map(\.rawValue))")
        let named = visible.filter { $0.best.contains($0.fault.rawValue) }
        let score = Double(named.count) / Double(max(visible.count, 1))
        let unnamed = visible.filter { !$0.best.contains($0.fault.rawValue) }
        #expect(
            score >= 0.95,
            "\(named.count) of \(visible.count) named; not: \(unnamed.map { "\($0.fault.rawValue) on \($0.name): \($0.all)" })"
        )
    }

    /// The whole standard suite, case by case and fault by fault, as a table;
    /// `DUALITY_MUTATIONS=1`, an hour of one core.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["DUALITY_MUTATIONS"] != nil), arguments: [false, true])
    func standardSuite(isBFloat16: Bool) throws {
        let faults = ScanFault.allCases.filter { isBFloat16 ? Self.areWrongInBFloat16($0) : true }
        let cases = try MutationCases.standard(isBFloat16 ? .bf16 : .f32)
        let outcomes = try Self.outcomes(faults, isBFloat16: isBFloat16, on: cases)
        print("\(isBFloat16 ? "bf16" : "f32"), \(cases.count) cases")
        print("| fault | runs | beyond 32 sigma | FAIL | SUSPECT | PASS | named first |\n|---|---|---|---|---|---|---|")
        var (rejected, named) = (0, 0)
        for fault in faults {
            let own = outcomes.filter { $0.fault == fault }
            let wrong = own.filter { $0.verdict != .pass }
            let found = wrong.filter { $0.best.contains(fault.rawValue) }
            (rejected, named) = (rejected + wrong.count, named + found.count)
            let verdicts = Verdict.allCases.dropFirst().reversed().map { verdict in
                "\(own.count { $0.verdict == verdict })"
            }
            print(
                "| `\(fault.rawValue)` | \(own.count) | \(own.count { $0.effect > Limits.certainSigma }) "
                    + "| \(verdicts.joined(separator: " | ")) | \(found.count) of \(wrong.count) |")
            for miss in wrong where !miss.best.contains(fault.rawValue) {
                print(
                    "    - \(miss.name): \(miss.verdict.rawValue), \(figure(miss.effect)) sigma, \(miss.all.prefix(4))")
            }
        }
        print("\(named) of \(rejected) named first")
        let visible = outcomes.filter { $0.effect > Limits.certainSigma }
        let hidden = visible.filter { $0.verdict != .fail }
        let passed = hidden.filter { $0.verdict == .pass }
        print(
            "\(visible.count) beyond \(figure(Limits.certainSigma)) sigma of the likeliest arithmetic: "
                + "\(visible.count - hidden.count) FAIL, \(hidden.count - passed.count) SUSPECT, \(passed.count) PASS")
        for item in hidden {
            print(
                "    - \(item.fault.rawValue) on \(item.name): \(item.verdict.rawValue), \(figure(item.effect)) sigma")
        }
        // A kernel with another order of sums may err by as much as some faults do; by more than
        // any order's sigma none does, and none passes.
        let certain = outcomes.filter { $0.certainEffect > Limits.certainSigma && $0.verdict == .pass }
        #expect(certain.isEmpty, "passed: \(certain.map { "\($0.fault.rawValue) on \($0.name)" })")
        #expect(Double(passed.count) <= 0.01 * Double(visible.count))
        #expect(Double(named) >= 0.95 * Double(rejected))
    }

    /// What a kernel of a bfloat16 model does anyway is no fault of it; and A is exact in bfloat16
    /// there.
    private static func areWrongInBFloat16(_ fault: ScanFault) -> Bool {
        ![
            .productsTF32, .productsBFloat16, .operandsBFloat16, .outputBFloat16, .chunkStatesBFloat16,
            .chunkStatesFloat16,
            .longCumulativeSums, .softplusNaive, .stateFloat16, .aBFloat16,
        ].contains(fault)
    }

    @Test(arguments: [false, true]) func aRightKernelPasses(isBFloat16: Bool) throws {
        let format: NumberFormat = isBFloat16 ? .bf16 : .f32
        for item in try MutationCases.small(format) {
            let judge = try ScanJudge(item.call, inputs: item.tensors, precision: .inferred)
            let call = ScanCall(judge.inputs, ids: judge.ids)
            let result = PlantedKernel(fault: nil, chunk: item.chunk, isBFloat16: isBFloat16).run(call)
            let report = try Verifier().verify(
                item.call, inputs: item.tensors, outputs: result.table("right", y: format, packed: call.ids != nil))
            #expect(report.verdict == .pass, "\(item.call.name): \(report.lines)")
        }
    }
}
