//  What a script says: text, tables, values, claims and figures.
//
//  Everything goes to standard output as it happens, so that a script can be read in a terminal.
//  Each call also knows the line it stands on; when the weaver listens (Recording.swift), that is
//  how an output finds its way back below its code.
//
//      print("…")                 a line of text
//      table(["a", "b"], rows)    columns
//      value("name", 1.5)         a number that the prose quotes as {{name}}
//      claim("…", condition)      a sentence that must be true, or the run fails
//      figure("name", …)          a picture of numbers, Figure.swift

import Foundation

/// Prints a line. Takes the place of the standard library's function in scripts that import this
/// module.
public func print(_ text: String, line: Int = #line) {
    emit(text)
    Recording.shared.add(.text(text), line: line)
}

/// Prints a table; numbers should already be text.
///
/// - Parameters:
///   - header: the names of the columns, with units.
///   - rows: as many cells each.
public func table(_ header: [String], _ rows: [[String]], line: Int = #line) {
    let widths = header.indices.map { column in
        ([header] + rows).map { column < $0.count ? $0[column].count : 0 }.max() ?? 0
    }
    func text(_ row: [String]) -> String {
        row.enumerated().map { column, cell in
            let space = String(repeating: " ", count: max(0, widths[column] - cell.count))
            return column == 0 ? cell + space : space + cell
        }.joined(separator: "  ")
    }
    emit(text(header))
    emit(String(repeating: "-", count: widths.reduce(0, +) + 2 * max(0, header.count - 1)))
    for row in rows { emit(text(row)) }
    Recording.shared.add(.table(header: header, rows: rows), line: line)
}

/// States a number that the prose quotes as `{{name}}`.
public func value(_ name: String, _ text: String, line: Int = #line) {
    emit("\(name) = \(text)")
    Recording.shared.add(.value(name: name, text: text), line: line)
}

/// States a number that the prose quotes as `{{name}}`.
public func value(_ name: String, _ number: Double, _ notation: Notation = .significant(3), line: Int = #line) {
    value(name, text(number, notation), line: line)
}

/// States a whole number that the prose quotes as `{{name}}`.
public func value(_ name: String, _ number: Int, line: Int = #line) {
    value(name, text(number), line: line)
}

/// States a sentence that must hold. Where it does not, the run ends here with exit status 1.
public func claim(_ sentence: String, _ holds: Bool, line: Int = #line) {
    guard holds else { fail("line \(line): this is no longer true: \(sentence)", status: 1) }
    emit("✓ \(sentence)")
    Recording.shared.add(.claim(sentence), line: line)
}

/// Ends the script with a reason and exit status 2, where it cannot go on with what it was given.
public func stop(_ reason: String) -> Never {
    fail(reason, status: 2)
}

/// Says that a part of the script cannot be run here, and how to get it.
public func missing(_ what: String, get how: String, line: Int = #line) {
    emit("(left out: \(what). To get it: \(how))")
    Recording.shared.add(.missing(what: what, how: how), line: line)
}

/// Standard output, a line at a time.
func emit(_ text: String) {
    FileHandle.standardOutput.write(Data("\(text)\n".utf8))
}

/// Ends the script with a sentence on standard error.
func fail(_ sentence: String, status: Int32) -> Never {
    FileHandle.standardError.write(Data("\(sentence)\n".utf8))
    exit(status)
}
