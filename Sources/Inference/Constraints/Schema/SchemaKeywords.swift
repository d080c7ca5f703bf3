//  One schema of a document, its keywords checked: types right, none that is not kept.

import DualityCore

/// The number of a schema in its document.
struct SchemaNode: Hashable, Sendable {
    let number: Int
}

/// A type of JSON values. An integer is a number too.
enum SchemaType: String, CaseIterable, Sendable {
    case null, boolean, integer, number, string, array, object
}

/// The keywords of one schema.
struct SchemaKeywords: Sendable {
    /// Keywords that join other schemas to this one, in the order of the text.
    enum Part: Sendable {
        /// The schema's own properties.
        case own
        /// `$ref`, or a member of `allOf`.
        case all(SchemaNode)
        /// `anyOf` or `oneOf`.
        case any([SchemaNode])
    }

    /// What the schema is called in complaints.
    let path: String
    /// The schema `false`.
    var isFalse = false
    var parts: [Part] = []
    var types: Set<SchemaType>?
    /// The values of `enum` and `const`.
    var values: [JSON]?

    var properties: [(name: String, schema: SchemaNode)]?
    var required: [String] = []
    var additional: SchemaNode?

    var prefixItems: [SchemaNode] = []
    var items: SchemaNode?
    var minItems = 0
    var maxItems = Int.max

    var minLength = 0
    var maxLength = Int.max
    var pattern: String?
    var format: StringFormat?

    var range = NumberRange()

    /// The types that the keywords speak of, for schemas that name none.
    var impliedTypes: Set<SchemaType> = []

    init(path: String) {
        self.path = path
    }

    /// Keywords that say nothing about the value.
    static let annotations: Set<String> = [
        "title", "description", "default", "examples", "$schema", "$id", "deprecated", "$defs", "definitions",
    ]
}

/// Reads the keywords of one schema object.
struct SchemaReader {
    private let object: JSON.Object
    private let makeNode: (JSON, String) throws(InputError) -> SchemaNode
    private let resolve: (String, String) throws(InputError) -> SchemaNode
    private var keywords: SchemaKeywords

    /// - Parameters:
    ///   - makeNode: the number of a schema inside this one, from its JSON and the path to it.
    ///   - resolve: the number of the schema that a `$ref` names, from it and the path of the
    ///     `$ref`.
    static func read(
        _ json: JSON, path: String, makeNode: @escaping (JSON, String) throws(InputError) -> SchemaNode,
        resolve: @escaping (String, String) throws(InputError) -> SchemaNode
    ) throws(InputError) -> SchemaKeywords {
        var keywords = SchemaKeywords(path: path)
        switch json {
        case .bool(let isTrue):
            keywords.isFalse = !isTrue
            return keywords
        case .object(let object):
            var reader = SchemaReader(object: object, makeNode: makeNode, resolve: resolve, keywords: keywords)
            for (name, value) in object.members where !SchemaKeywords.annotations.contains(name) {
                try reader.read(name, value)
            }
            return reader.keywords
        default:
            throw InputError(.json, in: path, expected: "a schema: an object, true or false", found: json.kindName)
        }
    }

    private init(
        object: JSON.Object, makeNode: @escaping (JSON, String) throws(InputError) -> SchemaNode,
        resolve: @escaping (String, String) throws(InputError) -> SchemaNode, keywords: SchemaKeywords
    ) {
        self.object = object
        self.makeNode = makeNode
        self.resolve = resolve
        self.keywords = keywords
    }

    private func path(_ name: String) -> String { "\(keywords.path).\(name)" }

    private mutating func read(_ name: String, _ value: JSON) throws(InputError) {
        switch name {
        case "type": try readTypes(value)
        case "enum": try addValues(try list(value, name, least: 1), name)
        case "const": try addValues([value], name)
        case "$ref":
            guard let reference = value.string else { throw wrong("a string that begins with #", name, value) }
            keywords.parts.append(.all(try resolve(reference, path(name))))
        case "allOf": for node in try nodes(value, name) { keywords.parts.append(.all(node)) }
        case "anyOf", "oneOf": keywords.parts.append(.any(try nodes(value, name)))
        case "properties", "required", "additionalProperties": try readObject(name, value)
        case "prefixItems", "items", "minItems", "maxItems": try readArray(name, value)
        case "minLength", "maxLength", "pattern", "format": try readString(name, value)
        case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf": try readNumber(name, value)
        default:
            throw InputError(
                .unsupported, in: path(name), expected: "a keyword that constrained sampling keeps",
                found: "\"\(name)\"")
        }
    }

    // MARK: All types

