//  The logits of the embedded model, bit for bit: one hash a format, whatever the processor.

import DualityCore
import DualityKernels
import TestSupport
import Testing

@testable import DualityQuant

@Suite struct LogitBitsTests {
    /// FNV-1a over the bits of 96 rows of logits. They change when the arithmetic of a format
    /// does, and then on purpose.
    static let hashes: [EnginePrecision: UInt64] = [
        .f32: 0x178d_5c20_b26d_8820, .bf16: 0xfcf_dbcb_afdb_f3eb, .bf16Dot: 0x1e21_6767_340e_1368,
        .bf16Split: 0x33b1_33f0_7c99_3efb, .int8: 0x5c25_6ca4_8f3f_f7b1, .int4: 0xe3ba_502e_5ce9_e757,
        .int4Mixed: 0x4d32_cf08_a2a5_b693,
    ]

    static let tables = [DK_SCALAR, DK_AVX2, DK_AVX512, DK_NEON, DK_AMX].filter { dk_kernels_for($0) != nil }

    @Test(arguments: EnginePrecision.allCases) func everyTableHasTheBitsOfTheFormat(precision: EnginePrecision) throws {
        let checkpoint = try Checkpoint(directory: Fixtures.embeddedModel)
        let tokens = (0..<96).map { ($0 * 37 + 11) % checkpoint.configuration.vocabularySize }
        let expected = try #require(Self.hashes[precision], "a format without a hash")
        for isa in Self.tables {
            let hash = try KernelTable.$forced.withValue(isa) { () throws -> UInt64 in
                let plan = PrecisionPlan(precision, for: checkpoint.configuration)
                let model = try QuantModel(
                    checkpoint, configuration: checkpoint.configuration,
                    options: QuantOptions(plan: plan, pool: ThreadPool(threads: 2)))
                var cache = model.makeCache()
                return Self.hash(try model.extend(&cache, by: tokens).elements)
            }
            #expect(
                hash == expected,
                "\(precision.rawValue), table \(isa.rawValue): 0x\(String(hash, radix: 16)), not 0x\(String(expected, radix: 16))"
            )
        }
    }

    private static func hash(_ numbers: [Float]) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for number in numbers {
            for shift in stride(from: 0, to: 32, by: 8) {
                hash = (hash ^ UInt64(number.bitPattern >> shift & 255)) &* 0x100_0000_01b3
            }
        }
        return hash
    }
}
