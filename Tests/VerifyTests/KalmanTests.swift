import DualityCore
import DualityNumerics
import Foundation
import TestSupport
import Testing

@testable import DualityReference
@testable import DualityVerify

/// Gated KalmaNet: its forms agree, right kernels pass, faults are rejected and named.
///
/// A few cases here; `DUALITY_KALMAN=all` takes the whole suite.
@Suite struct KalmanTests {
    static let isThorough = ProcessInfo.processInfo.environment["DUALITY_KALMAN"] != nil

    /// The suite's cases, made so small that debug builds compute them in no time.
    static let tiny: [VectorCase] = [
        tiny("length") { _ in },
        tiny("packed") { ($0.cuts, $0.decay) = ([1, 4, 6], 0.01) },
        tiny("packed-no-state") { ($0.cuts, $0.stateScale) = ([3, 7], 0) },
        tiny("steps") { ($0.length, $0.batch, $0.iterations) = (2, 2, 6) },
        tiny("ridge") { ($0.ridge, $0.iterations) = (0.1, 3) },
        tiny("ridge-0") { ($0.ridge, $0.iterations) = (0, 3) },
        tiny("short") { ($0.normalizes, $0.keyNorm) = (false, 0.3) },
        tiny("gram-not-decayed") { ($0.decaysGram, $0.decay) = (false, 0.3) },
        tiny("shared") { ($0.heads, $0.keyHeads, $0.valueHeads, $0.length) = (4, 2, 2, 5) },
        tiny("bare") { ($0.alpha, $0.beta, $0.decay, $0.stateScale) = (nil, nil, nil, 0) },
        tiny("not-solved") { $0.iterations = 0 },
        tiny("aligned") { ($0.keys, $0.stateScale, $0.iterations) = (.aligned, 0, 8) },
        tiny("vanishing") { ($0.beta, $0.stateScale) = (0...1e-6, 0) },
    ]
    static let small = isThorough ? VectorSuite.kalman : tiny

    private static func tiny(_ name: String, _ describe: @escaping (inout KalmanCase) -> Void) -> VectorCase {
        .kalman("kalman-tiny-\(name)", "") { item in
            (item.length, item.heads, item.keyHeads, item.valueHeads) = (9, 2, 2, 2)
            (item.keyDim, item.valueDim, item.chunkSize, item.iterations) = (4, 4, 4, 4)
            describe(&item)
        }
    }

    static func chosen(_ names: String...) -> [VectorCase] {
        tiny.filter { names.map { "kalman-tiny-" + $0 }.contains($0.name) }
    }

    static func table(_ outputs: [String: Tensor<Double>], _ format: NumberFormat) throws -> TensorTable {
        try KalmanKernel.table(outputs, format)
    }

    static func operands(_ item: VectorCase, _ table: TensorTable) throws -> KalmanOperands<Double> {
        try KalmanJudge(item.call, inputs: table, precision: .inferred).operands
    }

    static func difference(_ a: Tensor<Double>, _ b: Tensor<Double>) -> Double {
        let size = a.elements.map(\.magnitude).max() ?? 0
        let largest = zip(a.elements, b.elements).map { ($0 - $1).magnitude }.max() ?? 0
        return largest / max(size, 1e-300)
    }

    @Test func theChunkedFormIsTheRecurrence() throws {
        for item in Self.small {
            let operands = try Self.operands(item, item.tensors(in: .f32))
            let exact = operands.evaluate(.recurrent)
            for size in [3, 16] {
                let other = operands.evaluate(.chunked(size: size))
                let largest = max(
                    Self.difference(exact.o, other.o), Self.difference(exact.gram, other.gram),
                    Self.difference(exact.memory, other.memory))
                #expect(largest < 1e-11, "\(item.name), chunks of \(size): \(largest)")
            }
        }
    }

    /// The certificate: in twice the precision the same numbers come out.
    @Test func doubleDoubleCertifiesTheOracle() throws {
        for item in Self.small {
            let operands = try Self.operands(item, item.tensors(in: .f32))
            let exact = operands.evaluate(.recurrent)
            let wide = operands.converted(to: DoubleDouble.self).evaluate(.recurrent)
            let largest = max(
                Self.difference(exact.o, wide.o.converted()), Self.difference(exact.gram, wide.gram.converted()),
                Self.difference(exact.memory, wide.memory.converted()))
            #expect(largest < 1e-13, "\(item.name): \(largest)")
        }
    }

    @Test func theLayersRuleIsTheOperator() throws {
        for item in Self.chosen("length", "gram-not-decayed", "not-solved") {
            let operands = try Self.operands(item, item.tensors(in: .f32))
            let shape = [operands.tokens, operands.heads * operands.keyDim]
            let rule = GatedKalmaRule(
                q: try operands.q.reshaped(shape), k: try operands.k.reshaped(shape),
                v: try operands.v.reshaped(shape), alpha: operands.alpha, beta: operands.beta,
                logDecay: operands.logDecay, decaysGram: operands.decaysGram, ridge: operands.ridge,
                solver: .chebyshev(iterations: operands.iterations), headDim: operands.keyDim)
            let states = [operands.heads, operands.keyDim, operands.keyDim]
            var gram = try #require(try operands.gram?.reshaped(states))
            var memory = try #require(try operands.memory?.reshaped(states))
            let o = rule.evaluate(.recurrent, gram: &gram, memory: &memory)
            let exact = operands.evaluate(.recurrent)
            let largest = max(
                Self.difference(exact.o, o), Self.difference(exact.gram, gram),
                Self.difference(exact.memory, memory))
            #expect(largest < 1e-13, "\(item.name): \(largest)")
        }
    }

