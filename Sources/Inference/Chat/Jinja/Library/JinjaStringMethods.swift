//  The methods of Python's `str`. Indices and lengths count characters (Unicode scalars).

/// The methods of a string by name.
enum JinjaStringMethods {
    typealias Method = @Sendable (JinjaRun, JinjaText, JinjaArguments) throws -> JinjaValue

    static let all: [String: Method] = table([
        stripping, splitting, searching, cases, padding, predicates,
        [
            "replace": { run, text, arguments in
                let values = try arguments.bound(to: "old", "new", "count", by: "replace")
                guard let old = try run.textArgument(values[0]), let new = try run.textArgument(values[1]) else {
                    throw run.fail("replace() takes what to replace and by what")
                }
                let count = try values[2].map { try run.integerArgument($0) } ?? -1
                return try run.replaced(text, old, by: new, limit: count < 0 ? .max : count)
            },
            "join": { run, text, arguments in
                guard let items = arguments.positional.first else { throw run.fail("join() takes one argument") }
                var result = JinjaText()
                for (index, item) in try run.iterate(items).enumerated() {
                    guard case .text(let part) = item else {
                        throw run.fail("sequence item \(index): expected str instance, \(item.typeName) found")
                    }
                    if index > 0 { result.append(text) }
                    try run.willMake(bytes: part.bytes.count + text.bytes.count)
                    result.append(part)
                }
                return .text(result)
            },
            "format": { run, text, arguments in try run.text(run.format(text, arguments)) },
            "encode": unsupported("encode"), "translate": unsupported("translate"),
            "maketrans": unsupported("maketrans"), "format_map": unsupported("format_map"),
        ],
    ])

    private static func table(_ parts: [[String: Method]]) -> [String: Method] {
        parts.reduce(into: [:]) { all, part in all.merge(part) { first, _ in first } }
    }

    private static func unsupported(_ name: String) -> Method {
        { run, _, _ in throw JinjaFailure(.unsupported, "the method \(name) of a string", line: run.line) }
    }

    // MARK: Ends

    private static let stripping: [String: Method] = [
        "strip": strip("strip", leading: true, trailing: true),
        "lstrip": strip("lstrip", leading: true, trailing: false),
        "rstrip": strip("rstrip", leading: false, trailing: true),
        "removeprefix": { run, text, arguments in
            let prefix = try run.onlyText(arguments, "removeprefix")
            return .text(text.hasPrefix(prefix) ? text[prefix.bytes.count..<text.bytes.count] : text)
        },
        "removesuffix": { run, text, arguments in
            let suffix = try run.onlyText(arguments, "removesuffix")
            let keeps = suffix.isEmpty || !text.hasSuffix(suffix)
            return .text(keeps ? text : text[0..<text.bytes.count - suffix.bytes.count])
        },
    ]

    private static func strip(_ name: String, leading: Bool, trailing: Bool) -> Method {
        { run, text, arguments in
            let values = try arguments.bound(to: "chars", by: name)
            return try run.text(run.stripped(text, values[0], leading: leading, trailing: trailing))
        }
    }

    // MARK: Parts

    private static let splitting: [String: Method] = [
        "split": split("split", fromEnd: false),
        "rsplit": split("rsplit", fromEnd: true),
        "splitlines": { run, text, arguments in
            let keeps = try arguments.bound(to: "keepends", by: "splitlines")[0]?.isTrue ?? false
            return try run.sequence(lines(of: text, keepEnds: keeps).map { try run.text($0) })
        },
        "partition": { run, text, arguments in
            let separator = try run.onlyText(arguments, "partition")
            guard !separator.isEmpty else { throw run.fail("empty separator") }
            return try run.parts(of: text, at: text.find(separator, in: text.bytes.indices), separator, fromEnd: false)
        },
        "rpartition": { run, text, arguments in
            let separator = try run.onlyText(arguments, "rpartition")
            guard !separator.isEmpty else { throw run.fail("empty separator") }
            let place = text.findLast(separator, in: text.bytes.indices)
            return try run.parts(of: text, at: place, separator, fromEnd: true)
        },
    ]

