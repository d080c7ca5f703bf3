//  Quantized models on the disk: the same numbers as when they are made on the way, whole or not
//  there, refused when they are something else.

import DualityCore
import DualityMeasure
import Foundation
import TestSupport
import Testing

@testable import DualityQuant

@Suite struct PackedModelTests {
    private let folder: PackingFolder
    private var fixture: ConformanceModel { folder.model }
    private var directory: URL { folder.directory }
    private var file: URL { folder.file }

    init() throws { folder = try PackingFolder("m2") }

    @discardableResult
    private func quantize(_ plan: PrecisionPlan, fingerprint: String = "m2") throws -> Quantizer.Outcome {
        try folder.quantize(plan, fingerprint: fingerprint)
    }

    private func logits(_ model: QuantModel) throws -> [Float] {
        var cache = model.makeCache()
        return try model.extend(&cache, by: Array(fixture.ids().prefix(30))).elements
    }

    @Test(arguments: [
        PrecisionPlan(.int8, group: 0), PrecisionPlan(.int8, group: 32), PrecisionPlan(.bf16, group: 0),
        CompactModelTests.plain,
        PrecisionPlan(.f32, group: 0),
    ])
    func aPackedModelIsTheOneQuantizedOnTheWay(plan: PrecisionPlan) throws {
        let outcome = try quantize(plan)
        #expect(outcome.matrices.allSatisfy { $0.error < 0.02 }, "\(outcome.matrices)")
        let packed = try PackedCheckpoint(directory: directory.path)
        #expect(packed.plan == plan)
        var options = QuantOptions(plan: plan)
        let expected = try logits(fixture.fast(options))
        let mapped = try QuantModel(packed, options: options)
        #expect(try logits(mapped) == expected)
        options.isResident = true
        #expect(try logits(QuantModel(packed, options: options)) == expected)
        // What was promised before is what is there.
        let inventory = try PackedInventory(packed.configuration, plan)
        #expect(outcome.byteCount - inventory.byteCount < 1 << 16)
        #expect(abs(mapped.weightBytes - inventory.byteCount) < 1 << 16)
    }

    @Test func anInterruptedRunGoesOnBehindItsLastWholeTensor() throws {
        try quantize(PrecisionPlan(.int8, group: 0))
        let whole = try Data(contentsOf: file)
        let partial = file.path + ".part"
        for cut in [whole.count / 3, whole.count - 1] {
            try FileManager.default.removeItem(at: file)
            try whole.prefix(cut).write(to: URL(fileURLWithPath: partial))
            let outcome = try quantize(PrecisionPlan(.int8, group: 0))
            #expect(outcome.resumedTensors > 0)
            #expect(try Data(contentsOf: file) == whole)
            #expect(!FileManager.default.fileExists(atPath: partial))
        }
        // What another source or another format left is not gone on with.
        for (plan, fingerprint) in [
            (PrecisionPlan(.int8, group: 0), "another"), (PrecisionPlan(.bf16, group: 0), "m2"),
        ] {
            try whole.prefix(whole.count / 2).write(to: URL(fileURLWithPath: partial))
            #expect(try quantize(plan, fingerprint: fingerprint).resumedTensors == 0)
        }
    }

    @Test func aFileOfAnotherLayoutOrModelIsRefused() throws {
        try quantize(PrecisionPlan(.int8, group: 0))
        var bytes = try Data(contentsOf: file)
        let range = try #require(bytes.range(of: Data("version 1".utf8)))
        bytes.replaceSubrange(range, with: Data("version 9".utf8))
        try bytes.write(to: file)
        let layout = #expect(throws: InputError.self) { try PackedCheckpoint(directory: self.directory.path) }
        #expect(layout?.kind == .unsupported && layout?.place.hasSuffix("layout") == true)

        try quantize(PrecisionPlan(.int8, group: 0))
        let config = directory.appendingPathComponent("config.json")
        try FileManager.default.removeItem(at: config)
        try FileManager.default.copyItem(atPath: Fixtures.path("models/m2_rope/config.json"), toPath: config.path)
        #expect(throws: InputError.self) { try PackedCheckpoint(directory: self.directory.path) }
    }

    @Test func aPlanSurvivesItsText() throws {
        var plan = PrecisionPlan(.int8, group: 64)
        plan[.down] = .bfloat16
        #expect(plan.text == "int8/64; down bf16; dt f32")
        #expect(try PrecisionPlan(text: plan.text, place: "test") == plan)
        for text in ["", "int7", "int8/7", "int8; gate", "int8; nothing f32"] {
            #expect(throws: InputError.self) { try PrecisionPlan(text: text, place: "test") }
        }
    }

    @Test func syntheticWeightsAreSeededAndRun() throws {
        var configuration = fixture.checkpoint.configuration
        configuration.layers = [.attention, .mamba2]
        let tokens = Array(0..<20)
        func run(_ seed: UInt64) throws -> [Float] {
            let source = try SyntheticCheckpoint(configuration, seed: seed)
            let model = try QuantModel(source, configuration: configuration, options: QuantOptions(.int8))
            var cache = model.makeCache()
            return try model.extend(&cache, by: tokens).elements
        }
        let first = try run(1)
        #expect(first.allSatisfy { $0.isFinite })
        #expect(try run(1) == first)
        #expect(try run(2) != first)
    }

    @Test func knownShapesAreWhatTheirConfigurationsSay() throws {
        for shape in KnownShape.all {
            let read = try HybridConfiguration(json: shape.json)
            #expect(read.layers == shape.configuration.layers && read.innerSize == shape.configuration.innerSize)
            #expect(read.tiedEmbeddings == shape.configuration.tiedEmbeddings && read.rope == shape.configuration.rope)
        }
        // The published count of the 8B hybrid.
        let requirements = try WeightContract(KnownShape.named("hqwen3-8b").configuration).requirements
        #expect(requirements.reduce(0) { $0 + $1.count } == 8_495_712_960)
        #expect(throws: InputError.self) { try KnownShape.named("qwen3-9b") }
    }

    @Test func tooLittleMemoryIsSaidWithWhatWouldFit() throws {
        let configuration = try KnownShape.named("hqwen3-8b").configuration
        let need = try MemoryNeed(
            configuration, plan: PrecisionPlan(.bf16, group: 0), keyValues: .bf16, tokens: 32768, threads: 2)
        // 8.5e9 weights in 12 bits; keys and values 73,728 bytes a token; states 36 MiB and more.
        #expect(abs(Double(need.weights) - 12.75e9) < 0.1e9, "\(need.weights)")
        let expected = 32768.0 * 73728.0 + 45e6
        #expect(abs(Double(need.cache) - expected) < 20e6, "\(need.cache)")
        func complaint(_ available: Int) -> InputError? {
            do {
                try need.check(
                    available: available, configuration: configuration, keyValues: .bf16, place: "m", threads: 2)
                return nil
            } catch {
                return error
            }
        }
        #expect(complaint(need.total) == nil)
        #expect(complaint(need.total - (1 << 30))?.remedy.hasPrefix("A context of ") == true)
        #expect(complaint(11 << 30)?.remedy.contains("--precision int8 would fit") == true)
        #expect(complaint(1 << 30)?.remedy.contains("No precision") == true)
    }
}
