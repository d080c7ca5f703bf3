//  duality compare: what a number format has cost, in predictions.

import ArgumentParser
import Duality
import DualityCore
import DualityInference
import DualityMeasure
import DualityQuant
import Foundation

struct CompareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Measure how far a quantized model's predictions are from those of another precision.",
        discussion: """
            Both read the same text in step. The table shows the mean KL divergence and its quantiles, how often both find the same token most \
            likely, and the change of perplexity with its standard error. With --sensitivity each part of the model is quantized \
            alone, everything else in float32.

            --against takes a precision of the same model, or another model's directory (the original of a quantized one).

            Examples:
              duality compare --against f32 --precision int8 book.txt
              duality compare --model path/to/model-int8 --against path/to/model book.txt --json
              duality compare --against f32 --sensitivity --tokens 8192 --plot parts.svg book.txt
            """)

    @Argument(help: ArgumentHelp("The text to read (default: the embedded model's held-out text).", valueName: "file"))
    var text: String?
    @OptionGroup var model: ModelOptions
    @OptionGroup var engine: EngineOptions
    @Option(
        name: .long,
        help: ArgumentHelp(
            "What to compare against: f32, bf16, f64 (the reference engine), or a directory.",
            valueName: "precision|dir"))
    var against = "f32"
    @Option(name: .long, help: ArgumentHelp("Tokens of a window.", valueName: "n"))
    var window = 2048
    @Option(
        name: .long,
        help: ArgumentHelp("How many tokens of the text (default: all; 8192 with --sensitivity).", valueName: "n"))
    var tokens: Int?
    @Flag(name: .long, help: "Quantize each part alone.")
    var sensitivity = false
    @Flag(name: .long, help: "Print JSON.")
    var json = false
    @Option(
        name: .long, help: ArgumentHelp("With --sensitivity: draw mean KL by part into an SVG file.", valueName: "file")
    )
    var plot: String?

    func validate() throws {
        guard window >= 2 else { throw ValidationError("--window must be at least 2.") }
        if let tokens, tokens < 2 { throw ValidationError("--tokens must be at least 2.") }
        if plot != nil && !sensitivity { throw ValidationError("--plot needs --sensitivity.") }
        if sensitivity && against != "f32" { throw ValidationError("--sensitivity compares against f32.") }
    }

    func run() throws {
        let ids = try tokenIDs()
        let rows = sensitivity ? try compareParts(ids) : [try compareWhole(ids)]
        Terminal.clearProgress()
        if json {
            print(report(rows, ids.count).serialized(indented: true))
        } else {
            print(table(rows).joined(separator: "\n"))
        }
        if let plot {
            let bars = rows.map { (name: $0.name, value: $0.result.meanKL) }
            let drawing = BarChart(title: "Mean KL to float32, one part at a time", bars: bars).svg
            try writeAtomically(to: plot) { try $0.write(drawing) }
            Terminal.note("wrote \(plot)")
        }
    }

    private typealias Row = (name: String, result: Comparison, computation: Computation?)

    /// What --sensitivity stores each part in.
    private func plan(_ configuration: HybridConfiguration) throws -> PrecisionPlan {
        try engine.scales.plan(engine.precision?.fast ?? .int8, for: configuration)
    }

    private func compareWhole(_ ids: [Int]) throws -> Row {
        let loader = try engine.loader(model)
        let compared = try loader.loadShown(tokens: window)
        var (otherModel, otherEngine) = (model, engine)
        otherEngine.keyValues = nil
        (otherEngine.engine, otherEngine.precision) = (nil, ModelPrecision(rawValue: against))
        // Scales are a matter of the format that is compared.
        if ![.int8, .int4, .int4Mixed].contains(otherEngine.precision?.fast) { otherEngine.scales.group = nil }
        if otherEngine.precision == nil {
            guard FileManager.default.fileExists(atPath: try ModelLocation.find(against)) else {
                throw InputError(
                    .value, in: "--against", expected: "f64, f32, bf16, int8, int4 or a model's directory",
                    found: against)
            }
            otherModel.model = against
            try checkTokenizers(otherModel)
            otherEngine.precision = PackedCheckpoint.isPacked(against) ? nil : .f32
        }
        let reference = try otherEngine.loader(otherModel).loadShown(tokens: window)
        let results = try Comparison.measure(
            [compared], against: reference, tokens: ids, window: min(window, compared.contextLimit ?? window),
            pool: engine.pool, progress: progress)
        return (loader.choice.precisionName, results[0], try loader.computation())
    }

    /// - Throws: `InputError` when the other model's tokens are not those of this one: the same ids
    ///   would be other texts.
    private func checkTokenizers(_ other: ModelOptions) throws {
        let theirs: Tokenizer
        do {
            theirs = try other.tokenizer()
        } catch let error as InputError where error.kind == .missingFile {
            Terminal.note("warning: \(against) has no tokenizer; it is taken to be the same as this model's.")
            return
        }
        guard let id = try model.tokenizer().firstDifference(from: theirs) else { return }
        throw InputError(
            .value, in: against, expected: "the tokenizer of the model that is compared",
            found: "another one: token \(id) stands for other text",
            remedy: "Predictions of different tokens cannot be compared; compare bits per byte with duality perplexity."
        )
    }

    private func compareParts(_ ids: [Int]) throws -> [Row] {
        let checkpoint = try Checkpoint(directory: ModelLocation.find(model.model))
        let plan = try plan(checkpoint.configuration)
        let models = try SensitivityModels(checkpoint, configuration: checkpoint.configuration, pool: engine.pool)
        let variants = SensitivityVariant.all(checkpoint.configuration, format: plan.base)
        Terminal.progress("packing the weights")
        let results = try Comparison.measure(
            try variants.map { try models.model($0) } + [try models.model(QuantOptions(plan: plan, pool: engine.pool))],
            against: try models.reference(), tokens: ids,
            window: min(window, checkpoint.configuration.contextLength), pool: engine.pool, progress: progress)
        return zip(variants.map(\.name) + ["all: \(plan.name)"], results).map { ($0, $1, nil) }
    }

    private func progress(_ done: Int, _ all: Int) { Terminal.progress("\(done) of \(all) tokens") }

    private func tokenIDs() throws -> [Int] {
        let path = try text ?? "\(ModelLocation.find())/data/heldout.txt"
        let ids = try model.tokenizer().encode(TextFile.read(path), allowSpecial: false)
        return Array(ids.prefix(tokens ?? (sensitivity ? 8192 : ids.count)))
    }

    private func table(_ rows: [Row]) -> [String] {
        var table = TextTable([.left, .right, .right, .right, .right, .right, .right])
        table.add(sensitivity ? "part" : "format", "mean KL", "±", "KL 99 %", "largest", "top-1", "ΔPPL")
        table.addRule()
        for (name, result, _) in rows {
            func small(_ value: Double) -> String { String(format: "%.2e", value) }
            let error = result.deltaError.map { String(format: " ± %.3f", 100 * $0) } ?? ""
            table.add(
                name, small(result.meanKL), small(result.meanKLError), small(result.klQuantiles[2]),
                small(result.klQuantiles[4]), String(format: "%.2f %%", 100 * result.topAgreement),
                String(format: "%+.3f%@ %%", 100 * result.deltaPPL, error))
        }
        let result = rows[rows.count - 1].result
        return table.lines() + [
            "",
            String(
                format: "  %d tokens in windows of %d; perplexity %.5f against %.5f", result.tokens, window,
                result.perplexity, result.referencePerplexity),
        ]
    }

    private func report(_ rows: [Row], _ count: Int) -> JSON {
        let items = rows.map { name, result, _ -> JSON in
            var quantiles = JSON.Object()
            for (level, value) in zip(Comparison.quantileLevels, result.klQuantiles) {
                quantiles["\(level)"] = JSON(value)
            }
            quantiles["1.0"] = JSON(result.klQuantiles[4])
            return [
                "name": .string(name), "mean_kl": JSON(result.meanKL), "mean_kl_error": JSON(result.meanKLError),
                "kl_quantiles": .object(quantiles), "top1_agreement": JSON(result.topAgreement),
                "perplexity": JSON(result.perplexity), "reference_perplexity": JSON(result.referencePerplexity),
                "delta_ppl": JSON(result.deltaPPL), "delta_ppl_error": result.deltaError.map { JSON($0) } ?? .null,
            ]
        }
        guard sensitivity else {
            var object = items[0].object ?? JSON.Object()
            rows[0].computation?.write(to: &object)
            object["against"] = .string(against)
            object["tokens"] = JSON(count)
            object["window"] = JSON(window)
            return .object(object)
        }
        return [
            "against": .string(against), "tokens": JSON(count), "window": JSON(window), "parts": .array(items),
        ]
    }
}

