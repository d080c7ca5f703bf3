//  Options that several commands share.

import ArgumentParser
import Duality

/// Which model to use.
struct ModelOptions: ParsableArguments {
    @Option(
        name: .long,
        help: ArgumentHelp(
            "The model's directory (config.json, *.safetensors, tokenizer.json), or OWNER/NAME of one in the hub's cache.",
            discussion: "Default: $DUALITY_MODEL, else the embedded model.", valueName: "dir"))
    var model: String?

    @Option(
        name: .long,
        help: ArgumentHelp(
            "Tokens that a sequence may have, more or fewer than the configuration says.", valueName: "n"))
    var context: Int?

    @Flag(
        name: .long,
        help: "Of a plain Mamba-2 model: norm each group of B and C by itself, as mamba_ssm does (Codestral-Mamba).")
    var normGroups = false

    /// What is asked for against the word of the configuration.
    var reading: ModelReading { ModelReading(context: context, normGroups: normGroups ? true : nil) }

    @Flag(name: .long, help: "Load a model even if a weight is NaN or infinite.")
    var allowNonFinite = false

    /// Finds and loads the model for the reference in one number format, with progress on stderr.
    func load<Scalar: RealNumber>(as type: Scalar.Type) throws -> HybridModel<Scalar> {
        var request = EngineRequest(engine: .reference)
        request.allowsNonFinite = allowNonFinite
        request.reading = reading
        defer { Terminal.clearProgress() }
        let model = try ModelLoader(model, request)
            .loadReference(as: type, warn: Terminal.warn, progress: Terminal.showLayers)
        Terminal.note(Computation(reference: type == Double.self ? .f64 : .f32).line)
        return model
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
            "The chat template: \(ChatTemplate.names.joined(separator: ", ")), one of the model's own by its name, or a "
                + "Jinja file (default: the model's own).", valueName: "name|file"))
    var template: String?

    func chatTemplate(_ model: ModelOptions) throws -> ChatTemplate {
        let directory = try ModelLocation.find(model.model)
        return if let template {
            try ChatTemplate(choice: template, directory: directory)
        } else {
            try ChatTemplate(directory: directory)
        }
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
        name: .long, parsing: .singleValue,
        help: ArgumentHelp(
            "Add to the score of a token, as ID=BIAS; give it once for each token.", valueName: "id=bias"))
    var logitBias: [String] = []
    @Option(name: .long, help: "Seed of the random draws; the same seed gives the same text.")
    var seed: UInt64?
}

extension Int {
    /// The sum with a number of tokens that somebody may have given without a limit in mind.
    func adding(_ tokens: Int) -> Int {
        let (sum, isOver) = addingReportingOverflow(tokens)
        return isOver ? .max : sum
    }
}
