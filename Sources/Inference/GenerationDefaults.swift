//  The sampling defaults a checkpoint brings along: generation_config.json.
//
//  What the file does not mention is off, as vLLM has it (Hugging Face's own defaults differ from version to version). A
//  checkpoint without the file is decoded greedily.

import DualityCore
import Foundation

/// How a checkpoint wants to be sampled, and which tokens end its text.
public struct GenerationDefaults: Sendable, Equatable {
    public var sampling: SamplingParameters = .greedy
    /// Tokens that end a text, in the order of the file.
    public var endTokens: [Int] = []
    /// Peculiarities worth telling a person, a sentence each.
    public var warnings: [String] = []

    /// Reads `generation_config.json`; end tokens come from `config.json` when it has none.
    ///
    /// - Throws: `InputError` for a file that is not JSON, or a value of the wrong type or out of its range.
    public init(directory: String) throws(InputError) {
        let path = "\(directory)/generation_config.json"
        let model = "\(directory)/config.json"
        if FileManager.default.fileExists(atPath: path) {
            do {
                try read(JSON(contentsOf: path))
            } catch {
                throw error.place.hasPrefix(path) ? error : error.within(path)
            }
        } else {
            warnings.append("\(directory) has no generation_config.json: decoding is greedy.")
        }
        if endTokens.isEmpty, FileManager.default.fileExists(atPath: model) {
            do {
                endTokens = try Self.tokens(JSON(contentsOf: model)["eos_token_id"] ?? .null, "eos_token_id")
            } catch {
                throw error.place.hasPrefix(model) ? error : error.within(model)
            }
        }
        if endTokens.isEmpty {
            warnings.append("\(directory) names no end token: a text ends only at its limit.")
        }
    }

    private mutating func read(_ json: JSON) throws(InputError) {
        guard let file = json.object else {
            throw InputError(.json, in: "the file", expected: "an object", found: json.kindName)
        }
        func number(_ key: String) throws(InputError) -> Double? {
            guard let value = file[key], value != .null else { return nil }
            guard let number = value.double else {
                throw InputError(.json, in: key, expected: "a number or null", found: value.kindName)
            }
            return number
        }

        var parameters = SamplingParameters()
        if let temperature = try number("temperature") { parameters.temperature = temperature }
        if let topP = try number("top_p") { parameters.topP = topP }
        if let minP = try number("min_p") { parameters.minP = minP }
        if let penalty = try number("repetition_penalty") { parameters.repetitionPenalty = penalty }
        if let penalty = try number("presence_penalty") { parameters.presencePenalty = penalty }
        if let penalty = try number("frequency_penalty") { parameters.frequencyPenalty = penalty }
        if let topK = file["top_k"], topK != .null {
            guard let value = topK.int else {
                throw InputError(.json, in: "top_k", expected: "an integer or null", found: topK.kindName)
            }
            parameters.topK = max(0, value)  // -1 is how vLLM says "all"
        }
        switch file["do_sample"] ?? .null {
        case .bool(true): break
        case .bool(false), .null: parameters.temperature = 0
        case let other: throw InputError(.json, in: "do_sample", expected: "true or false", found: other.kindName)
        }
        try parameters.validate()
        sampling = parameters
        endTokens = try Self.tokens(file["eos_token_id"] ?? .null, "eos_token_id")
    }

    /// Token identifiers, written as a number, a list of numbers, or null.
    private static func tokens(_ json: JSON, _ key: String) throws(InputError) -> [Int] {
        if json == .null { return [] }
        var tokens: [Int] = []
        for value in json.array ?? [json] {
            guard let token = value.int, token >= 0 else {
                throw InputError(.json, in: key, expected: "a token, a list of tokens or null", found: value.kindName)
            }
            if !tokens.contains(token) { tokens.append(token) }
        }
        return tokens
    }
}