    /// What a step adds grows as it is said to: the iteration itself, perturbed in every step.
    @Test(arguments: [0.02, 0.5]) func errorsOfStepsGrowAsSaid(ridge: Double) {
        let (rho, steps) = (1 / (1 + 2 * ridge), 30)
        // The spectrum's low end, where all errors of one sign add up.
        for end in [rho, -rho] {
            var (omega, error, before) = (2.0, 1.0, 0.0)
            for step in 0..<steps {
                omega = 1 / (1 - rho * rho / 4 * omega)
                let own = end > 0 || step % 2 == 1 ? 1.0 : -1
                (error, before) = (omega * end * error + (1 - omega) * before + own, error)
            }
            let most = SolverErrors.amplification(ridge: ridge, iterations: steps)
            #expect(error.magnitude <= most * (1 + 1e-12) && error.magnitude > most * 0.999, "\(error) of \(most)")
        }
    }

    @Test(arguments: [NumberFormat.f32, .bf16]) func rightKernelsPass(format: NumberFormat) throws {
        for (i, item) in Self.small.enumerated() {
            let inputs = try item.tensors(in: format)
            let kernels = KalmanKernel.right(format, chunk: item.options["chunk_size"].flatMap { Int($0) } ?? 64)
            for (kernel, precision) in Self.isThorough ? kernels : [kernels[i % kernels.count]] {
                let outputs = try Self.table(kernel(inputs, item.options), format)
                let report = Verifier(precision: try .init(named: precision), diagnoses: false).verify(
                    item.call, inputs: inputs, outputs: outputs)
                #expect(
                    report.verdict == .pass, "\(item.name), \(kernel), \(precision ?? "inferred"): \(report.lines)")
            }
        }
    }

    /// Chunks that nobody proposed, and operands that are stored twice.
    @Test func kernelsThatTheCallDoesNotProposePass() throws {
        let item = VectorCase.kalman("kalman-tiny-long", "") {
            ($0.length, $0.keyDim, $0.valueDim, $0.chunkSize, $0.iterations) = (70, 2, 2, 5, 2)
        }
        let inputs = try item.tensors(in: .f32)
        for chunk in [16, 64] {
            let outputs = try Self.table(KalmanKernel(chunk: chunk)(inputs, item.options), .f32)
            let report = Verifier(diagnoses: false).verify(item.call, inputs: inputs, outputs: outputs)
            #expect(report.verdict == .pass, "chunks of \(chunk): \(report.lines)")
        }
    }

    @Test func aDeclaredArithmeticJudges() throws {
        let item = try #require(Self.chosen("length").first)
        let inputs = try item.tensors(in: .bf16)
        let kernel = KalmanKernel(chunk: 4, narrowness: .everything)
        let outputs = try Self.table(kernel(inputs, item.options), .bf16)
        func verify(_ name: String) throws -> CaseReport {
            Verifier(precision: try DeclaredPrecision(parsing: name), diagnoses: false).verify(
                item.call, inputs: inputs, outputs: outputs)
        }
        let right = try verify("hmf_gated_kalmanet,form=chunked:4")
        #expect(right.verdict == .pass, "\(right.lines)")
        #expect(try verify("gated_kalmanet_f32_inside").verdict == .fail)
        #expect(try verify("ggml").problems.contains { $0.contains("kalman") })
        #expect(right.remarks.contains { $0.contains("1 + 1 / ridge = 51") }, "\(right.remarks)")
    }

    @Test(arguments: [NumberFormat.f32, .bf16]) func plantedFaultsAreRejectedAndNamed(format: NumberFormat) throws {
        // Every plant on the cases that are its own turn, or on all.
        let kernels = KalmanKernel.planted
        var outcomes: [FamilyOutcome] = []
        for (i, item) in Self.small.enumerated() {
            let own = Self.isThorough ? kernels : kernels.indices.filter { ($0 + i) % 7 == 0 }.map { kernels[$0] }
            outcomes += try KalmanKernel.outcomes(own, on: [item], format)
        }
        let visible = outcomes.filter { $0.certainEffect > Limits.certainSigma }
        let rejected = visible.filter { $0.verdict != .pass }
        let words = "\(format): \(rejected.count) of \(visible.count) rejected, \(visible.named.count) named first"
        if Self.isThorough { print(words) }
        #expect(Double(rejected.count) >= 0.99 * Double(visible.count), "\(words)")
        #expect(visible.shareNamed >= 0.95, "\(words); not \(visible.unnamed)")
    }
}

extension DeclaredPrecision {
    /// A declaration, or none.
    init(named name: String?) throws {
        guard let name else {
            self = .inferred
            return
        }
        try self.init(parsing: name)
    }
}
