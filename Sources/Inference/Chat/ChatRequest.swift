//  A conversation and how to render it, as one JSON object.

import DualityCore

/// The arguments of `ChatTemplate.render`, read from JSON.
public struct ChatRequest: Sendable, Equatable {
    public var messages: [ChatMessage]
    public var tools: [JSON] = []
    public var addGenerationPrompt = false
    public var enableThinking: Bool?
    /// Members of the object that mean nothing here, for a warning.
    public var unknownNames: [String] = []

    /// Reads `{"messages": […], "tools": […], "enable_thinking": …, "add_generation_prompt": …}`;
    /// all but the messages may be absent or null.
    ///
    /// - Throws: `InputError` that names the member.
    public init(_ json: JSON, place: String) throws(InputError) {
        let fields = try JSONFields(json, place: place)
        guard let list = try fields.array("messages") else {
            throw InputError(
                .missing, in: fields.place(of: "messages"), expected: "a list of messages", found: "nothing")
        }
        messages = []
        for (index, message) in list.enumerated() {
            messages.append(try ChatMessage(message, place: fields.place(of: "messages[\(index)]")))
        }
        tools = try fields.array("tools") ?? []
        for (index, tool) in tools.enumerated() where tool.object == nil {
            throw InputError(
                .json, in: fields.place(of: "tools[\(index)]"), expected: "an object that describes a tool",
                found: tool.kindName)
        }
        addGenerationPrompt = try fields.bool("add_generation_prompt") ?? false
        enableThinking = try fields.bool("enable_thinking")
        let known = ["messages", "tools", "add_generation_prompt", "enable_thinking"]
        unknownNames = fields.object.names.filter { !known.contains($0) }
    }
}

extension ChatTemplate {
    /// The text of a conversation.
    ///
    /// - Throws: `InputError` as `render(_:tools:addGenerationPrompt:enableThinking:)` does.
    public func render(_ request: ChatRequest) throws(InputError) -> String {
        try render(
            request.messages, tools: request.tools, addGenerationPrompt: request.addGenerationPrompt,
            enableThinking: request.enableThinking)
    }
}
