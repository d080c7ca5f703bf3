//  Rounding that knows what matrices read: the factors, the loss, and the same bits however it is
//  run.

import DualityCore
import DualityKernels
import Foundation
import TestSupport
import Testing

@testable import DualityQuant

@Suite struct CalibrationTests {
    private let kernels: KernelTable
    private let pool = ThreadPool(threads: 2)

    init() throws { kernels = try KernelTable.active() }

    /// Inputs that go together: mixtures of a few sources, and noise.
    private func inputs(_ count: Int, columns: Int, seed: UInt64) -> [Float] {
        var random = RandomSource(seed: seed)
        let sources = columns / 4 + 1
        let mixing = (0..<sources * columns).map { _ in random.normal() }
        var x = [Float]()
        for _ in 0..<count {
            let parts = (0..<sources).map { _ in random.normal() }
            for k in 0..<columns {
                let sum = (0..<sources).reduce(0.0) { $0 + parts[$1] * mixing[$1 * columns + k] }
                x.append(Float(sum + 0.3 * random.normal()))
            }
        }
        return x
    }

    private func moments(_ x: [Float], columns: Int, threads: Int = 2) -> SecondMoments {
        let sums = SecondMoments(columns: columns, kernels: kernels, pool: ThreadPool(threads: threads))
        let rows = x.count / columns
        for first in stride(from: 0, to: rows, by: 70) {
            x.withUnsafeBufferPointer {
                sums.add($0.baseAddress! + first * columns, stride: columns, rows: min(70, rows - first))
            }
        }
        return sums
    }

    @Test(arguments: [1, 33, 64, 100, 150]) func theFactorsMakeTheSecondMoments(columns: Int) {
        let x = inputs(300, columns: columns, seed: 1)
        let sums = moments(x, columns: columns)
        var h = (0..<columns * columns).map { place -> Double in
            let (i, j) = (place / columns, place % columns)
            return (0..<300).reduce(0.0) { $0 + Double(x[$1 * columns + i]) * Double(x[$1 * columns + j]) }
        }
        let mean = (0..<columns).reduce(0.0) { $0 + h[$1 * columns + $1] } / Double(columns)
        for k in 0..<columns { h[k * columns + k] += 0.01 * mean }
        let feedback = Feedback(sums, kernels: kernels, pool: pool)
        // (U + I) D (U + I)ᵀ, up to the mean of D.
        func u(_ j: Int, _ k: Int) -> Double {
            j == k ? 1 : j < k ? Double(feedback.factor[j * columns + k]) : 0
        }
        var product = [Double](repeating: 0, count: columns * columns)
        for i in 0..<columns {
            for j in i..<columns {
                product[i * columns + j] = (j..<columns).reduce(0) {
                    $0 + u(i, $1) * Double(feedback.importance[$1]) * u(j, $1)
                }
            }
        }
        let scale = h[0] / product[0]
        var worst = 0.0
        for i in 0..<columns {
            for j in i..<columns { worst = max(worst, abs(product[i * columns + j] * scale - h[i * columns + j])) }
        }
        #expect(worst < 1e-4 * mean, "\(worst / mean)")
    }

    @Test func inputsThatWereNeverSeenAreNoTrouble() {
        var x = inputs(40, columns: 96, seed: 2)
        for t in 0..<40 {
            x[t * 96 + 5] = 0
            x[t * 96 + 6] = .nan
        }
        let feedback = Feedback(moments(x, columns: 96), kernels: kernels, pool: pool)
        #expect(feedback.importance.allSatisfy { $0.isFinite && $0 > 0 })
    }

