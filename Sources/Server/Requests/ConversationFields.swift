//  A conversation and how it is rendered: what chat completions and `/tokenize` share.

import DualityCore
import DualityInference

/// Messages, tools and the template's variables.
package struct ConversationFields: Sendable {
    package var request: ChatRequest
    /// What `enable_thinking` is; nil when nobody says.
    package var enableThinking: Bool?

    /// - Parameter tools: as they were sent.
    init(_ fields: inout RequestFields, tools: [JSON]) throws(RequestError) {
        guard let list = try fields.array("messages", "a list of messages") else {
            throw fields.missing("messages", "a list of messages")
        }
        guard !list.isEmpty else {
            throw RequestError("messages", expected: "at least one message", found: "an empty list")
        }
        var messages: [ChatMessage] = []
        for (index, value) in list.enumerated() {
            messages.append(try Self.message(value, place: "messages[\(index)]"))
        }
        request = ChatRequest(messages: messages, tools: tools)
        try readArguments(&fields)
        try readEnd(&fields)
    }

    private static func message(_ value: JSON, place: String) throws(RequestError) -> ChatMessage {
        let message: ChatMessage
        do {
            message = try ChatMessage(value, place: place)
        } catch {
            throw RequestError(error)
        }
        if value["role"] == .string("function") {
            throw .unsupported("\(place).role", "expected \"tool\" for the result of a call, found \"function\"")
        }
        if message.content == nil, message.role != .assistant {
            throw RequestError(
                "\(place).content", expected: "a string or a list of parts",
                found: value["content"] == nil ? "nothing" : "null", .missing)
        }
        return message
    }

    private mutating func readArguments(_ fields: inout RequestFields) throws(RequestError) {
        let efforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max"]
        if try fields.word("reasoning_effort", of: efforts) == "none" { enableThinking = false }
        guard var arguments = try fields.fields("chat_template_kwargs") else {
            if let enableThinking { request.templateArguments["enable_thinking"] = .bool(enableThinking) }
            return
        }
        for name in ["messages", "tools", "add_generation_prompt"] where arguments.value(name) != nil {
            throw RequestError(
                arguments.place(name), expected: "variables of the template's own", found: "the member \(name)")
        }
        if let thinking = try arguments.bool("enable_thinking") { enableThinking = thinking }
        for (name, value) in arguments.object.members where value != .null {
            request.templateArguments[name] = value
        }
        if let enableThinking { request.templateArguments["enable_thinking"] = .bool(enableThinking) }
    }

    private mutating func readEnd(_ fields: inout RequestFields) throws(RequestError) {
        let adds = try fields.bool("add_generation_prompt")
        request.continueFinalMessage = try fields.bool("continue_final_message") ?? false
        request.addGenerationPrompt = adds ?? !request.continueFinalMessage
        guard request.continueFinalMessage else { return }
        if request.addGenerationPrompt {
            throw RequestError(
                "continue_final_message", expected: "not together with add_generation_prompt", found: "both")
        }
        guard request.messages.last?.role == .assistant else {
            throw RequestError(
                "continue_final_message", expected: "a last message of the assistant", found: "another one")
        }
    }
}
