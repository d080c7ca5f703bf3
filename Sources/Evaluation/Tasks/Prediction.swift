//  Outputs that were made before: a JSON object a line.
//
//      {"id": "g1", "doc": {…the row…}, "outputs": ["…"]}
//
//  Every mistake is reported with file, line and field, and nothing is scored then.

import DualityCore
import Foundation

/// One line of a predictions file.
package struct Prediction: Sendable {
    /// A string or a number, as written.
    package let id: JSON
    package let doc: JSONFields
    package let response: Response

    /// Reads a predictions file.
    ///
    /// - Parameter accepts: the response fields, of which a line has one.
    /// - Throws: `InputError` with file, line and field.
    package static func read(_ path: String, accepts: [String]) throws(InputError) -> [Prediction] {
        var predictions: [Prediction] = []
        var lines: [String: Int] = [:]
        for (number, json) in try JSONLines.read(path) {
            let prediction = try Prediction(json, place: "\(path):\(number)", accepts: accepts)
            let key = prediction.id.plainText
            if let before = lines[key] {
                throw InputError(
                    .value, in: "\(path):\(number): id", expected: "an id that no other line has",
                    found: "\(prediction.id.serialized()), also on line \(before)")
            }
            lines[key] = number
            predictions.append(prediction)
        }
        guard !predictions.isEmpty else {
            throw InputError(.value, in: path, expected: "at least one prediction, a JSON object a line", found: "none")
        }
        return predictions
    }

    private init(_ json: JSON, place: String, accepts: [String]) throws(InputError) {
        let fields = try JSONFields(json, place: place)
        guard let id = fields["id"] else { throw fields.missing("id", "a string or a number") }
        switch id {
        case .string, .number: self.id = id
        default:
            throw InputError(.json, in: fields.place(of: "id"), expected: "a string or a number", found: id.kindName)
        }
        doc = try fields.requiredFields("doc")
        let names = accepts.map { "'\($0)'" }.joined(separator: " or ")
        guard let name = accepts.first(where: { fields[$0] != nil }) else {
            throw fields.missing(accepts[0], "the field \(names)")
        }
        response = try Self.response(fields, name)
    }

    private static func response(_ fields: JSONFields, _ name: String) throws(InputError) -> Response {
        let values = try fields.array(name) ?? []
        let place = fields.place(of: name)
        guard !values.isEmpty else {
            throw InputError(.value, in: place, expected: "at least one entry", found: "an empty list")
        }
        switch name {
        case "outputs": return .outputs(try fields.requiredStrings(name))
        case "passed":
            var flags: [Bool] = []
            for (i, value) in values.enumerated() {
                guard let flag = value.bool else {
                    throw InputError(.json, in: "\(place)[\(i)]", expected: "true or false", found: value.kindName)
                }
                flags.append(flag)
            }
            return .passed(flags)
        default:
            var numbers: [Double] = []
            for (i, value) in values.enumerated() {
                guard case .number = value, let number = value.double else {
                    throw InputError(.json, in: "\(place)[\(i)]", expected: "a number", found: value.kindName)
                }
                guard number.isFinite else {
                    throw InputError(
                        .notFinite, in: "\(place)[\(i)]", expected: "a finite logarithm", found: value.serialized())
                }
                numbers.append(number)
            }
            return .logLikelihoods(numbers)
        }
    }
}

extension JSON {
    /// The text of a string, the digits of a number.
    package var plainText: String {
        switch self {
        case .string(let text): text
        default: serialized()
        }
    }
}

/// Files of one JSON value a line.
package enum JSONLines {
    /// The values with the numbers of their lines; blank lines are skipped.
    ///
    /// - Throws: `InputError`: a file that is not there, or `path:line:column` of what is no JSON.
    package static func read(_ path: String) throws(InputError) -> [(line: Int, value: JSON)] {
        try parse(try DataFile.bytes(path), place: path)
    }

    static func parse(_ bytes: [UInt8], place: String) throws(InputError) -> [(line: Int, value: JSON)] {
        var values: [(line: Int, value: JSON)] = []
        var number = 0
        var start = 0
        while start < bytes.count {
            number += 1
            let end = bytes[start...].firstIndex(of: 0x0A) ?? bytes.count
            let line = bytes[start..<end]
            start = end + 1
            guard line.contains(where: { $0 != 0x20 && $0 != 0x0D && $0 != 0x09 }) else { continue }
            values.append((number, try value(line, place: "\(place):\(number)")))
        }
        return values
    }

    private static func value(_ line: ArraySlice<UInt8>, place: String) throws(InputError) -> JSON {
        let result = line.withUnsafeBytes { bytes in
            Result { () throws(InputError) in try JSON(parsing: bytes, place: place) }
        }
        do {
            return try result.get()
        } catch {
            // The parser counts lines from the beginning of this one: only the column says
            // something.
            let column = error.place.split(separator: ":").last.map { ":\($0)" } ?? ""
            throw InputError(
                error.kind, in: place + column, expected: "a JSON object on one line: \(error.expected)",
                found: error.found, remedy: error.remedy)
        }
    }
}

/// Whole files.
enum DataFile {
    static func bytes(_ path: String) throws(InputError) -> [UInt8] {
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw InputError(.missingFile, in: path, expected: "a file to read", found: "no such file")
        }
        guard !isDirectory.boolValue, let bytes = FileManager.default.contents(atPath: path) else {
            throw InputError(
                .inaccessibleFile, in: path, expected: "a file to read",
                found: isDirectory.boolValue ? "a directory" : "a file that cannot be read")
        }
        return unmarked([UInt8](bytes))
    }

    /// Without the byte order mark that editors of some systems begin UTF-8 with.
    static func unmarked(_ bytes: [UInt8]) -> [UInt8] {
        bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? Array(bytes.dropFirst(3)) : bytes
    }

    static func json(_ path: String) throws(InputError) -> JSON {
        try JSON(parsing: String(decoding: try bytes(path), as: UTF8.self), place: path)
    }

    static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }
}
