//  `duality tokenize`: text to token ids and back, one text or a line each.

import ArgumentParser
import DualityCore
import DualityInference
import Foundation

struct TokenizeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tokenize",
        abstract: "Turn text into token ids, or ids into text.",
        discussion: """
            Lists the tokens of a text, given as arguments or on stdin. With --decode, prints the text of token ids.

            With --batch, every line of stdin is a JSON string and becomes a line with a JSON array of ids; with --decode \
            the other way round.

            Examples:
              duality tokenize "Once upon a time"
              duality tokenize --decode 1252 633 258 563
              duality tokenize --json < story.txt
              duality tokenize --tokenizer qwen.tiktoken.gz --batch < lines.jsonl
            """)

    @Argument(help: "The text, or with --decode the ids; without any, stdin is read as it is.")
    var text: [String] = []

    @Option(
        help: ArgumentHelp(
            "Use the tokenizer of this model. (default: $DUALITY_MODEL, else the embedded model)", valueName: "dir"))
    var model: String?

    @Option(help: ArgumentHelp("Use this tokenizer.json, .tiktoken or .tiktoken.gz.", valueName: "file"))
    var tokenizer: String?

    @Flag(help: "Turn ids into text.")
    var decode = false

    @Flag(help: "Read a JSON value a line, write a JSON value a line.")
    var batch = false

    @Flag(help: "Print one JSON value: an array of ids, or with --decode a string.")
    var json = false

    @Flag(help: "Read special tokens that are written in the text, such as <|im_end|>, as text like any other.")
    var plainSpecial = false

    @Flag(help: "With --decode, leave special tokens out.")
    var skipSpecial = false

    func validate() throws {
        if model != nil && tokenizer != nil { throw ValidationError("Give either --model or --tokenizer.") }
        if batch && !text.isEmpty { throw ValidationError("--batch reads stdin and takes no text.") }
        if skipSpecial && !decode { throw ValidationError("--skip-special goes with --decode.") }
        if plainSpecial && decode { throw ValidationError("--plain-special does not go with --decode.") }
    }

    func run() throws {
        let tokenizer =
            if let file = self.tokenizer {
                try Tokenizer(file: file)
            } else {
                try Tokenizer(directory: ModelLocation.find(model))
            }
        for warning in tokenizer.warnings { Terminal.note("warning: \(warning)") }
        if batch {
            let convert = TokenLines(
                tokenizer: tokenizer, decodes: decode, allowSpecial: !plainSpecial, skipSpecial: skipSpecial,
                rows: rows(tokenizer))
            try convert.run()
        } else if decode {
            let ids = try ids()
            let decoded = try tokenizer.decode(ids, skipSpecial: skipSpecial, rows: rows(tokenizer))
            let empty = ids.filter { !tokenizer.contains($0) }.count
            if empty > 0 {
                Terminal.note("\(empty) \(empty == 1 ? "id is" : "ids are") no token's; a model may have such rows.")
            }
            print(json ? JSON.string(decoded).serialized() : decoded)
        } else {
            let ids = tokenizer.encode(try input(), allowSpecial: !plainSpecial)
            if json {
                print(JSON.array(ids.map { JSON($0) }).serialized())
            } else {
                list(ids, tokenizer)
            }
        }
    }

    /// How many rows the model has, or one of this tokenizer may have.
    private func rows(_ tokenizer: Tokenizer) -> Int {
        let directory = self.tokenizer == nil ? try? ModelLocation.find(model) : nil
        let model = directory.flatMap { try? HybridConfiguration(directory: $0) }
        return model?.vocabularySize ?? tokenizer.largestModelRows
    }

    private func input() throws -> String {
        if !text.isEmpty { return text.joined(separator: " ") }
        let data = FileHandle.standardInput.readDataToEndOfFile()
        guard let text = String(validating: data, as: UTF8.self) else {
            throw InputError(.malformed, in: "stdin", expected: "UTF-8 text", found: "other bytes")
        }
        return text
    }

    /// Ids separated by spaces, commas or line ends; brackets around them do no harm.
    private func ids() throws -> [Int] {
        try input().split { !$0.isNumber && !$0.isLetter && $0 != "-" && $0 != "." && $0 != "+" }.map { word in
            guard let id = Int(word) else {
                throw InputError(.value, in: "token ids", expected: "whole numbers", found: "\"\(word)\"")
            }
            return id
        }
    }

    /// A line for each token: its id, and its bytes as text where they are text.
    private func list(_ ids: [Int], _ tokenizer: Tokenizer) {
        let width = ids.map { String($0).count }.max() ?? 0
        for id in ids {
            let number = String(id)
            let piece = PrintableBytes(tokenizer.bytes(of: id)).description
            print(String(repeating: " ", count: width - number.count) + number + "  " + piece)
        }
        Terminal.note("\(ids.count) tokens")
    }
}

