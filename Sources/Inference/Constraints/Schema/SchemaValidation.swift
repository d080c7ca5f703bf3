//  Whether a value fits a schema: which members of an `enum` remain beside the other keywords.

import DualityCore

extension JSON {
    /// Equality as JSON Schema has it: 1 and 1.0 are one number, and members have no order.
    func isSameValue(as other: JSON) -> Bool {
        switch (self, other) {
        case (.null, .null): return true
        case (.bool(let a), .bool(let b)): return a == b
        case (.string(let a), .string(let b)): return a.utf8.elementsEqual(b.utf8)
        case (.number(let a), .number(let b)):
            return a == b || Decimal(a).map { $0 == Decimal(b) } ?? false
        case (.array(let a), .array(let b)):
            return a.count == b.count && zip(a, b).allSatisfy { $0.isSameValue(as: $1) }
        case (.object(let a), .object(let b)):
            return a.count == b.count
                && a.members.allSatisfy { name, value in b[name].map(value.isSameValue) ?? false }
        default: return false
        }
    }
}

extension SchemaDocument {
    /// Whether a value fits a schema and those it joins.
    func admits(_ value: JSON, _ node: SchemaNode) throws(InputError) -> Bool {
        let keywords = try keywords(node)
        guard try admits(value, own: keywords) else { return false }
        for part in keywords.parts {
            switch part {
            case .own: break
            case .all(let other): guard try admits(value, other) else { return false }
            case .any(let options):
                var fits = false
                for option in options where !fits { fits = try admits(value, option) }
                guard fits else { return false }
            }
        }
        return true
    }

    /// Whether a value fits the keywords of one schema, without those that it joins.
    func admits(_ value: JSON, own keywords: SchemaKeywords) throws(InputError) -> Bool {
        if keywords.isFalse { return false }
        if let types = keywords.types, !types.contains(where: { Self.has($0, value) }) { return false }
        if let values = keywords.values, !values.contains(where: value.isSameValue) { return false }
        switch value {
        case .null, .bool: return true
        case .number(let literal): return Decimal(literal).map(keywords.range.contains) ?? false
        case .string(let text): return try admits(text, keywords)
        case .array(let items): return try admits(items, keywords)
        case .object(let object): return try admits(object, keywords)
        }
    }

    private static func has(_ type: SchemaType, _ value: JSON) -> Bool {
        switch (type, value) {
        case (.null, .null), (.boolean, .bool), (.number, .number), (.string, .string), (.array, .array),
            (.object, .object):
            true
        case (.integer, .number(let literal)): Decimal(literal)?.isInteger ?? false
        default: false
        }
    }

    private func admits(_ text: String, _ keywords: SchemaKeywords) throws(InputError) -> Bool {
        guard keywords.minLength...keywords.maxLength ~= text.unicodeScalars.count else { return false }
        return try StringRules(keywords).automata().allSatisfy { $0?.matches(text) ?? false }
    }

    private func admits(_ items: [JSON], _ keywords: SchemaKeywords) throws(InputError) -> Bool {
        guard keywords.minItems <= items.count, items.count <= keywords.maxItems else { return false }
        for (index, item) in items.enumerated() {
            let schema = index < keywords.prefixItems.count ? keywords.prefixItems[index] : keywords.items
            if let schema, try !admits(item, schema) { return false }
        }
        return true
    }

    private func admits(_ object: JSON.Object, _ keywords: SchemaKeywords) throws(InputError) -> Bool {
        guard keywords.required.allSatisfy({ object[$0] != nil }) else { return false }
        for (name, value) in object.members {
            let declared = keywords.properties?.first { $0.name.utf8.elementsEqual(name.utf8) }
            if let schema = declared?.schema ?? keywords.additional, try !admits(value, schema) { return false }
        }
        return true
    }
}
