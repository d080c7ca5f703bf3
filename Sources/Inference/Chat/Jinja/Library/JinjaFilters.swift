//  What stands behind `|`.
//
//  Source: Jinja 3.1, template designer documentation, "List of Builtin Filters"; `tojson` as
//  transformers replaces it.

/// The filters of templates by name.
enum JinjaFilters {
    typealias Filter = @Sendable (JinjaRun, JinjaValue, JinjaArguments) throws -> JinjaValue

    static let all: [String: Filter] = [texts, numbers, collections, sequences, choices].reduce(into: [:]) {
        $0.merge($1) { first, _ in first }
    }

    // MARK: Texts

    private static let texts: [String: Filter] = [
        "string": { run, value, _ in .text(try run.string(value)) },
        "trim": { run, value, arguments in
            let values = try arguments.bound(to: "chars", by: "trim")
            return try run.text(run.stripped(run.string(value), values[0]))
        },
        "lower": method("lower"),
        "upper": method("upper"),
        "capitalize": method("capitalize"),
        "title": { run, value, _ in
            // Words begin behind white space and some marks, unlike those of `str.title`.
            let text = try run.string(value)
            var result = ""
            var isStart = true
            for scalar in text.scalars {
                result += isStart ? scalar.properties.uppercaseMapping : scalar.properties.lowercaseMapping
                isStart = scalar.isPythonSpace || "-({[<".unicodeScalars.contains(scalar)
            }
            return try run.text(text.replaced(by: result))
        },
        "center": { run, value, arguments in
            let width = arguments.positional.first ?? arguments.named.first?.value ?? .int(80)
            return try JinjaStringMethods.all["center"]?(run, run.string(value), JinjaArguments(positional: [width]))
                ?? value
        },
        "replace": { run, value, arguments in
            let values = try arguments.bound(to: "old", "new", "count", by: "replace")
            guard let old = values[0], let new = values[1] else { throw run.fail("replace takes two texts") }
            var limit = Int.max
            if let count = values[2], !count.isTrue, case .none = count {
            } else if let count = values[2] {
                limit = try run.integerArgument(count)
            }
            return try run.replaced(
                run.string(value), run.string(old), by: run.string(new), limit: limit < 0 ? .max : limit)
        },
        "format": { run, value, arguments in
            let text = try run.string(value)
            if arguments.named.isEmpty {
                return try run.text(run.percentFormat(text, run.sequence(arguments.positional, .tuple)))
            }
            let names = JinjaDictionary()
            for (name, value) in arguments.named { names.set(name, value) }
            return try run.text(run.percentFormat(text, .dictionary(names)))
        },
        "indent": { run, value, arguments in
            guard let text = try run.textArgument(value) else { throw run.fail("indent takes a string") }
            return try run.indented(text, arguments)
        },
        "truncate": { run, value, arguments in
            guard let text = try run.textArgument(value) else { throw run.fail("truncate takes a string") }
            return try run.truncated(text, arguments)
        },
        "wordcount": { run, value, _ in
            var count = 0
            var isInside = false
            for scalar in try run.string(value).scalars {
                let isWord = scalar == "_" || scalar.properties.isAlphabetic || scalar.properties.numericType != nil
                if isWord && !isInside { count += 1 }
                isInside = isWord
            }
            return .int(count)
        },
        "safe": { run, value, _ in
            var text = try run.string(value)
            text.isMarkup = true
            return .text(text)
        },
        "escape": escape, "e": escape,
        "forceescape": { run, value, _ in try run.text(run.string(value).escapedForHTML) },
        "tojson": { run, value, arguments in
            let values = try arguments.bound(
                to: "ensure_ascii", "indent", "separators", "sort_keys", by: "tojson")
            return .text(try run.json(value, try run.jsonStyle(values)))
        },
        "urlencode": { run, value, _ in
            guard case .text(let text) = value else {
                throw JinjaFailure(.unsupported, "urlencode of what is no string", line: run.line)
            }
            var result = ""
            for byte in text.bytes {
                let scalar = Unicode.Scalar(byte)
                if scalar.isASCII, scalar.isNamePart || "-.~/".unicodeScalars.contains(scalar) {
                    result.unicodeScalars.append(scalar)
                } else {
                    result += (byte < 16 ? "%0" : "%") + String(byte, radix: 16, uppercase: true)
                }
            }
            return try run.text(text.replaced(by: result))
        },
    ]

