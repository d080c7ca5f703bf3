//  Task files of lm-evaluation-harness give its scores, and what is outside the subset its line.

import DualityCore
import DualityEvaluation
import Foundation
import TestSupport
import Testing

struct YamlTests {
    @Test func filtersAndMetricsAreThoseOfTheHarness() throws {
        let task = try YamlTask(file: Golden.path("yaml/own_sums.yaml"))
        let predictions = try Prediction.read(
            Golden.path("yaml/own_sums.predictions.jsonl"), accepts: task.accepts)
        let differences = Golden.differences(
            try ScoreReport(task, predictions).json, try Golden.json("yaml/own_sums.expected.json"))
        #expect(differences.isEmpty, "\(differences)")
    }

    private static func task(_ text: String) throws -> YamlTask {
        let folder = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appendingPathComponent("t.yaml").path
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return try YamlTask(file: path)
    }

    private static let head = "task: t\noutput_type: generate_until\ndoc_to_target: \"{{answer}}\"\n"

    @Test(arguments: [
        ("doc_to_text: \"{% if x %}a{% endif %}\"\n", 4), ("doc_to_text: !function utils.text\n", 4),
        ("doc_to_text: \"{{ x | upper }}\"\n", 4), ("doc_to_text: q\nprocess_docs: x\n", 5),
        ("doc_to_text: q\nmetric_list:\n  - metric: bleu\n", 6),
        ("doc_to_text: q\nfilter_list:\n  - name: a\n    filter:\n      - function: map\n", 8),
        (
            "doc_to_text: q\nfilter_list:\n  - name: a\n    filter:\n      - function: regex\n        regex_pattern: \"(\"\n",
            9
        ),
        ("doc_to_text: q\ngeneration_kwargs:\n  beams: 3\n", 6), ("doc_to_text: [\n", 5),
        ("doc_to_text: q\ndoc_to_text: r\n", 4), ("doc_to_text: q\nrepeats: 4\n", 5),
    ])
    func whatIsOutsideTheSubsetIsNamedWithItsLine(_ rest: String, _ line: Int) throws {
        let error = #expect(throws: InputError.self) { try Self.task(Self.head + rest) }
        #expect(error?.place.contains("t.yaml:\(line)") == true, "\(error?.description ?? "")")
    }

    @Test func templatesReadFieldsAndCallTheirMethods() throws {
        let doc = try JSONFields(
            JSON(
                parsing:
                    #"{"q": " A,b ", "o": {"x": ["u", "v"]}, "n": 3, "f": 2.50, "g": 0.00001, "h": 1e5, "answer": "v"}"#
            ), place: "row")
        for (template, expected) in [
            ("Q: {{q.strip().lower()}}.", "Q: a,b."), ("{{q.split(',')[1]}}|", "b |"), ("{{o.x[-1]}}", "v"),
            ("{{o['x'].index(answer)}}", "1"), ("{{ 'n=' ~ n }}", "n=3"), ("{{ n + 4 }}!", "7!"), ("q", " A,b "),
            ("line\n", "line\n"), ("{{f}} {{g}} {{h}}", "2.5 1e-05 100000.0"), ("{{ 'a' + \"b\" }}", "ab"),
            ("{{answer[0]}}{{q.strip()[-1]}}", "vb"),
        ] {
            let task = try Self.task(
                "task: t\ndoc_to_target: answer\ndoc_to_text: \(JSON.string(template).serialized())\n")
            #expect(try task.request(doc, examples: [], isChat: false).text == expected, "\(template)")
        }
    }

    @Test func includedFieldsAreOverridden() throws {
        let folder = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        func write(_ name: String, _ text: String) throws {
            try text.write(to: folder.appendingPathComponent(name), atomically: true, encoding: .utf8)
        }
        try write("base.yaml", "task: base\ndoc_to_text: \"{{q}}\"\ndoc_to_target: a\ntarget_delimiter: \"\"\n")
        try write(
            "t.yaml", "include: base.yaml\ntask: t\nnum_fewshot: 1\nfewshot_config:\n  samples:\n    - {q: x, a: y}\n")
        let task = try YamlTask(file: folder.appendingPathComponent("t.yaml").path)
        let doc = try JSONFields(["q": "z", "a": "w"], place: "row")
        #expect(task.name == "t")
        #expect(try task.request(doc, examples: task.samples, isChat: false).text == "xy\n\nz")
    }

