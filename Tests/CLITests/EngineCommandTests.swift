//  The commands of the fast engine as scripts call them.

import DualityCore
import Foundation
import TestSupport
import Testing

@Suite final class EngineCommandTests {
    private let directory: URL

    init() throws {
        directory = try Fixtures.temporaryDirectory()
    }

    deinit { try? FileManager.default.removeItem(at: directory) }

    private func path(_ name: String) -> String { directory.appendingPathComponent(name).path }

    @Test func aQuantizedModelTalks() throws {
        let quantized = try Duality.run(
            "quantize", Fixtures.embeddedModel, "--precision", "int8", "--out", path("tiny"), "--json")
        #expect(quantized.status == 0, "\(quantized.errors)")
        let report = try JSON(parsing: quantized.output)
        #expect(report["precision"]?.string == "int8" && report["matrices"]?.array?.isEmpty == false)
        let answer = try Duality.run(
            "generate", "--model", path("tiny"), "--chat", "--greedy", "What is 17 plus 25?")
        #expect(answer.status == 0 && answer.output == "17 + 25 = 42.\n", "\(answer.output) \(answer.errors)")
        // The reference cannot read it, and says so; nor can another precision be asked of it.
        for arguments in [["--engine", "reference"], ["--precision", "bf16"]] {
            let run = try Duality.run("generate", "--model", path("tiny"), arguments[0], arguments[1], "Once")
            #expect(run.status == 2 && run.errors.contains("original's directory"), "\(run.errors)")
        }
    }

    /// Engine, format, arithmetic and instruction set on stderr and in JSON; bf16-dot by name
    /// alone.
    @Test func whatComputesIsSaid() throws {
        func say(_ arguments: String...) throws -> Run {
            try Duality.run(arguments: ["generate", "--greedy", "--max-tokens", "1", "--json"] + arguments + ["Once"])
        }
        for (precision, arithmetic) in [
            ("bf16", "bfloat16 weights, float32 activations"),
            ("bf16-dot", "bfloat16 weights, activations rounded to bfloat16"),
            ("bf16-split", "bfloat16 weights, activations in two bfloat16 parts"),
        ] {
            let run = try say("--precision", precision)
            let line = "engine fast, \(precision) (\(arithmetic)), "
            #expect(run.status == 0 && run.errors.contains(line), "\(run.errors)")
            let json = try JSON(parsing: run.output)
            #expect(json["engine"]?.string == "fast" && json["precision"]?.string == precision, "\(run.output)")
            #expect(json["arithmetic"]?.string == arithmetic && json["instruction_set"]?.string != nil)
        }
        let reference = try say("--engine", "reference")
        #expect(reference.errors.contains("engine reference, f32 (float32 weights, float32 activations), plain Swift"))
        // What is stored is the same; only computing differs.
        let stored = try Duality.run(
            "quantize", Fixtures.embeddedModel, "--precision", "bf16-dot", "--out", path("dot"))
        #expect(stored.status == 2 && stored.errors.contains("--precision bf16"), "\(stored.errors)")
        // What the engine does not read is refused, not swallowed.
        for wish in [["--threads", "1"], ["--group", "32"], ["--resident"]] {
            let run = try Duality.run(
                arguments: ["generate", "--engine", "reference"] + wish + ["--max-tokens", "1", "hello"])
            #expect(run.status == 2 && run.output.isEmpty && run.errors.contains(wish[0]), "\(wish): \(run.errors)")
        }
        // Several numbers of threads are for bench.
        let several = try say("--threads", "1,2")
        #expect(several.status == 2 && several.errors.contains("duality bench"), "\(several.errors)")
    }

