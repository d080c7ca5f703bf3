//  A conversation as the text a model was trained on.
//
//  ChatML puts each message between `<|im_start|>role` and `<|im_end|>`. The Qwen3 family adds
//  tools and thinking (Qwen3Prompt.swift). Checkpoints carry their template as a Jinja program;
//  instead of running programs that come with a download, the ones whose output is known are
//  recognised (TemplateRecognition.swift) and rendered here, and any other is refused with the way
//  out.

import DualityCore
import Foundation

/// How a model wants its conversations written.
public struct ChatTemplate: Sendable, Equatable {
    /// What a template of the Qwen3 family does about thinking.
    public enum Thinking: Sendable, Equatable {
        /// The caller decides with `enableThinking` (Qwen3).
        case switchable
        /// Every answer begins with thinking (Qwen3-Thinking-2507).
        case always
        /// The model does not think (Qwen3-Instruct-2507).
        case never
    }

    enum Style: Sendable, Equatable {
        /// Each message as it is; `defaultSystem` goes first when the conversation does not begin
        /// with a system message.
        case chatML(defaultSystem: String?)
        case qwen3(Thinking)
    }

    let style: Style
    /// What is used instead when there are tools; some checkpoints have two templates.
    var styleWithTools: Style
    /// Doubts about the template of a checkpoint worth telling a person, a sentence each.
    public internal(set) var warnings: [String] = []

    init(_ style: Style) {
        self.style = style
        styleWithTools = style
    }

    /// Plain ChatML.
    public static let chatML = ChatTemplate(.chatML(defaultSystem: nil))
    /// The template of Qwen3.
    public static let qwen3 = ChatTemplate(.qwen3(.switchable))

    /// The names that `init(named:)` knows.
    public static let names = ["chatml", "qwen3", "qwen3-instruct", "qwen3-thinking"]

    /// A template by name: `chatml`, `qwen3`, and its relatives that never and that always think.
    public init(named name: String) throws(InputError) {
        switch name {
        case "chatml": self = .chatML
        case "qwen3": self = .qwen3
        case "qwen3-instruct": self.init(.qwen3(.never))
        case "qwen3-thinking": self.init(.qwen3(.always))
        default:
            throw InputError(
                .unknown, in: "template", expected: "one of \(Self.names.joined(separator: ", "))", found: name)
        }
    }

    /// The text of a conversation.
    ///
    /// - Parameters:
    ///   - tools: descriptions of the tools the model may call, an object each.
    ///   - addGenerationPrompt: ends the text with the beginning of the assistant's next message.
    ///   - enableThinking: false keeps a model that can think from it; nil and true leave it free.
    ///     Templates without thinking ignore it.
    /// - Throws: `InputError` for no messages, or for tools when the template has no place for
    ///   them.
    public func render(
        _ messages: [ChatMessage], tools: [JSON] = [], addGenerationPrompt: Bool = false, enableThinking: Bool? = nil
    ) throws(InputError) -> String {
        guard let first = messages.first else {
            throw InputError(.value, in: "messages", expected: "at least one message", found: "none")
        }
        switch tools.isEmpty ? style : styleWithTools {
        case .qwen3(let thinking):
            return Qwen3Prompt(messages: messages, tools: tools, thinking: thinking)
                .text(addGenerationPrompt: addGenerationPrompt, enableThinking: enableThinking)
        case .chatML(let defaultSystem):
            guard tools.isEmpty, messages.allSatisfy({ $0.toolCalls.isEmpty }) else {
                throw InputError(
                    .unsupported, in: "messages", expected: "no tools: the template is plain ChatML",
                    found: tools.isEmpty ? "tool calls" : "tools",
                    remedy: "Use --template qwen3 if the model knows the tool format of Qwen3.")
            }
            var text = ""
            if let defaultSystem, first.role != .system {
                text += "<|im_start|>system\n\(defaultSystem)<|im_end|>\n"
            }
            for message in messages {
                text += "<|im_start|>\(message.role.rawValue)\n\(message.content ?? "")<|im_end|>\n"
            }
            return text + (addGenerationPrompt ? "<|im_start|>assistant\n" : "")
        }
    }
}

// MARK: - From a checkpoint

extension ChatTemplate {
    private static let remedy = "Choose one with --template \(names.joined(separator: "|"))."

    /// Recognises the template of a checkpoint: `chat_template.jinja`, or else `chat_template` in
    /// tokenizer_config.json.
    ///
    /// - Throws: `InputError`: `.missing` when there is none, `.unsupported` when it is none of the
    ///   known ones.
    public init(directory: String) throws(InputError) {
        let file = "\(directory)/chat_template.jinja"
        if FileManager.default.fileExists(atPath: file) {
            let source = try MappedFile(path: file).withBytes { String(decoding: $0, as: UTF8.self) }
            try self.init(jinja: source, place: file)
            return
        }
        let configuration = "\(directory)/tokenizer_config.json"
        let place = "\(configuration): chat_template"
        guard FileManager.default.fileExists(atPath: configuration) else {
            throw InputError(
                .missing, in: directory, expected: "chat_template.jinja or tokenizer_config.json", found: "neither",
                remedy: Self.remedy)
        }
        switch try JSON(contentsOf: configuration)["chat_template"] ?? .null {
        case .string(let source):
            try self.init(jinja: source, place: place)
        case .array(let templates):
            // A list of {"name", "template"}: "tool_use" is for conversations with tools, "default"
            // for the others.
            func source(_ name: String) -> String? {
                templates.first { $0["name"]?.string == name }?["template"]?.string
            }
            guard let main = source("default") else {
                throw InputError(
                    .missing, in: place, expected: "a template named default", found: "none", remedy: Self.remedy)
            }
            try self.init(jinja: main, place: place)
            if let toolUse = source("tool_use") {
                let other = try ChatTemplate(jinja: toolUse, place: "\(place) (tool_use)")
                styleWithTools = other.style
                warnings += other.warnings
            }
        case .null:
            throw InputError(.missing, in: place, expected: "a template", found: "none", remedy: Self.remedy)
        case let other:
            throw InputError(.json, in: place, expected: "a string or a list", found: other.kindName)
        }
    }

    /// Recognises a template by its Jinja source.
    ///
    /// - Throws: `InputError` (`.unsupported`) when it is none of the known ones.
    public init(jinja source: String, place: String = "chat_template") throws(InputError) {
        let recognition = TemplateRecognition(source)
        guard let style = recognition.style else {
            throw InputError(
                .unsupported, in: place, expected: "plain ChatML or a template of the Qwen3 family",
                found: "another template: \(recognition.doubt ?? "")", remedy: Self.remedy)
        }
        self.init(style)
        if let doubt = recognition.doubt {
            warnings.append("\(place): \(doubt); conversations are rendered as Qwen3's.")
        }
    }
}
