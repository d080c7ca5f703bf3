import DualityCore
import DualityNumerics
import DualityReference
import Foundation
import Testing

@testable import DualityVerify

/// Right kernels and planted faults of the gated delta rule and of attention, on as many generated
/// cases as `DUALITY_FAMILY_CASES` says and, with `DUALITY_MUTATIONS=1`, on all of the standard
/// suite.
@Suite struct FamilyCampaignTests {
    static let environment = ProcessInfo.processInfo.environment
    static let formats: [NumberFormat] = [.f32, .bf16]

    /// - Parameter isBackward: whether the case is one of gradients.
    static func delta(_ i: Int, _ random: inout RandomSource, isBackward: Bool = false) -> VectorCase {
        func pick<T>(_ choices: [T]) -> T { choices[Int(random.next() % UInt64(choices.count))] }
        var item = DeltaCase()
        (item.keyDim, item.valueDim) = (pick([1, 4, 8, 16, 24, 32]), pick([1, 5, 8, 16, 32]))
        (item.keyHeads, item.heads) = pick([(1, 1), (1, 2), (2, 2), (2, 4)])
        (item.length, item.batch, item.chunkSize) = (
            pick([1, 3, 17, 40, 70, 130]), pick([1, 1, 2]), pick([16, 32, 64])
        )
        item.decay = pick([1e-8, 1e-3, 0.02, 0.2, 1, 20])
        item.beta = pick([0.05...0.95, 1e-4...1e-3, 0.9...1, 1...2, 0...1])
        (item.stateScale, item.normalizes) = (pick([0, 0.5, 100]), pick([true, true, false]))
        (item.keyNorm, item.rawScale) = (pick([0.3, 1, 1.3]), pick([1, 1, 2e-4, 100]))
        item.keys = pick([.random, .random, .repeated, .aligned, .sparse])
        if item.batch == 1 && item.length > 20 && pick([true, false]) { item.cuts = [5, item.length / 2] }
        let drawn = item
        let isStep = pick([true, false, false, false])
        let kind: CaseKind = isBackward ? .gatedDeltaGradients : isStep ? .gatedDeltaStep : .gatedDelta
        return .delta("family-\(i)", "", kind: kind) { $0 = drawn }
    }

    static func attention(_ i: Int, _ random: inout RandomSource, isBackward: Bool = false) -> VectorCase {
        func pick<T>(_ choices: [T]) -> T { choices[Int(random.next() % UInt64(choices.count))] }
        let (heads, shared) = pick([(1, 1), (2, 1), (4, 2), (3, 3)])
        var options: [String: String] = [:]
        if pick([true, false, false]) { options["window"] = "\(pick([1, 7, 40]))" }
        if options["window"] != nil, pick([true, false]) { options["sink_tokens"] = "\(pick([1, 5]))" }
        if pick([true, false, false, false]) { options["causal"] = "false" }
        if pick([true, false, false, false]) { options["scale"] = "\(pick([0.03, 0.6, 1]))" }
        return VectorSuite.attention(
            "family-\(i)", "", kind: isBackward ? .attentionGradients : .attention, length: pick([1, 5, 20, 65]),
            cache: pick([0, 0, 30, 90]), heads: heads, shared: shared,
            width: pick([1, 8, 16, 48]), values: pick([1, 8, 33]), batch: pick([1, 1, 2]),
            size: pick([0.01, 1, 1, 4, 16, 100]), sinks: pick([true, false, false]), options)
    }

    private static func kernels(of format: NumberFormat) -> (delta: [DeltaKernel], attention: [AttentionKernel]) {
        let delta = [DeltaKernel(), DeltaKernel(chunk: 16), DeltaKernel(chunk: 64), DeltaKernel(chunk: 32)]
        let attention = [AttentionKernel(), AttentionKernel(block: 64), AttentionKernel(block: 16)]
        guard format == .bf16 else { return (delta, attention) }
        let narrow = [
            DeltaKernel(chunk: 16, isNarrow: true), DeltaKernel(chunk: 64, isNarrow: true),
            DeltaKernel(hasNarrowNorms: true), DeltaKernel(chunk: 64, hasNarrowNorms: true),
        ]
        let stored = [AttentionKernel(isNarrow: true), AttentionKernel(block: 64, isNarrow: true)]
        return (delta + narrow, attention + stored)
    }

