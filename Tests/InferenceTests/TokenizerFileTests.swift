import DualityCore
import DualityInference
import Foundation
import TestSupport
import Testing

/// What the readers of tokenizer files accept and refuse.
@Suite struct TokenizerFileTests {
    /// Loads the embedded tokenizer with the value at a path of names replaced.
    private func load(_ path: String, _ value: JSON) throws -> Tokenizer {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let names = path.split(separator: ".").map { String($0) }
        return try Tokenizer(file: TokenizerJSON.embedded { $0.set(names, to: value) }.write(to: directory))
    }

    /// A change to the file, as JSON text, and the place the complaint names.
    struct Change: Sendable, CustomTestStringConvertible {
        let path: String
        let value: String
        let place: String
        var testDescription: String { "\(path) = \(value)" }
    }

    /// Each is a kind of tokenizer that exists, and would give other tokens.
    static let otherKinds = [
        Change(path: "model.type", value: #""WordPiece""#, place: "model.type"),
        Change(path: "model.type", value: #""Unigram""#, place: "model.type"),
        Change(path: "model.dropout", value: "0.1", place: "model.dropout"),
        Change(path: "model.continuing_subword_prefix", value: "\"##\"", place: "model.continuing_subword_prefix"),
        Change(path: "model.end_of_word_suffix", value: #""</w>""#, place: "model.end_of_word_suffix"),
        Change(path: "normalizer", value: #"{"type": "NFKC"}"#, place: "normalizer"),
        Change(
            path: "normalizer",
            value: #"{"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}"#,
            place: "normalizer"),
        Change(path: "pre_tokenizer", value: "null", place: "pre_tokenizer"),
        Change(path: "pre_tokenizer", value: #"{"type": "Metaspace", "replacement": "▁"}"#, place: "pre_tokenizer"),
        Change(
            path: "pre_tokenizer", value: #"{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}"#,
            place: "pre_tokenizer"),
        Change(path: "decoder", value: #"{"type": "WordPiece"}"#, place: "decoder"),
        Change(path: "decoder", value: "null", place: "decoder"),
        Change(
            path: "post_processor", value: #"{"type": "TemplateProcessing", "special_tokens": {"<s>": {}}}"#,
            place: "post_processor"),
        Change(path: "post_processor", value: #"{"type": "BertProcessing"}"#, place: "post_processor"),
    ]

    @Test(arguments: otherKinds) func aTokenizerOfAnotherKindIsRefusedByName(change: Change) throws {
        let value = try JSON(parsing: change.value)
        let error = #expect(throws: InputError.self) { try load(change.path, value) }
        #expect(error?.kind == .unsupported, "\(String(describing: error))")
        #expect(error?.place.hasSuffix(change.place) == true, "\(String(describing: error))")
    }

    /// One word of the pre-tokenizer replaced, and the place the complaint names.
    @Test(
        arguments: [
            [#"|\\p{N}| "#, #"|\\p{N}{1,3}| "#, "pattern"], ["(?i:'s", "('s", "pattern"],
            ["Isolated", "Removed", "behavior"], [#""invert":false"#, #""invert":true"#, "invert"],
            [#""use_regex":false"#, #""use_regex":true"#, "use_regex"],
            [#""add_prefix_space":false"#, #""add_prefix_space":true"#, "add_prefix_space"],
            [#""use_regex":false"#, #""trim_offsets2":false"#, "use_regex"],
        ])
    func anotherPretokenizerIsRefusedByName(change: [String]) throws {
        let original = try #require(TokenizerJSON.embedded().root["pre_tokenizer"]).serialized()
        let changed = original.replacingOccurrences(of: change[0], with: change[1])
        try #require(changed != original)
        let value = try JSON(parsing: changed)
        let error = #expect(throws: InputError.self) { try load("pre_tokenizer", value) }
        #expect(error?.kind == .unsupported, "\(String(describing: error))")
        #expect(error?.place.hasSuffix("pre_tokenizer.\(change[2])") == true, "\(String(describing: error))")
    }

    static let brokenFiles = [
        Change(path: "model", value: #""BPE""#, place: "json"),
        Change(path: "model.vocab", value: "null", place: "json"),
        Change(path: "model.merges", value: "3", place: "json"),
        Change(path: "model.vocab", value: #"{"a": -1}"#, place: "value"),
        Change(path: "model.vocab", value: #"{"a": 1.5}"#, place: "value"),
        Change(path: "model.vocab", value: #"{"a": 1000000000000}"#, place: "value"),
        Change(path: "model.vocab", value: #"{"a": 0, "b": 0}"#, place: "value"),
        Change(path: "model.vocab", value: #"{"a": 0}"#, place: "value"),
        Change(path: "model.merges", value: #"["a"]"#, place: "json"),
        Change(path: "model.merges", value: #"["a b c"]"#, place: "json"),
        Change(path: "model.merges", value: #"[["a", "nothing"]]"#, place: "value"),
        Change(path: "added_tokens", value: #"[{"id": 5}]"#, place: "json"),
        Change(path: "added_tokens", value: #"[{"id": 5, "content": "<x>"}]"#, place: "value"),
        Change(path: "added_tokens", value: #""x""#, place: "json"),
    ]

    @Test(arguments: brokenFiles) func aBrokenFileIsRefused(change: Change) throws {
        let value = try JSON(parsing: change.value)
        let error = #expect(throws: InputError.self) { try load(change.path, value) }
        #expect(error?.kind.rawValue == change.place, "\(String(describing: error))")
    }

    @Test func aVocabularyWithoutAByteIsRefused() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let file = try TokenizerJSON.embedded { root in
            var vocabulary = JSON.Object()
            for (token, id) in root["model"]?["vocab"]?.object?.members ?? [] where token != "Ġ" {
                vocabulary.append(token, id)
            }
            root.set(["model", "vocab"], to: .object(vocabulary))
            root.set(["model", "merges"], to: [])
        }
        let path = try file.write(to: directory)
        let error = #expect(throws: InputError.self) { try Tokenizer(file: path) }
        #expect(error?.kind == .unsupported)
        #expect(error?.found.contains("0x20") == true, "\(String(describing: error))")
    }

    @Test func mergesMayBeStringsOrPairs() throws {
        let embedded = try TokenizerJSON.embedded()
        let pairs = try #require(embedded.root["model"]?["merges"]?.array)
        let strings = pairs.map { pair in
            JSON.string((pair.array ?? []).compactMap(\.string).joined(separator: " "))
        }
        let tokenizer = try load("model.merges", .array(strings))
        for one in try cases("tokenizer/duality-tiny.json").prefix(150) {
            #expect(tokenizer.encode(one["text"]?.string ?? "") == one["ids"]?.integers)
        }
    }

    @Test func withIgnoreMergesAPieceThatIsATokenIsThatToken() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let file = try TokenizerJSON.embedded { root in
            root.set(["model", "merges"], to: [])
            root.set(["model", "ignore_merges"], to: true)
        }
        let tokenizer = try Tokenizer(file: file.write(to: directory))
        #expect(tokenizer.encode(" upon") == [633])
        #expect(tokenizer.encode(" uponx").count == 6)
    }

    @Test func withoutANormalizerTextStaysAsItIs() throws {
        let tokenizer = try load("normalizer", .null)
        let text = "e\u{301}"
        #expect(isExactly(try tokenizer.decode(tokenizer.encode(text)), text))
    }

    @Test func aMissingFileAndADirectoryWithoutATokenizerAreNamed() throws {
        let missing = #expect(throws: InputError.self) { try Tokenizer(file: "/nowhere/tokenizer.json") }
        #expect(missing?.kind == .missingFile)
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let empty = #expect(throws: InputError.self) { try Tokenizer(directory: directory.path) }
        #expect(empty?.kind == .missingFile)
    }

    @Test func malformedJSONIsReportedWithItsPosition() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let path = directory.appendingPathComponent("tokenizer.json").path
        try Data("{\n \"model\": {,\n}".utf8).write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: InputError.self) { try Tokenizer(file: path) }
        #expect(error?.kind == .json)
        #expect(error?.place == "\(path):2:12", "\(String(describing: error))")
    }
}
