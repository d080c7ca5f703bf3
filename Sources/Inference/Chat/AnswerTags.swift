//  The marks of thoughts and calls in an answer, as models of the Qwen3 family write them.

/// The marks around a part of an answer. They are text, whether they are single tokens or not.
enum AnswerTags {
    static let think = (open: "<think>", close: "</think>")
    static let call = (open: "<tool_call>", close: "</tool_call>")
}