    static func report<Kernel: FamilyKernel>(
        _ kernel: Kernel, _ item: VectorCase, _ format: NumberFormat
    ) throws -> (report: CaseReport, kernel: String) {
        let inputs = try item.tensors(in: format)
        let outputs = try Kernel.table(kernel.outputs(inputs, item.options), format)
        let report = Verifier(diagnoses: false).verify(item.call, inputs: inputs, outputs: outputs)
        return (report, "\(kernel)")
    }

    @Test(.enabled(if: environment["DUALITY_FAMILY_CASES"] != nil), arguments: formats, [true, false])
    func rightKernelsPass(format: NumberFormat, isDelta: Bool) throws {
        let count = Self.environment["DUALITY_FAMILY_CASES"].flatMap { Int($0) } ?? 0
        var random = RandomSource(seed: 31)
        let items = (0..<count).map { i in isDelta ? Self.delta(i, &random) : Self.attention(i, &random) }
        let (deltas, attentions) = Self.kernels(of: format)
        let reports = try parallelMap(count) { i in
            Result {
                guard isDelta else {
                    return try Self.report(attentions[i % attentions.count], items[i], format)
                }
                var kernel = deltas[i % deltas.count]
                if items[i].kind == .gatedDeltaStep { (kernel.chunk, kernel.isNarrow) = (nil, false) }
                return try Self.report(kernel, items[i], format)
            }
        }.map { try $0.get() }
        Self.expectAllPass(reports, "\(isDelta ? "delta" : "attention"), \(format)")
    }

    /// Every report says PASS; prints the largest errors of all.
    static func expectAllPass(_ reports: [(report: CaseReport, kernel: String)], _ name: String) {
        let wrong = reports.filter { $0.report.verdict != .pass }
        let outputs = reports.flatMap(\.report.outputs)
        let sigmas = outputs.map(\.errorOverSigma).sorted()
        let figures = [0.5, 0.99, 1].map { sigmas[min(Int($0 * Double(sigmas.count)), sigmas.count - 1)] }
        print(
            "\(name), \(reports.count) right kernels: \(wrong.count) not PASS; error / bound "
                + "\(outputs.compactMap(\.errorOverBound).max() ?? 0); error / sigma at 50, 99, 100 %: \(figures)")
        let worst = reports.max { a, b in a.report.largestOverSigma < b.report.largestOverSigma }
        print("    the largest: \(worst.map { "\($0.kernel) on \($0.report.name)" } ?? "none")")
        let words = wrong.map { "\($0.kernel) on \($0.report.name): \($0.report.reasons) \($0.report.problems)" }
        #expect(wrong.isEmpty, "\(words.prefix(20))")
    }

    /// All planted kernels on all cases of the standard suite of these kinds.
    static func mutate<Kernel: FamilyKernel>(
        _ kernels: [Kernel], _ kinds: [CaseKind], _ format: NumberFormat
    ) throws -> (seen: [FamilyOutcome], rejected: [FamilyOutcome]) {
        let items = VectorSuite.standard.cases.filter { kinds.contains($0.kind) }
        let outcomes = try Kernel.outcomes(kernels, on: items, format)
        let seen = outcomes.filter { $0.certainEffect > Limits.certainSigma }
        let rejected = outcomes.filter { $0.verdict > .pass }
        let failed = seen.count { $0.verdict == .fail }
        print("\(kinds[0].rawValue), \(format): \(seen.count) beyond 32 sigma, \(failed) FAIL")
        print("    not FAIL: \(seen.filter { $0.verdict != .fail }.map(\.words))")
        print("    \(rejected.count) rejected, \(rejected.named.count) named first; not \(rejected.unnamed)")
        return (seen, rejected)
    }

    @Test(.enabled(if: environment["DUALITY_MUTATIONS"] != nil), arguments: formats, [true, false])
    func standardSuite(format: NumberFormat, isDelta: Bool) throws {
        func isFault(_ plant: String, _ usual: Set<String>) -> Bool { format == .f32 || !usual.contains(plant) }
        let deltas = DeltaKernel.planted.filter { isFault($0.plant, DeltaKernel.usualInBFloat16) }
        let attentions = AttentionKernel.planted.filter { isFault($0.plant, AttentionKernel.usualInBFloat16) }
        let (seen, rejected) =
            isDelta
            ? try Self.mutate(deltas, [.gatedDelta, .gatedDeltaStep], format)
            : try Self.mutate(attentions, [.attention], format)
        #expect(Double(seen.count { $0.verdict == .fail }) >= 0.99 * Double(seen.count))
        #expect(rejected.shareNamed >= 0.95)
    }
}
