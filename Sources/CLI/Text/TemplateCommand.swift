//  `duality template`: a conversation in, the prompt it becomes out.

import ArgumentParser
import DualityCore
import DualityInference
import Foundation

struct TemplateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "template",
        abstract: "Show the prompt that a conversation becomes.",
        discussion: """
            Reads one JSON object from stdin and prints the prompt, byte for byte, with nothing added:
              {"messages": [{"role": "user", "content": "Hello"}],
               "tools": [...], "enable_thinking": false, "add_generation_prompt": true}
            All but the messages may be absent, and a bare list is a list of messages. A message has a role (system, \
            developer, user, assistant, tool), content (a text, or a list of text parts), and for the assistant perhaps \
            reasoning_content or reasoning, and tool_calls. continue_final_message leaves the last message open; \
            chat_template_kwargs are further variables of the template.

            The template is a Jinja program and is run as the transformers library runs it. What it does not look at is \
            said on stderr.

            Examples:
              duality template < messages.json
              duality template --model Models/duality-tiny < messages.json
              duality template --template chat_template.jinja < messages.json
              duality template < messages.json | duality tokenize
            """)

    @Option(
        help: ArgumentHelp("Use the template of this model. (default: the template of Qwen3)", valueName: "dir"))
    var model: String?

    @Option(
        help: ArgumentHelp(
            "Use this template: \(ChatTemplate.names.joined(separator: ", ")), one of the model's by its name, or a Jinja "
                + "file.", valueName: "name|file"))
    var template: String?

    @Flag(help: "Print the prompt as a JSON string.")
    var json = false

    @Flag(
        help: ArgumentHelp(
            "Print a JSON object: prompt, turns (where each message begins), generation_prompt, content (ranges that the "
                + "conversation wrote), warnings. Offsets count UTF-8 bytes."))
    var details = false

    @Flag(help: "Print the template program itself, and read nothing.")
    var source = false

    func run() throws {
        let directory = try model.map { try ModelLocation.find($0) }
        let template =
            if let choice = self.template {
                try ChatTemplate(choice: choice, directory: directory)
            } else if let directory {
                try ChatTemplate(directory: directory)
            } else {
                ChatTemplate.qwen3
            }
        if source {
            Terminal.stream(template.source)
            return
        }
        let input = FileHandle.standardInput.readDataToEndOfFile()
        let request = try ChatRequest(input.withUnsafeBytes { try JSON(parsing: $0, place: "stdin") }, place: "stdin")
        var prompt = try template.prompt(request)
        prompt.warnings =
            template.warnings + request.unknownNames.map { "\($0.debugDescription) means nothing here." }
            + prompt.warnings
        for warning in prompt.warnings { Terminal.note("warning: \(warning)") }
        Terminal.stream(
            details
                ? prompt.report.serialized(indented: true) + "\n"
                : json ? JSON.string(prompt.text).serialized() + "\n" : prompt.text)
    }
}

extension ChatPrompt {
    /// Everything about the prompt as one JSON object.
    fileprivate var report: JSON {
        [
            "prompt": .string(text), "turns": .array(turns.map { JSON($0) }),
            "generation_prompt": generationPrompt.map { JSON($0) } ?? .null,
            "content": .array(content.map { [JSON($0.lowerBound), JSON($0.upperBound)] }),
            "warnings": .array(warnings.map { .string($0) }),
        ]
    }
}
