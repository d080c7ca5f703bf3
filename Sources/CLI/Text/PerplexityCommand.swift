//  duality perplexity: how well a model predicts a text.

import ArgumentParser
import Duality
import DualityCore
import DualityInference
import DualityReference
import Foundation

struct PerplexityCommand: AsyncParsableCommand, RankedCommand {
    static let configuration = CommandConfiguration(
        commandName: "perplexity",
        abstract: "Measure how well a model predicts a text.",
        discussion: """
            The text is tokenized as one stream and cut into windows; every window starts from an empty memory and \
            scores its tokens but the first. Sums are float64. With --stride below the window, windows overlap and each \
            scores only the tokens that no earlier one has. Of several texts each is measured alone, then all together.

            Figures can be put side by side when text, window and convention are the same; perplexity also needs the same \
            tokenizer, bits per byte do not. --second-half is llama.cpp's convention: whole windows only, of which the \
            tokens behind the middle count.

            Under mpirun without --tensor-parallel the processes share out the windows, with the same report.

            Examples:
              duality perplexity book.txt
              duality perplexity path/to/model book.txt --window 4096 --stride 2048
              duality perplexity wiki.test.raw --window 512 --second-half
            """)

    @Argument(
        help: ArgumentHelp(
            "[MODEL] FILE...: the texts, and before them a model's directory if not the embedded one; - is stdin.",
            valueName: "file"))
    var files: [String]
    @OptionGroup var model: ModelOptions
    @Option(name: .long, help: "Tokens of a window (default: 2048, or the model's context if that is less).")
    var window: Int?
    @Option(name: .long, help: "Tokens from one window's start to the next (default: the window).")
    var stride: Int?
    @Flag(name: .long, help: "Score the second half of each whole window only, as llama.cpp does.")
    var secondHalf = false
    @OptionGroup var engine: EngineOptions
    @OptionGroup var ranks: RankOptions
    @Flag(name: .long, help: "Print the result as JSON.")
    var json = false

    mutating func validate() throws {
        if let window, window < 2 { throw ValidationError("--window must be at least 2.") }
        if let stride, stride < 1 { throw ValidationError("--stride must be at least 1.") }
        if secondHalf && stride != nil { throw ValidationError("--second-half goes without --stride.") }
        guard !files.isEmpty else { throw ValidationError("Give a text file.") }
    }

    mutating func run() async throws {
        let directory = try directoryArgument()
        if directory != nil { model.model = files.removeFirst() }
        let texts = try files.map { (name: $0, text: try TextFile.read($0)) }
        let loader = try engine.loader(model)
        try await run(try loader.loadShown(tokens: window ?? 2048), loader, texts)
    }

    /// The first argument where it is a model's directory.
    private func directoryArgument() throws -> String? {
        var isDirectory: ObjCBool = false
        let first = try ModelLocation.find(files[0])
        guard model.model == nil, files.count > 1,
            FileManager.default.fileExists(atPath: first, isDirectory: &isDirectory), isDirectory.boolValue
        else { return nil }
        return files[0]
    }

    var isCampaign: Bool { true }

    func modelLoader() throws -> ModelLoader {
        var options = model
        options.model = try directoryArgument() ?? model.model
        return try engine.loader(options)
    }

