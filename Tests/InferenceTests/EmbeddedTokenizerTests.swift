import DualityCore
import DualityInference
import Foundation
import TestSupport
import Testing

/// The embedded model's tokenizer, against the answers of Hugging Face tokenizers.
@Suite struct EmbeddedTokenizerTests {
    let tokenizer: Tokenizer

    init() throws {
        tokenizer = try EmbeddedTokenizer.tokenizer.get()
    }

    @Test func everyTextHasTheTokensOfTheReference() throws {
        let cases = try cases("tokenizer/duality-tiny.json")
        #expect(cases.count == 400)
        for one in cases {
            let text = try #require(one["text"]?.string)
            let ids = try #require(one["ids"]?.integers)
            #expect(tokenizer.encode(text) == ids, "\(escaped(text))")
            let plain = one["ids_plain_special"]?.integers ?? ids
            #expect(tokenizer.encode(text, allowSpecial: false) == plain, "\(escaped(text))")
            let decoded = try tokenizer.decode(ids)
            #expect(isExactly(decoded, one["decoded"]?.string ?? ""), "\(escaped(text)): \(escaped(decoded))")
        }
    }

    @Test func optionsOfAddedTokensActAsInTheReference() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let fixture = try JSON(contentsOf: Fixtures.path("tokenizer/duality-tiny.json"))
        let added = try #require(fixture["added"])
        let file = try TokenizerJSON.embedded { root in
            root["added_tokens"] = .array((root["added_tokens"]?.array ?? []) + (added["tokens"]?.array ?? []))
        }
        let tokenizer = try Tokenizer(file: file.write(to: directory))
        for one in added["cases"]?.array ?? [] {
            let text = try #require(one["text"]?.string)
            let ids = try #require(one["ids"]?.integers)
            #expect(tokenizer.encode(text) == ids, "\(escaped(text))")
            let plain = one["ids_plain_special"]?.integers ?? ids
            #expect(tokenizer.encode(text, allowSpecial: false) == plain, "\(escaped(text))")
        }
        #expect(tokenizer.id(of: "[LR]") == 4098)
        #expect(tokenizer.isSpecial(4110) && !tokenizer.isSpecial(4098))
    }

    @Test func thePromptsOfTheGreedyReferenceHaveItsTokens() throws {
        let path = "\(Fixtures.embeddedModel)/reference/greedy.json"
        let cases = try #require(JSON(contentsOf: path)["cases"]?.array)
        #expect(!cases.isEmpty)
        for one in cases {
            let prompt = try #require(one["prompt"]?.string)
            #expect(tokenizer.encode(prompt) == one["prompt_ids"]?.integers, "\(prompt)")
            let answer = try tokenizer.decode(#require(one["greedy_ids"]?.integers))
            #expect(isExactly(answer, one["text"]?.string ?? ""), "\(prompt)")
        }
    }

    @Test func heldOutTextComesBackUnchanged() throws {
        let text = try String(contentsOfFile: "\(Fixtures.embeddedModel)/data/heldout.txt", encoding: .utf8)
        let ids = tokenizer.encode(text)
        let decoded = try tokenizer.decode(ids)
        #expect(isExactly(decoded, text))
        #expect(Double(ids.count) < 0.4 * Double(text.utf8.count), "\(ids.count) tokens for \(text.utf8.count) bytes")
    }

    /// `==` between strings is canonical equivalence, decided by the standard library: an oracle
    /// that shares no code.
    @Test func randomTextComesBackCanonicallyEquivalent() throws {
        var random = RandomSource(seed: 41)
        for _ in 0..<3000 {
            let text = randomText(&random)
            // Swift 6.3 puts these three, starters whose decompositions are not, in the wrong
            // order.
            if text.unicodeScalars.contains(where: { ["\u{f73}", "\u{f75}", "\u{f81}"].contains($0) }) { continue }
            let ids = tokenizer.encode(text)
            let decoded = try tokenizer.decode(ids)
            #expect(decoded == text, "\(escaped(text)) became \(escaped(decoded))")
            #expect(tokenizer.encode(decoded) == ids, "\(escaped(text))")
        }
    }

    @Test func theVocabularyCanBeLookedUp() throws {
        #expect(tokenizer.vocabularySize == 4096)
        #expect(tokenizer.id(of: "<|im_end|>") == 4095)
        #expect(tokenizer.isSpecial(4095) && !tokenizer.isSpecial(0))
        #expect(tokenizer.id(of: " upon") == 633)
        #expect(tokenizer.id(of: "not a token") == nil)
        #expect(tokenizer.id(of: "") == nil)
        #expect(try tokenizer.decode([4094, 633, 4095], skipSpecial: true) == " upon")
        #expect(tokenizer.warnings.isEmpty)
    }

    @Test(arguments: [[4096], [-1], [0, .max], [.min]])
    func anIdentifierOutOfRangeIsRefused(ids: [Int]) {
        let error = #expect(throws: InputError.self) { try tokenizer.decode(ids) }
        #expect(error?.kind == .value)
        #expect(error?.found == "\(ids.last ?? 0)")
    }

    @Test func manyThreadsEncodeAtOnce() async throws {
        let tokenizer = self.tokenizer
        let texts = try cases("tokenizer/duality-tiny.json").compactMap { $0["text"]?.string }
        let expected = texts.map { tokenizer.encode($0) }
        try await withThrowingTaskGroup(of: [[Int]].self) { group in
            for _ in 0..<8 { group.addTask { texts.map { tokenizer.encode($0) } } }
            for try await result in group { #expect(result == expected) }
        }
    }
}

/// Text from all of Unicode, biased towards what is difficult.
func randomText(_ random: inout RandomSource) -> String {
    let difficult: [Unicode.Scalar] = [
        " ", "\n", "\r", "\t", "'", "s", "a", "e", "1", "\u{301}", "\u{323}", "\u{308}", "\u{345}", "\u{f73}",
        "\u{1100}",
        "\u{1161}", "\u{11a8}", "\u{ac00}", "\u{958}", "\u{212b}", "\u{3099}", "\u{304b}", "\u{1f600}", "\u{200d}",
        "\u{a0}", "\u{3000}", "\u{17f}",
    ]
    var text = String.UnicodeScalarView()
    let page = random.integer(in: 0...0x1ff)
    for _ in 0..<random.integer(in: 0...24) {
        switch random.integer(in: 0...3) {
        case 0, 1: text.append(difficult[random.integer(in: 0...difficult.count - 1)])
        case 2: text.append(Unicode.Scalar(UInt32(page << 8 + random.integer(in: 0...255))) ?? "x")
        default: text.append(Unicode.Scalar(UInt32(random.integer(in: 0...0x10ffff))) ?? "x")
        }
    }
    return String(text)
}
