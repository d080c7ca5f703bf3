//  The marks of thoughts and calls in an answer, as models of the Qwen3 family write them.

/// The marks around a part of an answer. They are text, whether they are single tokens or not.
enum AnswerTags {
    static let think = (open: "<think>", close: "</think>")
    static let call = (open: "<tool_call>", close: "</tool_call>")
}

extension AnswerParser {
    /// The text behind a thought that the prompt opened, without the line feeds between them;
    /// nothing where the thought has no end.
    package static func behindThought(_ text: String) -> String {
        guard let end = text.range(of: AnswerTags.think.close) else { return "" }
        var (rest, count) = (text[end.upperBound...], 0)
        while count < 2, rest.first == "\n" { (rest, count) = (rest.dropFirst(), count + 1) }
        return String(rest)
    }

    /// Whether a token's bytes are one of the marks that this parser looks for.
    package static func isTag(_ bytes: some Sequence<UInt8>) -> Bool {
        let tags = [AnswerTags.think.open, AnswerTags.think.close, AnswerTags.call.open, AnswerTags.call.close]
        return tags.contains { $0.utf8.elementsEqual(bytes) }
    }
}
