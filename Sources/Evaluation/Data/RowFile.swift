//  Files of rows in the formats that data sets come in.
//
//  JSON Lines, the same compressed with gzip, one JSON array, CSV and TSV, told apart by their
//  names and first character.

import DualityCore
import DualityInference
import Foundation

package enum RowFile {
    /// The rows of a file, each with the place where it stands.
    ///
    /// - Parameter columns: the names of the columns of a table without a header; nil for one with.
    /// - Throws: `InputError` with file, line and field; for Parquet with the way to convert it.
    package static func rows(_ path: String, columns: [String]? = nil) throws(InputError) -> [JSONFields] {
        if path.hasSuffix(".parquet") { throw parquet(path) }
        var bytes = try DataFile.bytes(path)
        if path.hasSuffix(".gz") { bytes = DataFile.unmarked(try Gzip.decompress(bytes, place: path)) }
        if path.hasSuffix(".csv") || path.hasSuffix(".tsv") { return try table(bytes, path, columns) }
        let first = bytes.first { ![0x20, 0x0A, 0x0D, 0x09].contains($0) }
        var rows: [JSONFields] = []
        if first == UInt8(ascii: "[") {
            let json = try JSON(parsing: String(decoding: bytes, as: UTF8.self), place: path)
            for (i, value) in (json.array ?? []).enumerated() {
                rows.append(try JSONFields(value, place: "\(path): row \(i + 1)"))
            }
        } else {
            for (line, value) in try JSONLines.parse(bytes, place: path) {
                rows.append(try JSONFields(value, place: "\(path):\(line)"))
            }
        }
        guard !rows.isEmpty else {
            throw InputError(.value, in: path, expected: "at least one row", found: "none")
        }
        return rows
    }

    static func parquet(_ path: String) -> InputError {
        InputError(
            .unsupported, in: path, expected: "JSON Lines, a JSON array, CSV or TSV", found: "Parquet",
            remedy:
                "Convert it in Python: datasets.load_dataset(\"parquet\", data_files=\"\(path)\", split=\"train\").to_json(\"rows.jsonl\")."
        )
    }

    private static func table(_ bytes: [UInt8], _ path: String, _ columns: [String]?) throws(InputError) -> [JSONFields]
    {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw InputError(.value, in: path, expected: "text in UTF-8", found: "bytes that are not")
        }
        let separator = path.hasSuffix(".tsv") ? UInt8(ascii: "\t") : UInt8(ascii: ",")
        var table = try SeparatedValues.rows(text, separator: separator, place: path)[...]
        guard let names = columns ?? table.popFirst()?.cells else {
            throw InputError(.value, in: path, expected: "a table with a header", found: "an empty file")
        }
        var rows: [JSONFields] = []
        for (line, cells) in table {
            guard cells.count == names.count else {
                throw InputError(
                    .malformed, in: "\(path):\(line)", expected: "\(names.count) columns", found: "\(cells.count)")
            }
            var object = JSON.Object()
            for (name, cell) in zip(names, cells) { object[name] = .string(cell) }
            rows.append(try JSONFields(.object(object), place: "\(path):\(line)"))
        }
        guard !rows.isEmpty else { throw InputError(.value, in: path, expected: "at least one row", found: "none") }
        return rows
    }
}

extension JSONFields {
    /// The row with further fields.
    package func adding(_ fields: [(String, JSON)]) throws(InputError) -> JSONFields {
        var object = object
        for (name, value) in fields { object[name] = value }
        return try JSONFields(.object(object), place: place, path: path)
    }
}