/// Bytes as a string literal, with escapes for what is not a character or cannot be seen.
private struct PrintableBytes: CustomStringConvertible {
    let description: String

    init(_ bytes: ArraySlice<UInt8>) {
        if let text = String(validating: bytes, as: UTF8.self) {
            description = text.debugDescription
        } else {
            let hex = bytes.map { "\\x" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }
            description = "\"\(hex.joined())\""
        }
    }
}

/// `--batch`: a JSON value on each line of stdin, converted to one on stdout as soon as the line is
/// there.
private struct TokenLines {
    let tokenizer: Tokenizer
    let decodes: Bool
    let allowSpecial: Bool
    let skipSpecial: Bool
    let rows: Int

    func run() throws {
        var pending: [UInt8] = []
        var output: [UInt8] = []
        var line = 0
        while case let chunk = FileHandle.standardInput.availableData, !chunk.isEmpty {
            pending.append(contentsOf: chunk)
            guard let end = pending.lastIndex(of: UInt8(ascii: "\n")) else { continue }
            try write(pending[...end], from: &line, &output)
            pending.removeSubrange(...end)
        }
        if !pending.isEmpty { try write(pending[...], from: &line, &output) }
    }

    /// Converts whole lines; what was converted before a bad line is written before the complaint.
    private func write(_ lines: ArraySlice<UInt8>, from line: inout Int, _ output: inout [UInt8]) throws(InputError) {
        let result = lines.withUnsafeBytes { lines in
            Result { () throws(InputError) in try convert(lines, from: &line, into: &output) }
        }
        FileHandle.standardOutput.write(Data(output))
        output.removeAll(keepingCapacity: true)
        try result.get()
    }

    private func convert(
        _ lines: UnsafeRawBufferPointer, from line: inout Int, into output: inout [UInt8]
    ) throws(InputError) {
        var start = 0
        while start < lines.count {
            let end = lines[start...].firstIndex(of: UInt8(ascii: "\n")) ?? lines.count
            line += 1
            let place = "stdin line \(line)"
            let value = try JSON(parsing: UnsafeRawBufferPointer(rebasing: lines[start..<end]), place: place)
            try convert(value, place: place, into: &output)
            output.append(UInt8(ascii: "\n"))
            start = end + 1
        }
    }

    private func convert(_ value: JSON, place: String, into output: inout [UInt8]) throws(InputError) {
        guard decodes else {
            guard let text = value.string else {
                throw InputError(.json, in: place, expected: "a JSON string", found: value.kindName)
            }
            var separator = UInt8(ascii: "[")
            for id in tokenizer.encode(text, allowSpecial: allowSpecial) {
                output.append(separator)
                output.append(contentsOf: String(id).utf8)
                separator = UInt8(ascii: ",")
            }
            if separator == UInt8(ascii: "[") { output.append(separator) }
            output.append(UInt8(ascii: "]"))
            return
        }
        guard let ids = value.array else {
            throw InputError(.json, in: place, expected: "a JSON array of ids", found: value.kindName)
        }
        var tokens: [Int] = []
        for id in ids {
            guard let token = id.int else {
                throw InputError(.json, in: place, expected: "a JSON array of ids", found: "\(id.kindName) in it")
            }
            tokens.append(token)
        }
        do {
            let text = try tokenizer.decode(tokens, skipSpecial: skipSpecial, rows: rows)
            output.append(contentsOf: JSON.string(text).serialized().utf8)
        } catch {
            throw error.within(place)
        }
    }
}
