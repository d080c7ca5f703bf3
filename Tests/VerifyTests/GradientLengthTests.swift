import DualityCore
import DualityNumerics
import TestSupport
import Testing

@testable import DualityReference
@testable import DualityVerify

/// Every gradient fault of the list is rejected where the last chunk misses a token, is full, or is
/// one token.
@Suite struct GradientLengthTests {
    struct Attempt: Sendable {
        let fault: String
        let results: [String: Tensor<Double>]
    }

    /// Faults of the formulas and of the form in chunks, each in all its shapes.
    static func attempts(_ judge: GradientJudge) throws -> [Attempt] {
        let parts = try GradientParts(judge.inputs, judge.upstream)
        let ofFormulas = try GradientJudge.faults.map { fault -> Attempt in
            let own =
                switch fault.name {
                case "grad-final-state-ignored": try GradientParts(judge.inputs, SSDUpstream(y: judge.upstream.y))
                case "grad-gate-ignored": try GradientParts(judge.inputs, judge.upstream, ignoresGate: true)
                default: parts
                }
            return Attempt(fault: fault.name, results: try own.assembled(fault.name))
        }
        let walker = ChunkedGradients(parts, judge.upstream, chunkSize: judge.chunkSize ?? 32, isLong: false)
        let ofChunks = try ChunkedGradientFault.all.flatMap { fault in
            try fault.variants.map { Attempt(fault: fault.name, results: try walker.parts($0).assembled(nil)) }
        }
        return ofFormulas + ofChunks
    }

    @Test func everyGradientFaultIsRejectedAroundTheChunk() throws {
        var (seen, all): (Set<String>, Set<String>) = ([], [])
        for length in [31, 32, 33] {
            let item = try #require(VectorSuite.gradients.first { $0.name == "grad-length-\(length)" })
            let table = try item.tensors(in: .f32)
            let judge = try GradientJudge(item.call, inputs: table, precision: .inferred)
            let right = try GradientParts(judge.inputs, judge.upstream).assembled(nil)
            let formats = right.mapValues { _ in NumberFormat.f32 }
            let sigma = Dictionary(
                uniqueKeysWithValues: try judge.expect(right, formats: formats).outputs.map { ($0.name, $0.sigma) })
            let attempts = try Self.attempts(judge)
            all.formUnion(attempts.map(\.fault))
            let verdicts = try parallelMap(attempts.count) { i in
                Result { () throws -> (fault: String, effect: Double, verdict: Verdict) in
                    let attempt = attempts[i]
                    let effect =
                        attempt.results.map { name, found in
                            largest(found, right[name] ?? found, sigma[name] ?? found)
                        }.max() ?? 0
                    let report = Verifier(diagnoses: false).verify(
                        item.call, inputs: table, outputs: try GradientJudgeTests.table(attempt.results))
                    return (attempt.fault, effect, report.verdict)
                }
            }.map { try $0.get() }
            let visible = verdicts.filter { $0.effect > Limits.certainSigma }
            seen.formUnion(visible.map(\.fault))
            let missed = visible.filter { $0.verdict != .fail }
            #expect(missed.isEmpty, "length \(length): \(missed)")
        }
        let never = all.subtracting(seen)
        #expect(never.isEmpty, "no effect at any of the three lengths: \(never.sorted())")
    }

    private func largest(_ a: Tensor<Double>, _ b: Tensor<Double>, _ sigma: Tensor<Double>) -> Double {
        a.elements.indices.map { (a.elements[$0] - b.elements[$0]).magnitude / sigma.elements[$0] }.max() ?? 0
    }
}
