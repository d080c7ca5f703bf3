//  Tables as text: CSV with quotes (RFC 4180) and TSV.

import DualityCore

enum SeparatedValues {
    /// The cells of a table, with the number of the line that a row begins on.
    ///
    /// - Throws: `InputError` for a quote that is not closed.
    static func rows(_ text: String, separator: UInt8, place: String) throws(InputError) -> [(
        line: Int, cells: [String]
    )] {
        var rows: [(line: Int, cells: [String])] = []
        var cells: [String] = []
        var cell: [UInt8] = []
        var (isQuoted, wasQuoted, line, start) = (false, false, 1, 1)
        func finishCell() {
            cells.append(String(decoding: cell, as: UTF8.self))
            (cell, wasQuoted) = ([], false)
        }
        func finishRow() {
            finishCell()
            if cells.count > 1 || !(cells.first ?? "").isEmpty { rows.append((start, cells)) }
            cells = []
        }
        let bytes = Array(text.utf8)
        var i = 0
        while i < bytes.count {
            let byte = bytes[i]
            if byte == UInt8(ascii: "\n") { line += 1 }
            if isQuoted {
                if byte != UInt8(ascii: "\"") {
                    cell.append(byte)
                } else if i + 1 < bytes.count, bytes[i + 1] == byte {
                    cell.append(byte)
                    i += 1
                } else {
                    isQuoted = false
                }
            } else if byte == UInt8(ascii: "\""), cell.isEmpty, !wasQuoted {
                (isQuoted, wasQuoted) = (true, true)
            } else if byte == separator {
                finishCell()
            } else if byte == UInt8(ascii: "\n") {
                if cell.last == UInt8(ascii: "\r") { cell.removeLast() }
                finishRow()
                start = line
            } else {
                cell.append(byte)
            }
            i += 1
        }
        guard !isQuoted else {
            throw InputError(
                .malformed, in: "\(place):\(start)", expected: "a closing quote", found: "the end of the file")
        }
        if !cell.isEmpty || !cells.isEmpty { finishRow() }
        return rows
    }
}
