//  A conversation and how to render it, as one JSON object.

import DualityCore

/// What `ChatTemplate.prompt` renders.
public struct ChatRequest: Sendable, Equatable {
    /// The conversation so far, the oldest message first.
    public var messages: [ChatMessage]
    /// The tools on offer, each a JSON object as OpenAI's interface describes them.
    public var tools: [JSON] = []
    /// Ends the prompt with the beginning of the assistant's next message.
    public var addGenerationPrompt = false
    /// Leaves the last message, which is the assistant's, open at the end of its content.
    public var continueFinalMessage = false
    /// Further variables of the template, such as `enable_thinking`.
    public var templateArguments = JSON.Object()
    /// Members of the object that mean nothing here, for a warning.
    public var unknownNames: [String] = []

    /// A request that is made here.
    ///
    /// - Parameter enableThinking: the template's `enable_thinking`; nil leaves it undefined.
    public init(
        messages: [ChatMessage], tools: [JSON] = [], addGenerationPrompt: Bool = false, enableThinking: Bool? = nil
    ) {
        self.messages = messages
        self.tools = tools
        self.addGenerationPrompt = addGenerationPrompt
        if let enableThinking { templateArguments.append("enable_thinking", .bool(enableThinking)) }
    }

    /// Reads a list of messages, or an object:
    ///
    /// - `messages`;
    /// - `tools`, or the legacy `functions`;
    /// - `add_generation_prompt`, `continue_final_message`;
    /// - `chat_template_kwargs`: further variables of the template; `enable_thinking`,
    ///   `reasoning_effort`, `documents` and `tool_choice` may also stand beside the messages.
    ///
    /// All but the messages may be absent or null.
    ///
    /// - Throws: `InputError` that names the member.
    public init(_ json: JSON, place: String) throws(InputError) {
        if let list = json.array {
            try self.init(list, place: place)
            return
        }
        let fields = try JSONFields(json, place: place)
        guard let list = try fields.array("messages") else {
            throw InputError(
                .missing, in: fields.place(of: "messages"), expected: "a list of messages", found: "nothing")
        }
        try self.init(list, place: fields.place(of: "messages"))
        tools =
            try Self.tools(fields, "tools")
            + Self.tools(fields, "functions").map { ["type": "function", "function": $0] }
        addGenerationPrompt = try fields.bool("add_generation_prompt") ?? false
        continueFinalMessage = try fields.bool("continue_final_message") ?? false
        if continueFinalMessage && addGenerationPrompt {
            throw InputError(
                .value, in: fields.place(of: "continue_final_message"),
                expected: "not together with add_generation_prompt", found: "both",
                remedy: "Either the last message goes on or another one begins.")
        }
        if let thinking = try fields.bool("enable_thinking") {
            templateArguments.append("enable_thinking", .bool(thinking))
        }
        for name in ["reasoning_effort", "documents", "tool_choice"] {
            if let value = fields[name] { templateArguments.append(name, value) }
        }
        if let more = try fields.fields("chat_template_kwargs") {
            for (name, value) in more.object.members { templateArguments[name] = value }
        }
        let known = [
            "messages", "tools", "functions", "add_generation_prompt", "continue_final_message", "enable_thinking",
            "reasoning_effort", "documents", "tool_choice", "chat_template_kwargs",
        ]
        unknownNames = fields.object.names.filter { !known.contains($0) }
    }

    private init(_ list: [JSON], place: String) throws(InputError) {
        messages = []
        for (index, message) in list.enumerated() {
            messages.append(try ChatMessage(message, place: "\(place)[\(index)]"))
        }
    }

    private static func tools(_ fields: JSONFields, _ name: String) throws(InputError) -> [JSON] {
        let tools = try fields.array(name) ?? []
        for (index, tool) in tools.enumerated() where tool.object == nil {
            throw InputError(
                .json, in: fields.place(of: "\(name)[\(index)]"), expected: "an object that describes a tool",
                found: tool.kindName)
        }
        return tools
    }
}
