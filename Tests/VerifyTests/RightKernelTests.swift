import DualityCore
import DualityNumerics
import DualityReference
import Foundation
import TestSupport
import Testing

@testable import DualityVerify

/// Kernels that are right, of every precision and chunk size, are never rejected.
///
/// A few hundred cases here; `DUALITY_CASES=10000` runs that many.
@Suite struct RightKernelTests {
    struct Outcome: Sendable {
        let verdict: Verdict
        let bound: Double
        let sigma: Double
        let words: String
    }

    enum Kernel: String, CaseIterable, Sendable {
        case recurrent, chunked, otherChunks, associative, bfloat16, bfloat16Scaled, bfloat16Steps, float16
        case fusedRecurrent, fusedRecurrentFloat32, gatedLater

        var format: NumberFormat {
            switch self {
            case .bfloat16, .bfloat16Scaled, .bfloat16Steps, .fusedRecurrent, .gatedLater: .bf16
            case .float16: .f16
            default: .f32
            }
        }

        func run(_ inputs: SSDInputs<Double>, chunk: Int) throws -> ScanResult {
            func narrow(_ form: SSDForm) throws -> ScanResult {
                let outputs = try form.evaluate(inputs.converted(to: Float.self))
                var result = ScanResult(like: ScanCall(inputs))
                result.y = outputs.y.converted()
                result.finalState = outputs.finalState.converted()
                result.sequenceStates = outputs.sequenceStates.converted()
                return result
            }
            switch self {
            case .recurrent: return try narrow(.recurrent)
            case .chunked: return try narrow(.chunked(size: chunk))
            case .otherChunks: return try narrow(.chunked(size: [16, 64, 256][chunk % 3]))
            case .associative: return try narrow(.associative(tree: .balanced, leaf: 1))
            case .bfloat16, .bfloat16Scaled, .float16, .gatedLater:
                var arithmetic = KernelArithmetic.mambaChunkScan(format, chunkSize: max(chunk, 16))
                arithmetic.parameters = .f32
                arithmetic.softplus = .accurate
                if self == .bfloat16Scaled { arithmetic.scaledInput = .bf16 }
                if self == .gatedLater { arithmetic = arithmetic.gatedLater }
                return ScanResult(try arithmetic.emulate(inputs))
            case .fusedRecurrent, .fusedRecurrentFloat32:
                let devices = TableExponential.examples
                let kernel = FusedRecurrentKernel(
                    exponential: devices[chunk % devices.count], isBFloat16: self == .fusedRecurrent)
                return ScanResult(try kernel(inputs))
            case .bfloat16Steps:
                var arithmetic = KernelArithmetic.mambaStateUpdate(.bf16)
                arithmetic.parameters = .f32
                arithmetic.softplus = .accurate
                return ScanResult(try arithmetic.emulate(inputs))
            }
        }
    }

    static func judge(_ item: SSDCase, _ kernel: Kernel) throws -> Outcome {
        let table = try ScanOperands(item).table(item.description, in: kernel.format)
        var options = ["dt_softplus": "\(item.softplus)", "chunk_size": "\(max(item.chunkSize, 16))"]
        if item.limited { options["dt_limit"] = "0.25,0.75" }
        let call = CallDescription(name: item.description, kind: .scan, options: options)
        let judge = try ScanJudge(call, inputs: table, precision: .inferred)
        let result = try kernel.run(judge.inputs, chunk: item.chunkSize)
        let report = try Verifier(diagnoses: false).verify(
            call, inputs: table,
            outputs: result.table("right", y: kernel.format, packed: judge.inputs.packing != nil))
        let lines = report.outputs.filter { $0.verdict != .pass }.map { "\($0.name): \($0.reason)" }
        return Outcome(
            verdict: report.verdict, bound: report.outputs.compactMap(\.errorOverBound).max() ?? 0,
            sigma: report.outputs.map(\.errorOverSigma).max() ?? 0,
            words: "\(kernel) on \(item): \((lines + report.problems).joined(separator: "; "))")
    }

