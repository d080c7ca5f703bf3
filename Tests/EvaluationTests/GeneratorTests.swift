//  Generated rows: their answers follow from their text, they have the length that was asked for,
//  and the same settings make the same bytes.

import DualityCore
import DualityEvaluation
import DualityInference
import Foundation
import TestSupport
import Testing

struct GeneratorTests {
    private static let tokenizer = Result { try Tokenizer(directory: Fixtures.embeddedModel) }
    private static let prose = Result { try Filler(file: "\(Fixtures.embeddedModel)/data/heldout.txt") }

    private static func settings(_ length: Int, count: Int, seed: UInt64 = 7) throws -> GeneratorSettings {
        GeneratorSettings(
            length: length, count: count, seed: seed, tokenizer: try tokenizer.get(),
            prose: try prose.get())
    }

    @Test(arguments: TaskCatalogue.generated.map(\.name))
    func rowsHaveTheirLengthAndTheSameBytesPerSeedAndTheirAnswersScoreOne(_ name: String) throws {
        let settings = try Self.settings(2048, count: 1)
        let rows = try GeneratedTasks.rows(name, settings)
        #expect(rows == (try GeneratedTasks.rows(name, settings)))
        #expect(rows[0] != (try GeneratedTasks.rows(name, try Self.settings(2048, count: 1, seed: 8)))[0])
        for row in rows {
            let prompt = row["prompt"]?.string.flatMap { try? JSON(parsing: $0).array }
            let text =
                prompt?.map { $0["content"]?.string ?? "" }.joined(separator: "\n")
                ?? (row["input"]?.string ?? "") + (row["question"]?.string ?? "") + (row["answer_prefix"]?.string ?? "")
            let tokens = settings.tokenizer.encode(text).count
            let answer =
                row["answer"]?.string ?? row["target"]?.string
                ?? (row["outputs"]?.array ?? []).compactMap(\.string).joined(separator: ", ")
            let task = try TaskCatalogue.entry(name).make(nil)
            let score = try task.score(try JSONFields(row, place: name), .outputs([answer]))
            #expect(score.value(task.primary)?.number == 1, "\(name): \(score.scores)")
            #expect(tokens <= 2048 && tokens >= Int(0.9 * 2048) - 300, "\(name): \(tokens)")
        }
    }

    /// Needles, found without the generator's own solver.
    @Test(arguments: ["niah_single_1", "niah_multikey_2", "niah_multivalue", "niah_multiquery"])
    func needlesAreInTheText(_ name: String) throws {
        for row in try GeneratedTasks.rows(name, try Self.settings(1024, count: 4)) {
            let input = row["input"]?.string ?? ""
            for value in row["outputs"]?.array ?? [] {
                let parts = input.components(separatedBy: " is: \(value.string ?? "?").")
                #expect(parts.count == 2, "\(value) in \(name)")
                let key = parts[0].components(separatedBy: " for ").last ?? ""
                #expect(input.components(separatedBy: "\n").last?.contains(key) == true)
            }
        }
    }

    @Test func depthsOfAFileSpread() throws {
        let places = try GeneratedTasks.rows("niah_single_2", try Self.settings(1024, count: 12)).map { row -> Double in
            let input = row["input"]?.string ?? ""
            let before = input.components(separatedBy: "One of the special magic")[0]
            return Double(before.utf8.count) / Double(input.utf8.count)
        }
        #expect((places.max() ?? 0) - (places.min() ?? 0) > 0.4)
    }

    @Test func questionsOfOneContextShareIt() throws {
        var settings = try Self.settings(1024, count: 6)
        settings.questionsPerContext = 3
        for name in ["niah_multikey_1", "babilong_qa4"] {
            let rows = try GeneratedTasks.rows(name, settings)
            let contexts = rows.map { ($0["input"]?.string ?? "").components(separatedBy: "\nWhat")[0] }
            #expect(Set(contexts).count == 2, "\(name)")
        }
    }

    @Test func whatDoesNotFitIsAnError() throws {
        #expect(throws: InputError.self) { try GeneratedTasks.rows("mrcr_8", try Self.settings(512, count: 1)) }
        #expect(throws: InputError.self) { try GeneratedTasks.rows("cwe", try Self.settings(0, count: 1)) }
        #expect(throws: InputError.self) { try GeneratedTasks.rows("niah", try Self.settings(1024, count: 1)) }
    }
}
