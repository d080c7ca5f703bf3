//  A YAML file as values that know their lines.

import DualityCore
import Yams

/// A value of a YAML file.
struct YamlValue: Sendable {
    indirect enum Content: Sendable {
        /// A scalar, and whether it was written without quotes.
        case scalar(String, isPlain: Bool)
        case list([YamlValue])
        case map([(key: String, value: YamlValue)])
    }

    let content: Content
    let file: String
    let line: Int

    /// Parses a file.
    ///
    /// - Throws: `InputError` with the line of the mistake, or of a tag such as `!function`.
    static func read(_ path: String) throws(InputError) -> YamlValue {
        guard let text = String(validating: try DataFile.bytes(path), as: UTF8.self) else {
            throw InputError(.value, in: path, expected: "text in UTF-8", found: "bytes that are not")
        }
        try checkNesting(text, path)
        let node: Node?
        do {
            node = try Yams.compose(yaml: text)
        } catch {
            throw malformed(path, error)
        }
        guard let node else { throw InputError(.malformed, in: path, expected: "a task", found: "an empty file") }
        return try YamlValue(node, file: path, depth: 0)
    }

    private static func malformed(_ path: String, _ error: any Error) -> InputError {
        var (line, problem) = ("", "\(error)")
        if let yaml = error as? YamlError {
            switch yaml {
            case .scanner(_, let what, let mark, _), .parser(_, let what, let mark, _),
                .composer(_, let what, let mark, _):
                (line, problem) = (":\(mark.line)", what)
            case .duplicatedKeysInMapping(let duplicates, let context):
                (line, problem) = (":\(context.mark.line)", "the key \(duplicates.joined(separator: ", ")) twice")
            default: break
            }
        }
        return InputError(.malformed, in: path + line, expected: "YAML", found: problem)
    }

    /// Another content at the place of a value.
    init(_ content: Content, like other: YamlValue) {
        (self.content, file, line) = (content, other.file, other.line)
    }

    /// Libyaml and its caller descend one call a level: a file that would overflow the stack is
    /// refused before.
    private static func checkNesting(_ text: String, _ path: String) throws(InputError) {
        var (open, dashes, line) = (0, 0, 1)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "["), UInt8(ascii: "{"): open += 1
            case UInt8(ascii: "]"), UInt8(ascii: "}"): open = max(open - 1, 0)
            case UInt8(ascii: "-"), UInt8(ascii: "?"): dashes += 1
            case UInt8(ascii: "\n"): (dashes, line) = (0, line + 1)
            case UInt8(ascii: " "): break
            default: dashes = 0
            }
            if open > 200 || dashes > 200 {
                throw InputError(.malformed, in: "\(path):\(line)", expected: "at most 200 levels", found: "more")
            }
        }
    }

    private init(_ node: Node, file: String, depth: Int) throws(InputError) {
        self.file = file
        line = node.mark?.line ?? 1
        guard depth < 50 else {
            throw InputError(.malformed, in: "\(file):\(line)", expected: "at most 50 levels", found: "more")
        }
        switch node {
        case .scalar(let scalar):
            try Self.refuseTag(scalar.tag, file, line)
            content = .scalar(scalar.string, isPlain: scalar.style == .plain)
        case .sequence(let sequence):
            try Self.refuseTag(sequence.tag, file, line)
            var values: [YamlValue] = []
            for item in sequence { values.append(try YamlValue(item, file: file, depth: depth + 1)) }
            content = .list(values)
        case .mapping(let mapping):
            try Self.refuseTag(mapping.tag, file, line)
            var pairs: [(key: String, value: YamlValue)] = []
            for (key, value) in mapping {
                guard case .scalar(let name) = key else {
                    throw InputError(.malformed, in: "\(file):\(line)", expected: "names as keys", found: "a list")
                }
                pairs.append((name.string, try YamlValue(value, file: file, depth: depth + 1)))
            }
            content = .map(pairs)
        case .alias:
            throw InputError(.unsupported, in: "\(file):\(line)", expected: "plain values", found: "an alias")
        }
    }

    /// Tags of the language itself are what values have; others ask for code.
    private static func refuseTag(_ tag: Tag, _ file: String, _ line: Int) throws(InputError) {
        let name = tag.description
        guard name.hasPrefix("!"), name != "!" else { return }
        throw InputError(
            .unsupported, in: "\(file):\(line)", expected: "a task without code", found: "the tag \(name)",
            remedy: "Functions of Python are not run: write the rule as a template or a filter.")
    }

    // MARK: Reading

    var place: String { "\(file):\(line)" }

    var map: [(key: String, value: YamlValue)]? {
        if case .map(let pairs) = content { pairs } else { nil }
    }

    subscript(key: String) -> YamlValue? { map?.last { $0.key == key }?.value }

    var isNull: Bool {
        if case .scalar(let text, isPlain: true) = content {
            ["", "null", "~", "Null", "NULL"].contains(text)
        } else {
            false
        }
    }

    func string(_ what: String) throws(InputError) -> String {
        guard case .scalar(let text, _) = content else { throw mistake("a text for \(what)") }
        return text
    }

    func list(_ what: String) throws(InputError) -> [YamlValue] {
        guard case .list(let values) = content else { throw mistake("a list for \(what)") }
        return values
    }

    /// A list of texts, or one.
    func strings(_ what: String) throws(InputError) -> [String] {
        guard case .list(let values) = content else { return [try string(what)] }
        var texts: [String] = []
        for value in values { texts.append(try value.string(what)) }
        return texts
    }

    func int(_ what: String) throws(InputError) -> Int {
        guard case .scalar(let text, isPlain: true) = content, let value = Int(text) else {
            throw mistake("a whole number for \(what)")
        }
        return value
    }

    func double(_ what: String) throws(InputError) -> Double {
        guard case .scalar(let text, isPlain: true) = content, let value = Double(text), value.isFinite else {
            throw mistake("a number for \(what)")
        }
        return value
    }

    func bool(_ what: String) throws(InputError) -> Bool {
        if case .scalar(let text, isPlain: true) = content {
            if ["true", "True", "TRUE", "yes", "on"].contains(text) { return true }
            if ["false", "False", "FALSE", "no", "off"].contains(text) { return false }
        }
        throw mistake("true or false for \(what)")
    }

    func mistake(_ expected: String) -> InputError {
        let found: String
        switch content {
        case .scalar(let text, _): found = "'\(text.prefix(60))'"
        case .list: found = "a list"
        case .map: found = "a mapping"
        }
        return InputError(.value, in: place, expected: expected, found: found)
    }

    /// The value as JSON, for rows that stand in the file.
    var json: JSON {
        switch content {
        case .list(let values): return .array(values.map(\.json))
        case .map(let pairs):
            var object = JSON.Object()
            for (key, value) in pairs { object[key] = value.json }
            return .object(object)
        case .scalar(let text, let isPlain):
            guard isPlain else { return .string(text) }
            if isNull { return .null }
            if text == "true" || text == "false" { return .bool(text == "true") }
            return Double(text)?.isFinite == true && !text.hasPrefix("+") ? .number(text) : .string(text)
        }
    }
}
