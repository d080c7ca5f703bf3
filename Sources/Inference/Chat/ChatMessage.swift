//  The messages of a conversation, as the OpenAI chat interface and Hugging Face write them in
//  JSON.

import DualityCore

/// One message of a conversation.
public struct ChatMessage: Sendable, Equatable {
    /// Who speaks.
    public enum Role: String, Sendable, CaseIterable {
        case system, user, assistant
        /// The result of a tool that the assistant called.
        case tool
    }

    /// A call of a tool by the assistant.
    public struct ToolCall: Sendable, Equatable {
        public var name: String
        /// An object, or a string that already holds JSON text and is passed on as it is.
        public var arguments: JSON

        public init(name: String, arguments: JSON) {
            self.name = name
            self.arguments = arguments
        }
    }

    public var role: Role
    /// What is said; nil when there is nothing, as beside a tool call.
    public var content: String?
    /// The assistant's thinking, where it is kept apart from the content.
    public var reasoning: String?
    public var toolCalls: [ToolCall]

    public init(role: Role, content: String?, reasoning: String? = nil, toolCalls: [ToolCall] = []) {
        self.role = role
        self.content = content
        self.reasoning = reasoning
        self.toolCalls = toolCalls
    }
}

extension ChatMessage {
    /// Reads `{"role", "content", "reasoning_content", "tool_calls"}`; other members are ignored.
    ///
    /// Content is a string, null, or a list of `{"type": "text", "text": …}` parts, which are
    /// joined by line feeds.
    ///
    /// - Parameter place: what the message is called in complaints, such as `messages[0]`.
    /// - Throws: `InputError` for an unknown role, content that is not text, or a tool call without
    ///   name or arguments.
    public init(_ json: JSON, place: String) throws(InputError) {
        guard let object = json.object else {
            throw InputError(.json, in: place, expected: "an object with role and content", found: json.kindName)
        }
        let roles = Role.allCases.map(\.rawValue).joined(separator: ", ")
        guard let name = object["role"] else {
            throw InputError(.missing, in: "\(place).role", expected: "one of \(roles)", found: "nothing")
        }
        guard let role = name.string.flatMap(Role.init) else {
            throw InputError(.value, in: "\(place).role", expected: "one of \(roles)", found: name.kindName)
        }
        self.init(
            role: role,
            content: try Self.content(object["content"] ?? .null, place: "\(place).content"),
            reasoning: try Self.reasoning(object["reasoning_content"] ?? .null, place: "\(place).reasoning_content"))
        switch object["tool_calls"] ?? .null {
        case .null: break
        case .array(let calls):
            for (index, call) in calls.enumerated() {
                toolCalls.append(try ToolCall(call, place: "\(place).tool_calls[\(index)]"))
            }
        case let other:
            throw InputError(.json, in: "\(place).tool_calls", expected: "an array", found: other.kindName)
        }
    }

    private static func content(_ json: JSON, place: String) throws(InputError) -> String? {
        switch json {
        case .null: return nil
        case .string(let text): return text
        case .array(let parts):
            var texts: [String] = []
            for (index, part) in parts.enumerated() {
                guard part["type"]?.string == "text", let text = part["text"]?.string else {
                    throw InputError(
                        .unsupported, in: "\(place)[\(index)]", expected: "a part {\"type\": \"text\", \"text\": …}",
                        found: part["type"]?.string.map { "a part of type \($0)" } ?? part.kindName,
                        remedy: "The models read text only.")
                }
                texts.append(text)
            }
            return texts.joined(separator: "\n")
        default:
            throw InputError(.json, in: place, expected: "a string, null or a list of parts", found: json.kindName)
        }
    }

    private static func reasoning(_ json: JSON, place: String) throws(InputError) -> String? {
        switch json {
        case .null: return nil
        case .string(let text): return text
        default: throw InputError(.json, in: place, expected: "a string or null", found: json.kindName)
        }
    }
}

extension ChatMessage.ToolCall {
    /// Reads `{"function": {"name", "arguments"}}`, or the inner object alone.
    init(_ json: JSON, place: String) throws(InputError) {
        var function = json
        if let inner = json["function"], inner != .null { function = inner }
        guard let name = function["name"]?.string else {
            throw InputError(
                .missing, in: "\(place).name", expected: "the name of a function",
                found: function["name"]?.kindName ?? "nothing")
        }
        guard let arguments = function["arguments"] else {
            throw InputError(.missing, in: "\(place).arguments", expected: "an object", found: "nothing")
        }
        self.init(name: name, arguments: arguments)
    }
}
