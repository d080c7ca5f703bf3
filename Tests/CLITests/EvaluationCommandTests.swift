//  duality evaluate as people run it: killed, resumed, refused.

import DualityCore
import Foundation
import TestSupport
import Testing

struct EvaluationCommandTests {
    private static let tasks = [
        "evaluate", "--tasks", "niah_single_1,\(Fixtures.path("evaluation/lm-eval/own_mc.yaml"))", "--lengths", "384",
        "--limit", "7", "--max-tokens", "8", "--batch", "2", "--seed", "3",
    ]

    /// The lines of a log, less what depends on what was read together.
    private static func samples(_ folder: URL) throws -> Set<String> {
        let log = try String(contentsOf: folder.appendingPathComponent("samples.jsonl"), encoding: .utf8)
        return Set(
            try log.split(separator: "\n").map { line in
                let sample = try JSON(parsing: String(line))
                return ["task", "length", "id", "prompt_sha256", "outputs", "scores", "finish"]
                    .map { sample[$0]?.serialized() ?? "none" }.joined(separator: " ")
            })
    }

    private static func lines(_ folder: URL) -> Int {
        let log = try? Data(contentsOf: folder.appendingPathComponent("samples.jsonl"))
        return log?.count { $0 == UInt8(ascii: "\n") } ?? 0
    }

    private static func scores(_ folder: URL) throws -> [String] {
        let results = try JSON(contentsOf: folder.appendingPathComponent("results.json").path)["results"]?.array ?? []
        return ["task", "length", "n", "score", "ci95", "metrics", "generated_tokens"].map { name in
            results.map { $0[name]?.serialized() ?? "none" }.joined(separator: " ")
        }
    }

    @Test func threeKillsAndATornLineChangeNothing() throws {
        let folder = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        let (whole, killed) = (folder.appendingPathComponent("whole"), folder.appendingPathComponent("killed"))
        let undisturbed = try Duality.run(arguments: Self.tasks + ["--out", whole.path])
        #expect(undisturbed.status == 0, "\(undisturbed.errors)")

        var kills = 0
        for enough in [1, 3, 5] {
            let process = try Duality.start(Self.tasks + ["--out", killed.path])
            while process.isRunning, Self.lines(killed) < enough { usleep(2000) }
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            if process.terminationReason == .uncaughtSignal { kills += 1 }
        }
        #expect(kills == 3)
        let log = try FileHandle(forUpdating: killed.appendingPathComponent("samples.jsonl"))
        try log.seekToEnd()
        try log.write(contentsOf: Data(#"{"task": "niah_single_1", "length": 384, "id": "6", "prom"#.utf8))
        try log.close()
        let there = Self.lines(killed)

        let last = try Duality.run(arguments: Self.tasks + ["--out", killed.path, "--json"])
        #expect(last.status == 0, "\(last.errors)")
        #expect(try JSON(parsing: last.output)["resumed"]?.int == there)
        let different = try Self.samples(killed).symmetricDifference(Self.samples(whole)).sorted()
        #expect(different.isEmpty, "\(different.joined(separator: "\n"))")
        #expect(try Self.scores(killed) == Self.scores(whole))

        // Another seed is another run.
        let other = try Duality.run(arguments: Self.tasks + ["--seed", "4", "--out", killed.path])
        #expect(other.status != 0 && other.errors.contains("seed"), "\(other.errors)")
    }

    @Test func aLengthThatDoesNotFitLeavesAHole() throws {
        let folder = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        let out = folder.appendingPathComponent("run").path
        let run = try Duality.run(
            "evaluate", "--tasks", "niah_single_1", "--lengths", "384,32K", "--limit", "1", "--max-tokens", "4",
            "--out",
            out, "--json")
        #expect(run.status == 0, "\(run.errors)")
        let results = try JSON(parsing: run.output)["results"]?.array ?? []
        #expect(results.map { $0["skipped"]?.int } == [0, 1])
        #expect(results.last?["score"] == .null)
        let suite = try Duality.run("evaluate", "--aggregate", out, "--suite", "card-long", "--json")
        #expect(suite.status == 0 && suite.output.contains("babilong@8192"), "\(suite.errors)")
    }

    /// What is shown is what a run asks: task files in plain text.
    @Test func promptsOfTaskFilesAreShownAsTheyAreAsked() throws {
        let run = try Duality.run(
            "evaluate", "--show-prompts", Fixtures.path("evaluation/lm-eval/own_mc.yaml"), "--data",
            Fixtures.path("evaluation/lm-eval/mc.jsonl"), "--limit", "1", "--json")
        let request = try JSON(parsing: run.output).array?.first
        #expect(request?["text"]?.string?.isEmpty == false && request?["messages"] == nil, "\(run.output)\(run.errors)")
        #expect(request?["continuations"]?.array?.allSatisfy { $0.string?.hasPrefix(" ") == true } == true)
    }
}
