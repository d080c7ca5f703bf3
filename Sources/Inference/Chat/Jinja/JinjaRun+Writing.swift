//  Values as text: Python's `str`, `repr` and `json.dumps`.

import DualityCore

extension JinjaRun {
    /// Python's `str(value)`; nothing for what is undefined.
    func string(_ value: JinjaValue) throws -> JinjaText {
        switch value {
        case .text(let text): return text
        case .undefined: return JinjaText()
        default: return try repr(value)
        }
    }

    /// Python's `repr(value)`.
    func repr(_ value: JinjaValue) throws -> JinjaText {
        var text = JinjaText()
        try writeRepr(value, to: &text)
        try willMake(bytes: text.bytes.count)
        return text
    }

    private func writeRepr(_ value: JinjaValue, to text: inout JinjaText, depth: Int = 0) throws {
        try work()
        guard depth <= limits.nesting else {
            throw JinjaFailure(.limit, "a value that holds itself", line: line)
        }
        switch value {
        case .undefined: text.append("Undefined")
        case .none: text.append("None")
        case .bool(let value): text.append(value ? "True" : "False")
        case .int(let number): text.append("\(number)")
        case .float(let number): text.append(PythonNumber.repr(number))
        case .wideInteger(let digits): text.append(digits)
        case .text(let string):
            try willMake(bytes: string.bytes.count)
            text.append(string.replaced(by: (string.isMarkup ? "Markup(" : "") + PythonText.repr(string.string)))
            if string.isMarkup { text.append(")") }
        case .sequence(let sequence):
            if let range = rangeText(sequence) { return text.append(range) }
            let (open, close) =
                switch sequence.kind {
                case .list: ("[", "]")
                case .tuple: ("(", sequence.items.count == 1 ? ",)" : ")")
                case .view(let name): ("\(name)([", "])")
                default: ("<generator object>", "")
                }
            text.append(open)
            if sequence.kind != .generator {
                for (index, item) in sequence.items.enumerated() {
                    if index > 0 { text.append(", ") }
                    try writeRepr(item, to: &text, depth: depth + 1)
                }
            }
            text.append(close)
        case .dictionary(let dictionary):
            dictionary.readAll()
            text.append("{")
            for (index, key) in dictionary.keys.enumerated() {
                if index > 0 { text.append(", ") }
                try writeRepr(key, to: &text, depth: depth + 1)
                text.append(": ")
                try writeRepr(dictionary.values[index], to: &text, depth: depth + 1)
            }
            text.append("}")
        case .namespace(let namespace):
            text.append("<Namespace {")
            for (index, name) in namespace.attributes.keys.sorted().enumerated() {
                if index > 0 { text.append(", ") }
                text.append(PythonText.repr(name) + ": ")
                try writeRepr(namespace.attributes[name] ?? .none, to: &text, depth: depth + 1)
            }
            text.append("}>")
        case .callable(let callable): text.append("<\(callable.name)>")
        case .loop(let loop): text.append("<LoopContext \(loop.position + 1)/\(loop.count)>")
        }
    }

    private func rangeText(_ sequence: JinjaSequence) -> String? {
        guard sequence.kind == .range else { return nil }
        let numbers = sequence.items.compactMap(\.integer)
        guard let first = numbers.first, let last = numbers.last else { return "range(0, 0)" }
        let step = numbers.count > 1 ? numbers[1] - numbers[0] : 1
        return step == 1 ? "range(\(first), \(last + 1))" : "range(\(first), \(last + step.signum()), \(step))"
    }

    // MARK: JSON

    /// How `tojson` writes, with the arguments of Python's `json.dumps`.
    struct JSONStyle {
        var asciiOnly = false
        /// What one level is indented by; nil for a single line.
        var indent: String?
        var itemSeparator = ", "
        var keySeparator = ": "
        var sortsKeys = false
    }

    /// Python's `json.dumps(value)`.
    func json(_ value: JinjaValue, _ style: JSONStyle) throws -> JinjaText {
        var text = JinjaText()
        var hasContent = false
        var written = ""
        try writeJSON(value, style, to: &written, hasContent: &hasContent, depth: 0)
        try willMake(bytes: written.utf8.count)
        text = JinjaText(written, isContent: hasContent)
        return text
    }

    private func writeJSON(
        _ value: JinjaValue, _ style: JSONStyle, to text: inout String, hasContent: inout Bool, depth: Int
    ) throws {
        try work()
        let lineBreak = style.indent.map { "\n" + String(repeating: $0, count: depth + 1) }
        func list(_ open: String, _ close: String, _ count: Int, _ item: (Int) throws -> Void) throws {
            text += open
            for index in 0..<count {
                if index > 0 { text += style.itemSeparator }
                text += lineBreak ?? ""
                try willMake(bytes: lineBreak?.utf8.count ?? 0)
                try item(index)
            }
            if count > 0, let lineBreak { text += lineBreak.dropLast(style.indent?.count ?? 0) }
            text += close
        }
        switch value {
        case .none: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .int(let number): text += "\(number)"
        case .wideInteger(let digits): text += digits
        case .float(let number): text += PythonNumber.json(number)
        case .text(let string):
            hasContent = hasContent || string.hasContent
            try willMake(bytes: string.bytes.count)
            PythonText.writeQuoted(string.string, asciiOnly: style.asciiOnly, to: &text)
        case .sequence(let sequence) where sequence.kind == .list || sequence.kind == .tuple:
            try list("[", "]", sequence.items.count) { index in
                try writeJSON(sequence.items[index], style, to: &text, hasContent: &hasContent, depth: depth + 1)
            }
        case .dictionary(let dictionary):
            dictionary.readAll()
            var order = Array(dictionary.keys.indices)
            if style.sortsKeys { order = try sorted(order) { dictionary.keys[$0] } }
            try list("{", "}", order.count) { index in
                let key = dictionary.keys[order[index]]
                if case .text(let name) = key { hasContent = hasContent || name.hasContent }
                PythonText.writeQuoted(try jsonKey(key), asciiOnly: style.asciiOnly, to: &text)
                text += style.keySeparator
                let value = dictionary.values[order[index]]
                try writeJSON(value, style, to: &text, hasContent: &hasContent, depth: depth + 1)
            }
        default: throw fail("Object of type \(value.typeName) is not JSON serializable")
        }
    }

    private func jsonKey(_ key: JinjaValue) throws -> String {
        switch key {
        case .text(let name): return name.string
        case .int(let number): return "\(number)"
        case .float(let number): return PythonNumber.json(number)
        case .bool(let value): return value ? "true" : "false"
        case .none: return "null"
        default: throw fail("keys must be str, int, float, bool or None, not \(key.typeName)")
        }
    }

    /// Items in ascending order of their keys, equal ones as they were.
    func sorted<Item>(_ items: [Item], by key: (Item) throws -> JinjaValue) throws -> [Item] {
        let keyed = try items.map { (try key($0), $0) }
        try work(keyed.count)
        return try keyed.sorted { a, b in
            guard let order = try order(a.0, b.0) else {
                throw fail("'<' not supported between instances of '\(b.0.typeName)' and '\(a.0.typeName)'")
            }
            return order < 0
        }.map(\.1)
    }
}
