import DualityCore
import DualityNumerics
import DualityReference
import Foundation
import Testing

@testable import DualityVerify

/// Right and planted kernels of the gated delta rule and of attention backwards, on as many cases
/// as FamilyCampaignTests has, and where it has them.
@Suite struct BackwardCampaignTests {
    private static let environment = FamilyCampaignTests.environment

    private static func kernels(
        of format: NumberFormat
    ) -> (delta: [DeltaBackwardKernel], attention: [AttentionBackwardKernel]) {
        let delta = [
            DeltaBackwardKernel(), DeltaBackwardKernel(chunk: 16), DeltaBackwardKernel(chunk: 64),
            DeltaBackwardKernel(chunk: 32),
        ]
        let attention = [AttentionBackwardKernel(), AttentionBackwardKernel(block: 64)]
        guard format == .bf16 else { return (delta, attention) }
        let narrow = [
            DeltaBackwardKernel(chunk: 16, isNarrow: true), DeltaBackwardKernel(chunk: 64, isNarrow: true),
        ]
        let stored = [AttentionBackwardKernel(isNarrow: true), AttentionBackwardKernel(block: 64, isNarrow: true)]
        return (delta + narrow, attention + stored)
    }

    @Test(
        .enabled(if: environment["DUALITY_FAMILY_CASES"] != nil), arguments: FamilyCampaignTests.formats, [true, false])
    func rightKernelsPass(format: NumberFormat, isDelta: Bool) throws {
        let count = Self.environment["DUALITY_FAMILY_CASES"].flatMap { Int($0) } ?? 0
        var random = RandomSource(seed: 37)
        let generated = (0..<count).map { i in
            isDelta
                ? FamilyCampaignTests.delta(i, &random, isBackward: true)
                : FamilyCampaignTests.attention(i, &random, isBackward: true)
        }
        let items = generated + (isDelta ? VectorSuite.deltaGradients : VectorSuite.attentionGradients)
        let (deltas, attentions) = Self.kernels(of: format)
        let reports = try parallelMap(items.count) { i in
            Result {
                isDelta
                    ? try FamilyCampaignTests.report(deltas[i % deltas.count], items[i], format)
                    : try FamilyCampaignTests.report(attentions[i % attentions.count], items[i], format)
            }
        }.map { try $0.get() }
        FamilyCampaignTests.expectAllPass(reports, "\(isDelta ? "delta" : "attention") backwards, \(format)")
    }

    @Test(.enabled(if: environment["DUALITY_MUTATIONS"] != nil), arguments: FamilyCampaignTests.formats, [true, false])
    func standardSuite(format: NumberFormat, isDelta: Bool) throws {
        func isFault(_ plant: String, _ usual: Set<String>) -> Bool { format == .f32 || !usual.contains(plant) }
        let (seen, rejected) =
            isDelta
            ? try FamilyCampaignTests.mutate(
                DeltaBackwardKernel.planted.filter { isFault($0.mistake, DeltaBackwardKernel.usualInBFloat16) },
                [.gatedDeltaGradients], format)
            : try FamilyCampaignTests.mutate(
                AttentionBackwardKernel.planted.filter { isFault($0.mistake, AttentionBackwardKernel.usualInBFloat16) },
                [.attentionGradients], format)
        #expect(Double(seen.count { $0.verdict == .fail }) >= 0.99 * Double(seen.count))
        #expect(rejected.shareNamed >= 0.95)
    }
}
