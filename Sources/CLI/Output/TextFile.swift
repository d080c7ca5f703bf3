//  Texts that a command is to read.

import DualityCore
import Foundation

enum TextFile {
    /// The text of a file, or of standard input for `-`.
    ///
    /// - Throws: `InputError`: `.missingFile`; `.inaccessibleFile` for a directory or a refusal;
    ///   `.value` where the bytes are not UTF-8, of which a tokenizer would see something else than
    ///   what is there.
    static func read(_ path: String) throws(InputError) -> String {
        if path == "-" { return try text(FileHandle.standardInput.readDataToEndOfFile(), of: "standard input") }
        var isDirectory: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory) else {
            throw InputError(.missingFile, in: path, expected: "a text to read", found: "no such file")
        }
        guard !isDirectory.boolValue, let bytes = FileManager.default.contents(atPath: path) else {
            throw InputError(
                .inaccessibleFile, in: path, expected: "a text to read",
                found: isDirectory.boolValue ? "a directory" : "a file that cannot be read")
        }
        return try text(bytes, of: path)
    }

    private static func text(_ bytes: Data, of place: String) throws(InputError) -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw InputError(
                .value, in: place, expected: "text in UTF-8", found: "bytes that are not",
                remedy: "Convert it first, with iconv for instance.")
        }
        return text
    }
}