    private func run(
        _ model: some LanguageModel, _ loader: ModelLoader, _ texts: [(name: String, text: String)]
    ) async throws {
        let tokenizer = try self.model.tokenizer()
        // The reference works on one thread and scores several windows at once; the fast engine's
        // threads share one.
        let threads = loader.choice.engineName == "reference" ? engine.threadCount : 1
        let window = window ?? min(2048, model.contextLimit ?? 2048)
        try RankLaunch.campaign?.requireSame(model, of: loader)
        var reports: [TextPerplexity] = []
        for (name, text) in texts {
            let tokens = tokenizer.encode(text, allowSpecial: false)
            let result = try await Perplexity.measure(
                model, tokens: tokens, window: window, stride: stride, part: secondHalf ? .secondHalf : .all,
                threads: threads, share: RankLaunch.campaign
            ) { done, all, mean in
                Terminal.progress("window \(done) of \(all)   perplexity so far \(String(format: "%.4f", exp(mean)))")
            }
            reports.append(TextPerplexity(name: name, result: result, bytes: text.utf8.count))
        }
        Terminal.clearProgress()
        guard RankLaunch.isFirst else { return }
        if json {
            let computation = try loader.computation()
            let items = reports.map { $0.json(computation, isSecondHalf: secondHalf) }
            let total: JSON = ["texts": .array(items), "all": TextPerplexity.together(reports).json]
            print((items.count == 1 ? items[0] : total).serialized(indented: true))
        } else {
            for report in reports { print(report.lines(named: reports.count > 1).joined(separator: "\n")) }
            if reports.count > 1 { print(TextPerplexity.together(reports).line) }
            let convention = secondHalf ? ", second half of each window" : ""
            print(
                "computed in      \(loader.choice.precisionName) (\(loader.choice.engineName) engine), sums in f64\(convention)"
            )
        }
    }
}

/// What was measured of one text.
private struct TextPerplexity {
    let name: String
    let result: Perplexity
    /// Of the whole text, in UTF-8.
    let bytes: Int

    /// Bits a byte: the scored tokens stand for their share of the text's bytes.
    var bitsPerByte: Double {
        guard bytes > 0 else { return 0 }
        return result.meanNLL / log(2) * Double(result.tokenCount) / Double(bytes)
    }

    func json(_ computation: Computation, isSecondHalf: Bool) -> JSON {
        var object: JSON.Object = [
            "text": .string(name), "perplexity": JSON(result.perplexity), "mean_nll": JSON(result.meanNLL),
            "standard_error": result.standardError.map { JSON($0) } ?? .null, "bits_per_byte": JSON(bitsPerByte),
            "scored_tokens": JSON(result.scoredTokens), "tokens": JSON(result.tokenCount), "bytes": JSON(bytes),
            "window": JSON(result.window), "stride": JSON(result.stride),
            "convention": .string((isSecondHalf ? Perplexity.Part.secondHalf : .all).rawValue),
        ]
        computation.write(to: &object)
        return .object(object)
    }

    func lines(named: Bool) -> [String] {
        let error = result.standardError
        return (named ? ["text             \(name)"] : []) + [
            "perplexity       \(String(format: "%.5f", result.perplexity))"
                + (error.map { String(format: " +- %.5f", $0 * result.perplexity) } ?? ""),
            "mean NLL         \(String(format: "%.9f", result.meanNLL))"
                + (error.map { String(format: " +- %.6f nats a token", $0) } ?? " nats a token"),
            "bits per byte    \(String(format: "%.5f", bitsPerByte))",
            "scored tokens    \(result.scoredTokens) of \(result.tokenCount) (\(bytes) bytes)",
            "window, stride   \(result.window), \(result.stride)",
        ] + (named ? [""] : [])
    }

    /// All texts as one: every token counts the same.
    static func together(_ reports: [TextPerplexity]) -> (json: JSON, line: String) {
        let scored = reports.reduce(0) { $0 + $1.result.scoredTokens }
        let nll = reports.reduce(0.0) { $0 + $1.result.meanNLL * Double($1.result.scoredTokens) } / Double(scored)
        let bits = reports.reduce(0.0) { $0 + $1.bitsPerByte * Double($1.bytes) }
        let bytes = reports.reduce(0) { $0 + $1.bytes }
        let perByte = bits / Double(max(bytes, 1))
        let json: JSON = [
            "perplexity": JSON(exp(nll)), "mean_nll": JSON(nll), "bits_per_byte": JSON(perByte),
            "scored_tokens": JSON(scored), "bytes": JSON(bytes),
        ]
        let line = String(
            format: "all texts        perplexity %.5f, %.5f bits per byte, %ld tokens", exp(nll), perByte, scored)
        return (json, line)
    }
}
