//  The conformance checkpoints for the fast engine, with what is expected of them.

import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityQuant

/// The checkpoints that the fast engine can run.
let conformanceModels = ["qwen3_dense", "m2", "m2_rope", "m2_tied", "m2_tied_noqknorm_f32", "swa", "gdn", "gka"]

/// A conformance checkpoint and its expected tensors.
struct ConformanceModel {
    let checkpoint: Checkpoint
    let expected: SafetensorsFile
    private let agreement: JSON

    init(_ name: String) throws {
        checkpoint = try Checkpoint(directory: Fixtures.path("models/\(name)"))
        expected = try SafetensorsFile(path: Fixtures.path("models/\(name)/expected.safetensors"))
        agreement = try JSON(contentsOf: Fixtures.path("models/\(name)/agreement.json"))
    }

    func fast(_ precision: EnginePrecision = .f32, threads: Int = 2, keyValues: KeyValueFormat? = nil) throws
        -> QuantModel
    {
        try fast(QuantOptions(precision, keyValues: keyValues, pool: ThreadPool(threads: threads)))
    }

    func fast(_ options: QuantOptions) throws -> QuantModel {
        try QuantModel(checkpoint, configuration: checkpoint.configuration, options: options)
    }

    func tensor(_ name: String) throws -> Tensor<Double> { try expected.tensor(name) }
    func ids(_ name: String = "input_ids") throws -> [Int] { try expected.integers(name).elements }

    /// Three times the official float32 run's own distance from float64, which is what the
    /// reference is held to.
    func floatLimit(_ figure: String) throws -> Double {
        let relative = agreement["official_f32_vs_f64"]?[figure]?["rel_l2"]?.double
        return 3 * (try #require(relative, "agreement.json has no \(figure)"))
    }

    /// The official bfloat16 run's own distance from float64: what these weights do with roundings
    /// of 2^-9.
    func brainFloatDistance() throws -> Double {
        try #require(agreement["official_bf16_vs_f64"]?["rel_l2"]?.double, "agreement.json has no bf16 run")
    }
}

/// A folder with a conformance checkpoint's configuration, to pack models into; gone with the
/// object.
final class PackingFolder {
    let directory: URL
    let model: ConformanceModel

    init(_ name: String) throws {
        directory = try Fixtures.temporaryDirectory()
        model = try ConformanceModel(name)
        try FileManager.default.copyItem(
            atPath: Fixtures.path("models/\(name)/config.json"),
            toPath: directory.appendingPathComponent("config.json").path)
    }

    deinit { try? FileManager.default.removeItem(at: directory) }

    var file: URL { directory.appendingPathComponent(PackedCheckpoint.fileName) }

    /// Writes the checkpoint, or another source of the same shape, as `plan` says.
    @discardableResult
    func quantize(
        _ plan: PrecisionPlan, of source: (any TensorSource)? = nil, fingerprint: String = "test"
    ) throws -> Quantizer.Outcome {
        try Quantizer(
            source ?? model.checkpoint, configuration: model.checkpoint.configuration, plan: plan,
            fingerprint: fingerprint
        ).write(toDirectory: directory.path) { _, _, _ in }
    }
}

func argmax(_ values: some Collection<Float>) -> Int {
    values.enumerated().max { $0.element < $1.element }?.offset ?? 0
}

/// Cuts 0 ..< count into random pieces.
func randomPieces(of count: Int, upTo longest: Int, _ random: inout RandomSource) -> [Range<Int>] {
    var (pieces, first) = ([Range<Int>](), 0)
    while first < count {
        let length = min(random.integer(in: 1...longest), count - first)
        pieces.append(first..<first + length)
        first += length
    }
    return pieces
}
