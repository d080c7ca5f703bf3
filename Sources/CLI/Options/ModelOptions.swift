//  Options that several commands share.

import ArgumentParser
import DualityCore
import DualityInference
import DualityReference
import Foundation

/// Which model to use.
struct ModelOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "The model's directory (config.json, *.safetensors, tokenizer.json).",
            discussion: "Default: $DUALITY_MODEL, else the embedded model.", valueName: "dir"))
    var model: String?

    @Flag(name: .long, help: "Load a model even if a weight is NaN or infinite.")
    var allowNonFinite = false

    /// Finds and loads the model in one number format, with progress on stderr.
    func load<Scalar: RealNumber>(as type: Scalar.Type) throws -> HybridModel<Scalar> {
        let checkpoint = try Checkpoint(directory: ModelLocation.find(model))
        for warning in checkpoint.configuration.warnings { Terminal.note("warning: \(warning)") }
        Terminal.note(Computation(reference: type == Double.self ? .f64 : .f32).line)
        defer { Terminal.clearProgress() }
        return try HybridModel<Scalar>(
            checkpoint, configuration: checkpoint.configuration, allowsNonFinite: allowNonFinite
        ) { done, all in
            Terminal.progress("loading layer \(done) of \(all)")
        }
    }

    func tokenizer() throws -> Tokenizer {
        let tokenizer = try Tokenizer(directory: ModelLocation.find(model))
        for warning in tokenizer.warnings { Terminal.note("warning: \(warning)") }
        return tokenizer
    }

    func generationDefaults() throws -> GenerationDefaults {
        let defaults = try GenerationDefaults(directory: ModelLocation.find(model))
        for warning in defaults.warnings { Terminal.note("warning: \(warning)") }
        return defaults
    }
}

/// How turns become a prompt.
struct TemplateOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "The chat template: \(ChatTemplate.names.joined(separator: ", ")) (default: the model's own).",
            valueName: "name"))
    var template: String?

    func chatTemplate(_ model: ModelOptions) throws -> ChatTemplate {
        if let template { return try ChatTemplate(named: template) }
        return try ChatTemplate(directory: ModelLocation.find(model.model))
    }
}

/// How to draw tokens; what is not given comes from the model's generation_config.json.
struct SamplingOptions: ParsableArguments {
    @Flag(name: .long, help: "Always take the most likely token.")
    var greedy = false
    @Option(name: .long, help: "Flatten (> 1) or sharpen (< 1) the distribution; 0 is greedy.")
    var temperature: Double?
    @Option(name: .long, help: "Draw among the k most likely tokens only (0: all).")
    var topK: Int?
    @Option(name: .long, help: "Draw among the fewest tokens whose probabilities reach p.")
    var topP: Double?
    @Option(name: .long, help: "Drop tokens less likely than this fraction of the most likely one.")
    var minP: Double?
    @Option(name: .long, help: "Divide the scores of tokens that occurred (> 1 discourages; 1: off).")
    var repetitionPenalty: Double?
    @Option(name: .long, help: "Subtract this from the scores of tokens that were generated before.")
    var presencePenalty: Double?
    @Option(name: .long, help: "Subtract this for every time a token was generated before.")
    var frequencyPenalty: Double?
    @Option(
        name: .long, parsing: .upToNextOption,
        help: ArgumentHelp("Add to the score of a token, as ID=BIAS; may be given several.", valueName: "id=bias"))
    var logitBias: [String] = []
    @Option(name: .long, help: "Seed of the random draws; the same seed gives the same text.")
    var seed: UInt64?
}
