//  Flags of `duality serve`: how conversations are written, and how answers are read.

import ArgumentParser
import DualityCore
import DualityInference
import DualityServer
import Foundation

/// The template, and the parsers of calls and thoughts.
struct ServeConversationOptions: ParsableArguments {
    @Option(
        name: [.customLong("chat-template"), .customLong("template")],
        help: ArgumentHelp(
            "The chat template: \(ChatTemplate.names.joined(separator: ", ")), one of the model's own by its name, or a "
                + "Jinja file (default: the model's own).", valueName: "name|file"))
    var chatTemplate: String?
    @Option(help: ArgumentHelp("hermes or none (default: as the template has it).", valueName: "parser"))
    var toolCallParser: String?
    @Option(help: ArgumentHelp("qwen3 or none (default: as the template has it).", valueName: "parser"))
    var reasoningParser: String?
    @Flag(help: ArgumentHelp("Accepted for vLLM's sake: tools work whenever the template has a place for them."))
    var enableAutoToolChoice = false

    func validate() throws {
        if let toolCallParser, !["hermes", "none"].contains(toolCallParser) {
            throw ValidationError("--tool-call-parser must be hermes or none, not \(toolCallParser).")
        }
        if let reasoningParser, !["qwen3", "none"].contains(reasoningParser) {
            throw ValidationError("--reasoning-parser must be qwen3 or none, not \(reasoningParser).")
        }
    }

    /// The template; nil when the model has none and none is named.
    func template(_ directory: String) throws -> ChatTemplate? {
        if let chatTemplate { return try ChatTemplate(choice: chatTemplate, directory: directory) }
        do {
            let template = try ChatTemplate(directory: directory)
            for warning in template.warnings { Terminal.note("warning: \(warning)") }
            return template
        } catch {
            guard error.kind == .missing else { throw error }
            Terminal.note("warning: \(error)")
            return nil
        }
    }

    func parsers(_ template: ChatTemplate?) -> AnswerParsers {
        var parsers = AnswerParsers(template)
        if let toolCallParser { parsers.hermes = toolCallParser == "hermes" }
        if let reasoningParser { parsers.qwen3 = reasoningParser == "qwen3" }
        return parsers
    }

    /// What the checkpoint calls its tokenizer.
    static func tokenizerClass(_ directory: String) -> String {
        let file = try? JSON(contentsOf: "\(directory)/tokenizer_config.json")
        return file?["tokenizer_class"]?.string ?? "Qwen2Tokenizer"
    }
}
