import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityInference

@Suite struct StreamingDecoderTests {
    let tokenizer: Tokenizer

    init() throws {
        tokenizer = try EmbeddedTokenizer.tokenizer.get()
    }

    /// Random tokens are mostly not UTF-8, which is what makes them a good test.
    @Test(arguments: [false, true]) func thePiecesAreTheWhole(skipSpecial: Bool) throws {
        var random = RandomSource(seed: 11)
        for _ in 0..<2000 {
            let ids = (0..<random.integer(in: 0...12)).map { _ in
                random.integer(in: 0...3) == 0 ? random.integer(in: 4090...4095) : random.integer(in: 0...400)
            }
            var decoder = StreamingDecoder(tokenizer, skipSpecial: skipSpecial)
            var text = ""
            for id in ids {
                text += decoder.push(id)
            }
            text += decoder.finish()
            let whole = try tokenizer.decode(ids, skipSpecial: skipSpecial)
            #expect(isExactly(text, whole), "\(ids): \(escaped(text))")
        }
    }

    @Test func aCharacterComesWithItsLastByte() {
        let ids = tokenizer.encode("😀")
        #expect(ids.count == 4)
        var decoder = StreamingDecoder(tokenizer)
        #expect(ids.map { decoder.push($0) } == ["", "", "", "😀"])
        #expect(decoder.finish() == "")
    }

    @Test func anIncompleteCharacterBecomesOneReplacement() {
        var decoder = StreamingDecoder(tokenizer)
        let ids = tokenizer.encode("😀")
        #expect(decoder.push(ids[0]) == "" && decoder.push(ids[1]) == "")
        #expect(decoder.push(tokenizer.encode("a")[0]) == "\u{fffd}a")
        _ = decoder.push(ids[0])
        #expect(decoder.finish() == "\u{fffd}")
        #expect(decoder.finish() == "")
    }

    @Test func anIdentifierBeyondTheVocabularyHasNoText() {
        var decoder = StreamingDecoder(tokenizer)
        #expect(decoder.push(5000) == "" && decoder.push(-1) == "")
    }

    /// Every sequence of up to four bytes that matter, against the standard library's decoder.
    @Test func replacementsAreThoseOfTheStandard() {
        let bytes: [UInt8] = [
            0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5,
            0xff,
        ]
        for a in bytes {
            for b in bytes {
                for c in bytes {
                    for d in bytes {
                        let sequence = [a, b, c, d]
                        let found = UTF8Stream.decode(sequence)
                        let expected = String(decoding: sequence, as: UTF8.self)
                        if !isExactly(found, expected) {
                            Issue.record("\(sequence): \(escaped(found)), expected \(escaped(expected))")
                        }
                    }
                }
            }
        }
    }
}
