//  duality logits: the scores of every token after every position, to a file.

import ArgumentParser
import DualityCore
import DualityInference
import DualityReference
import Foundation

struct LogitsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logits",
        abstract: "Write a model's logits for a sequence of tokens.",
        discussion: """
            Runs the model over the tokens (the reference in f64 unless another engine or precision is named) and writes `logits` [L, V] (and `input_ids` [L]) as safetensors. \
            With --segments the tokens are fed in pieces through the cache, which must not change the answer.

            Examples:
              duality logits --text "Once upon a time" --out logits.safetensors
              duality logits --ids 1252,633,258 --segments 1,2 --precision f32 --out logits.safetensors
            """)

    @OptionGroup var model: ModelOptions
    @Option(name: .long, help: ArgumentHelp("Token ids: 1,2,3 or @FILE with a JSON array.", valueName: "ids"))
    var ids: String?
    @Option(name: .long, help: "Text to tokenize instead.")
    var text: String?
    @OptionGroup var engine: EngineOptions
    @Option(
        name: .long,
        help: ArgumentHelp("Lengths of the pieces to feed, 17,1,65; they add up to L.", valueName: "lengths"))
    var segments: String?
    @Option(name: .long, help: ArgumentHelp("The safetensors file to write.", valueName: "file"))
    var out: String

    func validate() throws {
        guard (ids == nil) != (text == nil) else {
            throw ValidationError("Give the tokens by exactly one of --ids and --text.")
        }
    }

    func run() throws {
        let tokens = try tokenIDs()
        let pieces = try segmentLengths(count: tokens.count)
        let choice = try EngineChoice(engine, model: model, default: .f64)
        try run(try model.load(choice, engine, tokens: tokens.count), choice, tokens, pieces)
    }

    private func run<Model: LanguageModel>(_ model: Model, _ choice: EngineChoice, _ tokens: [Int], _ pieces: [Int])
        throws
    {

        var cache = model.makeCache()
        var elements: [Model.Score] = []
        var first = 0
        for length in pieces {
            let piece = Array(tokens[first..<first + length])
            elements += try model.score(&cache, by: piece).elements
            first += length
            Terminal.progress("\(first) of \(tokens.count) tokens")
        }
        Terminal.clearProgress()

        let computation = try choice.computation(engine, model: self.model)
        var file = SafetensorsWriter(metadata: computation.metadata)
        try file.add("logits", Tensor(shape: [tokens.count, model.vocabularySize], elements: elements))
        try file.add("input_ids", Tensor(tokens))
        try file.write(to: out)
        Terminal.note(
            "wrote logits [\(tokens.count), \(model.vocabularySize)] (\(choice.precisionName), \(choice.engineName) engine) to \(out)"
        )
    }

    private func tokenIDs() throws -> [Int] {
        if let text { return try model.tokenizer().encode(text) }
        return try TokenIDs.parse(ids ?? "", flag: "--ids")
    }

    private func segmentLengths(count: Int) throws -> [Int] {
        guard let segments else { return count == 0 ? [0] : [count] }
        let lengths = try TokenIDs.parse(segments, flag: "--segments")
        guard lengths.allSatisfy({ $0 > 0 }), lengths.reduce(0, +) == count else {
            throw InputError(
                .value, in: "--segments", expected: "positive lengths that add up to \(count), the number of tokens",
                found: "\(segments) (sum \(lengths.reduce(0, +)))")
        }
        return lengths
    }
}

/// Lists of integers on the command line.
enum TokenIDs {
    /// `1,2,3`, `[1, 2, 3]`, or `@FILE` with a JSON array.
    static func parse(_ argument: String, flag: String) throws -> [Int] {
        var (text, place) = (argument, flag)
        if argument.hasPrefix("@") {
            place = String(argument.dropFirst())
            guard let data = FileManager.default.contents(atPath: place) else {
                throw InputError(.missingFile, in: place, expected: "a JSON array of token ids", found: "no such file")
            }
            text = String(decoding: data, as: UTF8.self)
        } else if !argument.hasPrefix("[") {
            text = "[\(argument)]"
        }
        let json = try JSON(parsing: text, place: place)
        // One sequence of a batch, as [[1, 2, 3]], is accepted too.
        let list = json.array.flatMap { $0.count == 1 ? $0[0].array ?? $0 : $0 }
        let ids = list?.compactMap(\.int)
        guard let list, let ids, ids.count == list.count else {
            throw InputError(
                .json, in: place, expected: "a list of integers, 1,2,3 or a JSON array", found: String(text.prefix(40)))
        }
        return ids
    }
}
