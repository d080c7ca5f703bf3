//  bfloat16 models in twelve bits a weight: the numbers of the plain form, less memory, and no
//  trust in what a file says.

import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityQuant

@Suite struct CompactModelTests {
    private let folder: PackingFolder
    private var fixture: ConformanceModel { folder.model }
    private var directory: URL { folder.directory }
    private var file: URL { folder.file }
    private static let matrix = "model.layers.0.mlp.up_proj.weight"

    init() throws { folder = try PackingFolder("m2") }

    /// Every matrix in two bytes a weight, as files of earlier versions are.
    static var plain: PrecisionPlan {
        var plan = PrecisionPlan(uniform: .bfloat16)
        plan[.dt] = .float32
        return plan
    }

    private func quantize(_ source: any TensorSource, _ plan: PrecisionPlan) throws -> PackedCheckpoint {
        try folder.quantize(plan, of: source)
        return try PackedCheckpoint(directory: directory.path)
    }

    private func logits(_ model: QuantModel) throws -> [UInt32] {
        var cache = model.makeCache()
        let ids = try fixture.ids()
        // A prompt of several tiles, then single tokens.
        var rows = try model.extend(&cache, by: Array(ids.prefix(30))).elements
        for id in ids.prefix(3) { rows += try model.extend(&cache, by: [id]).elements }
        return rows.map(\.bitPattern)
    }

    @Test func logitsHaveTheBitsOfThePlainForm() throws {
        let expected = try logits(fixture.fast(QuantOptions(plan: Self.plain)))
        let onTheWay = try fixture.fast(.bf16)
        #expect(onTheWay.plan.base == .compactBFloat16)
        #expect(try logits(onTheWay) == expected)
        var options = QuantOptions(.bf16)
        for plan in [PrecisionPlan(.bf16, group: 0), Self.plain] {
            let packed = try quantize(fixture.checkpoint, plan)
            for isResident in [false, true] {
                options.isResident = isResident
                #expect(try logits(QuantModel(packed, options: options)) == expected, "\(plan.text)")
            }
        }
    }

    @Test func aMatrixTakesThreeQuartersOfThePlainForm() throws {
        let compact = try quantize(fixture.checkpoint, PrecisionPlan(.bf16, group: 0))
        let part = try #require(compact.contents.first { $0.name == "up" })
        #expect(part.format == "bf16-12bit")
        let ratio = Double(part.weightBytes) / Double(2 * part.parameters)
        #expect(ratio > 0.75 && ratio < 0.8, "\(ratio) of two bytes a weight")
        let model = try QuantModel(compact, options: QuantOptions(.bf16))
        let inFile = compact.contents.reduce(0) { $0 + $1.weightBytes + $1.scaleBytes }
        // The model does not count all of its vectors.
        #expect(abs(model.weightBytes - inFile) < 1 << 16, "\(model.weightBytes), in the file \(inFile)")
    }

    /// A checkpoint with other numbers in one matrix.
    private struct Altered: TensorSource {
        let base: Checkpoint
        let numbers: [UInt16]
        var place: String { base.place }
        var names: [String] { base.names }
        func find(_ name: String) -> TensorInfo? { base.find(name) }
        func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
            guard name == CompactModelTests.matrix else { return try base.withBytes(of: name, body) }
            return try numbers.withUnsafeBytes { try body($0) }
        }
    }

    @Test func aMatrixOfManyExponentsStaysPlain() throws {
        let info = try fixture.checkpoint.info(Self.matrix)
        try #require(info.dtype == .bf16)
        // Fifty exponents, all alike frequent.
        let source = Altered(
            base: fixture.checkpoint,
            numbers: (0..<info.shape.reduce(1, *)).map { (i: Int) -> UInt16 in
                let exponent = 80 + (i * 7) % 50
                return UInt16(exponent * 128 + i % 128)
            })
        let expected = try logits(
            QuantModel(
                source, configuration: fixture.checkpoint.configuration, options: QuantOptions(plan: Self.plain)))
        let options = QuantOptions(.bf16)
        #expect(
            try logits(QuantModel(source, configuration: fixture.checkpoint.configuration, options: options))
                == expected)
        let packed = try quantize(source, PrecisionPlan(.bf16, group: 0))
        #expect(packed.file.find(Self.matrix)?.dtype == .bf16)
        #expect(packed.contents.contains { $0.name == "up" && $0.format == "bf16" })
        #expect(try logits(QuantModel(packed, options: options)) == expected)
    }

    /// Numbers that no packing writes: which table, which number of it, what it becomes.
    static let damages: [(table: String, index: Int, value: UInt32)] = [
        ("exponents", 3, 0x3f80_0001), ("exponents", 0, 0xbf80_0000), ("exceptionStarts", 0, 1),
        ("exceptionStarts", 1, .max), ("exceptionStarts", 1, 1 << 20), ("exceptionStarts", 2, 0),
        ("exceptions", 0, .max), ("exceptions", 0, 1 << 31), ("exceptions", 1, 0),
    ]

    @Test(arguments: damages) func damagedTablesAreRefused(table: String, index: Int, value: UInt32) throws {
        // Three exceptions in the first panel, so that every order can be broken.
        let info = try fixture.checkpoint.info(Self.matrix)
        var numbers = (0..<info.shape.reduce(1, *)).map { (i: Int) -> UInt16 in UInt16(0x3c00 + i % 0x0800) }
        for i in 0..<3 { numbers[i * 5] = 0x0100 }
        let packed = try quantize(Altered(base: fixture.checkpoint, numbers: numbers), PrecisionPlan(.bf16, group: 0))
        let name = "\(Self.matrix).\(table)"
        let first = try packed.file.info(name).byteRange.lowerBound + 4 * index
        var bytes = try Data(contentsOf: file)
        withUnsafeBytes(of: value.littleEndian) { bytes.replaceSubrange(first..<first + 4, with: $0) }
        try FileManager.default.removeItem(at: file)
        try bytes.write(to: file)
        let damaged = try PackedCheckpoint(directory: directory.path)
        let error = #expect(throws: InputError.self) { try QuantModel(damaged, options: QuantOptions(.bf16)) }
        #expect(
            error?.kind == .malformed && error?.place.contains(self.file.path) == true, "\(String(describing: error))")
        #expect(error?.place.contains(Self.matrix) == true, "\(String(describing: error))")
        #expect(throws: InputError.self) { try damaged.checkTables() }
    }

    @Test func storedMatricesComeBackAsRounded() throws {
        var random = RandomSource(seed: 5)
        let matrix = try Tensor<Float>(shape: [35, 71], elements: (0..<35 * 71).map { _ in Float(random.normal()) })
        #expect(try matrix.stored(as: .compactBFloat16) == matrix.stored(as: .bfloat16))
    }
}
