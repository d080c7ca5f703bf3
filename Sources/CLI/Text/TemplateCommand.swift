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
            All but the messages may be absent. A message has a role (system, user, assistant, tool), content, and for the \
            assistant perhaps reasoning_content and tool_calls.

            Examples:
              duality template < messages.json
              duality template --model Models/duality-tiny < messages.json
              duality template < messages.json | duality tokenize
            """)

    @Option(
        help: ArgumentHelp("Use the template of this model. (default: the template of Qwen3)", valueName: "dir"))
    var model: String?

    @Option(
        help: ArgumentHelp(
            "Use the template of this name: \(ChatTemplate.names.joined(separator: ", ")).", valueName: "name"))
    var template: String?

    @Flag(help: "Print the prompt as a JSON string.")
    var json = false

    func validate() throws {
        if model != nil && template != nil { throw ValidationError("Give either --model or --template.") }
    }

    func run() throws {
        let template =
            if let model {
                try ChatTemplate(directory: ModelLocation.find(model))
            } else {
                try ChatTemplate(named: self.template ?? "qwen3")
            }
        for warning in template.warnings { Terminal.note("warning: \(warning)") }
        let input = FileHandle.standardInput.readDataToEndOfFile()
        let request = try ChatRequest(input.withUnsafeBytes { try JSON(parsing: $0, place: "stdin") }, place: "stdin")
        for name in request.unknownNames {
            Terminal.note("warning: \(name.debugDescription) means nothing here")
        }
        let prompt = try template.render(request)
        let output = json ? JSON.string(prompt).serialized() + "\n" : prompt
        Terminal.stream(output)
    }
}
