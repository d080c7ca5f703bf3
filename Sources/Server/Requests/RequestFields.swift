//  The members of a request, read one by one: null is absent, booleans are no numbers, numbers no
//  strings, and what nobody has asked for at the end is what nobody knows.

import DualityCore

/// An object of a request, and which of its members have been read.
package struct RequestFields: Sendable {
    package let object: JSON.Object
    /// The members that lead here: `stream_options`; empty at the top.
    package let path: String
    private var known: Set<String> = []

    package init(_ object: JSON.Object, path: String = "") {
        self.object = object
        self.path = path
    }

    /// What a member is called in complaints.
    package func place(_ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

    /// A member that is there and not null.
    package mutating func value(_ name: String) -> JSON? {
        known.insert(name)
        guard let value = object[name], value != .null else { return nil }
        return value
    }

    /// The names that nothing has asked for, in their order.
    package var unknownNames: [String] { object.names.filter { !known.contains($0) } }

    /// Members that are accepted and change nothing.
    package mutating func accept(_ names: [String]) { known.formUnion(names) }

    /// - Throws: `RequestError` (`.unsupported`) when the member asks for something.
    package mutating func refuse(
        _ name: String, _ message: String, unless isHarmless: (JSON) -> Bool = { _ in false }
    ) throws(RequestError) {
        guard let value = value(name), !isHarmless(value) else { return }
        throw .unsupported(place(name), message)
    }

    // MARK: Types

    package mutating func int(
        _ name: String, in range: ClosedRange<Int> = .min ... .max, _ expected: String? = nil
    ) throws(RequestError) -> Int? {
        guard let value = value(name) else { return nil }
        return try Self.int(value, in: range, place: place(name), expected)
    }

    package static func int(
        _ value: JSON, in range: ClosedRange<Int>, place: String, _ expected: String? = nil
    ) throws(RequestError) -> Int {
        let bounds =
            switch (range.lowerBound, range.upperBound) {
            case (.min, .max): ""
            case (let low, .max): ", at least \(low)"
            case (.min, let high): ", at most \(high)"
            case (let low, let high): " from \(low) to \(high)"
            }
        let expected = expected ?? "a whole number\(bounds)"
        guard case .number(let literal) = value, let int = RequestBody.integer(literal), range.contains(int) else {
            throw RequestError(place, expected: expected, found: found(value))
        }
        return int
    }

    package mutating func number(
        _ name: String, _ expected: String, where isValid: (Double) -> Bool
    ) throws(RequestError) -> Double? {
        guard let value = value(name) else { return nil }
        guard case .number(let literal) = value, let number = Double(literal), number.isFinite, isValid(number) else {
            throw RequestError(place(name), expected: "a number, \(expected)", found: Self.found(value))
        }
        return number
    }

    package mutating func bool(_ name: String) throws(RequestError) -> Bool? {
        guard let value = value(name) else { return nil }
        guard let bool = value.bool else { throw wrong(name, "true or false", value) }
        return bool
    }

    package mutating func string(_ name: String) throws(RequestError) -> String? {
        guard let value = value(name) else { return nil }
        guard let string = value.string else { throw wrong(name, "a string", value) }
        return string
    }

    package mutating func array(_ name: String, _ expected: String = "a list") throws(RequestError) -> [JSON]? {
        guard let value = value(name) else { return nil }
        guard let array = value.array else { throw wrong(name, expected, value) }
        return array
    }

    package mutating func fields(_ name: String) throws(RequestError) -> RequestFields? {
        guard let value = value(name) else { return nil }
        guard let object = value.object else { throw wrong(name, "an object", value) }
        return RequestFields(object, path: place(name))
    }

    /// One of several words.
    package mutating func word(_ name: String, of words: [String]) throws(RequestError) -> String? {
        guard let value = value(name) else { return nil }
        guard let word = value.string, words.contains(word) else {
            throw wrong(name, "one of " + words.map { "\"\($0)\"" }.joined(separator: ", "), value)
        }
        return word
    }

    package func missing(_ name: String, _ expected: String) -> RequestError {
        RequestError(place(name), expected: expected, found: "nothing", .missing)
    }

    package func wrong(_ name: String, _ expected: String, _ value: JSON) -> RequestError {
        RequestError(place(name), expected: expected, found: Self.found(value))
    }

    /// A value in a complaint: numbers as they are written, other values by their kind.
    package static func found(_ value: JSON) -> String {
        if case .number(let literal) = value { return String(literal.prefix(40)) }
        return value.kindName
    }
}