    /// The loss that calibration is for: the mean square of what a product is off by.
    @Test func makingUpForErrorsLosesLess() throws {
        let (rows, columns) = (70, 200)
        var random = RandomSource(seed: 3)
        let w = (0..<rows * columns).map { _ in Float(random.normal()) }
        let (seen, fresh) = (inputs(600, columns: columns, seed: 4), inputs(600, columns: columns, seed: 4))
        let source = try OneMatrix(w, rows: rows, columns: columns)
        let weights = try CheckpointWeights(source, pool: pool)
        let packer = try MatrixPacker(weights, name: "w.weight", rows: nil, format: .int4(group: 32))
        let (codes, scales) = (
            AlignedMemory(byteCount: packer.weightBytes), AlignedMemory(byteCount: packer.scaleBytes)
        )
        func loss() -> Double {
            let matrix = PackedMatrix(
                rows: rows, columns: columns, format: .int4(group: 32),
                weights: WeightBytes(codes, byteCount: packer.weightBytes),
                scales: WeightBytes(scales, byteCount: packer.scaleBytes))
            var (sum, row) = (0.0, [Float](repeating: 0, count: columns))
            for m in 0..<rows {
                row.withUnsafeMutableBufferPointer { matrix.row(m, kernels, into: $0.baseAddress!) }
                for t in 0..<200 {
                    let off = (0..<columns).reduce(0.0) {
                        $0 + Double(row[$1] - w[m * columns + $1]) * Double(fresh[t * columns + $1])
                    }
                    sum += off * off
                }
            }
            return sum
        }
        try packer.pack(into: codes.base, scales: scales.base)
        let plain = loss()
        let feedback = Feedback(moments(seen, columns: columns), kernels: kernels, pool: pool)
        try packer.pack(group: 32, feedback, into: codes.base, scales: scales.base)
        let calibrated = loss()
        #expect(calibrated < 0.5 * plain, "\(calibrated / plain)")
    }

    @Test(arguments: ["m2", "qwen3_dense", "gdn"]) func threadsAndInterruptionsChangeNoByte(name: String) throws {
        let folder = try PackingFolder(name)
        let configuration = folder.model.checkpoint.configuration
        let ids = try folder.model.ids()
        let text = try CalibrationText((0..<700).map { ids[$0 % ids.count] }, contextLimit: nil)
        let plan = PrecisionPlan(.int4, group: 32)
        func quantize(threads: Int) throws -> Quantizer.Outcome {
            try Quantizer(
                folder.model.checkpoint, configuration: configuration, plan: plan, fingerprint: "test",
                calibration: text, pool: ThreadPool(threads: threads)
            ).write(toDirectory: folder.directory.path) { _, _, _ in }
        }
        _ = try quantize(threads: 1)
        let whole = try Data(contentsOf: folder.file)
        let stream = folder.directory.appendingPathComponent("calibration.part").path
        #expect(!FileManager.default.fileExists(atPath: stream))
        for cut in [whole.count / 3, whole.count - 1] {
            try FileManager.default.removeItem(at: folder.file)
            try whole.prefix(cut).write(to: URL(fileURLWithPath: folder.file.path + ".part"))
            #expect(try quantize(threads: 3).resumedTensors > 0)
            #expect(try Data(contentsOf: folder.file) == whole)
        }
        // It is another file than without a text, and a model.
        try folder.quantize(plan)
        #expect(try Data(contentsOf: folder.file) != whole)
        try whole.write(to: folder.file)
        let model = try QuantModel(
            PackedCheckpoint(directory: folder.directory.path), options: QuantOptions(plan: plan))
        var cache = model.makeCache()
        #expect(try model.extend(&cache, by: Array(ids.prefix(9))).elements.allSatisfy { $0.isFinite })
    }
}

/// A source with one matrix.
private struct OneMatrix: TensorSource {
    let place = "test"
    private let numbers: [Float]
    private let info: TensorInfo

    init(_ numbers: [Float], rows: Int, columns: Int) throws {
        self.numbers = numbers
        info = TensorInfo(
            name: "w.weight", dtype: .f32, shape: [rows, columns], byteRange: 0..<4 * numbers.count)
    }

    var names: [String] { ["w.weight"] }
    func find(_ name: String) -> TensorInfo? { name == info.name ? info : nil }
    func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        try numbers.withUnsafeBytes { try body($0) }
    }
}
