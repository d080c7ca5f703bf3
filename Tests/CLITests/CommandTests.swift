//  The commands that other people's scripts call: their flags, files and JSON keys.

import DualityCore
import Foundation
import TestSupport
import Testing

@Suite struct CommandTests {
    let directory: URL

    init() throws {
        directory = try Fixtures.temporaryDirectory()
    }

    private func path(_ name: String) -> String { directory.appendingPathComponent(name).path }

    @Test func logitsAreTheSameWholeAndInPieces() throws {
        let expected = try SafetensorsFile(path: Fixtures.path("models/m2/expected.safetensors"))
        let ids = try expected.integers("input_ids").elements
        try "\(ids)".write(toFile: path("ids.json"), atomically: true, encoding: .utf8)
        for (name, extra) in [("whole", []), ("pieces", ["--segments", "17,1,65"])] as [(String, [String])] {
            let arguments = ["--model", Fixtures.path("models/m2"), "--ids", "@" + path("ids.json")] + extra
            let run = try Duality.run(
                "logits", arguments[0], arguments[1], arguments[2], arguments[3], extra.first ?? "--precision",
                extra.last ?? "f64", "--out", path(name))
            #expect(run.status == 0, "\(run.errors)")
            let logits: Tensor<Double> = try SafetensorsFile(path: path(name)).tensor("logits")
            #expect(logits.shape == [ids.count, 512])
            let error = relativeL2(logits.elements, try expected.tensor("logits_f64", as: Double.self).elements)
            #expect(error < 1e-10, "\(name): relative L2 error \(error)")
        }
        #expect(try SafetensorsFile(path: path("whole")).info("logits").dtype == .f64)
    }

    @Test func generateAnswersInJSON() throws {
        let run = try Duality.run("generate", "--chat", "--greedy", "--json", "What is 17 plus 25?")
        #expect(run.status == 0, "\(run.errors)")
        let json = try JSON(parsing: run.output)
        #expect(json["text"]?.string == "17 + 25 = 42.")
        #expect(json["finish_reason"]?.string == "stop")
        #expect(json["tokens"]?.array?.isEmpty == false)
    }

    @Test func generateReadsItsPromptFromStandardInput() throws {
        let argument = try Duality.run("generate", "--greedy", "--max-tokens", "5", "Once upon a time")
        let input = try Duality.run("generate", "--greedy", "--max-tokens", "5", input: "Once upon a time")
        #expect(argument.status == 0 && argument.output == input.output && !argument.output.isEmpty)
    }

    @Test func chatAnswersEveryLineAndRemembers() throws {
        let run = try Duality.run("chat", "--greedy", input: "What is 3 plus 4?\n/reset\nWhat is 5 plus 6?\n")
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.output == "3 + 4 = 7.\n5 + 6 = 11.\n" || run.output.contains("3 + 4 = 7."), "\(run.output)")
    }

    @Test func perplexityReportsItsProtocol() throws {
        let text = try String(contentsOfFile: Fixtures.embeddedModel + "/data/heldout.txt", encoding: .utf8)
        try String(text.prefix(4000)).write(toFile: path("text.txt"), atomically: true, encoding: .utf8)
        let run = try Duality.run("perplexity", path("text.txt"), "--window", "256", "--stride", "128", "--json")
        #expect(run.status == 0, "\(run.errors)")
        let json = try JSON(parsing: run.output)
        #expect(json["window"]?.int == 256 && json["stride"]?.int == 128)
        let (scored, tokens) = (try #require(json["scored_tokens"]?.int), try #require(json["tokens"]?.int))
        #expect(scored == tokens - 1)
        let perplexity = try #require(json["perplexity"]?.double)
        #expect((10...60).contains(perplexity), "\(perplexity)")
    }

    @Test func theEmbeddedModelIsFoundFromAnywhereAndByTheVariable() throws {
        let run = try Duality.run("generate", "--greedy", "--max-tokens", "2", "Once", directory: directory)
        #expect(run.status == 0, "\(run.errors)")
    }
}
