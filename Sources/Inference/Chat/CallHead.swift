//  The beginning of a call: `{"name": "…", "arguments": ` up to the brace of the arguments.

/// What a text behind `<tool_call>` turns out to be.
enum CallHead: Equatable {
    /// Too short to say.
    case undecided
    /// A call of a declared tool, whose arguments begin behind `length` bytes.
    case name(String, length: Int)
    /// Something else.
    case different

    /// A head longer than this is none.
    private static let limit = 1024

    init(_ text: [UInt8], tools: Set<String>) {
        var reader = Reader(text: text)
        let name: String?
        do {
            try reader.take("{")
            try reader.take("\"name\"")
            try reader.take(":")
            name = try reader.string()
            try reader.take(",")
            try reader.take("\"arguments\"")
            try reader.take(":")
            try reader.peek("{")
        } catch .undecided where text.count <= Self.limit {
            self = .undecided
            return
        } catch {
            self = .different
            return
        }
        self = name.map { tools.contains($0) } == true ? .name(name!, length: reader.position) : .different
    }

    private enum Stop: Error { case undecided, different }

    private struct Reader {
        let text: [UInt8]
        var position = 0

        private mutating func skipSpace() {
            while position < text.count, AnswerParser.isSpace(text[position]) { position += 1 }
        }

        mutating func take(_ word: StaticString) throws(Stop) {
            skipSpace()
            for index in 0..<word.utf8CodeUnitCount {
                guard position < text.count else { throw .undecided }
                guard text[position] == word.utf8Start[index] else { throw .different }
                position += 1
            }
        }

        mutating func peek(_ word: StaticString) throws(Stop) {
            try take(word)
            position -= word.utf8CodeUnitCount
        }

        /// The inside of a string without escapes, which the names of tools do not need.
        mutating func string() throws(Stop) -> String {
            try take("\"")
            let start = position
            while position < text.count, text[position] != UInt8(ascii: "\"") {
                guard text[position] != UInt8(ascii: "\\"), text[position] >= 0x20 else { throw .different }
                position += 1
            }
            guard position < text.count else { throw .undecided }
            position += 1
            return String(decoding: text[start..<position - 1], as: UTF8.self)
        }
    }
}
