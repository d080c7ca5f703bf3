//  A conversation as the text a model was trained on.
//
//  Checkpoints carry their prompt format as a template program, which is run here (Jinja/). A few
//  formats are known by name, as programs of our own (Templates/).

import DualityCore
import Foundation

/// How a model wants its conversations written.
public struct ChatTemplate: Sendable, Equatable {
    /// The program, as text.
    public let source: String
    let program: JinjaTemplate
    /// What is used instead when there are tools; some checkpoints have two templates.
    var toolUse: ChatTemplateProgram?
    /// Where the program comes from, for complaints.
    let place: String
    /// The tokens that a template may write by name, such as `bos_token`.
    public internal(set) var specialTokens: [SpecialToken] = []
    /// Doubts about the template of a checkpoint worth telling a person, a sentence each.
    public internal(set) var warnings: [String] = []

    /// A token that has a role, by the name of the role.
    public struct SpecialToken: Sendable, Equatable {
        /// What templates call the token: `bos_token`, `eos_token` and so on.
        public let name: String
        /// What they write for it, such as `<|im_end|>`.
        public let text: String

        /// A token for templates to write; no tokenizer is asked whether it has it.
        public init(name: String, text: String) {
            self.name = name
            self.text = text
        }
    }

    public static func == (a: ChatTemplate, b: ChatTemplate) -> Bool {
        a.source == b.source && a.toolUse?.source == b.toolUse?.source && a.specialTokens == b.specialTokens
    }

    /// Reads a template program.
    ///
    /// - Parameter place: what it is called in complaints.
    /// - Throws: `InputError`: `.malformed` for what is no template, `.unsupported` for a part of
    ///   Jinja that chat templates do not use.
    public init(
        jinja source: String, place: String = "chat_template", specialTokens: [SpecialToken] = []
    ) throws(InputError) {
        self.source = source
        self.place = place
        self.specialTokens = specialTokens
        program = try ChatTemplateProgram.read(source, place: place)
    }

    /// Plain ChatML.
    public static let chatML = ChatTemplate(ours: OtherTemplates.chatML, "chatml")
    /// The template of Qwen3.
    public static let qwen3 = ChatTemplate(ours: QwenTemplates.qwen3(.switchable), "qwen3")

    /// The names that `init(named:)` knows.
    public static let names = [
        "chatml", "qwen3", "qwen3-instruct", "qwen3-thinking", "qwen3-coder", "qwen2.5", "hermes", "llama3", "llama3.1",
        "mistral",
    ]

    /// A template by name.
    ///
    /// - Throws: `InputError` (`.unknown`) for a name that is not one of `names`.
    public init(named name: String) throws(InputError) {
        func begin(_ bos: String, end: String) -> [SpecialToken] {
            [SpecialToken(name: "bos_token", text: bos), SpecialToken(name: "eos_token", text: end)]
        }
        let llama = begin("<|begin_of_text|>", end: "<|eot_id|>")
        switch name {
        case "chatml": self = .chatML
        case "qwen3": self = .qwen3
        case "qwen3-instruct": self.init(ours: QwenTemplates.qwen3(.never), name)
        case "qwen3-thinking": self.init(ours: QwenTemplates.qwen3(.always), name)
        case "qwen3-coder": self.init(ours: QwenTemplates.qwen3Coder, name)
        case "qwen2.5": self.init(ours: QwenTemplates.qwen25, name)
        case "hermes": self.init(ours: OtherTemplates.hermes, name)
        case "llama3": self.init(ours: OtherTemplates.llama3, name, llama)
        case "llama3.1": self.init(ours: OtherTemplates.llama31, name, llama)
        case "mistral": self.init(ours: OtherTemplates.mistral, name, begin("<s>", end: "</s>"))
        default:
            throw InputError(
                .unknown, in: "template", expected: "one of \(Self.names.joined(separator: ", "))", found: name,
                remedy: nearestName(to: name, in: Self.names).map { "Is it \($0)?" } ?? "")
        }
    }

    /// A program of our own, which can be read.
    private init(ours source: String, _ name: String, _ specialTokens: [SpecialToken] = []) {
        do {
            try self.init(jinja: source, place: "template \(name)", specialTokens: specialTokens)
        } catch {
            preconditionFailure("the template \(name): \(error)")
        }
    }
}

/// A second program of a template.
struct ChatTemplateProgram: Sendable {
    let source: String
    let program: JinjaTemplate
    let place: String

    init(_ source: String, place: String) throws(InputError) {
        self.source = source
        self.place = place
        program = try Self.read(source, place: place)
    }

    static func read(_ source: String, place: String) throws(InputError) -> JinjaTemplate {
        do {
            return try JinjaTemplate(source)
        } catch let failure as JinjaFailure {
            throw failure.inputError(place: place, remedy: ChatTemplate.remedy)
        } catch {
            throw InputError(.malformed, in: place, expected: "a Jinja template", found: "\(error)")
        }
    }
}

extension ChatTemplate {
    /// How to go on without the checkpoint's template.
    static var remedy: String { "Choose another with --template \(names.joined(separator: "|")), or --template FILE." }

    /// The text of a conversation.
    ///
    /// - Parameters:
    ///   - tools: descriptions of the tools the model may call, an object each.
    ///   - addGenerationPrompt: ends the text with the beginning of the assistant's next message.
    ///   - enableThinking: what the template's `enable_thinking` is; nil leaves it open.
    /// - Throws: `InputError` as `prompt(_:)` does.
    public func render(
        _ messages: [ChatMessage], tools: [JSON] = [], addGenerationPrompt: Bool = false, enableThinking: Bool? = nil
    ) throws(InputError) -> String {
        try prompt(
            ChatRequest(
                messages: messages, tools: tools, addGenerationPrompt: addGenerationPrompt,
                enableThinking: enableThinking)
        ).text
    }
}
