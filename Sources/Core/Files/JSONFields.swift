//  Reading a JSON object field by field, so that a mistake is reported with the path of the key:
//  `config.json: a.b[2]`.
//
//  An absent field and a null one are the same thing: both give nil.

/// A JSON object together with where it stands.
package struct JSONFields: Sendable {
    /// The members themselves, where null and absent still differ.
    package let object: JSON.Object
    /// The file.
    package let place: String
    /// The keys that lead to this object, `mamba2_config.ssm_cfg`; empty at the top.
    package let path: String

    /// - Throws: `InputError` (`.json`) when the value is not an object.
    package init(_ json: JSON, place: String, path: String = "") throws(InputError) {
        guard let object = json.object else {
            throw InputError(
                .json, in: path.isEmpty ? place : "\(place): \(path)", expected: "an object", found: json.kindName)
        }
        self.object = object
        self.place = place
        self.path = path
    }

    /// The value of a key; nil when it is absent or null.
    package subscript(key: String) -> JSON? {
        guard let value = object[key], value != .null else { return nil }
        return value
    }

    /// What messages call the field: `config.json: mamba2_config.d_conv`.
    package func place(of key: String) -> String {
        "\(place): \(path.isEmpty ? key : "\(path).\(key)")"
    }

    /// - Throws: `InputError`: `.json` for another type, `.value` for a number out of `range`.
    package func int(_ key: String, in range: ClosedRange<Int> = .min ... .max) throws(InputError) -> Int? {
        guard let value = self[key] else { return nil }
        guard let int = value.int else {
            throw InputError(.json, in: place(of: key), expected: "a whole number", found: value.kindName)
        }
        guard range.contains(int) else {
            throw InputError(
                .value, in: place(of: key), expected: "a whole number from \(range.lowerBound) to \(range.upperBound)",
                found: "\(int)")
        }
        return int
    }

    /// - Parameters:
    ///   - expected: what `isValid` asks for, as a noun.
    /// - Throws: `InputError`: `.json` for another type, `.value` for a number that is not valid.
    package func double(
        _ key: String, expected: String = "a number", where isValid: (Double) -> Bool = { _ in true }
    ) throws(InputError) -> Double? {
        guard let value = self[key] else { return nil }
        guard let double = value.double else {
            throw InputError(.json, in: place(of: key), expected: "a number", found: value.kindName)
        }
        guard isValid(double) else {
            throw InputError(.value, in: place(of: key), expected: expected, found: "\(double)")
        }
        return double
    }

    /// A finite number greater than zero.
    package func positive(_ key: String) throws(InputError) -> Double? {
        try double(key, expected: "a number greater than 0") { $0 > 0 && $0.isFinite }
    }

    /// A truth value; nil when it is absent or null.
    ///
    /// - Throws: `InputError` (`.json`) for another type.
    package func bool(_ key: String) throws(InputError) -> Bool? {
        guard let value = self[key] else { return nil }
        guard let bool = value.bool else {
            throw InputError(.json, in: place(of: key), expected: "true or false", found: value.kindName)
        }
        return bool
    }

    /// A text; nil when it is absent or null.
    ///
    /// - Throws: `InputError` (`.json`) for another type.
    package func string(_ key: String) throws(InputError) -> String? {
        guard let value = self[key] else { return nil }
        guard let string = value.string else {
            throw InputError(.json, in: place(of: key), expected: "a string", found: value.kindName)
        }
        return string
    }

    /// A list, whatever its elements are; nil when it is absent or null.
    ///
    /// - Throws: `InputError` (`.json`) for another type.
    package func array(_ key: String) throws(InputError) -> [JSON]? {
        guard let value = self[key] else { return nil }
        guard let array = value.array else {
            throw InputError(.json, in: place(of: key), expected: "an array", found: value.kindName)
        }
        return array
    }

    /// A list of texts; nil when it is absent or null.
    ///
    /// - Throws: `InputError` (`.json`) for another type, also of one element.
    package func strings(_ key: String) throws(InputError) -> [String]? {
        guard let values = try array(key) else { return nil }
        var strings: [String] = []
        for (i, value) in values.enumerated() {
            guard let string = value.string else {
                throw InputError(
                    .json, in: "\(place(of: key))[\(i)]", expected: "a string", found: value.kindName)
            }
            strings.append(string)
        }
        return strings
    }

    /// One whole number, or a list of them: how token ids are written.
    package func integers(_ key: String) throws(InputError) -> [Int]? {
        guard let value = self[key] else { return nil }
        var integers: [Int] = []
        for (i, item) in (value.array ?? [value]).enumerated() {
            guard let integer = item.int else {
                let place = value.array == nil ? place(of: key) : "\(place(of: key))[\(i)]"
                throw InputError(
                    .json, in: place,
                    expected: value.array == nil ? "a whole number or a list of them" : "a whole number",
                    found: item.kindName)
            }
            integers.append(integer)
        }
        return integers
    }

    /// The object under a key.
    package func fields(_ key: String) throws(InputError) -> JSONFields? {
        guard let value = self[key] else { return nil }
        return try JSONFields(value, place: place, path: path.isEmpty ? key : "\(path).\(key)")
    }
}