    /// A tree multiplies decays before they meet the state; here their product is subnormal and the
    /// state 1e15.
    @Test func decaysMayUnderflowBeforeTheyMeetTheState() throws {
        let item = try #require(
            SSDCase(
                "seed=151547755373596 B=2 L=127 Q=3 H=8 Hx=8 Gb=2 Gc=1 P=3 N=7 decay=2.2350608232985127 state=1e15 D=head "
                    + "z=1 bias=1 values=sparse limit=0.25,0.75"))
        let outcome = try Self.judge(item, .associative)
        #expect(outcome.verdict == .pass, "\(outcome.words)")
    }

    /// A state that its exponentials alone decay, token by token: the suite's cases of it, as a GPU
    /// runs them.
    @Test(arguments: [nil, "fla-recurrent"])
    func aFusedRecurrencePasses(declared: String?) throws {
        let precision =
            try declared.map { text throws(InputError) in try DeclaredPrecision(parsing: text) } ?? .inferred
        for item in VectorSuite.standard.cases where ["state-huge", "state-dominant", "decay-1e-3"].contains(item.name)
        {
            let table = try item.tensors(in: .bf16)
            let judge = try ScanJudge(item.call, inputs: table, precision: precision)
            for (i, device) in TableExponential.examples.enumerated() {
                let result = ScanResult(
                    try FusedRecurrentKernel(exponential: device, isBFloat16: true)(judge.inputs))
                let report = Verifier(precision: precision, diagnoses: false).verify(
                    item.call, inputs: table, outputs: try result.table("right", y: .bf16, packed: false))
                #expect(report.verdict == .pass, "\(item.name), device \(i): \(report)")
            }
        }
    }

    /// What is stored in bfloat16 before it is gated passes by the name of such a kernel, and not
    /// by one that says otherwise.
    @Test func aGateAfterRoundingPasses() throws {
        let arithmetic = try #require(DeclaredPrecision(parsing: "vllm").declared)
        // D x is most of y, so that the roundings at the ends are most of the error.
        let item = VectorCase.scan("gated", "") {
            ($0.gate, $0.skip) = (true, .channel)
        } adjust: { operands, _ in
            operands.change("D") { $1 * 256 }
        }
        let table = try item.tensors(in: .bf16)
        let judge = try ScanJudge(item.call, inputs: table, precision: .inferred)
        let result = try ScanResult(arithmetic.emulate(judge.inputs)).table("right", y: .bf16, packed: false)
        func verdict(_ name: String?) throws -> Verdict {
            let precision =
                try name.map { text throws(InputError) in try DeclaredPrecision(parsing: text) } ?? .inferred
            return Verifier(precision: precision, diagnoses: false).verify(item.call, inputs: table, outputs: result)
                .verdict
        }
        for name in [nil, "vllm", "mamba_ssm", "fla"] { #expect(try verdict(name) == .pass, "\(name ?? "inferred")") }
        #expect(try verdict("vllm,gate=none") == .fail)
    }

    @Test func rightKernelsAreNeverRejected() throws {
        let full = ProcessInfo.processInfo.environment["DUALITY_CASES"].flatMap { Int($0) }
        let count = full ?? 220
        // Files of operands hold equal groups of heads.
        let generated = SSDCaseGenerator(seed: 77, budget: full == nil ? 30_000 : 120_000)
        let cases = Array(generated.lazy.filter { $0.map == .grouped }.prefix(count))
        let outcomes = try parallelMap(count) { i in
            Result { try Self.judge(cases[i], Kernel.allCases[i % Kernel.allCases.count]) }
        }.map { try $0.get() }
        let rejected = outcomes.filter { $0.verdict == .fail }
        #expect(rejected.isEmpty, "\(rejected.map(\.words).joined(separator: "\n"))")
        let suspected = outcomes.filter { $0.verdict == .suspect }
        #expect(
            suspected.isEmpty,
            "\(suspected.count) suspected:\n\(suspected.map(\.words).joined(separator: "\n"))")
        if full != nil {
            let sigmas = outcomes.map(\.sigma).sorted()
            let figures = [0.5, 0.9, 0.99, 0.999, 1].map { sigmas[min(Int($0 * Double(count)), count - 1)] }
            print(
                "\(count) cases: \(suspected.count) SUSPECT, \(rejected.count) FAIL; largest error/bound "
                    + "\(outcomes.map(\.bound).max() ?? 0); error/sigma at 50, 90, 99, 99.9, 100 %: \(figures)")
        }
    }
}
