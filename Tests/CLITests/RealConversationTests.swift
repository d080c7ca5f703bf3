//  Conversations and commands as people type them.

import DualityCore
import Foundation
import TestSupport
import Testing

@Suite struct RealConversationTests {
    @Test(arguments: ["template-qwen25", "template-qwen3-restated", "message-forms"])
    func requestsGiveTheirPrompts(name: String) throws {
        let folder = Fixtures.path("cases/\(name)")
        let requests = try JSON(contentsOf: "\(folder)/requests.json").array ?? []
        #expect(requests.count >= 4)
        let hasTemplate = FileManager.default.fileExists(atPath: "\(folder)/chat_template.jinja")
        for one in requests {
            let request = try #require(one["request"])
            let run = try Duality.run(
                arguments: ["template", "--json"] + (hasTemplate ? ["--model", folder] : []),
                input: request.serialized())
            #expect(run.status == 0, "\(run.errors)")
            let prompt = try JSON(parsing: run.output).string
            #expect(
                prompt.map { Array($0.utf8) } == one["prompt"]?.string.map { Array($0.utf8) },
                "\(one["name"]?.string ?? ""): \(run.output)")
        }
    }

    /// The embedded model with a configuration and tokenizer that name other ends.
    private func otherEnds() throws -> URL {
        let directory = try Fixtures.temporaryDirectory()
        for file in ["model.safetensors", "tokenizer.json"] {
            try FileManager.default.createSymbolicLink(
                atPath: directory.appendingPathComponent(file).path,
                withDestinationPath: "\(Fixtures.embeddedModel)/\(file)")
        }
        for file in ["config.json", "generation_config.json", "tokenizer_config.json"] {
            try FileManager.default.copyItem(
                atPath: Fixtures.path("cases/chat-end-of-turn/\(file)"),
                toPath: directory.appendingPathComponent(file).path)
        }
        return directory
    }

    @Test func aChatEndsWhereATurnEnds() throws {
        let directory = try otherEnds()
        defer { try? FileManager.default.removeItem(at: directory) }
        let run = try Duality.run(
            "generate", "--model", directory.path, "--chat", "--greedy", "What is 17 plus 25?")
        #expect(run.output == "17 + 25 = 42.\n", "\(run.output)")
        #expect(run.errors.contains("ended by token 4095"), "\(run.errors)")
    }

    @Test func optionsDoNotSwallowThePrompt() throws {
        let prompt = "Once upon a time"
        for options in [["--stop", "zzz"], ["--stop", "zzz", "--stop", "yyy"], ["--logit-bias", "42=-5"]] {
            let run = try Duality.run(
                arguments: ["generate", "--greedy", "--max-tokens", "5"] + options + [prompt], input: "Something else")
            let plain = try Duality.run("generate", "--greedy", "--max-tokens", "5", prompt)
            #expect(run.status == 0 && run.output == plain.output, "\(options): \(run.output) \(run.errors)")
        }
    }

    @Test func templatesCanBeFiles() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let file = directory.appendingPathComponent("mine.jinja")
        try Data("{{ messages[0].content }}|{{ bos_token }}".utf8).write(to: file)
        let run = try Duality.run(
            "template", "--template", file.path, "--details", input: #"[{"role": "user", "content": "x", "name": "A"}]"#
        )
        let report = try JSON(parsing: run.output)
        #expect(report["prompt"] == "x|", "\(run.output) \(run.errors)")
        #expect(report["warnings"]?.array?.count == 1)
        #expect(run.errors.contains("messages[0].name"))
        let typo = try Duality.run("template", "--template", "qwen33", input: "[]")
        #expect(typo.status == 2 && typo.errors.contains("qwen3"), "\(typo.errors)")
        let missing = try Duality.run("template", "--template", "no/such.jinja", input: "[]")
        #expect(missing.status == 2 && missing.errors.contains("no such file"), "\(missing.errors)")
        let hostile = directory.appendingPathComponent("hostile.jinja")
        try Data("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}".utf8).write(
            to: hostile)
        let refused = try Duality.run(
            "template", "--template", hostile.path, input: #"[{"role": "user", "content": "x"}]"#)
        #expect(refused.status == 2 && refused.errors.contains("more than"), "\(refused.errors)")
    }

    @Test func decodingKnowsTheRowsOfAModel() throws {
        let run = try Duality.run("tokenize", "--model", Fixtures.path("cases/chat-end-of-turn"), "--decode", "1")
        #expect(run.status == 2)
        let embedded = try Tokens()
        let beyond = try Duality.run("tokenize", "--tokenizer", embedded.file, "--decode", embedded.gap)
        #expect(beyond.status == 0 && beyond.errors.contains("no token's"), "\(beyond.errors)")
        let far = try Duality.run("tokenize", "--tokenizer", embedded.file, "--decode", "99999999")
        #expect(far.status == 2, "\(far.output)")
    }

    /// The embedded tokenizer without its last added token, so that its last row is nobody's.
    private struct Tokens {
        let file: String
        let gap: String

        init() throws {
            let folder = try Fixtures.temporaryDirectory()
            var object = try #require(try JSON(contentsOf: "\(Fixtures.embeddedModel)/tokenizer.json").object)
            let added = object["added_tokens"]?.array ?? []
            let last = try #require(added.last?["id"]?.int)
            object["added_tokens"] = .array(added.dropLast())
            file = folder.appendingPathComponent("tokenizer.json").path
            gap = "\(last)"
            try Data(JSON.object(object).serialized().utf8).write(to: URL(fileURLWithPath: file))
        }
    }

    @Test func modelsOfOtherTokensAreNotCompared() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        for file in ["config.json", "model.safetensors", "generation_config.json", "tokenizer_config.json"] {
            try FileManager.default.createSymbolicLink(
                atPath: directory.appendingPathComponent(file).path,
                withDestinationPath: "\(Fixtures.embeddedModel)/\(file)")
        }
        var tokenizer = try #require(try JSON(contentsOf: "\(Fixtures.embeddedModel)/tokenizer.json").object)
        var model = try #require(tokenizer["model"]?.object)
        var vocabulary = try #require(model["vocab"]?.object)
        let pair = vocabulary.members.filter { $0.value == 600 || $0.value == 601 }
        (vocabulary[pair[0].name], vocabulary[pair[1].name]) = (pair[1].value, pair[0].value)
        model["vocab"] = .object(vocabulary)
        tokenizer["model"] = .object(model)
        try Data(JSON.object(tokenizer).serialized().utf8).write(
            to: directory.appendingPathComponent("tokenizer.json"))
        let text = directory.appendingPathComponent("text.txt")
        try Data("The fox looked at the river.".utf8).write(to: text)
        let run = try Duality.run("compare", "--against", directory.path, text.path)
        #expect(run.status == 2 && run.errors.contains("tokenizer"), "\(run.errors)")
    }

    @Test func severalTextsAreMeasuredAndPutTogether() throws {
        let directory = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: directory) }
        let texts = try ["The fox looked at the river. ", "A bird sang in the tree. "].enumerated().map { index, line in
            let file = directory.appendingPathComponent("\(index).txt")
            try Data(String(repeating: line, count: 12).utf8).write(to: file)
            return file.path
        }
        let run = try Duality.run(arguments: ["perplexity"] + texts + ["--window", "32", "--second-half", "--json"])
        let report = try JSON(parsing: run.output)
        let parts = try #require(report["texts"]?.array)
        #expect(parts.count == 2 && parts.allSatisfy { $0["convention"] == "second-half" }, "\(run.output)")
        let scored = parts.compactMap { $0["scored_tokens"]?.int }.reduce(0, +)
        #expect(report["all"]?["scored_tokens"]?.int == scored)
        #expect(scored % 15 == 0, "\(scored): 15 of each window of 32")
        let one = try Duality.run("perplexity", texts[0], "--json")
        let bits = try #require(try JSON(parsing: one.output)["bits_per_byte"]?.double)
        #expect(bits > 0 && bits < 8)
    }
}
