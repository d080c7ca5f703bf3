//  The files the tests of this module read: official cases, and Qwen's rank file where it is to be
//  had.

import DualityCore
import DualityInference
import Foundation
import TestSupport

/// Qwen's own vocabulary. It is not ours to pass on: DUALITY_QWEN_RANKS names its rank file
/// (`qwen.tiktoken.gz`); without it the cases that need it are skipped. What the tokenizer does
/// with a vocabulary of our own is in EmbeddedTokenizerTests.swift.
enum QwenRanks {
    static let path: String? = {
        let path = ProcessInfo.processInfo.environment["DUALITY_QWEN_RANKS"] ?? ""
        return FileManager.default.fileExists(atPath: path) ? path : nil
    }()

    static let skipped = "DUALITY_QWEN_RANKS names no rank file"

    static let tokenizer = Result { try Tokenizer(file: path ?? "") }
}

enum EmbeddedTokenizer {
    static let tokenizer = Result { try Tokenizer(directory: Fixtures.embeddedModel) }
}

/// The list `cases` of a JSON fixture.
func cases(_ fixture: String) throws -> [JSON] {
    try JSON(contentsOf: Fixtures.path(fixture))["cases"]?.array ?? []
}

extension JSON {
    /// An array of integers, or nil.
    var integers: [Int]? {
        array.map { $0.compactMap(\.int) }
    }
}

/// The scalars of a text, for messages that must not hide what cannot be seen.
func escaped(_ text: String) -> String {
    text.unicodeScalars.map { $0.escaped(asASCII: true) }.joined()
}

/// Equality of the scalars; `==` on strings would also hold between canonically equivalent ones.
func isExactly(_ a: String, _ b: String) -> Bool {
    a.utf8.elementsEqual(b.utf8)
}