    /// Guesses change the number of passes and not the text.
    @Test func lookUpSaysWhatItGuessed() throws {
        func run(_ arguments: String...) throws -> JSON {
            let text = "one two three four one two three four one two"
            let run = try Duality.run(
                arguments: ["generate", "--greedy", "--max-tokens", "24", "--json", text] + arguments)
            #expect(run.status == 0, "\(run.errors)")
            return try JSON(parsing: run.output)
        }
        let plain = try run()
        let guessed = try run("--lookup")
        #expect(plain["text"]?.string == guessed["text"]?.string && plain["speculation"] == .null)
        let passes = try #require(guessed["speculation"]?["passes"]?.int)
        #expect(passes < 24 && guessed["speculation"]?["confirmed_tokens"]?.int ?? 0 > 0)
        let drafted = try run("--draft", Fixtures.embeddedModel)
        #expect(drafted["text"]?.string == plain["text"]?.string)
        let reference = try Duality.run("generate", "--engine", "reference", "--lookup", "Once")
        #expect(reference.status == 2 && reference.errors.contains("fast engine"), "\(reference.errors)")
        let stranger = try Duality.run("generate", "--draft", Fixtures.path("models/m2"), "Once")
        #expect(stranger.status == 2, "\(stranger.errors)")
    }

    /// What is asked for is what comes, or a sentence.
    @Test func textsHaveTheFormThatIsAskedFor() throws {
        func say(_ arguments: String...) throws -> Run {
            try Duality.run(arguments: ["generate", "--temperature", "1.5", "--seed", "3", "Write:"] + arguments)
        }
        let schema: JSON = [
            "type": "object", "properties": ["n": ["type": "integer", "minimum": 7, "maximum": 9]], "required": ["n"],
        ]
        try Data(schema.serialized().utf8).write(to: directory.appendingPathComponent("schema.json"))
        let value = try JSON(parsing: say("--json-schema", path("schema.json"), "--lookup").output)
        #expect(7...9 ~= value["n"]?.int ?? 0, "\(value)")
        #expect(try say("--regex", "[ab]{3}-[0-9]{2}").output.wholeMatch(of: /[ab]{3}-[0-9]{2}\n/) != nil)
        #expect(try ["yes, sir\n", "no\n"].contains(say("--chat", "--choice", "yes\\, sir,no").output))
        let tokens = try JSON(parsing: Duality.run("tokenize", "--json", "</think>").output)
        let end = (tokens.array ?? []).compactMap(\.int)
        // Each of the mark's tokens once, in order.
        let thoughtEnds =
            ["--presence-penalty", "1e6"]
            + end.enumerated().flatMap { ["--logit-bias", "\($1)=\(1000 * (end.count - $0))"] }
        // A template that thinks is told not to; a thought that it begins itself is not shown.
        for template in ["{%- if enable_thinking is not false %}<think>\n{% endif %}", "<think>\n"] {
            try Data("{{ messages[0].content }}\n{% if add_generation_prompt %}\(template){% endif %}".utf8)
                .write(to: directory.appendingPathComponent("thinking.jinja"))
            let arguments = [
                "--chat", "--template", path("thinking.jinja"), "--choice", "yes,no", "--max-tokens", "900",
            ]
            let run = try Duality.run(arguments: ["generate", "Write:", "--greedy"] + thoughtEnds + arguments)
            #expect(["yes\n", "no\n"].contains(run.output), "\(run.output) \(run.errors)")
        }
        try Data(repeating: UInt8(ascii: " "), count: (1 << 20) + 1).write(
            to: directory.appendingPathComponent("huge.json"))
        try Data(#"{"not": {}}"#.utf8).write(to: directory.appendingPathComponent("schema.json"))
        for (arguments, word) in [
            (["--json-schema", path("schema.json")], "schema.json.not"),
            (["--json-schema", path("nowhere")], "nowhere"), (["--regex", "("], "--regex"),
            (["--choice", "a,,b"], "--choice"), (["--choice", "a", "--regex", "b"], "one of"),
            (["--choice", "a,b\\"], "backslash"), (["--choice", "a", "--ignore-end"], "--ignore-end"),
            (["--json-schema", path("huge.json")], "1,048,576 bytes"),
        ] {
            let run = try Duality.run(arguments: ["generate", "Write:"] + arguments)
            #expect(run.status != 0 && run.output.isEmpty && run.errors.contains(word), "\(run.errors)")
        }
    }

    @Test func fourBitsAreWrittenAndInspected() throws {
        let made = try Duality.run(
            "quantize", Fixtures.embeddedModel, "--precision", "int4", "--out", path("four"), "--json")
        #expect(made.status == 0, "\(made.errors)")
        let bits = try #require(try JSON(parsing: made.output)["bits_per_weight"]?.double)
        #expect(bits > 4.2 && bits < 4.5, "\(bits)")
        let packed = try #require(
            try JSON(parsing: Duality.run("inspect", path("four"), "--json").output)["packed"])
        #expect(packed["formats"] == "int4/32; dt f32" && packed["bits_per_weight"]?.double == bits)
        let answer = try Duality.run("generate", "--model", path("four"), "--greedy", "--max-tokens", "4", "Once upon")
        #expect(answer.status == 0 && answer.errors.contains("engine fast, int4/32 (int4 weights, int8 activations)"))
        // Likewise of a checkpoint that is packed as it is read, in any group that four bits have.
        for precision in ["int4", "int4-mixed"] {
            let run = try Duality.run(
                "generate", "--precision", precision, "--group", "64", "--greedy", "--max-tokens", "2", "Once upon")
            #expect(run.status == 0 && run.errors.contains("engine fast, \(precision)/64"), "\(run.errors)")
        }
        for (arguments, word) in [
            (["--precision", "int4", "--group", "96"], "32, 64 or 128"),
            (["--precision", "bf16", "--group", "64"], "has no scales"), (["--group", "64"], "--precision"),
            (["--model", path("four"), "--group", "64"], "int4/32"),
        ] {
            let run = try Duality.run(arguments: ["generate"] + arguments + ["Once upon"])
            #expect(run.status != 0 && run.errors.contains(word), "\(arguments): \(run.errors)")
        }
        for (arguments, word) in [
            (["--precision", "int4", "--group", "96"], "32, 64 or 128"),
            (["--precision", "int8", "--calibrate", "embedded"], "int4"),
            (["--precision", "bf16", "--group", "64"], "has no scales"),
        ] {
            let run = try Duality.run(
                arguments: ["quantize", Fixtures.embeddedModel, "--out", path("no")] + arguments)
            #expect(run.status != 0 && run.errors.contains(word), "\(run.errors)")
        }
    }

