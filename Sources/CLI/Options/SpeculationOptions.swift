//  Several tokens per reading of the weights: who guesses them.

import ArgumentParser
import Duality
import DualityCore
import DualityInference
import Foundation

/// Who guesses tokens that the model then checks together.
struct SpeculationOptions: ParsableArguments {
    @Flag(
        name: .long,
        help:
            "Guess the next tokens from where the last few occurred before, and check them in one pass; the text is the same, bit for bit."
    )
    var lookup = false
    @Option(
        name: .long,
        help: ArgumentHelp(
            "Guess with a small model that has the same tokenizer; the text is the same. With --lookup, where that finds nothing.",
            valueName: "dir"))
    var draft: String?

    var isOn: Bool { lookup || draft != nil }

    /// The small model's loader, if one is asked for.
    ///
    /// - Throws: `InputError` for a model that is not there or has other tokens.
    func loader(beside tokenizer: Tokenizer) throws -> ModelLoader? {
        guard let draft else { return nil }
        let loader = try ModelLoader(draft, EngineRequest(engine: .fast))
        let other = try Tokenizer(directory: loader.directory)
        if let id = tokenizer.firstDifference(from: other) {
            throw InputError(
                .value, in: "--draft", expected: "a model with the same tokenizer",
                found: "\(draft), whose token \(id) is another",
                remedy: "Give a smaller model of the same family.")
        }
        return loader
    }

    /// The drafters, in the order in which they are asked.
    func drafters(_ loader: ModelLoader?, for model: some LanguageModel) throws -> [any TokenDrafter] {
        var drafters: [any TokenDrafter] = lookup ? [LookupDrafter(weightBytes: model.weightBytesPerToken)] : []
        if let loader {
            drafters.append(ModelDrafter(try loader.loadFastShown(), vocabularySize: model.vocabularySize))
        }
        return drafters
    }

    /// For the line behind a text: `, 40 passes, 61 of 70 guesses right`.
    func summary(_ timings: SpeculationTimings) -> String {
        guard isOn else { return "" }
        return ", \(timings.passes) passes, \(timings.confirmedTokens) of \(timings.guessedTokens) guesses right"
    }

    /// For a report.
    func report(_ timings: SpeculationTimings) -> JSON {
        [
            "passes": JSON(timings.passes), "guessed_tokens": JSON(timings.guessedTokens),
            "confirmed_tokens": JSON(timings.confirmedTokens),
        ]
    }
}
