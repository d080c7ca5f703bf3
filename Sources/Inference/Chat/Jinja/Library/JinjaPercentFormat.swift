//  Python's `'%s and %d' % values`.

/// The places of a pattern, filled in one after another.
private struct PercentPattern {
    let run: JinjaRun
    let pattern: JinjaText
    let values: JinjaValue
    /// Values that are left, the last one first.
    var rest: [JinjaValue]
    var position = 0
    /// Whether places have names, and values that are left over do not matter.
    var usesNames = false

    init(_ run: JinjaRun, _ pattern: JinjaText, _ values: JinjaValue) {
        self.run = run
        self.pattern = pattern
        self.values = values
        rest = [values]
        if case .sequence(let sequence) = values, sequence.kind == .tuple { rest = sequence.items.reversed() }
        if case .dictionary = values { usesNames = true }
    }

    private var current: Unicode.Scalar? {
        position < pattern.bytes.count ? Unicode.Scalar(pattern.bytes[position]) : nil
    }

    private mutating func take() throws -> JinjaValue {
        guard let value = rest.popLast() else { throw run.fail("not enough arguments for format string") }
        return value
    }

    mutating func text() throws -> JinjaText {
        var result = JinjaText()
        while position < pattern.bytes.count {
            let end = pattern.bytes[position...].firstIndex(of: UInt8(ascii: "%")) ?? pattern.bytes.count
            result.append(pattern, position..<end)
            position = end + 1
            if end < pattern.bytes.count { result.append(try place()) }
        }
        if !rest.isEmpty, !usesNames { throw run.fail("not all arguments converted during string formatting") }
        return result
    }

    /// The place behind a percent sign.
    private mutating func place() throws -> JinjaText {
        let named = try name()
        var field = JinjaField()
        readFlags(&field)
        field.width = try number()
        if current == "." {
            position += 1
            field.precision = try number()
        }
        while let size = current, "hlL".unicodeScalars.contains(size) { position += 1 }
        guard let conversion = current else { throw run.fail("incomplete format") }
        position += 1
        if conversion == "%" { return JinjaText("%") }
        return try run.percentField(named ?? take(), conversion, field)
    }

    /// The value of `(name)`; nil without a name.
    private mutating func name() throws -> JinjaValue? {
        guard current == "(" else { return nil }
        guard let close = pattern.bytes[position...].firstIndex(of: UInt8(ascii: ")")),
            case .dictionary(let dictionary) = values
        else { throw run.fail("format requires a mapping") }
        let name = pattern[position + 1..<close]
        guard let value = dictionary[.text(name)] else { throw run.fail("no key \(name.string) to format") }
        position = close + 1
        return value
    }

    private mutating func readFlags(_ field: inout JinjaField) {
        while let flag = current, "-+ #0".unicodeScalars.contains(flag) {
            switch flag {
            case "-": (field.alignment, field.fill) = ("<", " ")
            case "0": if field.alignment == nil { (field.alignment, field.fill) = ("=", "0") }
            case "#": field.isAlternate = true
            default: field.sign = flag
            }
            position += 1
        }
    }

    private mutating func number() throws -> Int {
        if current == "*" {
            position += 1
            guard let width = try take().integer else { throw run.fail("* wants int") }
            return width
        }
        var value = 0
        while let digit = current, digit.isDigit {
            value = min(value * 10 + Int(digit.value - 48), JinjaRun.widest + 1)
            position += 1
        }
        return value
    }
}

extension JinjaRun {
    /// `pattern % values`: a tuple has a value for each place, a dictionary serves `%(name)s`.
    func percentFormat(_ pattern: JinjaText, _ values: JinjaValue) throws -> JinjaText {
        var pattern = PercentPattern(self, pattern, values)
        return try pattern.text()
    }

    fileprivate func percentField(
        _ value: JinjaValue, _ conversion: Unicode.Scalar, _ style: JinjaField
    ) throws -> JinjaText {
        var style = style
        switch conversion {
        case "s", "r", "a":
            if style.alignment == "=" { (style.alignment, style.fill) = (nil, " ") }
            return try field(
                conversion == "s" ? string(value) : repr(value), style: &style, conversion: "s", otherwise: ">")
        case "c":
            if case .text = value { return style.aligned(try string(value), otherwise: ">") }
            guard let code = value.integer, let scalar = UInt32(exactly: code).flatMap(Unicode.Scalar.init) else {
                throw fail("%c requires int or char")
            }
            return style.aligned(JinjaText(String(scalar)), otherwise: ">")
        case "d", "i", "u":
            if case .float(let number) = value, number.isFinite, number.magnitude < 0x1p62 {
                return try field(.int(Int(number)), style: &style, conversion: "d")
            }
            return try field(value, style: &style, conversion: "d")
        default: return try field(value, style: &style, conversion: conversion)
        }
    }
}
