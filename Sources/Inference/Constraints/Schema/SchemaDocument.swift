//  A JSON Schema document: its schemas by number, references resolved.
//
//  Source: JSON Schema 2020-12, core and validation; `#/definitions` as earlier drafts have it.

import DualityCore

/// The schemas of one document, read when they are first asked for.
final class SchemaDocument {
    static let sizeLimit = 64 << 10
    static let depthLimit = 60

    private struct Entry {
        let json: JSON
        let path: String
        let depth: Int
        var keywords: SchemaKeywords?
    }

    private let root: JSON
    private let place: String
    private var entries: [Entry] = []
    private var numbers: [ExactString: SchemaNode] = [:]

    /// The schema of the whole document.
    var top: SchemaNode { SchemaNode(number: 0) }

    /// - Parameter place: what the document is called in complaints.
    /// - Throws: `InputError` (`.unsupported`) for a document of more than 64 KiB.
    init(_ json: JSON, place: String) throws(InputError) {
        let size = json.serialized().utf8.count
        guard size <= Self.sizeLimit else {
            throw InputError(
                .unsupported, in: place, expected: "a schema of at most \(Self.sizeLimit) bytes", found: "\(size) bytes"
            )
        }
        root = json
        self.place = place
        _ = try node(json, place, depth: 0)
    }

    private func node(_ json: JSON, _ path: String, depth: Int) throws(InputError) -> SchemaNode {
        if let known = numbers[ExactString(path)] { return known }
        guard depth <= Self.depthLimit else {
            throw InputError(
                .unsupported, in: path, expected: "at most \(Self.depthLimit) schemas inside each other",
                found: "one more")
        }
        let node = SchemaNode(number: entries.count)
        entries.append(Entry(json: json, path: path, depth: depth))
        numbers[ExactString(path)] = node
        return node
    }

    func path(_ node: SchemaNode) -> String { entries[node.number].path }

    /// The keywords of a schema.
    ///
    /// - Throws: `InputError` that names the keyword that is wrong, or not kept.
    func keywords(_ node: SchemaNode) throws(InputError) -> SchemaKeywords {
        let entry = entries[node.number]
        if let known = entry.keywords { return known }
        let keywords = try SchemaReader.read(entry.json, path: entry.path) { json, path throws(InputError) in
            try self.node(json, path, depth: entry.depth + 1)
        } resolve: { reference, path throws(InputError) in
            try self.resolve(reference, path)
        }
        entries[node.number].keywords = keywords
        return keywords
    }

    // MARK: References

    /// The schema that `#/a/b` names (RFC 6901, in a fragment).
    private func resolve(_ reference: String, _ referencePath: String) throws(InputError) -> SchemaNode {
        guard reference == "#" || reference.hasPrefix("#/") else {
            throw InputError(
                .unsupported, in: referencePath, expected: "a reference inside the document: #/…",
                found: "\"\(reference)\"")
        }
        var json = root
        var path = place
        for part in reference.dropFirst().split(separator: "/", omittingEmptySubsequences: false).dropFirst() {
            let decoded = part.removingPercentEncodingOrSelf
            let name = decoded.replacing("~1", with: "/").replacing("~0", with: "~")
            var next = json.object?[name]
            if let list = json.array, let index = Int(name), list.indices.contains(index) { next = list[index] }
            guard let next else {
                throw InputError(
                    .missing, in: referencePath, expected: "a schema at \(reference)",
                    found: "no \"\(name)\" there")
            }
            path += json.array == nil ? ".\(name)" : "[\(name)]"
            json = next
        }
        return try node(json, path, depth: 0)
    }
}

extension Substring {
    /// Percent-encoded bytes decoded; the text itself where they are not UTF-8.
    fileprivate var removingPercentEncodingOrSelf: String {
        guard contains("%") else { return String(self) }
        var bytes: [UInt8] = []
        var rest = self.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), rest.count >= 2, let value = UInt8(Substring(rest.prefix(2)), radix: 16) {
                bytes.append(value)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self) ?? String(self)
    }
}
