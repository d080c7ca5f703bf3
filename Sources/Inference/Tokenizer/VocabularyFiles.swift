//  A tokenizer in the files of before tokenizer.json:
//
//      vocab.json             {TOKEN: ID}
//      merges.txt             a merge on each line, best first; a first line that begins "#version"
//      added_tokens.json      {TOKEN: ID}, and
//      tokenizer_config.json  added_tokens_decoder {ID: {"content", "special", …}}
//
//  Qwen2's tokenizer class reads them so. Others of this layout (GPT-2) cut text by another pattern
//  and are refused.

import DualityCore
import Foundation

enum VocabularyFiles {
    /// The contents of the tokenizer.json that the files amount to; nil when they are not there.
    ///
    /// - Throws: `InputError` for a tokenizer of another class, or a broken file.
    static func tokenizerFile(in directory: String) throws -> JSON? {
        func path(_ name: String) -> String { "\(directory)/\(name)" }
        func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path(name)) }
        guard exists("vocab.json"), exists("merges.txt") else { return nil }
        let configuration = exists("tokenizer_config.json") ? try JSON(contentsOf: path("tokenizer_config.json")) : [:]
        let kind = configuration["tokenizer_class"]?.string
        guard let kind, kind.hasPrefix("Qwen2Tokenizer") || kind.hasPrefix("Qwen3Tokenizer") else {
            throw InputError(
                .unsupported, in: directory,
                expected: "tokenizer.json, or vocab.json and merges.txt of a Qwen2Tokenizer",
                found: kind.map { "those of a \($0)" } ?? "those of a tokenizer without a tokenizer_class",
                remedy:
                    "Write a tokenizer.json: AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR) in transformers.")
        }
        return [
            "added_tokens": .array(
                try addedTokens(configuration, exists("added_tokens.json") ? path("added_tokens.json") : nil)),
            "normalizer": ["type": "NFC"],
            "pre_tokenizer": [
                "type": "Sequence",
                "pretokenizers": [
                    [
                        "type": "Split", "pattern": ["Regex": .string(QwenPretokenizer.pattern)],
                        "behavior": "Isolated",
                        "invert": false,
                    ],
                    ["type": "ByteLevel", "add_prefix_space": false, "use_regex": false],
                ],
            ],
            "decoder": ["type": "ByteLevel"],
            "model": [
                "type": "BPE", "vocab": try JSON(contentsOf: path("vocab.json")),
                "merges": .array(try merges(path("merges.txt"))),
            ],
        ]
    }

    private static func merges(_ path: String) throws -> [JSON] {
        let bytes = try MappedFile(path: path).withBytes { Array($0) }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw InputError(.malformed, in: path, expected: "text in UTF-8", found: "other bytes")
        }
        let lines = text.unicodeScalars.split(omittingEmptySubsequences: true) { $0 == "\n" || $0 == "\r" }.map(
            String.init)
        return (lines.first?.hasPrefix("#version") == true ? lines.dropFirst() : lines[...]).map { .string($0) }
    }

    private static func addedTokens(_ configuration: JSON, _ file: String?) throws -> [JSON] {
        var tokens: [JSON] = []
        var known: Set<Int> = []
        for (name, value) in configuration["added_tokens_decoder"]?.object?.members ?? [] {
            guard let id = Int(name), var token = value.object else { continue }
            token["id"] = JSON(id)
            known.insert(id)
            tokens.append(.object(token))
        }
        guard let file else { return tokens }
        for (content, value) in try JSON(contentsOf: file).object?.members ?? [] {
            guard let id = value.int, !known.contains(id) else { continue }
            tokens.append(["id": JSON(id), "content": .string(content), "special": true, "normalized": false])
        }
        return tokens
    }
}
