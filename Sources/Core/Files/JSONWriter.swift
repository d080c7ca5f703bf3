//  JSON text from a value: compact for files, indented for people. Members keep their order; what
//  need not be escaped is not.

extension JSON {
    /// The value as JSON text.
    ///
    /// - Parameter indented: two spaces a level and a line a member; short arrays of plain values
    ///   stay on one line.
    public func serialized(indented: Bool = false) -> String {
        var text = ""
        write(to: &text, indent: indented ? 0 : nil)
        return text
    }

    private func write(to text: inout String, indent: Int?) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .number(let literal): text += literal
        case .string(let value): Self.writeQuoted(value, to: &text)
        case .array(let values):
            let isFlat = indent != nil && Self.fitsOnALine(values)
            Self.writeList(values, brackets: ("[", "]"), to: &text, indent: isFlat ? nil : indent, isFlat) {
                $0.write(to: &$1, indent: $2)
            }
        case .object(let object):
            Self.writeList(object.members, brackets: ("{", "}"), to: &text, indent: indent, false) {
                member, text, indent in
                Self.writeQuoted(member.name, to: &text)
                text += indent == nil ? ":" : ": "
                member.value.write(to: &text, indent: indent)
            }
        }
    }

    /// Whether all values are plain and short enough to be read side by side.
    private static func fitsOnALine(_ values: [JSON]) -> Bool {
        var width = 0
        for value in values {
            switch value {
            case .array, .object: return false
            case .string(let text): width += text.utf8.count + 4
            case .number(let literal): width += literal.utf8.count + 2
            case .null, .bool: width += 7
            }
        }
        return width <= 100
    }

    private static func writeList<Item>(
        _ items: [Item], brackets: (String, String), to text: inout String, indent: Int?, _ spaced: Bool,
        item: (Item, inout String, Int?) -> Void
    ) {
        let inner = indent.map { $0 + 2 }
        text += brackets.0
        for (i, element) in items.enumerated() {
            if i > 0 { text += spaced ? ", " : "," }
            if let inner { text += "\n" + String(repeating: " ", count: inner) }
            item(element, &text, inner)
        }
        if let indent, !items.isEmpty { text += "\n" + String(repeating: " ", count: indent) }
        text += brackets.1
    }

    /// Appends a string in quotes: `"`, `\` and control characters escaped, everything else as it
    /// is.
    public static func writeQuoted(_ value: String, to text: inout String) {
        text += "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case "\u{8}": text += "\\b"
            case "\u{c}": text += "\\f"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        text += "\""
    }
}
