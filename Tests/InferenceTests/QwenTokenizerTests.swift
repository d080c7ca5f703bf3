import DualityCore
import DualityInference
import TestSupport
import Testing

/// The official cases, with Qwen's ranks.
@Suite(.enabled(if: QwenRanks.path != nil, "\(QwenRanks.skipped)"))
struct QwenTokenizerTests {
    let tokenizer: Tokenizer

    init() throws {
        tokenizer = try QwenRanks.tokenizer.get()
    }

    @Test func everyTextHasTheOfficialTokens() throws {
        let cases = try cases("tokenizer/encode.json")
        #expect(cases.count == 322)
        for one in cases {
            let text = try #require(one["text"]?.string)
            let expected = try #require(one["ids"]?.integers)
            #expect(tokenizer.encode(text) == expected, "\(escaped(text))")
            let decoded = try tokenizer.decode(expected)
            #expect(isExactly(decoded, one["decoded"]?.string ?? ""), "\(escaped(decoded))")
            let skipped = try tokenizer.decode(expected, skipSpecial: true)
            #expect(isExactly(skipped, one["decoded_skip_special"]?.string ?? ""), "\(escaped(skipped))")
        }
    }

    @Test func everyTokenSequenceHasTheOfficialText() throws {
        let cases = try cases("tokenizer/decode.json")
        #expect(cases.count == 40)
        for one in cases {
            let ids = try #require(one["ids"]?.integers)
            let bytes = ids.flatMap { tokenizer.bytes(of: $0) }
            let hex = bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
            #expect(hex == one["bytes_hex"]?.string, "\(ids)")
            let decoded = try tokenizer.decode(ids)
            #expect(isExactly(decoded, one["decoded"]?.string ?? ""), "\(ids): \(escaped(decoded))")
            let skipped = try tokenizer.decode(ids, skipSpecial: true)
            #expect(isExactly(skipped, one["decoded_skip_special"]?.string ?? ""), "\(ids): \(escaped(skipped))")
        }
    }
}
