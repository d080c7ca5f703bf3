//  The commands on every member of the family, as a person runs them.

import DualityCore
import Foundation
import TestSupport
import Testing

@Suite struct FamilyCommandTests {
    let directory: URL

    init() throws {
        directory = try Fixtures.temporaryDirectory()
    }

    private func path(_ name: String) -> String { directory.appendingPathComponent(name).path }

    @Test(arguments: [
        ("models/gdn", "logits_f64", "9,1,73"), ("models/gka", "logits_f64", "64,19"),
        ("models/swa", "logits_f64", "15,2,66"), ("vanilla/mamba2_g2", "logits", "3,47"),
    ])
    func logitsOfEveryKindInPieces(model: String, tensor: String, segments: String) throws {
        let expected = try SafetensorsFile(path: Fixtures.path("\(model)/expected.safetensors"))
        let ids = try expected.integers("input_ids").elements
        try "\(ids)".write(toFile: path("ids.json"), atomically: true, encoding: .utf8)
        let run = try Duality.run(
            "logits", "--model", Fixtures.path(model), "--ids", "@" + path("ids.json"), "--segments", segments, "--out",
            path("logits"))
        #expect(run.status == 0, "\(run.errors)")
        let logits: Tensor<Double> = try SafetensorsFile(path: path("logits")).tensor("logits")
        let error = relativeL2(logits.elements, try expected.tensor(tensor, as: Double.self).elements)
        #expect(error < 2e-6, "\(model): relative L2 error \(error)")
        let inspection = try Duality.run("inspect", Fixtures.path(model))
        #expect(inspection.status == 0 && inspection.output.contains("tensors are as required"), "\(inspection.output)")
        let isAttentionAlone = model.hasSuffix("swa")
        let check = try Duality.run("check", "--model", Fixtures.path(model), "--tokens", "70", "--json")
        #expect(check.status == (isAttentionAlone ? 2 : 0), "\(check.output)\(check.errors)")
        if !isAttentionAlone { #expect(try JSON(parsing: check.output)["pass"] == true) }
    }

    @Test func compositionsAreThoseOfTheOfficialToolAndTheirStatesAreKept() throws {
        let model = Fixtures.path("models/m2_rope")
        let expected = try SafetensorsFile(path: "\(model)/compose.safetensors")
        func ids(_ name: String) throws -> String {
            try expected.integers(name).elements.map(String.init).joined(separator: ",")
        }
        let input = try expected.integers("input_ids").elements
        let context = input.dropLast(5).map(String.init).joined(separator: ",")
        func compose(_ type: String, _ chunks: Int, _ more: String..., context changed: String? = nil) throws -> Run {
            try Duality.run(
                arguments: [
                    "compose", "--model", model, "--context-ids", changed ?? context, "--question-ids",
                    ids("suffix_input_ids"), "--prefix-ids", ids("prefix_input_ids"), "--filler-id", "10", "--chunks",
                    "\(chunks)", "--type", type, "--max-tokens", "12", "--greedy", "--precision", "f64", "--json",
                ] + more)
        }
        func tokens(_ run: Run) throws -> [Int] {
            #expect(run.status == 0, "\(run.errors)")
            return try #require(try JSON(parsing: run.output)["tokens"]?.array).compactMap(\.int)
        }
        let states = path("states")
        for (type, chunks, more) in [
            ("concat_kv_soup_ssm", 2, ["--save-state", states]), ("concat_kv_fuse_ssm", 2, ["--load-state", states]),
            ("sw_soup_ssm", 4, ["--gap", "visible"]), ("full_kv_only", 4, []),
        ] as [(String, Int, [String])] {
            let run = try compose(type, chunks, more.first ?? "--max-tokens", more.last ?? "12")
            let wanted = try expected.integers("\(type).chunks\(chunks).generated").elements
            #expect(try tokens(run) == wanted, "\(type)")
        }
        // Another context, other chunks, other positions: refused, and nothing is generated.
        for run in [
            try compose("concat_kv_soup_ssm", 3, "--load-state", states),
            try compose("concat_kv_soup_ssm", 2, "--load-state", states, context: context + ",7"),
            try compose("concat_kv_soup_ssm", 2, "--load-state", states, "--sequential-positions"),
            try compose("full_kv_soup_ssm", 2, "--load-state", states),
            try compose("concat_kv_mean", 2), try compose("concat_kv_soup_ssm", 0),
        ] {
            #expect(run.status == 2 && run.output.isEmpty && !run.wasSignalled, "\(run.errors)")
        }
    }

    @Test func aContextInWordsIsAnswered() throws {
        let line = try String(contentsOfFile: Fixtures.embeddedModel + "/data/retrieval.jsonl", encoding: .utf8)
            .split(separator: "\n")[0]
        let json = try JSON(parsing: String(line))
        let prompt = try #require(json["prompt"]?.string)
        let answer = try #require(json["answer"]?.string)
        let cut = try #require(prompt.lastIndex(of: "\n"))
        try String(prompt[..<cut]).write(toFile: path("context.txt"), atomically: true, encoding: .utf8)
        let run = try Duality.run(
            "compose", "--context", path("context.txt"), "--question", String(prompt[cut...]), "--chunks", "2",
            "--greedy",
            "--max-tokens", "9", "--compose-type", "full_kv_only")
        #expect(run.status == 0 && run.output.contains(answer), "\(run.output)\(run.errors)")
    }

    @Test func aPrimedModelRuns() throws {
        let dense = Fixtures.path("models/qwen3_dense")
        let pattern = Array(repeating: "*", count: 4).joined(separator: "-")
        let run = try Duality.run("prime", dense, "--pattern", pattern, "--out", path("same"), "--json")
        #expect(run.status == 0, "\(run.errors)")
        #expect(try JSON(parsing: run.output)["dropped"] == [])
        let windowed = try Duality.run(
            "prime", dense, "--pattern", "SWA-SWA-SWA-SWA", "--window-size", "4096", "--out", path("windowed"))
        #expect(windowed.status == 0, "\(windowed.errors)")
        let expected: Tensor<Double> = try SafetensorsFile(path: dense + "/expected.safetensors").tensor("logits_f64")
        let ids = try SafetensorsFile(path: dense + "/expected.safetensors").integers("input_ids").elements
        try "\(ids)".write(toFile: path("ids.json"), atomically: true, encoding: .utf8)
        for name in ["same", "windowed"] {
            let run = try Duality.run(
                "logits", "--model", path(name), "--ids", "@" + path("ids.json"), "--out", path("logits"))
            #expect(run.status == 0, "\(run.errors)")
            let logits: Tensor<Double> = try SafetensorsFile(path: path("logits")).tensor("logits")
            #expect(relativeL2(logits.elements, expected.elements) < 1e-10, "\(name)")
        }
        let again = try Duality.run("prime", dense, "--pattern", pattern, "--out", path("same"))
        #expect(again.status == 2 && again.errors.contains("nothing is yet"))
        let hybrid = try Duality.run(
            "prime", dense, "--pattern", "*-M2-GDN-BMF", "--window-size", "8", "--ssm-mixer", "gka", "--out",
            path("hybrid"))
        #expect(hybrid.status == 0, "\(hybrid.errors)")
        let inspection = try Duality.run("inspect", path("hybrid"), "--json")
        #expect(inspection.status == 0, "\(inspection.errors)")
        #expect(try JSON(parsing: inspection.output)["layers"] == ["*", "M2", "GDN", "BMF"])
    }

    @Test func theFamilyIsCompared() throws {
        let run = try Duality.run("family", "--json", "--bandwidth", "30", "--tflops", "1.5", "--memory", "64")
        #expect(run.status == 0, "\(run.errors)")
        let members = try #require(try JSON(parsing: run.output)["members"]?.array)
        #expect(members.map { $0["symbol"]?.string } == ["*", "M2", "GDN", "GKA", "BMF", "SWA"])
        #expect(members[1]["parameters"] == 8_495_712_960)
        let contexts = try #require(members[1]["contexts"]?.array)
        #expect(contexts.map { $0["tokens"]?.int } == [4096, 8192, 16384, 32768, 65536, 131_072])
        #expect(contexts[5]["published_decode_ratio"]?.double == 2.30)
        let text = try Duality.run("family")
        #expect(text.status == 0 && text.output.contains("published"))
        let small = try Duality.run("family", "--model", Fixtures.path("models/gka"), "--window-size", "16")
        #expect(small.status == 0 && !small.output.contains("published"), "\(small.errors)")
        #expect(try Duality.run("family", "--bandwidth", "-1").status == 2)
    }
}