    private static let escape: Filter = { run, value, _ in
        let text = try run.string(value)
        return text.isMarkup ? .text(text) : try run.text(text.escapedForHTML)
    }

    private static func method(_ name: String) -> Filter {
        { run, value, _ in
            let text = try run.string(value)
            try run.looked(at: text.bytes.count)
            return try JinjaStringMethods.all[name]?(run, text, JinjaArguments()) ?? value
        }
    }

    // MARK: Numbers

    private static let numbers: [String: Filter] = [
        "abs": { run, value, _ in
            switch value {
            case .float(let number): return .float(number.magnitude)
            default:
                guard let number = value.integer else {
                    throw run.fail("bad operand type for abs(): '\(value.typeName)'")
                }
                return number < 0 ? try run.negative(value) : .int(number)
            }
        },
        "int": { run, value, arguments in
            let values = try arguments.bound(to: "default", "base", by: "int")
            let fallback = values[0] ?? .int(0)
            if case .float(let number) = value {
                return number.isFinite && number.magnitude < 0x1p62 ? .int(Int(number)) : fallback
            }
            if let number = value.integer { return .int(number) }
            guard case .text(let text) = value else { return fallback }
            let digits = text.string.trimmingPythonSpace.filter { $0 != "_" }
            if let number = Int(digits, radix: try values[1].map { try run.integerArgument($0) } ?? 10) {
                return .int(number)
            }
            guard let number = Double(digits), number.isFinite, number.magnitude < 0x1p62 else { return fallback }
            return .int(Int(number))
        },
        "float": { run, value, arguments in
            let fallback = try arguments.bound(to: "default", by: "float")[0] ?? .float(0)
            if let number = value.number { return .float(number) }
            guard case .text(let text) = value, let number = Double(text.string.trimmingPythonSpace) else {
                return fallback
            }
            return .float(number)
        },
        "round": { run, value, arguments in try run.rounded(value, arguments) },
        "sum": { run, value, arguments in
            let values = try arguments.bound(to: "attribute", "start", by: "sum")
            var sum = values[1] ?? .int(0)
            for item in try run.iterate(value) {
                sum = try run.arithmetic(.add, sum, run.picked(item, values[0]))
            }
            return sum
        },
    ]
}

extension JinjaRun {
    func filter(_ name: String, _ value: JinjaValue, _ arguments: JinjaArguments) throws -> JinjaValue {
        guard let filter = JinjaFilters.all[name] else { throw fail("No filter named '\(name)'") }
        try work(2)
        if case .text(let text) = value { try looked(at: text.bytes.count) }
        return try filter(self, value, arguments)
    }

    fileprivate func jsonStyle(_ values: [JinjaValue?]) throws -> JSONStyle {
        var style = JSONStyle()
        style.asciiOnly = values[0]?.isTrue ?? false
        switch values[1] {
        case nil, .some(.none): break
        case .some(.text(let text)): style.indent = text.string
        case .some(let width):
            let width = try integerArgument(width)
            guard width <= 1000 else { throw JinjaFailure(.limit, "an indentation of \(width)", line: line) }
            style.indent = String(repeating: " ", count: max(0, width))
        }
        if style.indent != nil { style.itemSeparator = "," }
        if let separators = values[2], case .none = separators {
        } else if let separators = values[2] {
            let pair = try iterate(separators)
            guard pair.count == 2, let item = try textArgument(pair[0]), let key = try textArgument(pair[1]) else {
                throw fail("separators are two strings")
            }
            (style.itemSeparator, style.keySeparator) = (item.string, key.string)
        }
        style.sortsKeys = values[3]?.isTrue ?? false
        return style
    }