    @Test func aPackedModelIsInspected() throws {
        let made = try Duality.run("quantize", Fixtures.embeddedModel, "--precision", "int8", "--out", path("tiny"))
        #expect(made.status == 0, "\(made.errors)")
        let run = try Duality.run("inspect", path("tiny"), "--json")
        #expect(run.status == 0, "\(run.errors)")
        let json = try JSON(parsing: run.output)
        let packed = try #require(json["packed"])
        // What the file itself says.
        let url = directory.appendingPathComponent("tiny/model.packed.safetensors")
        let file = try SafetensorsFile(path: url.path)
        let tensors = file.names.compactMap { file.find($0) }
        let scales = tensors.filter { $0.name.hasSuffix(".scales") }
        #expect(json["weights"] == "packed" && json["parameters"]?.int == 17_839_596)
        #expect(json["bytes"]?.int == tensors.reduce(0) { $0 + $1.byteCount })
        #expect(packed["file_bytes"]?.int == (try Data(contentsOf: url).count))
        #expect(packed["formats"] == "int8/32; dt f32" && packed["source"] == "duality-tiny")
        #expect(packed["origin"]?.string?.hasPrefix("model.safetensors 35695880 ") == true)
        let parts = try #require(packed["parts"]?.array)
        func sum(_ key: String, _ isCounted: (JSON) -> Bool = { _ in true }) -> Int {
            parts.filter(isCounted).reduce(0) { $0 + ($1[key]?.int ?? 0) }
        }
        #expect(sum("scale_bytes") == scales.reduce(0) { $0 + $1.byteCount })
        #expect(sum("tensors") == tensors.count - scales.count && sum("parameters") == 17_839_596)
        #expect(
            sum("weight_bytes") { $0["format"] == "int8/32" }
                == tensors.reduce(0) { $0 + ($1.dtype == .u8 ? $1.byteCount : 0) })
        #expect(sum("tensors") { $0["name"] == "in_proj dt" && $0["format"] == "f32" } == 6)
        let text = try Duality.run("inspect", path("tiny")).output
        for word in ["int8/32; dt f32", "duality-tiny", "one per row and 32 inputs", "in_proj zxBC"] {
            #expect(text.contains(word), "\(word)")
        }
        // A scale that is no number is found.
        let scale = try #require(scales.first)
        var bytes = try Data(contentsOf: url)
        let element = scale.byteRange.lowerBound + 4
        bytes.replaceSubrange(element..<element + 4, with: [0, 0, 0xc0, 0x7f])
        try bytes.write(to: url, options: .atomic)
        let broken = try Duality.run("inspect", path("tiny"))
        #expect(broken.status == 2 && broken.output.contains("\(scale.name): element 1"), "\(broken.output)")
    }

    @Test func benchReportsItsKeys() throws {
        let made = try Duality.run(
            "synthesize", "--config", Fixtures.path("models/m2/config.json"), "--precision", "int8", "--out",
            path("random"))
        #expect(made.status == 0, "\(made.errors)")
        let run = try Duality.run(
            "bench", "--model", path("random"), "--prompt", "16", "--generate", "2", "--repeats", "2", "--json")
        #expect(run.status == 0, "\(run.errors)")
        let json = try JSON(parsing: run.output)
        for key in ["prompt_tokens_per_second", "generate_tokens_per_second", "int8_tops", "weight_gbps"] {
            #expect((json[key]?.double ?? 0) > 0, "\(key)")
        }
        // Without --roofline there is nothing to take a share of.
        for key in ["share_of_int8_peak", "share_of_read_bandwidth"] { #expect(json[key] == .null, "\(key)") }
        #expect(json["tests"]?.array?.map { $0["repeats"]?.array?.count } == [2, 2])
    }

    @Test func fastLogitsAreTheOfficialOnes() throws {
        let expected = try SafetensorsFile(path: Fixtures.path("models/m2/expected.safetensors"))
        let ids = try expected.integers("input_ids").elements
        try "\(ids)".write(toFile: path("ids.json"), atomically: true, encoding: .utf8)
        let run = try Duality.run(
            "logits", "--model", Fixtures.path("models/m2"), "--ids", "@" + path("ids.json"), "--engine", "fast",
            "--precision", "f32", "--segments", "17,1,65", "--out", path("logits"))
        #expect(run.status == 0, "\(run.errors)")
        let logits: Tensor<Float> = try SafetensorsFile(path: path("logits")).tensor("logits")
        let error = relativeL2(logits.elements, try expected.tensor("logits_f64", as: Double.self).elements)
        #expect(error < 2e-5, "relative L2 error \(error)")
    }

    @Test func compareFindsNoDifferenceBetweenAModelAndItself() throws {
        try "Once upon a time there was a little fox named Pip.".write(
            toFile: path("text.txt"), atomically: true, encoding: .utf8)
        let run = try Duality.run("compare", "--against", "bf16", "--precision", "bf16", "--json", path("text.txt"))
        #expect(run.status == 0, "\(run.errors)")
        let json = try JSON(parsing: run.output)
        #expect(json["mean_kl"]?.double == 0 && json["top1_agreement"]?.double == 1 && json["delta_ppl"]?.double == 0)
    }
}
