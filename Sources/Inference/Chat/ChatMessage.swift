//  The messages of a conversation, as the OpenAI chat interface and Hugging Face write them in
//  JSON.
//
//  A message keeps its members as they were given, in their order, because templates look at all of
//  them. What clients write in several ways is brought to one: text parts become one text, a legacy
//  `function_call` a list of tool calls, and members that are null are absent (but content, which
//  templates tell apart).

import DualityCore

/// One message of a conversation.
public struct ChatMessage: Sendable, Equatable {
    /// Who speaks.
    public enum Role: String, Sendable, CaseIterable {
        /// Whoever sets the rules, the person, and the model.
        case system, user, assistant
        /// The result of a tool that the assistant called.
        case tool
        /// What OpenAI's interface calls the system since 2025. A template that does not know the
        /// word is given `system`.
        case developer
    }

    /// A call of a tool by the assistant.
    public struct ToolCall: Sendable, Equatable {
        /// The function that is called, by the name it has among the request's tools.
        public var name: String
        /// An object, or a string that already holds JSON text and is passed on as it is.
        public var arguments: JSON

        /// A call as it goes to a template; neither name nor arguments are checked.
        public init(name: String, arguments: JSON) {
            self.name = name
            self.arguments = arguments
        }
    }

    /// Who speaks; `tool` also for what clients call `function`.
    public let role: Role
    /// The calls of an assistant's message, in their order; empty for every other one.
    public private(set) var toolCalls: [ToolCall]
    /// All members but the role, as a template sees them.
    private(set) var members: JSON.Object

    /// A message that is made here. Content that is nil stays, as null; other members are left out.
    public init(role: Role, content: String?, reasoning: String? = nil, toolCalls: [ToolCall] = []) {
        self.role = role
        self.toolCalls = toolCalls
        members = ["content": content.map { .string($0) } ?? .null]
        if let reasoning { members.append("reasoning_content", .string(reasoning)) }
        if !toolCalls.isEmpty {
            members.append(
                "tool_calls",
                .array(
                    toolCalls.map {
                        ["type": "function", "function": ["name": .string($0.name), "arguments": $0.arguments]]
                    }))
        }
    }

    /// What is said; nil when there is nothing, as beside a tool call.
    public var content: String? { members["content"]?.string }

    /// The assistant's thinking, where it is kept apart from the content.
    public var reasoning: String? { Self.thoughts.lazy.compactMap { members[$0]?.string }.first }

    /// The names under which clients and templates keep a thought.
    static let thoughts = ["reasoning_content", "reasoning", "thinking"]
}

extension ChatMessage {
    /// Reads `{"role", "content", "reasoning_content", "tool_calls", …}`; other members are for the
    /// template.
    ///
    /// Content is a string, null, or a list of `{"type": "text", "text": …}` parts, which are
    /// joined by line feeds. A `function_call` is a tool call, and the role `function` is `tool`.
    ///
    /// - Parameter place: what the message is called in complaints, such as `messages[0]`.
    /// - Throws: `InputError` for an unknown role, content that is not text, or a tool call without
    ///   name or arguments.
    public init(_ json: JSON, place: String) throws(InputError) {
        guard let object = json.object else {
            throw InputError(.json, in: place, expected: "an object with role and content", found: json.kindName)
        }
        role = try Self.role(object["role"], place: "\(place).role")
        toolCalls = []
        members = JSON.Object()
        for (name, value) in object.members {
            let place = "\(place).\(name)"
            switch name {
            case "role": break
            case "content": members.append(name, try Self.content(value, place: place))
            case _ where value == .null: break
            case "function_call": try add([value], place: place)
            case "tool_calls":
                guard let calls = value.array else {
                    throw InputError(.json, in: place, expected: "an array", found: value.kindName)
                }
                if !calls.isEmpty { try add(calls, place: place) }
            case _ where Self.thoughts.contains(name):
                guard value.string != nil else {
                    throw InputError(.json, in: place, expected: "a string or null", found: value.kindName)
                }
                members.append(name, value)
            default: members.append(name, value)
            }
        }
    }

    private static func role(_ json: JSON?, place: String) throws(InputError) -> Role {
        let roles = Role.allCases.map(\.rawValue).joined(separator: ", ")
        guard let json else {
            throw InputError(.missing, in: place, expected: "one of \(roles)", found: "nothing")
        }
        let name = json.string == "function" ? "tool" : json.string
        guard let role = name.flatMap(Role.init) else {
            throw InputError(.value, in: place, expected: "one of \(roles)", found: json.kindName)
        }
        return role
    }

    private static func content(_ json: JSON, place: String) throws(InputError) -> JSON {
        switch json {
        case .null, .string: return json
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
            return .string(texts.joined(separator: "\n"))
        default:
            throw InputError(.json, in: place, expected: "a string, null or a list of parts", found: json.kindName)
        }
    }

    /// Adds tool calls, each `{"function": {"name", "arguments"}}` or the inner object alone.
    private mutating func add(_ calls: [JSON], place: String) throws(InputError) {
        for (index, call) in calls.enumerated() {
            let place = "\(place)[\(index)]"
            var function = call
            if let inner = call["function"], inner != .null { function = inner }
            guard let name = function["name"]?.string else {
                throw InputError(
                    .missing, in: "\(place).name", expected: "the name of a function",
                    found: function["name"]?.kindName ?? "nothing")
            }
            guard let arguments = function["arguments"] else {
                throw InputError(.missing, in: "\(place).arguments", expected: "an object", found: "nothing")
            }
            toolCalls.append(ToolCall(name: name, arguments: arguments))
        }
        let written = calls.map { call -> JSON in
            call["function"] == nil ? ["type": "function", "function": call] : call
        }
        members.append("tool_calls", .array((members["tool_calls"]?.array ?? []) + written))
    }

    /// The message with arguments of tool calls that are JSON text as the objects they stand for,
    /// which is what templates expect of clients of the OpenAI interface; text that is not JSON
    /// stays.
    public func withParsedArguments() -> ChatMessage {
        var message = self
        func parsed(_ arguments: JSON) -> JSON {
            guard let text = arguments.string, let value = try? JSON(parsing: text), value.object != nil else {
                return arguments
            }
            return value
        }
        message.toolCalls = toolCalls.map { ToolCall(name: $0.name, arguments: parsed($0.arguments)) }
        guard let calls = members["tool_calls"]?.array else { return message }
        message.members["tool_calls"] = .array(
            calls.map { call in
                guard var object = call.object, var function = object["function"]?.object,
                    let arguments = function["arguments"]
                else { return call }
                function["arguments"] = parsed(arguments)
                object["function"] = .object(function)
                return .object(object)
            })
        return message
    }
}
