//  The JSON of a request, strictly: RFC 8259 in UTF-8, one value, no name twice, no half of a
//  surrogate pair, numbers that a float64 holds, bounded depth. A checkpoint's files may hold NaN;
//  what a client sends may not.

import DualityCore

/// Reads the bodies of requests.
package enum RequestBody {
    /// Levels of objects and arrays, at most.
    package static let depthLimit = 200

    /// - Throws: `RequestError` (`.invalidJSON`) that says where the text is wrong.
    package static func object(_ bytes: UnsafeRawBufferPointer) throws(RequestError) -> JSON.Object {
        let json: JSON
        do {
            json = try JSON(parsing: bytes, place: "body")
        } catch {
            throw RequestError(.invalidJSON, error.description)
        }
        try check(json, depth: 0)
        guard let object = json.object else {
            throw RequestError(.invalidJSON, "body: expected a JSON object, found \(json.kindName)")
        }
        return object
    }

    package static func object(_ bytes: [UInt8]) throws(RequestError) -> JSON.Object {
        let result = bytes.withUnsafeBytes { bytes in
            Result { () throws(RequestError) in try object(bytes) }
        }
        return try result.get()
    }

    private static func check(_ json: JSON, depth: Int) throws(RequestError) {
        switch json {
        case .null, .bool, .string: break
        case .number(let literal):
            guard let value = Double(literal), value.isFinite else {
                throw RequestError(
                    .invalidJSON, "body: expected numbers that a float64 holds, found \(literal.prefix(40))")
            }
        case .array(let values):
            try checkDepth(depth)
            for value in values { try check(value, depth: depth + 1) }
        case .object(let object):
            try checkDepth(depth)
            for member in object.members { try check(member.value, depth: depth + 1) }
        }
    }

    private static func checkDepth(_ depth: Int) throws(RequestError) {
        guard depth < depthLimit else {
            throw RequestError(.invalidJSON, "body: expected at most \(depthLimit) levels of nesting, found more")
        }
    }

    /// The integer of a number without a fraction, however it is written: `7`, `7.0`, `0.7e1`; nil
    /// for another number and for one that 64 bits do not hold.
    package static func integer(_ literal: String) -> Int? {
        if let plain = Int(literal) { return plain }
        var text = Substring(literal)
        let isNegative = text.hasPrefix("-")
        if isNegative { text.removeFirst() }
        let parts = text.split(whereSeparator: { $0 == "e" || $0 == "E" })
        guard let mantissa = parts.first, parts.count < 2 || Int(parts[1]) != nil else { return nil }
        var exponent = parts.count == 2 ? Int(parts[1])! : 0
        let halves = mantissa.split(separator: ".", omittingEmptySubsequences: false)
        var digits = String(halves[0])
        if halves.count == 2 {
            digits += halves[1]
            let (moved, isOver) = exponent.subtractingReportingOverflow(halves[1].count)
            if isOver { return nil }
            exponent = moved
        }
        digits = String(digits.drop { $0 == "0" })
        if digits.isEmpty { return 0 }
        while exponent < 0, digits.last == "0" {
            digits.removeLast()
            exponent += 1
        }
        guard exponent >= 0, exponent < 20, digits.count < 20 else { return nil }
        return Int((isNegative ? "-" : "") + digits + String(repeating: "0", count: exponent))
    }
}
