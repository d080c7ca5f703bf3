import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityInference

@Suite struct RankFileTests {
    /// Writes a rank file of all bytes and the given tokens, and loads it.
    private func load(_ tokens: [String], change: (String) -> String = { $0 }) throws -> Tokenizer {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let all = (0...255).map { Data([UInt8($0)]) } + tokens.map { Data($0.utf8) }
        let lines = all.enumerated().map { "\($1.base64EncodedString()) \($0)\n" }.joined()
        let path = directory.appendingPathComponent("small.tiktoken").path
        try Data(change(lines).utf8).write(to: URL(fileURLWithPath: path))
        return try Tokenizer(file: path)
    }

    @Test func twoTokensMergeWhenTheirBytesAreAToken() throws {
        // "abc" is reached through "bc" and not through "ab", which has the higher rank.
        let tokenizer = try load(["bc", "abc", "ab", "ą"])
        #expect(tokenizer.encode("abc") == [257])
        #expect(tokenizer.encode("ab") == [258])
        #expect(tokenizer.encode("abbc") == [258, 256])
        #expect(tokenizer.encode("ą") == [259])
        #expect(tokenizer.warnings.count == 1)
    }

    @Test func theAddedTokensOfQwen3FollowTheRanks() throws {
        let tokenizer = try load([])
        #expect(tokenizer.encode("<|endoftext|>x</think>") == [256, 120, 281])
        #expect(tokenizer.vocabularySize == 282)
        #expect(tokenizer.isSpecial(269) && !tokenizer.isSpecial(270))
    }

    @Test(
        arguments: [
            ("QQ== 65\n", "QQ==65\n", 66), ("QQ== 65\n", "QQ== 64\n", 66), ("QQ== 65\n", "QQ= 65\n", 66),
            ("QQ== 65\n", "QR== 65\n", 66), ("QQ== 65\n", "Q*== 65\n", 66), ("QQ== 65\n", "QA== 65\n", 66),
            ("QQ== 65\n", "QQ== 65 x\n", 66), ("QQ== 65\n", "QQ== 99999999999999999999\n", 66),
            ("/w== 255\n", "/w==", 256),
        ])
    func aBrokenLineIsNamed(line: String, broken: String, number: Int) {
        let error = #expect(throws: InputError.self) {
            try load([]) { $0.replacingOccurrences(of: line, with: broken) }
        }
        #expect(error?.place.hasSuffix(":\(number)") == true, "\(String(describing: error))")
    }

    @Test func aFileOfAnotherFamilyIsRefused() {
        let others = (0..<100_000).map { "x\($0)" }  // 100 256 ranks, as cl100k_base has
        let error = #expect(throws: InputError.self) { try load(others) }
        #expect(error?.kind == .unsupported)
    }

    // MARK: Compression

    /// "abcabc…" and others, compressed by gzip: a stored block, the fixed code, and a code of its
    /// own.
    private static let compressed: [(base64: String, text: String)] = [
        (
            "H4sIAAAAAAAEAwEQAO//U3RvcmVkIGFzIGl0IGlzLpDdaSQQAAAA",
            "Stored as it is."
        ),
        (
            "H4sIAAAAAAACA0tMSk6kDQIAqUQw0VoAAAA=",
            "abcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabcabc"
        ),
        (
            "H4sIAAAAAAACA61QyxWEIAxshRbWu0VYgg/3vb0EDtiUddjYZiATw92nwQHnk1BLavuZ9nKkz5KywvP3BRSFteDVjb7btq6dWoei78GFpplOwpeaZ9ETZjGoDaJ6Cj0d9AXkDpQCTPdoZGpUtho950Dy/unwZLAZlIfa/HEqmgPrL+9Wwg1AympTCu8jm4JTTYOLdTy14psYonbMsdvmCGTg+L7eff5wBLr4LwIAAA==",
            "on sat and 12 cat the 12 mat on on 12 12 QQ== sat on sat QQ== the cat sat the mat the mat 12 QQ== QQ== QQ== 12 sat and cat the sat 12 on mat QQ== mat QQ== QQ== and QQ== on and the mat sat and cat on mat mat cat cat 12 12 cat and cat QQ== sat the mat QQ== QQ== cat the the QQ== and mat on the mat the cat cat the on QQ== mat mat sat the and and and sat QQ== QQ== 12 QQ== cat mat QQ== on mat QQ== mat mat and the QQ== and the QQ== sat the and 12 and and mat 12 the the the and mat éééééééééééééééééééééééééééééééééééééééé"
        ),
        (
            "H4sIAAAAAAACA8vPS1UAAElhrCMEAAAAH4sIAAAAAAAEAwEDAPz/dHdvZorKEQMAAAA=",
            "one two"
        ),
    ]

    @Test func gzipFilesOfAllKindsOfBlocksAreRead() throws {
        for (base64, text) in Self.compressed {
            let bytes = try #require(Data(base64Encoded: base64))
            #expect(try Gzip.decompress(Array(bytes), place: "test") == Array(text.utf8))
        }
    }

    @Test func everyTruncationIsAnError() throws {
        // The last one is two files in a row, which are also one file between them.
        for (base64, _) in Self.compressed.dropLast() {
            let bytes = Array(try #require(Data(base64Encoded: base64)))
            for count in 0..<bytes.count {
                #expect(throws: InputError.self, "cut to \(count)") {
                    try Gzip.decompress(Array(bytes[..<count]), place: "test")
                }
            }
        }
    }

    /// Some bits mean nothing (the time in the header, the padding of the last byte); no other may
    /// pass unnoticed.
    @Test func aFlippedBitIsNoticedOrMeansNothing() throws {
        for (base64, text) in Self.compressed {
            let bytes = Array(try #require(Data(base64Encoded: base64)))
            for index in bytes.indices {
                for bit in 0..<8 {
                    var broken = bytes
                    broken[index] ^= 1 << bit
                    if let contents = try? Gzip.decompress(broken, place: "test") {
                        #expect(contents == Array(text.utf8), "byte \(index), bit \(bit)")
                    }
                }
            }
        }
    }

    @Test(.enabled(if: QwenRanks.path != nil, "\(QwenRanks.skipped)"))
    func qwensFileHasTheOfficialSize() throws {
        let tokenizer = try QwenRanks.tokenizer.get()
        #expect(tokenizer.vocabularySize == 151_669)
        #expect(tokenizer.warnings.isEmpty)
        let spec = try JSON(contentsOf: Fixtures.path("tokenizer/tokenizer_spec.json"))
        let added = try #require(spec["added_tokens"]?.array)
        #expect(added.count == 26)
        for token in added {
            let content = try #require(token["content"]?.string)
            let id = try #require(token["id"]?.int)
            #expect(tokenizer.id(of: content) == id)
            #expect(tokenizer.isSpecial(id) == token["special"]?.bool)
        }
    }
}
