//  Intervals, tests and averages are those of other programs.

import DualityCore
import DualityEvaluation
import Foundation
import TestSupport
import Testing

struct StatisticsTests {
    @Test(arguments: ["binary", "graded"])
    func comparisonsAreThoseOfSciPy(_ name: String) throws {
        let (a, b) = (Golden.path("statistics/\(name).a.json"), Golden.path("statistics/\(name).b.json"))
        let comparison = try RunComparison(RunScores.read(a), RunScores.read(b), names: (a, b), commonOnly: false)
        let differences = Golden.differences(
            comparison.json["tasks"]?.array?.first, try Golden.json("statistics/\(name).expected.json"))
        #expect(differences.isEmpty, "\(differences)")
    }

    @Test(arguments: [("card-long", "card-long"), ("card-long-flat", "card-long"), ("card-short", "card-short")])
    func suitesAreTheCards(_ name: String, _ suite: String) throws {
        let results = try TaskResult.read([Golden.path("statistics/\(name).results.json")])
        let found = Suite(try #require(Suite.Name(rawValue: suite)), results)
        let differences = Golden.differences(found.json, try Golden.json("statistics/\(name).expected.json"))
        #expect(differences.isEmpty, "\(differences)")
    }

    @Test func aHoleIsNamedAndGivesNoScore() throws {
        let results = try TaskResult.read([Golden.path("statistics/card-long.results.json")])
        let some = results.filter { !($0.task == "mrcr" && $0.length == 16384) }
        let suite = Suite(.long, some)
        #expect(suite.score == nil)
        #expect(suite.missing == ["mrcr@16384"])
        #expect(suite.categories.filter { $0.score == nil }.map(\.name) == ["mrcr"])
    }

    /// Files with these texts, read and dropped.
    private static func read<Result>(_ text: String, _ read: (String) throws -> Result) throws -> Result {
        let folder = try Fixtures.temporaryDirectory()
        defer { try? FileManager.default.removeItem(at: folder) }
        let path = folder.appendingPathComponent("x.json").path
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return try read(path)
    }

    @Test func aScoreOfNoRowsIsAHole() throws {
        let text = """
            {"results": [{"task": "gsm8k", "score": null, "n": 0}, {"task": "bbh", "score": 0, "n": 0},
            {"task": "helmet", "length": 8192, "score": null, "n": 0, "groups": {}}, {"task": "ifeval", "score": 0.5}]}
            """
        let results = try Self.read(text) { try TaskResult.read([$0]) }
        #expect(results.map(\.task) == ["ifeval"])
        #expect(Suite(.short, results).missing.contains("gsm8k"))
        for score in ["NaN", "\"x\""] {
            #expect(throws: InputError.self) {
                try Self.read("{\"results\": [{\"task\": \"a\", \"score\": \(score)}]}") { try TaskResult.read([$0]) }
            }
        }
        let error = #expect(throws: InputError.self) {
            try Self.read("{\"results\": [{\"task\": \"a\"}]}") { try TaskResult.read([$0]) }
        }
        #expect(error?.place.contains("results[0].score") == true)
    }

    @Test func anItemGivenTwiceIsNamed() {
        let error = #expect(throws: InputError.self) {
            try Self.read(
                """
                {"task": "gsm8k", "primary": "m", "items": [{"id": 1, "scores": {"m": 1}}, {"id": "1", "scores": {"m": 0}}]}
                """
            ) { try RunScores.read($0) }
        }
        #expect(error?.found.contains("1 again") == true, "\(error?.description ?? "")")
    }

    @Test func mcNemarIsTheBinomialTest() {
        // 2 (C(9,0) + C(9,1)) / 2^9
        #expect(abs(PairedComparison.mcNemar(1, 8) - 20.0 / 512) < 1e-15)
        #expect(PairedComparison.mcNemar(0, 0) == 1)
        #expect(PairedComparison.mcNemar(3, 3) == 1)
        #expect(PairedComparison.mcNemar(2000, 2400) < 1e-6)
    }

    @Test func holmNeverFalls() {
        #expect(PairedComparison.holm([0.01, 0.04, 0.03]) == [0.03, 0.06, 0.06])
    }

    @Test func theBootstrapAgreesWithTheNormalInterval() {
        let a = (0..<400).map { Double(($0 * 7919) % 101) / 100 }
        let b = (0..<400).map { Double(($0 * 104_729) % 97) / 100 }
        let result = PairedComparison(a, b)
        #expect(abs(result.bootstrap.lower - result.interval.lower) < 0.006)
        #expect(abs(result.bootstrap.upper - result.interval.upper) < 0.006)
    }
}
