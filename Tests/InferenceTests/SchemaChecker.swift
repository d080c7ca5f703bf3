//  JSON Schema by its definition, on parsed values: what constrained answers are held against.

import DualityCore
import Foundation

/// Checks values against the schemas of one document.
struct SchemaChecker {
    let root: JSON

    func fits(_ value: JSON) -> Bool { fits(value, root) }

    private func fits(_ value: JSON, _ schema: JSON) -> Bool {
        if let isTrue = schema.bool { return isTrue }
        guard let keywords = schema.object else { return false }
        return keywords.members.allSatisfy { keep($0.name, $0.value, value, keywords) }
    }

    /// Whether one keyword is kept.
    private func keep(_ name: String, _ rule: JSON, _ value: JSON, _ keywords: JSON.Object) -> Bool {
        switch name {
        case "type": return (rule.array ?? [rule]).contains { isOf($0.string!, value) }
        case "enum": return rule.array!.contains { isSame($0, value) }
        case "const": return isSame(rule, value)
        case "$ref":
            var target = root
            for part in rule.string!.split(separator: "/").dropFirst() { target = target[String(part)]! }
            return fits(value, target)
        case "allOf": return rule.array!.allSatisfy { fits(value, $0) }
        case "anyOf": return rule.array!.contains { fits(value, $0) }
        case "oneOf": return rule.array!.filter { fits(value, $0) }.count == 1
        default: break
        }
        switch value {
        case .object(let object): return keep(name, rule, object, keywords)
        case .array(let items): return keep(name, rule, items, keywords)
        case .string(let text): return keep(name, rule, text)
        case .number(let literal): return keep(name, rule, Double(literal)!)
        case .null, .bool: return true
        }
    }

    private func keep(_ name: String, _ rule: JSON, _ object: JSON.Object, _ keywords: JSON.Object) -> Bool {
        switch name {
        case "properties":
            return rule.object!.members.allSatisfy { name, schema in object[name].map { fits($0, schema) } ?? true }
        case "required": return rule.array!.allSatisfy { object[$0.string!] != nil }
        case "additionalProperties":
            let declared = keywords["properties"]?.object
            return object.members.allSatisfy { declared?[$0.name] != nil || fits($0.value, rule) }
        default: return true
        }
    }

    private func keep(_ name: String, _ rule: JSON, _ items: [JSON], _ keywords: JSON.Object) -> Bool {
        switch name {
        case "minItems": return items.count >= rule.int!
        case "maxItems": return items.count <= rule.int!
        case "prefixItems": return zip(items, rule.array!).allSatisfy { fits($0, $1) }
        case "items":
            return items.dropFirst(keywords["prefixItems"]?.array?.count ?? 0).allSatisfy { fits($0, rule) }
        default: return true
        }
    }

    private func keep(_ name: String, _ rule: JSON, _ text: String) -> Bool {
        switch name {
        case "minLength": return text.unicodeScalars.count >= rule.int!
        case "maxLength": return text.unicodeScalars.count <= rule.int!
        case "pattern": return matches(text, rule.string!)
        case "format": return isFormatted(text, rule.string!)
        default: return true
        }
    }

    private func keep(_ name: String, _ rule: JSON, _ number: Double) -> Bool {
        guard let bound = rule.double else { return true }
        switch name {
        case "minimum": return number >= bound
        case "maximum": return number <= bound
        case "exclusiveMinimum": return number > bound
        case "exclusiveMaximum": return number < bound
        case "multipleOf": return (number / bound).rounded() * bound == number
        default: return true
        }
    }

    // MARK: Values

    private func isOf(_ type: String, _ value: JSON) -> Bool {
        switch value {
        case .null: type == "null"
        case .bool: type == "boolean"
        case .string: type == "string"
        case .array: type == "array"
        case .object: type == "object"
        case .number: type == "number" || (type == "integer" && value.double!.rounded() == value.double!)
        }
    }

    private func isSame(_ a: JSON, _ b: JSON) -> Bool {
        switch (a, b) {
        case (.number(let a), .number(let b)): Double(a) == Double(b)
        case (.array(let a), .array(let b)): a.count == b.count && zip(a, b).allSatisfy(isSame)
        case (.object(let a), .object(let b)):
            a.count == b.count && a.members.allSatisfy { name, value in b[name].map { isSame(value, $0) } ?? false }
        default: a == b
        }
    }

    private func matches(_ text: String, _ pattern: String) -> Bool {
        let expression = try! NSRegularExpression(pattern: pattern)
        return expression.firstMatch(in: text, range: NSRange(text.startIndex..., in: text)) != nil
    }

    private func isFormatted(_ text: String, _ format: String) -> Bool {
        let date = "\\d{4}-\\d{2}-\\d{2}"
        let time = "\\d{2}:\\d{2}:\\d{2}(\\.\\d+)?(Z|[+-]\\d{2}:\\d{2})"
        switch format {
        case "uuid": return UUID(uuidString: text) != nil
        case "ipv4":
            return matches(text, "^\\d{1,3}(\\.\\d{1,3}){3}$")
                && text.split(separator: ".").allSatisfy { Int($0)! < 256 }
        case "email": return matches(text, "^[^@\\s]+@[^@\\s]+\\.[^@\\s.]+$")
        case "time": return matches(text, "^\(time)$") && isFormatted("2000-01-01T" + text, "date-time")
        case "date": return matches(text, "^\(date)$") && exists(text)
        default:
            let parts = text.split(separator: "T")
            guard matches(text, "^\(date)T\(time)$"), exists(String(parts[0])) else { return false }
            let clock = parts[1].prefix(8).split(separator: ":").map { Int($0)! }
            return clock[0] < 24 && clock[1] < 60 && clock[2] < 60
        }
    }

    /// Whether a day is in the calendar.
    private func exists(_ date: String) -> Bool {
        let numbers = date.split(separator: "-").map { Int($0)! }
        let (year, month, day) = (numbers[0], numbers[1], numbers[2])
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let days = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        return year > 0 && 1...12 ~= month && 1...days[month - 1] ~= day
    }
}
