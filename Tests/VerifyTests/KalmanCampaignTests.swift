import DualityCore
import DualityNumerics
import DualityReference
import Foundation
import Testing

@testable import DualityVerify

/// Right kernels of Gated KalmaNet on generated cases: a few, or as many as `DUALITY_FAMILY_CASES`
/// says.
@Suite struct KalmanCampaignTests {
    static func kalman(_ i: Int, _ random: inout RandomSource) -> VectorCase {
        func pick<T>(_ choices: [T]) -> T { choices[Int(random.next() % UInt64(choices.count))] }
        var item = KalmanCase()
        (item.keyDim, item.valueDim) = (pick([1, 4, 8, 13, 16, 24]), pick([1, 5, 8, 16]))
        (item.heads, item.keyHeads, item.valueHeads) = pick([(1, 1, 1), (2, 2, 2), (4, 2, 2), (2, 1, 2), (3, 3, 1)])
        (item.length, item.batch, item.chunkSize) = (pick([1, 2, 9, 33, 65]), pick([1, 1, 2]), pick([4, 16, 64]))
        item.decay = pick([nil, 1e-8, 1e-3, 0.05, 0.5, 20])
        item.alpha = pick([nil, 0.05...0.95, 1e-4...1e-3, 1...1])
        item.beta = pick([nil, 0.05...0.95, 1e-4...1e-3, 0.9...1])
        item.decaysGram = pick([true, true, false])
        item.stateScale = pick([0, 0.5, 20])
        (item.normalizes, item.keyNorm) = (pick([true, true, false]), pick([0.3, 1, 1.3]))
        item.rawScale = pick([1, 1, 2e-4, 100])
        item.keys = pick([.random, .random, .repeated, .aligned, .sparse])
        (item.iterations, item.ridge) = (pick([0, 1, 4, 10, 30]), pick([0.005, 0.02, 0.02, 0.2, 1]))
        item.scale = pick([nil, nil, 0.3, 1])
        if item.batch == 1 && item.length > 20 && pick([true, false]) { item.cuts = [5, item.length / 2] }
        let drawn = item
        return .kalman("kalman-\(i)", "") { $0 = drawn }
    }

    @Test(arguments: FamilyCampaignTests.formats) func rightKernelsPass(format: NumberFormat) throws {
        let count = FamilyCampaignTests.environment["DUALITY_FAMILY_CASES"].flatMap { Int($0) } ?? 24
        var random = RandomSource(seed: 41)
        let items = (0..<count).map { Self.kalman($0, &random) }
        let reports = try parallelMap(count) { i in
            Result {
                let item = items[i]
                let inputs = try item.tensors(in: format)
                let size = item.options["chunk_size"].flatMap { Int($0) } ?? 64
                let kernels = KalmanKernel.right(format, chunk: size)
                let (kernel, precision) = kernels[i % kernels.count]
                let outputs = try KalmanKernel.table(kernel(inputs, item.options), format)
                let verifier = Verifier(precision: try .init(named: precision), diagnoses: false)
                return (report: verifier.verify(item.call, inputs: inputs, outputs: outputs), kernel: "\(kernel)")
            }
        }.map { try $0.get() }
        FamilyCampaignTests.expectAllPass(reports, "kalman, \(format)")
    }
}
