//  The embedded tokenizer.json with something changed in it.

import DualityCore
import Foundation
import TestSupport

struct TokenizerJSON {
    var root: JSON.Object

    /// A copy of the embedded model's file, changed by `change`.
    static func embedded(_ change: (inout JSON.Object) throws -> Void = { _ in }) throws -> TokenizerJSON {
        let json = try JSON(contentsOf: "\(Fixtures.embeddedModel)/tokenizer.json")
        var root = json.object ?? [:]
        try change(&root)
        return TokenizerJSON(root: root)
    }

    /// Writes it as `tokenizer.json`; returns the path.
    func write(to directory: URL) throws -> String {
        let path = directory.appendingPathComponent("tokenizer.json").path
        try Data(JSON.object(root).serialized().utf8).write(to: URL(fileURLWithPath: path))
        return path
    }
}

extension JSON.Object {
    /// Replaces the value at a path of names; what is missing on the way is created.
    mutating func set(_ path: [String], to value: JSON) {
        guard let first = path.first else { return }
        if path.count == 1 {
            self[first] = value
        } else {
            var inner = self[first]?.object ?? [:]
            inner.set(Array(path.dropFirst()), to: value)
            self[first] = .object(inner)
        }
    }
}
