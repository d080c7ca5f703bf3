//  The request of `POST /v1/chat/completions`.

import DualityCore
import DualityInference

/// A conversation and the answers wanted to it.
package struct ChatCall: Sendable {
    package let options: AnswerOptions
    package let tools: ToolFields
    package let conversation: ConversationFields
    /// Whether thoughts are sent.
    package let includesReasoning: Bool
    /// Members that nobody knows.
    package let ignored: [String]

    /// - Throws: `RequestError` that names the member.
    package init(_ object: JSON.Object, _ context: RequestContext) throws(RequestError) {
        var fields = RequestFields(object)
        try context.checkModel(&fields)
        try Self.refuseWhatIsNotDone(&fields)
        var options = try AnswerOptions(&fields, context, defaultTokens: nil)
        let wantsLogprobs = try fields.bool("logprobs") ?? false
        let alternatives = try fields.int("top_logprobs", in: 0...20) ?? 0
        guard wantsLogprobs || alternatives == 0 else {
            throw RequestError("top_logprobs", expected: "logprobs beside it", found: "top_logprobs alone")
        }
        options.logprobs = wantsLogprobs ? alternatives : nil
        self.options = options
        includesReasoning = try fields.bool("include_reasoning") ?? true
        tools = try ToolFields(&fields)
        conversation = try ConversationFields(&fields, tools: tools.declared)
        ignored = fields.unknownNames
    }

    private static func refuseWhatIsNotDone(_ fields: inout RequestFields) throws(RequestError) {
        try fields.refuse("functions", "expected tools, which replace functions") { $0 == .array([]) }
        try fields.refuse("function_call", "expected tool_choice, which replaces function_call") {
            $0 == .string("none") || $0 == .string("auto")
        }
        try fields.refuse("echo", "is of /v1/completions only") { $0 == .bool(false) }
        try fields.refuse("audio", "the models write text only")
        try fields.refuse("modalities", "the models write text only") { $0 == .array([.string("text")]) }
    }
}
