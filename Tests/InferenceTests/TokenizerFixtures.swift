//  The files the tests of this module read: official cases, and Qwen's rank file where it is to be
//  had.

import DualityCore
import DualityInference
import Foundation
import TestSupport

/// Qwen's own vocabulary. It is not ours to pass on: it lies in `shared/conformance` beside the
/// checkout, or in the directory that DUALITY_SHARED names, or nowhere, and then the cases that
/// need it are skipped.
enum QwenRanks {
    static let path: String? = {
        let named = ProcessInfo.processInfo.environment["DUALITY_SHARED"]
        let shared = named ?? Fixtures.package.deletingLastPathComponent().appendingPathComponent("shared").path
        let path = "\(shared)/conformance/tokenizer/qwen.tiktoken.gz"
        return FileManager.default.fileExists(atPath: path) ? path : nil
    }()

    static let skipped = "Qwen's rank file is not beside the checkout (see DUALITY_SHARED)"

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
