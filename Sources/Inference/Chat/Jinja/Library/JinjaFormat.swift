//  Python's `'{} and {x:>8.2f}'.format(…)`, and how a field of a pattern is written.

import Foundation

/// Sign, width and precision of a number or a text in a pattern.
struct JinjaField {
    var fill: Unicode.Scalar = " "
    var alignment: Unicode.Scalar?
    var sign: Unicode.Scalar = "-"
    var isAlternate = false
    var width = 0
    var precision: Int?
    var groups: Unicode.Scalar?

    /// Digits with a sign, and the zeros of a width behind the sign.
    func number(_ digits: String, isNegative: Bool, prefix: String = "") -> JinjaText {
        let mark = (isNegative ? "-" : sign == "-" ? "" : String(sign)) + prefix
        var digits = digits
        if let groups {
            let whole = digits.prefix { $0.isNumber }
            var grouped = ""
            for (index, digit) in whole.enumerated() {
                if index > 0, (whole.count - index) % 3 == 0 { grouped.unicodeScalars.append(groups) }
                grouped.append(digit)
            }
            digits = grouped + digits.dropFirst(whole.count)
        }
        if alignment == "=" {
            let missing = width - mark.count - digits.count
            return JinjaText(mark + String(repeating: String(fill), count: max(0, missing)) + digits)
        }
        return aligned(JinjaText(mark + digits), otherwise: ">")
    }

    func aligned(_ text: JinjaText, otherwise: Unicode.Scalar) -> JinjaText {
        let missing = width - text.count
        guard missing > 0 else { return text }
        let before =
            switch alignment ?? otherwise {
            case "<": 0
            case "^": missing / 2
            default: missing
            }
        var result = JinjaText(String(repeating: String(fill), count: before))
        result.append(text)
        result.append(String(repeating: String(fill), count: missing - before))
        return result
    }
}

extension JinjaRun {
    static let widest = 10_000

    /// `pattern.format(…)`.
    func format(_ pattern: JinjaText, _ arguments: JinjaArguments) throws -> JinjaText {
        var result = JinjaText()
        var position = 0
        var automatic = 0
        let bytes = pattern.bytes
        while position < bytes.count {
            let byte = bytes[position]
            guard byte == UInt8(ascii: "{") || byte == UInt8(ascii: "}") else {
                let end =
                    bytes[position...].firstIndex { $0 == UInt8(ascii: "{") || $0 == UInt8(ascii: "}") } ?? bytes.count
                result.append(pattern, position..<end)
                position = end
                continue
            }
            if position + 1 < bytes.count, bytes[position + 1] == byte {
                result.append(pattern, position..<position + 1)
                position += 2
                continue
            }
            guard byte == UInt8(ascii: "{"), let close = bytes[position...].firstIndex(of: UInt8(ascii: "}")) else {
                throw fail("Single '\(Character(Unicode.Scalar(byte)))' encountered in format string")
            }
            let inner = pattern[position + 1..<close].string
            position = close + 1
            guard !inner.contains("{") else {
                throw JinjaFailure(.unsupported, "a format pattern inside of another", line: line)
            }
            let parts = inner.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            let names = parts[0].split(separator: "!", maxSplits: 1, omittingEmptySubsequences: false)
            var path = String(names[0])
            if path.isEmpty || path.hasPrefix(".") || path.hasPrefix("[") {
                path = "\(automatic)" + path
                automatic += 1
            }
            var value = try argument(path, arguments)
            if names.count > 1 { value = .text(names[1] == "r" ? try repr(value) : try string(value)) }
            result.append(try field(value, specification: parts.count > 1 ? String(parts[1]) : ""))
        }
        return result
    }

    /// The argument that `0`, `name`, `name.attribute` or `name[key]` stands for.
    private func argument(_ path: String, _ arguments: JinjaArguments) throws -> JinjaValue {
        let head = path.prefix { $0 != "." && $0 != "[" }
        var value: JinjaValue
        if let index = Int(head) {
            guard arguments.positional.indices.contains(index) else {
                throw fail("Replacement index \(index) out of range for positional args tuple")
            }
            value = arguments.positional[index]
        } else {
            guard let found = arguments.named.first(where: { $0.name == head }) else {
                throw fail("no argument '\(head)' to format")
            }
            value = found.value
        }
        var rest = path.dropFirst(head.count)
        while let mark = rest.first {
            rest = rest.dropFirst()
            if mark == "." {
                let name = rest.prefix { $0 != "." && $0 != "[" }
                value = try attribute(String(name), of: value)
                rest = rest.dropFirst(name.count)
            } else {
                let key = rest.prefix { $0 != "]" }
                value = try item(Int(key).map(JinjaValue.int) ?? .string(String(key)), of: value)
                rest = rest.dropFirst(key.count + 1)
            }
            if case .undefined(let message) = value { throw fail(message) }
        }
        return value
    }

