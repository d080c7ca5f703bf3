//  Whatever is wrong with a file of predictions is said with file, line and field, and nothing is
//  scored.

import DualityCore
import DualityEvaluation
import Foundation
import TestSupport
import Testing

struct BadInputTests {
    private static func score(_ task: String, _ lines: String) throws -> JSON {
        let folder = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appendingPathComponent("p.jsonl").path
        try lines.write(toFile: path, atomically: true, encoding: .utf8)
        let task = try TaskCatalogue.entry(task).make(nil)
        return try ScoreReport(task, Prediction.read(path, accepts: task.accepts)).json
    }

    private static let good = #"{"id": 1, "doc": {"answer": "7"}, "outputs": ["7"]}"# + "\n"

    /// Task, lines, and what the place of the error holds.
    @Test(arguments: [
        ("gsm8k", good + "[1]\n", ":2"), ("gsm8k", good + "{\"id\": 2,\n", ":2"), ("gsm8k", "", "p.jsonl"),
        ("gsm8k", #"{"doc": {}, "outputs": ["7"]}"#, ":1: id"), ("gsm8k", #"{"id": 1, "outputs": ["7"]}"#, ":1: doc"),
        ("gsm8k", #"{"id": 1, "doc": {"answer": "7"}}"#, ":1: outputs"), ("gsm8k", good + good, ":2: id"),
        ("gsm8k", #"{"id": 1, "doc": {}, "outputs": ["7"]}"#, ":1: doc.answer"),
        ("gsm8k", #"{"id": 1, "doc": {"answer": "7"}, "outputs": [7]}"#, ":1: outputs[0]"),
        ("mmlu", #"{"id": 1, "doc": {"choices": ["a", "b"], "answer": 0}, "loglikelihoods": [-1]}"#, "loglikelihoods"),
        ("mmlu", #"{"id": 1, "doc": {"choices": ["a", "b"], "answer": 2}, "loglikelihoods": [-1, -2]}"#, "doc.answer"),
        ("mmlu", #"{"id": 1, "doc": {"choices": ["a"], "answer": 0}, "loglikelihoods": [NaN]}"#, "loglikelihoods[0]"),
        ("mmlu", #"{"id": 1, "doc": {"choices": ["a"], "answer": 1e99}, "loglikelihoods": [-1]}"#, "doc.answer"),
        ("bbh", #"{"id": 1, "doc": {"subtask": "x", "target": "y"}, "outputs": ["z"]}"#, "doc.subtask"),
        (
            "ifeval", #"{"id": 1, "doc": {"instruction_id_list": ["a:b"], "kwargs": [{}]}, "outputs": ["z"]}"#,
            "doc.instruction_id_list[0]"
        ),
        (
            "ifeval",
            #"{"id": 1, "doc": {"instruction_id_list": ["keywords:existence"], "kwargs": [{"keywords": ["("]}]}, "outputs": ["z"]}"#,
            "keywords"
        ),
        ("helmet", #"{"id": 1, "doc": {"dataset": "x", "answer": "y"}, "outputs": ["z"]}"#, "doc.dataset"),
        ("babilong", #"{"id": 1, "doc": {"task": "qa9", "question": "", "target": ""}, "outputs": ["z"]}"#, "doc.task"),
        ("ruler", #"{"id": 1, "doc": {"task": "vt", "outputs": []}, "outputs": ["z"]}"#, "doc.outputs"),
        (
            "truthfulqa", #"{"id": 1, "doc": {"mc1_targets": {"choices": [], "labels": []}}, "loglikelihoods": [-1]}"#,
            "mc1_targets"
        ),
        ("math", #"{"id": 1, "doc": {"solution": "none"}, "outputs": ["z"]}"#, "doc.solution"),
        ("popqa", #"{"id": 1, "doc": {"possible_answers": "[x"}, "outputs": ["z"]}"#, "possible_answers"),
    ])
    func mistakesAreNamed(_ task: String, _ lines: String, _ place: String) throws {
        let error = #expect(throws: InputError.self) { try Self.score(task, lines) }
        #expect(error?.place.contains(place) == true, "\(error?.description ?? "")")
    }

    @Test func oddTextIsNoTrap() throws {
        // A lone surrogate is an error or U+FFFD; the rest is scored.
        _ = try? Self.score("gsm8k", #"{"id": 1, "doc": {"answer": "7"}, "outputs": ["\ud800 7"]}"#)
        _ = try Self.score(
            "ifeval",
            #"{"id": 1, "doc": {"instruction_id_list": ["detectable_format:json_format"], "kwargs": [null]}, "outputs": ["\#(String(repeating: "[", count: 9000))"]}"#
        )
        _ = try Self.score(
            "math",
            #"{"id": 1, "doc": {"solution": "\\boxed{\#(String(repeating: "(", count: 5000))}"}, "outputs": ["\\frac"]}"#
        )
        _ = try Self.score(
            "math", #"{"id": 1, "doc": {"solution": "\\boxed{9^{9^{9^9}}}"}, "outputs": ["\\boxed{9^{-9^9}}"]}"#)
    }

    @Test func unknownTasksGiveTheList() {
        let error = #expect(throws: InputError.self) { try TaskCatalogue.entry("gsm9k") }
        #expect(error?.expected.contains("gsm8k") == true)
    }

    @Test func tablesAndParquetAreRead() throws {
        let folder = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        func path(_ name: String, _ text: String) throws -> String {
            let url = folder.appendingPathComponent(name)
            try text.write(to: url, atomically: true, encoding: .utf8)
            return url.path
        }
        let rows = try RowFile.rows(path("a.csv", "q,a\n\"x, \"\"y\"\"\nz\",1\r\nu,2\n"))
        #expect(rows.map { $0["q"]?.string } == ["x, \"y\"\nz", "u"])
        #expect(rows.map { $0["a"]?.string } == ["1", "2"])
        #expect(try RowFile.rows(path("b.json", "[{\"q\": 1}, {\"q\": 2}]")).count == 2)
        let parquet = #expect(throws: InputError.self) { try RowFile.rows("x.parquet") }
        #expect(parquet?.remedy.contains("to_json") == true)
        #expect(throws: InputError.self) { try RowFile.rows(path("c.csv", "q,a\n\"x,1\n")) }
        #expect(throws: InputError.self) { try RowFile.rows(path("d.csv", "q,a\nx\n")) }
    }
}