/// Horizontal bars on a logarithmic scale.
struct BarChart {
    let title: String
    let bars: [(name: String, value: Double)]

    var svg: String {
        let positive = bars.map(\.value).filter { $0 > 0 }
        let low = floor(log10(positive.min() ?? 1e-6))
        let high = ceil(log10(positive.max() ?? 1))
        let span = max(high - low, 1)
        let (left, width, line) = (110.0, 460.0, 22.0)
        let height = 70 + line * Double(bars.count)
        var svg = """
            <svg xmlns="http://www.w3.org/2000/svg" width="620" height="\(Int(height))" font-family="sans-serif" font-size="13">
            <rect width="100%" height="100%" fill="white"/>
            <text x="\(left)" y="22" font-weight="bold">\(title)</text>\n
            """
        for power in Int(low)...Int(low + span) {
            let x = left + (Double(power) - low) / span * width
            svg += "<line x1=\"\(x)\" y1=\"34\" x2=\"\(x)\" y2=\"\(height - 26)\" stroke=\"#ccc\"/>\n"
            svg += "<text x=\"\(x)\" y=\"\(height - 10)\" text-anchor=\"middle\">1e\(power)</text>\n"
        }
        for (i, bar) in bars.enumerated() {
            let y = 40 + line * Double(i)
            let length = bar.value > 0 ? max((log10(bar.value) - low) / span * width, 1) : 0
            svg += "<text x=\"\(left - 8)\" y=\"\(y + 12)\" text-anchor=\"end\">\(bar.name)</text>\n"
            svg += "<rect x=\"\(left)\" y=\"\(y)\" width=\"\(length)\" height=\"15\" fill=\"#3b6ea5\"/>\n"
        }
        return svg + "</svg>\n"
    }
}