    /// A value by a specification such as `>8.2f`.
    func field(_ value: JinjaValue, specification: String) throws -> JinjaText {
        var style = JinjaField()
        var rest = Array(specification.unicodeScalars)
        let marks = "<>=^".unicodeScalars
        if rest.count > 1, marks.contains(rest[1]) {
            (style.fill, style.alignment) = (rest[0], rest[1])
            rest.removeFirst(2)
        } else if let mark = rest.first, marks.contains(mark) {
            style.alignment = mark
            rest.removeFirst()
        }
        if let sign = rest.first, "+- ".unicodeScalars.contains(sign) {
            style.sign = sign
            rest.removeFirst()
        }
        if rest.first == "#" {
            style.isAlternate = true
            rest.removeFirst()
        }
        if rest.first == "0", style.alignment == nil { (style.alignment, style.fill) = ("=", "0") }
        func number() -> Int? {
            let digits = rest.prefix { $0.isDigit }
            rest.removeFirst(digits.count)
            return Int(String(String.UnicodeScalarView(digits)))
        }
        style.width = number() ?? 0
        if let mark = rest.first, mark == "," || mark == "_" {
            style.groups = mark
            rest.removeFirst()
        }
        if rest.first == "." {
            rest.removeFirst()
            guard let digits = number() else { throw fail("Format specifier missing precision") }
            style.precision = digits
        }
        guard rest.count <= 1 else { throw fail("Invalid format specifier '\(specification)'") }
        if case .text(let text) = value {
            guard rest.isEmpty || rest[0] == "s" else {
                throw fail("Unknown format code '\(rest[0])' for object of type 'str'")
            }
            return try field(text, style: &style, conversion: "s", otherwise: "<")
        }
        if specification.isEmpty { return try string(value) }
        let isWhole = value.integer != nil
        return try field(value, style: &style, conversion: rest.first ?? (isWhole ? "d" : "g"))
    }

    // MARK: One field

    func field(
        _ text: JinjaText, style: inout JinjaField, conversion: Unicode.Scalar, otherwise: Unicode.Scalar
    ) throws -> JinjaText {
        try checkWidth(style)
        let cut = style.precision.map { text[0..<text.offset($0)] } ?? text
        return style.aligned(cut, otherwise: otherwise)
    }

    private func checkWidth(_ style: JinjaField) throws {
        guard style.width <= Self.widest, style.precision ?? 0 <= 100 || style.precision ?? 0 <= Self.widest else {
            throw JinjaFailure(.limit, "a field wider than \(Self.widest) characters", line: line)
        }
        try willMake(bytes: style.width + (style.precision ?? 0))
    }

    func field(
        _ value: JinjaValue, style: inout JinjaField, conversion: Unicode.Scalar
    ) throws -> JinjaText {
        try checkWidth(style)
        if let radix = ["d": 10, "x": 16, "X": 16, "o": 8, "b": 2][conversion] {
            guard let number = value.integer else {
                if case .undefined(let message) = value { throw fail(message) }
                throw fail("%\(conversion) format: a real number is required, not \(value.typeName)")
            }
            let digits = String(number.magnitude, radix: radix, uppercase: conversion == "X")
            let prefix = style.isAlternate && radix != 10 ? "0\(conversion)" : ""
            return style.number(digits, isNegative: number < 0, prefix: prefix)
        }
        guard "eEfFgG%".unicodeScalars.contains(conversion) else {
            throw fail("unsupported format character '\(conversion)'")
        }
        guard let number = value.number else {
            if case .undefined(let message) = value { throw fail(message) }
            throw fail("must be real number, not \(value.typeName)")
        }
        let isPercentage = conversion == "%"
        let precision = style.precision ?? 6
        var digits: String
        if number.isFinite {
            let pattern = "%.\(precision)\(isPercentage ? "f" : String(conversion))"
            digits = String(format: pattern, isPercentage ? number.magnitude * 100 : number.magnitude)
        } else {
            digits = number.isNaN ? "nan" : "inf"
            if style.fill == "0" { style.fill = " " }
        }
        if isPercentage { digits += "%" }
        return style.number(digits, isNegative: number.sign == .minus && !number.isNaN)
    }
}