    fileprivate func rounded(_ value: JinjaValue, _ arguments: JinjaArguments) throws -> JinjaValue {
        let values = try arguments.bound(to: "precision", "method", by: "round")
        let precision = try values[0].map { try integerArgument($0) } ?? 0
        let method = try textArgument(values[1])?.string ?? "common"
        guard ["common", "ceil", "floor"].contains(method) else {
            throw fail("method must be common, ceil or floor")
        }
        guard let number = value.number else {
            if case .undefined(let message) = value { throw fail(message) }
            throw fail("type \(value.typeName) doesn't define __round__ method")
        }
        guard (-300...300).contains(precision), number.isFinite else { return .float(number) }
        if method == "common" {
            if case .int = value { return .int(try roundedInteger(value.integer ?? 0, precision)) }
            if precision >= 0, let text = Double(PythonNumber.fixed(number, precision)) { return .float(text) }
        }
        var scale = 1.0
        for _ in 0..<precision.magnitude { scale *= 10 }
        let scaled = precision < 0 ? number / scale : number * scale
        let whole = scaled.rounded(method == "ceil" ? .up : method == "floor" ? .down : .toNearestOrEven)
        let result = precision < 0 ? whole * scale : whole / scale
        return .float(result == 0 && method != "common" ? 0 : result)
    }

    private func roundedInteger(_ number: Int, _ precision: Int) throws -> Int {
        guard precision < 0 else { return number }
        guard precision > -19 else { return 0 }
        var scale = 1
        for _ in 0..<precision.magnitude { scale *= 10 }
        let (quotient, remainder) = number.quotientAndRemainder(dividingBy: scale)
        let twice = remainder.magnitude * 2
        let isUp = twice > UInt(scale) || (twice == UInt(scale) && quotient % 2 != 0)
        return (quotient + (isUp ? (number < 0 ? -1 : 1) : 0)) * scale
    }

    fileprivate func indented(_ text: JinjaText, _ arguments: JinjaArguments) throws -> JinjaValue {
        let values = try arguments.bound(to: "width", "first", "blank", by: "indent")
        var indentation = JinjaText("    ")
        if case .text(let given)? = values[0] {
            indentation = given
        } else if let width = values[0] {
            let width = try integerArgument(width)
            try willMake(bytes: max(0, width))
            indentation = JinjaText(String(repeating: " ", count: max(0, width)))
        }
        var source = text
        source.append("\n")
        var result = JinjaText()
        for (index, line) in JinjaStringMethods.lines(of: source, keepEnds: false).enumerated() {
            try willMake(bytes: line.bytes.count + indentation.bytes.count)
            if index > 0 { result.append("\n") }
            let isIndented = index == 0 ? values[1]?.isTrue ?? false : !line.isEmpty || values[2]?.isTrue ?? false
            if isIndented { result.append(indentation) }
            result.append(line)
        }
        return .text(result)
    }

    fileprivate func truncated(_ text: JinjaText, _ arguments: JinjaArguments) throws -> JinjaValue {
        let values = try arguments.bound(to: "length", "killwords", "end", "leeway", by: "truncate")
        let length = try values[0].map { try integerArgument($0) } ?? 255
        let end = try textArgument(values[2]) ?? JinjaText("...")
        let leeway = try values[3].map { try integerArgument($0) } ?? 5
        guard length >= end.count else { throw fail("expected length >= \(end.count), got \(length)") }
        guard leeway >= 0 else { throw fail("expected leeway >= 0, got \(leeway)") }
        if text.count <= length + leeway { return .text(text) }
        var head = text[0..<text.offset(length - end.count)]
        if !(values[1]?.isTrue ?? false), let place = head.findLast(JinjaText(" "), in: head.bytes.indices) {
            head = head[0..<place]
        }
        head.append(end)
        return try self.text(head)
    }
}

extension String {
    fileprivate var trimmingPythonSpace: String { JinjaText(self).stripped { $0.isPythonSpace }.string }
}
