//  A token changes no bit of the logits before it, whatever numbers it brings.

import DualityCore
import DualityKernels
import TestSupport
import Testing

@testable import DualityQuant

@Suite struct QuantCausalityTests {
    /// A checkpoint in which the embedding of one token has a number of its own.
    private struct Planted: TensorSource {
        let checkpoint: any TensorSource
        let token: Int
        let number: Float

        var place: String { checkpoint.place }
        var names: [String] { checkpoint.names }
        private let embedding = "model.embed_tokens.weight"

        init(_ checkpoint: any TensorSource, token: Int, number: Float) {
            (self.checkpoint, self.token, self.number) = (checkpoint, token, number)
        }

        func find(_ name: String) -> TensorInfo? { checkpoint.find(name) }

        func withBytes<Result>(of name: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
            guard name == embedding else { return try checkpoint.withBytes(of: name, body) }
            let info = try checkpoint.info(name)
            var bytes = try checkpoint.withBytes(of: name) { Array($0) }
            let place = token * info.shape[1] + 1
            switch info.dtype {
            case .bf16:
                let bits = UInt16(number.bitPattern >> 16)
                (bytes[2 * place], bytes[2 * place + 1]) = (UInt8(bits & 255), UInt8(bits >> 8))
            default:
                withUnsafeBytes(of: number.bitPattern.littleEndian) { number in
                    for i in 0..<4 { bytes[4 * place + i] = number[i] }
                }
            }
            return try bytes.withUnsafeBytes(body)
        }
    }

    static let numbers: [Float] = [.nan, .infinity, -.infinity, Float(bitPattern: 0x0001_0000)]

    /// NaN, infinities and a subnormal at every token of two prompts: one from the beginning, one
    /// behind 56 tokens that crosses into the second chunk of the scan.
    @Test(arguments: LogitBitsTests.tables.map(\.rawValue), [EnginePrecision.f32, .bf16, .int8])
    func aTokenChangesNothingBeforeIt(isa: UInt32, precision: EnginePrecision) throws {
        let fixture = try ConformanceModel("m2")
        let (odd, length) = (17, 16)
        try KernelTable.$forced.withValue(dk_isa(rawValue: isa)) {
            var options = QuantOptions(precision, pool: ThreadPool(threads: 1))
            options.allowsNonFinite = true
            let plain = try fixture.fast(options)
            let planted = try Self.numbers.map { number in
                try QuantModel(
                    Planted(fixture.checkpoint, token: odd, number: number),
                    configuration: fixture.checkpoint.configuration, options: options)
            }
            for depth in [0, 56] {
                var start = plain.makeCache()
                if depth > 0 { _ = try plain.extend(&start, by: (0..<depth).map { 20 + $0 * 7 }, logits: .none) }
                let tokens = (0..<length).map { 20 + $0 * 31 }
                let clean = try Self.bits(plain, start, tokens, [length])
                for (number, model) in zip(Self.numbers, planted) {
                    for token in 0..<length {
                        var ids = tokens
                        ids[token] = odd
                        let whole = try Self.bits(model, start, ids, [length])
                        let changed = zip(clean.prefix(token * clean.count / length), whole).count { $0 != $1 }
                        #expect(changed == 0, "\(number) at \(depth) + \(token): \(changed) logits before it changed")
                        // Pieces are tried where they begin and end beside the token.
                        guard token % 5 == 3 else { continue }
                        let pieces = try Self.bits(model, start, ids, [token, 1, length - token - 1])
                        #expect(pieces == whole, "\(number) at \(depth) + \(token): other bits in pieces")
                    }
                }
            }
        }
    }

    /// The same of the other kinds of layer; the prompt crosses a chunk, and windows of 5 tokens.
    @Test(
        arguments: OddModel.all.filter { ["GDN", "GKA", "BMF of M2", "BMF of GKA, untied", "SWA"].contains($0.name) },
        [EnginePrecision.f32, .int8])
    func noKindLetsATokenReachWhatIsBeforeIt(odd: OddModel, precision: EnginePrecision) throws {
        var options = QuantOptions(plan: PrecisionPlan(precision, group: 32), pool: ThreadPool(threads: 1))
        options.allowsNonFinite = true
        let checkpoint = try odd.checkpoint()
        let plain = try QuantModel(checkpoint, configuration: odd.configuration, options: options)
        let strange = odd.configuration.vocabularySize - 1
        let (length, tokens) = (72, (0..<72).map { ($0 * 7 + 1) % (odd.configuration.vocabularySize - 1) })
        let clean = try Self.bits(plain, plain.makeCache(), tokens, [length])
        for number in [Float.nan, .infinity] {
            let model = try QuantModel(
                Planted(checkpoint, token: strange, number: number), configuration: odd.configuration,
                options: options)
            for token in [0, 3, 30, 63, 64, 71] {
                var ids = tokens
                ids[token] = strange
                let whole = try Self.bits(model, model.makeCache(), ids, [length])
                let changed = zip(clean.prefix(token * clean.count / length), whole).count { $0 != $1 }
                #expect(changed == 0, "\(number) at \(token): \(changed) logits before it changed")
                let pieces = try Self.bits(model, model.makeCache(), ids, [token, 1, length - token - 1])
                #expect(pieces == whole, "\(number) at \(token): other bits in pieces")
            }
        }
    }

    /// The logits of `tokens` behind `start`, fed in pieces.
    private static func bits(_ model: QuantModel, _ start: QuantCache, _ tokens: [Int], _ pieces: [Int]) throws
        -> [UInt32]
    {
        var (cache, first, bits) = (start, 0, [UInt32]())
        for count in pieces where count > 0 {
            bits += try model.extend(&cache, by: Array(tokens[first..<first + count])).elements.map(\.bitPattern)
            first += count
        }
        return bits
    }
}