    /// The harness draws examples for every row anew, from seed 1234; `first_n` takes the first.
    @Test func examplesAreDrawnAsTheHarnessDrawsThem() throws {
        let samples = (0..<9).map { "    - {q: S\($0), a: T\($0)}\n" }.joined()
        func task(_ more: String) throws -> YamlTask {
            try Self.task(
                "task: t\ndoc_to_text: \"{{q}}\"\ndoc_to_target: \"{{a}}\"\nnum_fewshot: 3\nfewshot_config:\n\(more)  samples:\n"
                    + samples)
        }
        func shown(_ task: YamlTask, _ rows: Int, _ shots: Int) -> [String] {
            task.examples(rows: rows, shots: shots).map { $0.map { $0["q"]?.string ?? "" }.joined(separator: " ") }
        }
        #expect(shown(try task(""), 2, 3) == ["S7 S1 S0", "S1 S0 S5"])
        #expect(shown(try task("  sampler: default\n"), 1, 9) == ["S7 S1 S0 S6 S4 S5 S2 S3 S8"])
        #expect(shown(try task("  sampler: first_n\n"), 2, 3) == ["S0 S1 S2", "S0 S1 S2"])
        #expect(throws: InputError.self) { try task("  sampler: balanced\n") }
    }

    @Test func whiteSpaceAndChoicesAreTakenAsTheHarnessTakesThem() throws {
        let task = try Self.task(
            Self.head
                + "doc_to_text: q\nfilter_list:\n  - name: bare\n    filter:\n      - function: remove_whitespace\n      - function: take_first\n"
        )
        let row = try JSONFields(["q": "x", "answer": "y"], place: "row")
        #expect(try task.score(row, .outputs([" \ty\n"])).value("exact_match,bare") == .number(1))
        // Choices that are listed are no templates.
        let choice = try Self.task(
            "task: t\noutput_type: multiple_choice\ndoc_to_text: q\ndoc_to_choice: [\"{{q}}\", b]\ndoc_to_target: 0\nmetric_list:\n  - metric: acc_norm\n"
        )
        #expect(try choice.request(row, examples: [], isChat: false).kind == .choose([" {{q}}", " b"]))
        #expect(try choice.score(row, .logLikelihoods([-4, -1])).value("acc_norm,none") == .number(1))
        // A text of no bytes counts for none.
        let rolling = try Self.task(
            "task: t\noutput_type: loglikelihood_rolling\ndoc_to_text: \"\"\ndoc_to_target: \"{{q}}\"\nmetric_list:\n  - metric: byte_perplexity\n"
        )
        let pages = try ["abcd", ""].map { try JSONFields(["q": .string($0)], place: "row") }
        let items = [
            try rolling.score(pages[0], .logLikelihoods([-4])), try rolling.score(pages[1], .logLikelihoods([0])),
        ]
        #expect(abs(rolling.summary(items).score - 2.718281828459045) < 1e-12)
    }

    /// What follows the text is the target as it is written; only choices get the delimiter.
    @Test func targetsOfLikelihoodTasksBringTheirSpace() throws {
        let task = try Self.task(
            "task: t\noutput_type: loglikelihood\ndoc_to_text: \"{{q}}\"\ndoc_to_target: \"{{a}}\"\n")
        let request = try task.request(JSONFields(["q": "x", "a": "y"], place: "row"), examples: [], isChat: false)
        #expect(request.kind == .choose(["y"]))
    }

    @Test func choicesAndRollingTextsAreScored() throws {
        let choice = try Self.task(
            "task: t\noutput_type: multiple_choice\ndoc_to_text: \"{{q}}\"\ndoc_to_choice: choices\ndoc_to_target: gold\nmetric_list:\n  - metric: acc\n  - metric: acc_norm\n"
        )
        let doc = try JSONFields(
            JSON(parsing: #"{"q": "?", "choices": ["yes", "certainly not"], "gold": 1}"#), place: "row")
        let score = try choice.score(doc, .logLikelihoods([-4, -9]))
        #expect(score.value("acc,none") == .number(0))
        #expect(score.value("acc_norm,none") == .number(1))
        #expect(throws: InputError.self) { try choice.score(doc, .logLikelihoods([-4])) }

        let rolling = try Self.task(
            "task: t\noutput_type: loglikelihood_rolling\ndoc_to_text: \"\"\ndoc_to_target: \"{{page}}\"\nmetric_list:\n  - metric: bits_per_byte\n  - metric: word_perplexity\n"
        )
        let page = try JSONFields(["page": "one two"], place: "row")
        let item = try rolling.score(page, .logLikelihoods([-14 * 0.6931471805599453]))
        #expect(abs((item.value("bits_per_byte,none")?.number ?? 0) - 2) < 1e-12)
        #expect(abs((item.value("word_perplexity,none")?.number ?? 0) - 128) < 1e-9)
    }
}
