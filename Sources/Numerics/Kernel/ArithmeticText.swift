//  How arithmetics of kernels are read from a line of text: items KEY=VALUE from left to right, of
//  which the first may be the name of a known kernel instead, from which the rest departs.

import DualityCore
import DualityReference

/// An arithmetic that has keys.
package protocol ArithmeticText {
    /// What an arithmetic is of which nothing is said.
    static var usual: Self { get }
    /// Arithmetics that have a name.
    static var named: [(name: String, arithmetic: Self)] { get }

    /// - Throws: `InputError` for a key that is none, or a value that the key does not have.
    mutating func set(_ key: String, to value: String) throws(InputError)
}

extension ArithmeticText {
    /// Reads as many items as can be read.
    ///
    /// - Returns: the arithmetic so far, the items that were read, and what is wrong with the next.
    package static func reading(_ text: String) -> (arithmetic: Self, items: Int, error: InputError?) {
        var arithmetic = usual
        for (i, item) in text.split(separator: ",", omittingEmptySubsequences: false).enumerated() {
            let parts = item.split(separator: "=", maxSplits: 1).map { trimmed($0) }
            if parts.count == 2 {
                do { try arithmetic.set(parts[0], to: parts[1]) } catch { return (arithmetic, i, error) }
            } else if i == 0, let name = parts.first, let known = named.first(where: { $0.name == name }) {
                arithmetic = known.arithmetic
            } else {
                let error = InputError(
                    .unknown, in: "precision \"\(item)\"", expected: "KEY=VALUE" + (i == 0 ? " or a preset" : ""),
                    found: "\"\(item)\"", remedy: "Presets: \(named.map(\.name).joined(separator: ", ")).")
                return (arithmetic, i, error)
            }
        }
        return (arithmetic, text.split(separator: ",", omittingEmptySubsequences: false).count, nil)
    }

    /// - Throws: `InputError` naming the item.
    package static func read(_ text: String) throws(InputError) -> Self {
        let (arithmetic, _, error) = reading(text)
        if let error { throw error }
        return arithmetic
    }

    private static func trimmed(_ text: Substring) -> String {
        String(text.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }

    /// The number format that a key is set to.
    package func format(_ key: String, _ value: String) throws(InputError) -> NumberFormat {
        let format: NumberFormat
        do { format = try NumberFormat(named: value) } catch { throw error.within("precision \"\(key)\"") }
        guard key != "accumulate" || format == .f32 || format == .f64 else {
            throw InputError(.value, in: "precision \"accumulate\"", expected: "f32 or f64", found: "\"\(value)\"")
        }
        return format
    }

    /// One of some words.
    package func choice<Choice: RawRepresentable & CaseIterable>(
        _ key: String, _ value: String, _ type: Choice.Type = Choice.self
    ) throws(InputError) -> Choice where Choice.RawValue == String {
        guard let choice = Choice(rawValue: value) else {
            throw InputError(
                .value, in: "precision \"\(key)\"",
                expected: "one of " + Choice.allCases.map(\.rawValue).joined(separator: ", "), found: "\"\(value)\"")
        }
        return choice
    }

    /// `recurrent`, or `chunked:SIZE` with up to 4096 tokens.
    package func recurrenceForm(_ value: String) throws(InputError) -> RecurrenceForm {
        let parts = value.split(separator: ":").map(String.init)
        if parts == ["recurrent"] { return .recurrent }
        if parts.count == 2, parts[0] == "chunked", let size = Int(parts[1]), 1...4096 ~= size {
            return .chunked(size: size)
        }
        throw InputError(
            .value, in: "precision \"form\"", expected: "recurrent or chunked:SIZE", found: "\"\(value)\"")
    }

    package func noKey(_ key: String, among keys: [String]) -> InputError {
        InputError(
            .unknown, in: "precision", expected: "a key among " + keys.joined(separator: ", "), found: "\"\(key)\"")
    }
}
