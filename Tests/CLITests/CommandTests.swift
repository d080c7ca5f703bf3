//  The commands that other people's scripts call: their flags, files and JSON keys.

import DualityCore
import DualityNumerics
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

    @Test func generatedCasesAreCheckedAndRunAgainByTheirLine() throws {
        let run = try Duality.run("check", "--cases", "12", "--seed", "5", "--json")
        #expect(run.status == 0, "\(run.errors)")
        let json = try JSON(parsing: run.output)
        #expect(json["pass"]?.bool == true && json["cases"]?.int == 12)
        let rows = try #require(json["rows"]?.array)
        #expect(Set(rows.compactMap { $0["precision"]?.string }) == ["f64", "f32", "bf16"])
        let worst = try #require(
            rows.first { $0["form"]?.string == "chunked" && $0["precision"]?.string == "f32" }?["error_over_sigma"])
        let line = try #require(worst["case"]?.string)
        #expect(line.hasPrefix("seed=" + (worst["seed"]?.string ?? "none") + " "))
        let again = try JSON(parsing: Duality.run("check", "--case", line, "--json").output)
        let found = again["rows"]?.array?.first {
            $0["form"]?.string == "chunked" && $0["precision"]?.string == "f32"
        }
        #expect(found?["error_over_sigma"]?["value"]?.double == worst["value"]?.double)
        #expect(try Duality.run("check", "--case", "seed=1 Q=none").status == 2)
    }

    @Test func theConvolutionFormTakesItsMethod() throws {
        var random = RandomSource(seed: 2)
        var file = SafetensorsWriter()
        let length = 37
        let x: Tensor<Double> = Tensor(repeating: 0, shape: [1, length, 1, 2]).map { _ in random.normal() }
        try file.add("x", x)
        try file.add("dt", Tensor(repeating: 0.3, shape: [1, length, 1]))
        try file.add("A", Tensor([-0.2]))
        for name in ["B", "C"] { try file.add(name, Tensor(repeating: 0.7, shape: [1, length, 1, 3])) }
        let source = path("still")
        try file.write(to: source)
        func y(_ arguments: String...) throws -> [Double] {
            let run = try Duality.run(arguments: ["ssd", "--in", source, "--out", path("y")] + arguments)
            #expect(run.status == 0, "\(arguments): \(run.errors)")
            return try SafetensorsFile(path: path("y")).tensor("y", as: Double.self).elements
        }
        let exact = try y()
        let direct = try y("--form", "convolution")
        #expect(try y("--form", "convolution", "--convolution", "direct") == direct)
        #expect(relativeL2(direct, exact) < 1e-14)
        #if Analysis
            let fast = try y("--form", "convolution", "--convolution", "fft")
            #expect(relativeL2(fast, exact) < 1e-14 && fast != direct)
        #else
            let run = try Duality.run(
                "ssd", "--in", source, "--out", path("y"), "--form", "convolution", "--convolution", "fft")
            #expect(run.status == 2 && run.errors.contains("--traits Analysis"), "\(run.errors)")
        #endif
        for wrong in [["--convolution", "fft"], ["--form", "convolution", "--convolution", "fft", "--bound"]] {
            let run = try Duality.run(arguments: ["ssd", "--in", source, "--out", path("y")] + wrong)
            #expect(run.status == 2, "\(wrong): \(run.errors)")
        }
    }

    @Test func ssdWritesGradientsBoundsAndEmulations() throws {
        let file = Fixtures.path("ssd/len1.safetensors")
        let source = try SafetensorsFile(path: file)
        let exact = try Duality.run("ssd", "--in", file, "--gradients", "--bound", "--out", path("exact"))
        #expect(exact.status == 0, "\(exact.errors)")
        let result = try SafetensorsFile(path: path("exact"))
        for name in ["x", "dt", "A", "B", "C"] {
            let gradient: Tensor<Double> = try result.tensor("grad_\(name)")
            let error = try relativeL2(
                gradient.elements, source.tensor("grad_\(name)_f64", as: Double.self).elements)
            #expect(error < 3e-7, "grad_\(name): \(error)")
        }
        for name in ["y", "final_states"] {
            for suffix in ["bound", "sigma", "floor"] {
                #expect(try result.info("\(name)_\(suffix)").shape == result.info(name).shape)
            }
        }
        for name in ["grad_x", "grad_B", "grad_C"] {
            for suffix in ["bound", "sigma"] {
                #expect(try result.info("\(name)_\(suffix)").shape == result.info(name).shape)
            }
        }

        // An imitated kernel is off, and inside the bound of its arithmetic.
        let kernel = "mamba_ssm,form=chunked:64"
        let emulated = try Duality.run("ssd", "--in", file, "--emulate", kernel, "--bound", "--out", path("kernel"))
        #expect(emulated.status == 0, "\(emulated.errors)")
        let ours = try SafetensorsFile(path: path("kernel"))
        let (found, bound) = (try ours.tensor("y", as: Double.self), try ours.tensor("y_bound", as: Double.self))
        let y: Tensor<Double> = try result.tensor("y")
        let ratios = y.elements.indices.map { (found.elements[$0] - y.elements[$0]).magnitude / bound.elements[$0] }
        #expect(ratios.allSatisfy { $0 <= 1 } && (ratios.max() ?? 0) > 1e-3, "\(ratios.max() ?? 0)")

        // Its gradients likewise.
        let back = try Duality.run(
            "ssd", "--in", file, "--emulate", kernel, "--gradients", "--bound", "--out", path("back"))
        #expect(back.status == 0, "\(back.errors)")
        let pulled = try SafetensorsFile(path: path("back"))
        for name in ["x", "B", "C"] {
            let (found, bound): (Tensor<Double>, Tensor<Double>) = try (
                pulled.tensor("grad_\(name)"), pulled.tensor("grad_\(name)_bound")
            )
            let exact: Tensor<Double> = try result.tensor("grad_\(name)")
            let ratios = exact.elements.indices.map {
                (found.elements[$0] - exact.elements[$0]).magnitude / bound.elements[$0]
            }
            #expect(ratios.allSatisfy { $0 <= 1 } && (ratios.max() ?? 0) > 1e-3, "grad_\(name): \(ratios.max() ?? 0)")
        }

        for wrong in [
            ["--emulate", "fast"], ["--emulate", "mamba_ssm", "--states-every"], ["--arithmetic", "float32"],
        ] {
            let run = try Duality.run(
                arguments: ["ssd", "--in", file, "--out", path("none")] + wrong + (wrong.count > 2 ? ["2"] : []))
            #expect(run.status == 2, "\(wrong): \(run.errors)")
        }
    }
}
