import DualityCore
import Foundation
import TestSupport
import Testing

@testable import DualityInference

@Suite struct TemplateRecognitionTests {
    /// Ways that checkpoints write plain ChatML.
    @Test(
        arguments: [
            "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
            "{%- for message in messages -%}\n  {{- \"<|im_start|>\" + message.role + \"\\n\" + message.content + \"<|im_end|>\\n\" -}}\n{%- endfor -%}\n{%- if add_generation_prompt -%}\n  {{- \"<|im_start|>assistant\\n\" -}}\n{%- endif -%}",
            "{# ChatML #}{% if not add_generation_prompt is defined %}{% set add_generation_prompt = False %}{% endif %}\n{% for message in messages %}\n<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}\n{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
        ])
    func plainChatMLIsRecognizedInAnySpelling(source: String) throws {
        #expect(try ChatTemplate(jinja: source) == .chatML)
    }

    @Test func aDefaultSystemMessageIsKept() throws {
        let template = try ChatTemplate(
            jinja:
                "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
        )
        #expect(template.style == .chatML(defaultSystem: "Be kind."))
        let hello = ChatMessage(role: .user, content: "Hello")
        let system = ChatMessage(role: .system, content: "Be brief.")
        #expect(
            try template.render([hello])
                == "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n")
        #expect(
            try template.render([system, hello])
                == "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n")
    }

    @Test(
        arguments: [
            "", "{{ messages }}", "{% for message in messages %}[INST] {{ message['content'] }} [/INST]{% endfor %}",
            // strips the content
            "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
            // leaves the last line feed out
            "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>'}}{% if not loop.last %}{{ '\\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
            // begins with a token
            "{{ bos_token }}{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
            "{% for message in messages %", "{{ 'open", "{# open",
        ])
    func anotherTemplateIsRefusedWithTheWayOut(source: String) {
        let error = #expect(throws: InputError.self) { try ChatTemplate(jinja: source) }
        #expect(error?.kind == .unsupported)
        #expect(error?.remedy.contains("--template chatml|qwen3") == true, "\(String(describing: error))")
    }

    /// The words of the Qwen3 template in no sensible order: not a version that was compared, so it
    /// comes with a warning.
    private func words(without left: [String] = [], and more: String = "") -> String {
        let literals = [
            "<|im_start|>", "<|im_end|>", Qwen3Prompt.toolsHead, Qwen3Prompt.toolsTail, "<tool_call>\n{\"name\": \"",
            "\", \"arguments\": ", "}\n</tool_call>", "\n<tool_response>\n", "\n</tool_response>", "</think>",
            "<think>\n\n</think>\n\n", "<|im_start|>assistant\n",
        ]
        let names = [
            "messages", "role", "content", "tools", "reasoning_content", "last_query_index", "enable_thinking",
        ]
        let quoted = literals.filter { !left.contains($0) }.map {
            "'" + $0.replacingOccurrences(of: "\n", with: "\\n") + "'"
        }
        return "{{ \((quoted + names.filter { !left.contains($0) }).joined(separator: " + ")) }}" + more
    }

    @Test func theFamilyIsKnownByItsWordsWithAWarning() throws {
        let known = try ChatTemplate(jinja: words())
        #expect(known.style == .qwen3(.switchable))
        #expect(known.warnings.count == 1)
        let always = try ChatTemplate(
            jinja: words(
                without: ["<think>\n\n</think>\n\n", "enable_thinking", "<|im_start|>assistant\n"],
                and: "{{ '<|im_start|>assistant\\n<think>\\n' }}"))
        #expect(always.style == .qwen3(.always))
        let never = try ChatTemplate(
            jinja: words(
                without: [
                    "<think>\n\n</think>\n\n", "</think>", "enable_thinking", "last_query_index", "reasoning_content",
                ]))
        #expect(never.style == .qwen3(.never))
    }

    @Test func anUnknownWordIsEnoughToRefuse() {
        for more in ["{{ today }}", "{{ 'You are Qwen.' }}", "text", "{{ messages | trim }}"] {
            #expect(throws: InputError.self, "\(more)") { try ChatTemplate(jinja: words(and: more)) }
        }
        for left in [Qwen3Prompt.toolsHead, "\n<tool_response>\n", "reasoning_content"] {
            #expect(throws: InputError.self, "\(left)") { try ChatTemplate(jinja: words(without: [left])) }
        }
    }

    @Test func theFingerprintSeesOrderAndNotSpelling() throws {
        func fingerprint(_ source: String) throws -> UInt64 {
            JinjaToken.fingerprint(try #require(JinjaToken.tokens(of: source)))
        }
        let one = try fingerprint("{%- if a['b'] == 'x\\n' -%}\n  {{- None }}  \n{%- endif %}")
        #expect(try fingerprint("{%-if a.b==\"x\\n\"%}\n{{-none}}{%-endif%}") == one)
        #expect(try fingerprint("{%-if a.b==\"x\\n\"%}\n{{-none}}{%-endif%} ") != one)
        #expect(try fingerprint("{%-if \"x\\n\"==a.b%}\n{{-none}}{%-endif%}") != one)
    }

    // MARK: Where it is looked for

    private func template(_ files: [String: String]) throws -> ChatTemplate {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        for (name, text) in files { try Data(text.utf8).write(to: directory.appendingPathComponent(name)) }
        return try ChatTemplate(directory: directory.path)
    }

    private var chatML: String {
        get throws {
            let configuration = try JSON(contentsOf: "\(Fixtures.embeddedModel)/tokenizer_config.json")
            return configuration["chat_template"]?.string ?? ""
        }
    }

    @Test func aTemplateFileGoesBeforeTheConfiguration() throws {
        let template = try template([
            "chat_template.jinja": chatML, "tokenizer_config.json": #"{"chat_template": "x"}"#,
        ])
        #expect(template == .chatML)
    }

    @Test func aListMayHaveATemplateForTools() throws {
        let list: JSON = [
            "chat_template": [
                ["name": "tool_use", "template": .string(words())],
                ["name": "default", "template": .string(try chatML)],
            ]
        ]
        let template = try template(["tokenizer_config.json": list.serialized()])
        let hello = [ChatMessage(role: .user, content: "Hello")]
        #expect(try template.render(hello) == ChatTemplate.chatML.render(hello))
        #expect(try template.render(hello, tools: [[:]]) == ChatTemplate.qwen3.render(hello, tools: [[:]]))
        #expect(template.warnings.count == 1)
    }

    @Test(arguments: [[:], ["tokenizer_config.json": "{}"], ["tokenizer_config.json": #"{"chat_template": []}"#]])
    func aCheckpointWithoutATemplateSaysSo(files: [String: String]) {
        let error = #expect(throws: InputError.self) { try template(files) }
        #expect(error?.kind == .missing)
        #expect(error?.remedy.contains("--template") == true)
    }

    @Test func plainChatMLHasNoPlaceForTools() {
        let message = ChatMessage(role: .user, content: "Hello")
        let error = #expect(throws: InputError.self) { try ChatTemplate.chatML.render([message], tools: [[:]]) }
        #expect(error?.kind == .unsupported)
    }

    @Test func templatesHaveNames() throws {
        for name in ChatTemplate.names { _ = try ChatTemplate(named: name) }
        #expect(throws: InputError.self) { try ChatTemplate(named: "llama") }
        let hello = [ChatMessage(role: .user, content: "Hi")]
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
