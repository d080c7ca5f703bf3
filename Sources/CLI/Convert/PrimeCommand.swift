//  duality prime: a hybrid model's beginning from a dense model, or an inference model from one in
//  distillation.

import ArgumentParser
import DualityConversion
import DualityCore
import DualityMeasure
import Foundation

struct PrimeCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prime",
        abstract: "Make a hybrid model from a dense one, or finish one in distillation.",
        discussion: """
            With a dense model (model_type qwen3, or a hybrid of * layers) and a pattern, attention weights become the first \
            weights of the new layers as the official initialisation maps them, everything else is copied, and what has \
            no origin is drawn with the seed. The result is where distillation starts, not a finished model; only * and \
            SWA layers keep their meaning. FP8 bases with block scales are dequantised.

            With a model in distillation (symbols such as M2* or *DA) and no pattern, the finished layers are kept under \
            their inference names and the teacher's attention is dropped.

            Examples:
              duality prime Qwen3-8B --pattern "*-M2-*-M2-…" --out Hybrid-8B
              duality prime Qwen3-8B --pattern "*-SWA-…" --window-size 2048 --out Windowed-8B
              duality prime Distilled-8B --out Finished-8B
            """)

    @Argument(help: ArgumentHelp("The model to start from.", valueName: "dense-dir"))
    var base: String
    @Option(name: .long, help: "One symbol a layer, joined by -: *, M2, GDN, GKA, BMF, SWA.")
    var pattern: String?
    @Option(name: .long, help: ArgumentHelp("The directory to write; nothing may be there yet.", valueName: "dir"))
    var out: String
    @Option(name: .long, help: ArgumentHelp("The window of SWA and BMF layers, in tokens.", valueName: "tokens"))
    var windowSize: Int?
    @Option(name: .long, help: "The mixer of BMF layers: mamba2, gdn or gka.")
    var ssmMixer = "mamba2"
    @Flag(name: .long, help: "Give BMF layers projections of their own for fading tokens.")
    var untied = false
    @Flag(
        name: .long,
        help: "Repeat whole heads of v in gates, as attention reads them, not single rows as the official code does.")
    var alignHeads = false
    @Option(
        name: .long,
        help: ArgumentHelp(
            "JSON to merge into the new config.json: {\"gka_config\": {\"num_iter\": 20}}.", valueName: "json"))
    var config: String?
    @Option(name: .long, help: "Seed of everything that is drawn.")
    var seed: UInt64 = 0
    @Option(
        name: .long, help: "bfloat16, float16 or float32 (default: the base's; bfloat16 for a model in distillation).")
    var dtype: String?
    @Option(name: .long, help: ArgumentHelp("The most bytes of weights in one file.", valueName: "bytes"))
    var shardBytes = 5_000_000_000
    @Flag(name: .long, help: "Print one JSON object at the end.")
    var json = false

    func validate() throws {
        guard shardBytes > 0 else { throw ValidationError("--shard-bytes must be at least 1.") }
    }

    func run() throws {
        var options = Priming.Options()
        options.seed = seed
        options.alignsHeads = alignHeads
        options.window = windowSize
        options.bmojoMixer = ssmMixer
        options.tiesAttention = !untied
        options.dtype = dtype
        options.shardBytes = shardBytes
        if let config {
            options.overrides = try JSONFields(JSON(parsing: config, place: "--config"), place: "--config").object
        }
        let priming = try Priming(directory: base, pattern: pattern, options: options)
        for warning in priming.warnings { Terminal.note("warning: \(warning)") }
        try priming.write(to: out) { done, all in Terminal.progress("writing tensor \(done) of \(all)") }
        Terminal.clearProgress()

        let inventory = ModelInventory(try WeightContract(priming.configuration))
        let dropped = priming.dropped
        if json {
            let report: JSON = [
                "model": .string(out), "conversion": .bool(priming.isConversion),
                "layers": .array(priming.configuration.layers.map { .string($0.rawValue) }),
                "tensors": JSON(inventory.tensors), "parameters": JSON(inventory.parameters),
                "dropped": .array(dropped.map { .string($0) }),
            ]
            print(report.serialized(indented: true))
        } else {
            print("\(out): \(inventory.tensors.grouped) tensors, \(inventory.parameters.grouped) parameters")
            for line in LayerStrip(priming.configuration.layers).lines() { print(line) }
            if !dropped.isEmpty { Terminal.note("\(dropped.count) tensors of the base have no place in the new model") }
        }
    }
}
