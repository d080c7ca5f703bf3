import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityInference

/// Where the template of a checkpoint is looked for, and how one is chosen.
@Suite struct ChatTemplateFileTests {
    private let hello = [ChatMessage(role: .user, content: "Hello")]

    private func directory(_ files: [String: String]) throws -> URL {
        let directory = try Fixtures.temporaryDirectory()
        for (name, text) in files {
            let file = directory.appendingPathComponent(name)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: file)
        }
        return directory
    }

    private func template(_ files: [String: String], named name: String? = nil) throws -> ChatTemplate {
        let directory = try directory(files)
        defer { try? FileManager.default.removeItem(at: directory) }
        return try ChatTemplate(directory: directory.path, named: name)
    }

    @Test func aTemplateFileGoesBeforeTheConfiguration() throws {
        let template = try template([
            "chat_template.jinja": "file", "tokenizer_config.json": #"{"chat_template": "x"}"#,
        ])
        #expect(try template.render(hello) == "file")
        #expect(try self.template(["tokenizer_config.json": #"{"chat_template": "x"}"#]).render(hello) == "x")
        #expect(try self.template(["chat_template.json": #"{"chat_template": "y"}"#]).render(hello) == "y")
    }

    /// A blank file that is chosen is a mistake; a blank template of a checkpoint is none.
    @Test func blankIsNoTemplate() throws {
        let directory = try directory(["empty.jinja": " \n", "chat_template.jinja": "\n"])
        defer { try? FileManager.default.removeItem(at: directory) }
        let chosen = #expect(throws: InputError.self) {
            try ChatTemplate(choice: directory.appendingPathComponent("empty.jinja").path, directory: nil)
        }
        #expect(chosen?.kind == .malformed)
        let own = #expect(throws: InputError.self) { try ChatTemplate(directory: directory.path) }
        #expect(own?.kind == .missing)
    }

    @Test func aListMayHaveATemplateForTools() throws {
        let list: JSON = [
            "chat_template": [
                ["name": "tool_use", "template": "{{ tools | length }} tools"],
                ["name": "default", "template": "none"],
                ["name": "rag", "template": "rag"],
            ]
        ]
        let files = ["tokenizer_config.json": list.serialized()]
        let template = try template(files)
        #expect(try template.render(hello) == "none")
        #expect(try template.render(hello, tools: [[:]]) == "1 tools")
        #expect(try self.template(files, named: "rag").render(hello) == "rag")
        #expect(throws: InputError.self) { try self.template(files, named: "other") }
    }

    @Test func furtherTemplatesLieInAFolder() throws {
        let files = [
            "chat_template.jinja": "main", "additional_chat_templates/tool_use.jinja": "{{ tools | length }}!",
            "additional_chat_templates/brief.jinja": "brief",
        ]
        #expect(try template(files).render(hello, tools: [[:]]) == "1!")
        #expect(try template(files, named: "brief").render(hello) == "brief")
        let directory = try directory(files)
        defer { try? FileManager.default.removeItem(at: directory) }
        #expect(try ChatTemplate(choice: "brief", directory: directory.path).render(hello) == "brief")
        #expect(try ChatTemplate(choice: "chatml", directory: directory.path).source == ChatTemplate.chatML.source)
        let file = directory.appendingPathComponent("chat_template.jinja").path
        #expect(try ChatTemplate(choice: file, directory: nil).render(hello) == "main")
    }

    @Test func tokensWithARoleAreThoseOfTheCheckpoint() throws {
        let template = try template([
            "chat_template.jinja": "{{ bos_token }}{{ eos_token }}{{ pad_token is defined }}",
            "tokenizer_config.json": #"{"bos_token": {"content": "<b>"}, "eos_token": "<e>", "pad_token": null}"#,
        ])
        #expect(try template.render(hello) == "<b><e>False")
    }

    @Test(arguments: [[:], ["tokenizer_config.json": "{}"], ["tokenizer_config.json": #"{"chat_template": []}"#]])
    func aCheckpointWithoutATemplateSaysSo(files: [String: String]) {
        let error = #expect(throws: InputError.self) { try template(files) }
        #expect(error?.kind == .missing)
        #expect(error?.remedy.contains("--template chatml|qwen3") == true)
    }

    @Test(arguments: ["{% for message in messages %", "{{ 'open", "{# open", "{% include 'x' %}", "{{ x | nofilter }}"])
    func whatIsNoTemplateIsRefusedWithTheWayOut(source: String) {
        let error = #expect(throws: InputError.self) { try ChatTemplate(jinja: source) }
        #expect(error?.kind == .malformed || error?.kind == .unsupported)
        #expect(error?.place.contains("line 1") == true)
        #expect(error?.remedy.contains("--template") == true, "\(String(describing: error))")
    }

    @Test func templatesHaveNames() throws {
        for name in ChatTemplate.names { _ = try ChatTemplate(named: name).render(hello) }
        let error = #expect(throws: InputError.self) { try ChatTemplate(choice: "qwen-3", directory: nil) }
        #expect(error?.remedy.contains("qwen3") == true)
        let always = try ChatTemplate(named: "qwen3-thinking")
        #expect(try always.render(hello, addGenerationPrompt: true).hasSuffix("<|im_start|>assistant\n<think>\n"))
        let never = try ChatTemplate(named: "qwen3-instruct")
        let answer = [hello[0], ChatMessage(role: .assistant, content: "<think>\na\n</think>\n\nb")]
        #expect(try never.render(answer).hasSuffix("assistant\n<think>\na\n</think>\n\nb<|im_end|>\n"))
        #expect(
            try never.render(hello, addGenerationPrompt: true, enableThinking: false).hasSuffix(
                "<|im_start|>assistant\n"))
    }
}
