//  JSON text as Python's json.dumps(value, ensure_ascii=False) writes it, which is what chat
//  templates show a model.
//
//  A space after each comma and colon, non-ASCII characters as they are, integers digit for digit,
//  and numbers with a point or an exponent as Python prints the float64 they stand for: 1e5 becomes
//  100000.0.

import DualityCore

extension JSON {
    /// The value as Python writes it on one line.
    var pythonText: String {
        var text = ""
        write(to: &text)
        return text
    }

    private func write(to text: inout String) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .number(let literal): text += Self.pythonNumber(literal)
        case .string(let value): Self.writeQuoted(value, to: &text)
        case .array(let values):
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += ", " }
                value.write(to: &text)
            }
            text += "]"
        case .object(let object):
            text += "{"
            for (index, member) in object.members.enumerated() {
                if index > 0 { text += ", " }
                Self.writeQuoted(member.name, to: &text)
                text += ": "
                member.value.write(to: &text)
            }
            text += "}"
        }
    }

    /// A number literal after a round trip through Python's int or float.
    private static func pythonNumber(_ literal: String) -> String {
        if literal.utf8.allSatisfy({ $0 == UInt8(ascii: "-") || 48...57 ~= $0 }) {
            return literal == "-0" ? "0" : literal
        }
        guard let value = Double(literal) else { return literal }
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
        return pythonFloat(value)
    }

    /// The shortest digits that read back as `value`, with an exponent from 1e16 and below 1e-4, as
    /// `repr` has it.
    private static func pythonFloat(_ value: Double) -> String {
        // Swift finds the same shortest digits and places the point differently.
        var digits = ""
        var exponent = 0
        var seenPoint = false
        let parts = value.magnitude.description.split(separator: "e")
        for character in parts[0] {
            if character == "." {
                seenPoint = true
            } else {
                digits.append(character)
                if !seenPoint { exponent += 1 }
            }
        }
        if parts.count == 2 { exponent += Int(parts[1]) ?? 0 }
        let leadingZeros = digits.prefix { $0 == "0" }.count
        digits.removeFirst(leadingZeros)
        exponent -= leadingZeros
        while digits.last == "0" { digits.removeLast() }
        let sign = value.sign == .minus ? "-" : ""
        if digits.isEmpty { return sign + "0.0" }

        // value = 0.digits * 10^exponent
        func zeros(_ count: Int) -> String { String(repeating: "0", count: count) }
        if exponent > 16 || exponent < -3 {
            let power = exponent - 1
            let powerDigits = String(power.magnitude)
            let fraction = digits.count > 1 ? "." + digits.dropFirst() : ""
            return sign + digits.prefix(1) + fraction + "e" + (power < 0 ? "-" : "+")
                + zeros(max(0, 2 - powerDigits.count)) + powerDigits
        }
        if exponent <= 0 { return sign + "0." + zeros(-exponent) + digits }
        if digits.count <= exponent { return sign + digits + zeros(exponent - digits.count) + ".0" }
        return sign + digits.prefix(exponent) + "." + digits.dropFirst(exponent)
    }
}