    private mutating func readTypes(_ value: JSON) throws(InputError) {
        let names = value.string.map { [JSON.string($0)] } ?? value.array
        guard let names, !names.isEmpty else { throw wrong("the name of a type, or a list of names", "type", value) }
        var types = Set<SchemaType>()
        for name in names {
            guard let type = name.string.flatMap(SchemaType.init) else {
                let all = SchemaType.allCases.map(\.rawValue).joined(separator: ", ")
                throw wrong("one of \(all)", "type", name)
            }
            types.insert(type)
        }
        keywords.types = types
    }

    private mutating func addValues(_ values: [JSON], _ name: String) throws(InputError) {
        let kept = keywords.values.map { known in
            known.filter { value in values.contains { $0.isSameValue(as: value) } }
        }
        keywords.values = kept ?? values
    }

    // MARK: Objects and arrays

    private mutating func readObject(_ name: String, _ value: JSON) throws(InputError) {
        keywords.impliedTypes.insert(.object)
        switch name {
        case "properties":
            guard let members = value.object?.members else { throw wrong("an object of schemas", name, value) }
            var properties: [(name: String, schema: SchemaNode)] = []
            for (property, schema) in members {
                properties.append((property, try makeNode(schema, "\(path(name)).\(property)")))
            }
            keywords.properties = properties
            keywords.parts.append(.own)
        case "required":
            for one in try list(value, name) {
                guard let property = one.string else { throw wrong("a list of names", name, one) }
                keywords.required.append(property)
            }
        default: keywords.additional = try makeNode(value, path(name))
        }
    }

    private mutating func readArray(_ name: String, _ value: JSON) throws(InputError) {
        keywords.impliedTypes.insert(.array)
        switch name {
        case "prefixItems": keywords.prefixItems = try nodes(value, name)
        case "items": keywords.items = try makeNode(value, path(name))
        case "minItems": keywords.minItems = try count(value, name)
        default: keywords.maxItems = try count(value, name)
        }
    }

    // MARK: Strings and numbers

    private mutating func readString(_ name: String, _ value: JSON) throws(InputError) {
        keywords.impliedTypes.insert(.string)
        switch name {
        case "minLength": keywords.minLength = try count(value, name)
        case "maxLength": keywords.maxLength = try count(value, name)
        case "pattern":
            guard let pattern = value.string else { throw wrong("a regular expression", name, value) }
            keywords.pattern = pattern
        default:
            guard let word = value.string else { throw wrong("the name of a format", name, value) }
            guard let format = StringFormat(rawValue: word) else {
                let all = StringFormat.allCases.map(\.rawValue).joined(separator: ", ")
                throw InputError(.unsupported, in: path(name), expected: "one of \(all)", found: value.kindName)
            }
            keywords.format = format
        }
    }

    private mutating func readNumber(_ name: String, _ value: JSON) throws(InputError) {
        keywords.impliedTypes.insert(.number)
        guard case .number(let literal) = value else { throw wrong("a number", name, value) }
        guard let decimal = Decimal(literal) else {
            throw InputError(
                .unsupported, in: path(name), expected: "a number of at most \(Decimal.digitLimit) digits",
                found: value.kindName)
        }
        switch name {
        case "minimum": keywords.range.limit(from: .init(value: decimal, isExclusive: false))
        case "exclusiveMinimum": keywords.range.limit(from: .init(value: decimal, isExclusive: true))
        case "maximum": keywords.range.limit(to: .init(value: decimal, isExclusive: false))
        case "exclusiveMaximum": keywords.range.limit(to: .init(value: decimal, isExclusive: true))
        default:
            guard !decimal.isNegative, !decimal.isZero else { throw wrong("a number above 0", name, value) }
            guard let multiple = decimal.wholeMultiple(limit: NumberRange.multipleLimit) else {
                throw InputError(
                    .unsupported, in: path(name), expected: "at most \(NumberRange.multipleLimit)",
                    found: value.kindName)
            }
            keywords.range.multiples.append(multiple)
            keywords.range.multiplesAreWhole = keywords.range.multiplesAreWhole && decimal.isInteger
        }
    }

    // MARK: Values of keywords

    private func wrong(_ expected: String, _ name: String, _ found: JSON) -> InputError {
        InputError(.json, in: path(name), expected: expected, found: found.kindName)
    }

    private func list(_ value: JSON, _ name: String, least: Int = 0) throws(InputError) -> [JSON] {
        guard let list = value.array, list.count >= least else {
            throw wrong(least > 0 ? "a list that is not empty" : "a list", name, value)
        }
        return list
    }

    private func nodes(_ value: JSON, _ name: String) throws(InputError) -> [SchemaNode] {
        var result: [SchemaNode] = []
        for (index, schema) in try list(value, name, least: 1).enumerated() {
            result.append(try makeNode(schema, "\(path(name))[\(index)]"))
        }
        return result
    }

    private func count(_ value: JSON, _ name: String) throws(InputError) -> Int {
        guard let count = value.int, count >= 0 else { throw wrong("a whole number, at least 0", name, value) }
        return count
    }
}
