//  Scores are those of the official scorers, to the last digits.

import DualityCore
import DualityEvaluation
import Testing

struct GoldenScoreTests {
    private static func differences(_ golden: String, task: String? = nil, runner: CodeRunner? = nil) throws -> [String]
    {
        let task = try TaskCatalogue.entry(task ?? golden).make(runner)
        let predictions = try Prediction.read(
            Golden.path("goldens/\(golden).predictions.jsonl"), accepts: task.accepts)
        return Golden.differences(
            try ScoreReport(task, predictions).json, try Golden.json("goldens/\(golden).expected.json"),
            tolerance: golden == "helmet" ? 6e-6 : 1e-9)
    }

    @Test(arguments: [
        "gsm8k", "math", "mmlu", "multiple_choice", "popqa", "truthfulqa", "bbh", "ifeval", "mrcr", "babilong", "ruler",
        "helmet",
    ])
    func scoresAreTheOfficialOnes(_ task: String) throws {
        let differences = try Self.differences(task)
        #expect(differences.isEmpty, "\(differences)")
    }

    @Test func passRatesAreTheUnbiasedEstimator() throws {
        let differences = try Self.differences("humaneval-passed", task: "humaneval")
        #expect(differences.isEmpty, "\(differences)")
    }

    @Test func codeIsJudgedByItsTestAndNotByItsExit() throws {
        let differences = try Self.differences("humaneval", runner: CodeRunner())
        #expect(differences.isEmpty, "\(differences)")
    }

    @Test func codeDoesNotRunWithoutLeave() throws {
        let error = #expect(throws: InputError.self) { try Self.differences("humaneval") }
        #expect(error?.remedy.contains("--execute-code") == true)
    }

    @Test(arguments: ["bbh", "gsm8k", "humaneval", "ifeval", "math", "mmlu", "popqa", "truthfulqa"])
    func requestsAreTheOfficialOnes(_ name: String) throws {
        let golden = try JSONFields(Golden.json("prompts/\(name).json"), place: name)
        let task = try TaskCatalogue.entry(name).make(nil)
        let examples = try (golden.array("fewshot") ?? []).map { try JSONFields($0, place: name) }
        let doc = try golden.requiredFields("doc")
        let request = try task.request(doc, examples: examples, isChat: true)
        let differences = Golden.differences(request.json, golden["expected"] ?? .null)
        #expect(differences.isEmpty, "\(differences)")
    }
}