    private static func split(_ name: String, fromEnd: Bool) -> Method {
        { run, text, arguments in
            let values = try arguments.bound(to: "sep", "maxsplit", by: name)
            let limit = try values[1].map { try run.integerArgument($0) } ?? -1
            let parts = try run.split(text, try run.textArgument(values[0]), limit < 0 ? .max : limit, fromEnd: fromEnd)
            return try run.sequence(parts.map { try run.text($0) })
        }
    }

    /// The lines of a text, by any of the ends that Python knows.
    static func lines(of text: JinjaText, keepEnds: Bool) -> [JinjaText] {
        var lines: [JinjaText] = []
        var start = 0
        var ranges = text.characterRanges[...]
        while let range = ranges.popFirst() {
            let scalar = text.scalar(at: range)
            switch scalar.value {
            case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029: break
            default: continue
            }
            var end = range.upperBound
            if scalar == "\r", let next = ranges.first, text.bytes[next.lowerBound] == 0x0A {
                end = next.upperBound
                ranges.removeFirst()
            }
            lines.append(text[start..<(keepEnds ? end : range.lowerBound)])
            start = end
        }
        if start < text.bytes.count { lines.append(text[start..<text.bytes.count]) }
        return lines
    }

    // MARK: Searching

    private static let searching: [String: Method] = [
        "startswith": { run, text, arguments in
            try run.matches(text, arguments, "startswith") { $0.hasPrefix($1) }
        },
        "endswith": { run, text, arguments in try run.matches(text, arguments, "endswith") { $0.hasSuffix($1) } },
        "find": search("find", fromEnd: false, throwsIfAbsent: false),
        "rfind": search("rfind", fromEnd: true, throwsIfAbsent: false),
        "index": search("index", fromEnd: false, throwsIfAbsent: true),
        "rindex": search("rindex", fromEnd: true, throwsIfAbsent: true),
        "count": { run, text, arguments in
            let (pattern, range) = try run.patternAndRange(text, arguments, "count")
            guard let range else { return .int(0) }
            let part = text[range]
            return .int(pattern.isEmpty ? part.count + 1 : part.places(of: pattern).count)
        },
    ]

    private static func search(_ name: String, fromEnd: Bool, throwsIfAbsent: Bool) -> Method {
        { run, text, arguments in
            let (pattern, range) = try run.patternAndRange(text, arguments, name)
            let place = range.flatMap { fromEnd ? text.findLast(pattern, in: $0) : text.find(pattern, in: $0) }
            guard let place else {
                if throwsIfAbsent { throw run.fail("substring not found") }
                return .int(-1)
            }
            return .int(text[0..<place].count)
        }
    }

    // MARK: Padding

    private static let padding: [String: Method] = [
        "center": { run, text, arguments in
            try run.padded(text, arguments, "center") { width, missing in missing / 2 + (missing & width & 1) }
        },
        "ljust": { run, text, arguments in try run.padded(text, arguments, "ljust") { _, _ in 0 } },
        "rjust": { run, text, arguments in try run.padded(text, arguments, "rjust") { $1 } },
        "zfill": { run, text, arguments in
            let width = try run.integerArgument(arguments.bound(to: "width", by: "zfill")[0] ?? .int(0))
            let missing = max(0, width - text.count)
            try run.willMake(bytes: missing + text.bytes.count)
            let sign = text.bytes.first == UInt8(ascii: "-") || text.bytes.first == UInt8(ascii: "+") ? 1 : 0
            var result = text[0..<sign]
            result.append(String(repeating: "0", count: missing))
            result.append(text, sign..<text.bytes.count)
            return .text(result)
        },
        "expandtabs": { run, text, arguments in
            let size = try run.integerArgument(arguments.bound(to: "tabsize", by: "expandtabs")[0] ?? .int(8))
            var result = JinjaText()
            var column = 0
            for range in text.characterRanges {
                let byte = text.bytes[range.lowerBound]
                if byte == 0x09 {
                    let blanks = size > 0 ? size - column % size : 0
                    try run.willMake(bytes: blanks)
                    result.append(String(repeating: " ", count: blanks))
                    column += blanks
                } else {
                    result.append(text, range)
                    column = byte == 0x0A || byte == 0x0D ? 0 : column + 1
                }
            }
            return try run.text(result)
        },
    ]
}
