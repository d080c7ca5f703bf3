//  duality perplexity: how well a model predicts a text.

import ArgumentParser
import DualityCore
import DualityInference
import DualityReference
import Foundation

struct PerplexityCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "perplexity",
        abstract: "Measure how well a model predicts a text.",
        discussion: """
            The text is tokenized as one stream and cut into windows; every window starts from an empty memory and \
            scores its tokens but the first. Sums are float64. With --stride below the window, windows overlap and each \
            scores only the tokens that no earlier one has.

            Examples:
              duality perplexity book.txt
              duality perplexity path/to/model book.txt --window 4096 --stride 2048
            """)

    @Argument(
        help: ArgumentHelp(
            "[MODEL] FILE: the text, and before it a model's directory if not the embedded one; - is stdin.",
            valueName: "file"))
    var files: [String]
    @OptionGroup var model: ModelOptions
    @Option(name: .long, help: "Tokens of a window (default: 2048, or the model's context if that is less).")
    var window: Int?
    @Option(name: .long, help: "Tokens from one window's start to the next (default: the window).")
    var stride: Int?
    @OptionGroup var engine: EngineOptions
    @Flag(name: .long, help: "Print the result as JSON.")
    var json = false

    mutating func validate() throws {
        guard files.count == 1 || (files.count == 2 && model.model == nil) else {
            throw ValidationError("Give a text file, or a model's directory and a text file.")
        }
    }

    mutating func run() async throws {
        if files.count == 2 { model.model = files[0] }
        let text = try TextFile.read(files.last ?? "-")
        let choice = try EngineChoice(engine, model: model)
        try await run(try model.load(choice, engine, tokens: window ?? 2048), choice, text)
    }

    private func run(_ model: some LanguageModel, _ choice: EngineChoice, _ text: String) async throws {
        let tokens = try self.model.tokenizer().encode(text, allowSpecial: false)
        // The reference works on one thread and scores several windows at once; the fast engine's
        // threads share one.
        let threads = choice.engineName == "reference" ? engine.threadCount : 1
        let window = window ?? min(2048, model.contextLimit ?? 2048)

        let result = try await Perplexity.measure(
            model, tokens: tokens, window: window, stride: stride, threads: threads
        ) { done, all, mean in
            Terminal.progress("window \(done) of \(all)   perplexity so far \(String(format: "%.4f", exp(mean)))")
        }
        Terminal.clearProgress()

        if json {
            var object: JSON.Object = [
                "perplexity": JSON(result.perplexity), "mean_nll": JSON(result.meanNLL),
                "standard_error": result.standardError.map { JSON($0) } ?? .null,
                "scored_tokens": JSON(result.scoredTokens), "tokens": JSON(result.tokenCount),
                "window": JSON(result.window), "stride": JSON(result.stride),
            ]
            try choice.computation(engine, model: self.model).write(to: &object)
            print(JSON.object(object).serialized(indented: true))
        } else {
            let error = result.standardError
            print("perplexity       \(String(format: "%.5f", result.perplexity))", terminator: "")
            print(error.map { String(format: " +- %.5f", $0 * result.perplexity) } ?? "")
            print("mean NLL         \(String(format: "%.9f", result.meanNLL))", terminator: "")
            print(error.map { String(format: " +- %.6f nats a token", $0) } ?? " nats a token")
            print("scored tokens    \(result.scoredTokens) of \(result.tokenCount)")
            print("window, stride   \(result.window), \(result.stride)")
            print("computed in      \(choice.precisionName) (\(choice.engineName) engine), sums in f64")
        }
    }
}
