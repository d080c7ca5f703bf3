//  The sampling defaults a checkpoint brings along: generation_config.json.
//
//  What the file does not mention is off, as vLLM has it (Hugging Face's own defaults differ from
//  version to version). A checkpoint without the file is decoded greedily.

import DualityCore
import Foundation

/// How a checkpoint wants to be sampled, and which tokens end its text.
public struct GenerationDefaults: Sendable, Equatable {
    /// Greedy without a generation_config.json, and where that does not say `do_sample`.
    public var sampling: SamplingParameters = .greedy
    /// Tokens that end a text, in the order of the file.
    public var endTokens: [Int] = []
    /// Tokens that config.json calls the end, whatever generation_config.json says.
    public var modelEndTokens: [Int] = []
    /// Peculiarities worth telling a person, a sentence each.
    public var warnings: [String] = []

    /// Reads `generation_config.json`; end tokens come from `config.json` when it has none.
    ///
    /// - Throws: `InputError` for a file that is not JSON, or a value of the wrong type or out of
    ///   its range.
    public init(directory: String) throws(InputError) {
        let path = "\(directory)/generation_config.json"
        let model = "\(directory)/config.json"
        if FileManager.default.fileExists(atPath: path) {
            let file = try JSONFields(JSON(contentsOf: path), place: path)
            sampling = try Self.sampling(file)
            endTokens = try Self.endTokens(file)
        } else {
            warnings.append("\(directory) has no generation_config.json: decoding is greedy.")
        }
        if FileManager.default.fileExists(atPath: model) {
            modelEndTokens = try Self.endTokens(JSONFields(JSON(contentsOf: model), place: model))
        }
        if endTokens.isEmpty { endTokens = modelEndTokens }
        if endTokens.isEmpty {
            warnings.append("\(directory) names no end token: a text ends only at its limit.")
        }
    }

    private static func sampling(_ file: JSONFields) throws(InputError) -> SamplingParameters {
        var parameters = SamplingParameters()
        if let value = try file.double("temperature") { parameters.temperature = value }
        if let value = try file.int("top_k") { parameters.topK = max(0, value) }  // -1 is how vLLM says "all"
        if let value = try file.double("top_p") { parameters.topP = value }
        if let value = try file.double("min_p") { parameters.minP = value }
        if let value = try file.double("repetition_penalty") { parameters.repetitionPenalty = value }
        if let value = try file.double("presence_penalty") { parameters.presencePenalty = value }
        if let value = try file.double("frequency_penalty") { parameters.frequencyPenalty = value }
        if try file.bool("do_sample") != true { parameters.temperature = 0 }
        do {
            try parameters.validate()
        } catch {
            throw error.within(file.place)
        }
        return parameters
    }

    private static func endTokens(_ file: JSONFields) throws(InputError) -> [Int] {
        var tokens: [Int] = []
        for token in try file.integers("eos_token_id") ?? [] where !tokens.contains(token) {
            guard token >= 0 else {
                throw InputError(
                    .value, in: file.place(of: "eos_token_id"), expected: "a token, 0 or more", found: "\(token)")
            }
            tokens.append(token)
        }
        return tokens
    }
}
