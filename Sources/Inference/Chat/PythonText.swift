//  Strings and numbers as Python writes them in `repr` and in JSON.

import DualityCore
import Foundation

enum PythonText {
    /// Python's `repr` of a string: quoted, and what cannot be printed escaped.
    static func repr(_ string: String) -> String {
        let quote: Unicode.Scalar =
            string.utf8.contains(UInt8(ascii: "'")) && !string.utf8.contains(UInt8(ascii: "\"")) ? "\"" : "'"
        var text = String(quote)
        for scalar in string.unicodeScalars {
            switch scalar {
            case quote, "\\": text += "\\" + String(scalar)
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            default:
                if isPrintable(scalar) {
                    text.unicodeScalars.append(scalar)
                } else {
                    text += escape(scalar)
                }
            }
        }
        text.unicodeScalars.append(quote)
        return text
    }

    private static func escape(_ scalar: Unicode.Scalar) -> String {
        switch scalar.value {
        case ..<0x100: "\\x" + hex(scalar.value, 2)
        case ..<0x10000: "\\u" + hex(scalar.value, 4)
        default: "\\U" + hex(scalar.value, 8)
        }
    }

    private static func hex(_ value: UInt32, _ width: Int) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: width - digits.count) + digits
    }

    /// Python's `str.isprintable` of a character.
    static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return 0x20..<0x7F ~= scalar.value }
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
            .spaceSeparator:
            return false
        default: return true
        }
    }

    /// Appends a string as JSON.
    ///
    /// - Parameter asciiOnly: whether other characters are written as `\uXXXX`.
    static func writeQuoted(_ string: String, asciiOnly: Bool = false, to text: inout String) {
        text += "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\r": text += "\\r"
            case "\t": text += "\\t"
            case "\u{08}": text += "\\b"
            case "\u{0C}": text += "\\f"
            default:
                if scalar.value < 0x20 || (asciiOnly && scalar.value > 0x7E) {
                    for unit in String(scalar).utf16 { text += "\\u" + hex(UInt32(unit), 4) }
                } else {
                    text.unicodeScalars.append(scalar)
                }
            }
        }
        text += "\""
    }
}

enum PythonNumber {
    /// A number with so many digits behind the point, as `%.2f` writes it.
    static func fixed(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }

    /// A float in JSON.
    static func json(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Infinity" : "Infinity" }
        return repr(value)
    }

    /// Python's `repr` of a float: the shortest digits that read back as the number, with an
    /// exponent from 1e16 and below 1e-4.
    static func repr(_ value: Double) -> String {
        if value.isNaN { return "nan" }
        if value.isInfinite { return value < 0 ? "-inf" : "inf" }
        let (digits, exponent) = shortestDigits(value)
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

    /// The digits of |value| = 0.digits * 10^exponent; no digits for zero.
    private static func shortestDigits(_ value: Double) -> (digits: String, exponent: Int) {
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
        return (digits, exponent)
    }
}
