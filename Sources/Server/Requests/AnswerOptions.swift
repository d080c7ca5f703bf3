//  How answers are drawn, when they end and what is said of them: the members that chat completions
//  and completions share.

import DualityCore
import DualityInference

/// The common part of a request for answers.
package struct AnswerOptions: Sendable {
    package var maxTokens: Int?
    package var sampling: SamplingParameters
    package var choices = 1
    package var stopStrings: [String] = []
    package var stopTokens: Set<Int> = []
    package var includesStop = false
    package var ignoresEnd = false
    package var skipsSpecial = true
    package var minTokens = 0
    /// How many alternatives are wanted beside the log probability of each token; nil for none.
    package var logprobs: Int?
    package var streams = false
    package var includesUsage = false
    package var hasContinuousUsage = false
    package var form = AnswerRules.Form.text
    /// Keeps so many tokens at the end of the prompt; -1 for as many as fit.
    package var truncation: Int?
    package var returnsTokens = false
    package var writesTokensAsIDs = false
    package var cacheSalt: String?

    /// Members that change nothing.
    private static let withoutEffect = [
        "user", "metadata", "store", "service_tier", "prompt_cache_key", "safety_identifier", "verbosity", "prediction",
        "web_search_options", "prompt_cache_retention",
    ]

    init(_ fields: inout RequestFields, _ context: RequestContext, defaultTokens: Int?) throws(RequestError) {
        sampling = context.defaults
        fields.accept(Self.withoutEffect)
        try Self.refuseWhatIsNotDone(&fields)
        try readEnd(&fields, context, defaultTokens)
        try readSampling(&fields, context)
        try readOutput(&fields, context)
        form = try AnswerForm.read(&fields)
    }

    private static func refuseWhatIsNotDone(_ fields: inout RequestFields) throws(RequestError) {
        try fields.refuse("best_of", "expected at most 1, which is all this server does") { value in
            if case .number(let literal) = value { return [0, 1].contains(RequestBody.integer(literal)) }
            return false
        }
        try fields.refuse("use_beam_search", "beam search is not done") { $0 == .bool(false) }
        for name in ["prompt_embeds", "prompt_logprobs", "logits_processors", "guided_grammar"] {
            try fields.refuse(name, "is not done by this server")
        }
        try fields.refuse("suffix", "text behind the answer is not done") { $0 == .string("") }
    }

    private mutating func readEnd(
        _ fields: inout RequestFields, _ context: RequestContext, _ defaultTokens: Int?
    ) throws(RequestError) {
        let isChat = defaultTokens == nil
        let plain = try fields.int("max_tokens", in: (isChat ? 1 : 0)...Int.max)
        maxTokens = isChat ? try fields.int("max_completion_tokens", in: 1...Int.max) ?? plain : plain ?? defaultTokens
        stopStrings = try Self.stopStrings(&fields)
        for (index, value) in (try fields.array("stop_token_ids", "a list of token ids") ?? []).enumerated() {
            stopTokens.insert(
                try RequestFields.int(
                    value, in: 0...context.vocabularySize - 1, place: "stop_token_ids[\(index)]",
                    "a token id below \(context.vocabularySize)"))
        }
        includesStop = try fields.bool("include_stop_str_in_output") ?? false
        ignoresEnd = try fields.bool("ignore_eos") ?? false
        skipsSpecial = try fields.bool("skip_special_tokens") ?? true
        minTokens = try fields.int("min_tokens", in: 0...(maxTokens ?? context.maxLength)) ?? 0
        if let value = fields.value("truncate_prompt_tokens") {
            let expected = "-1 or a whole number from 1 to \(context.maxLength)"
            let place = "truncate_prompt_tokens"
            let count = try RequestFields.int(value, in: -1...context.maxLength, place: place, expected)
            guard count != 0 else { throw RequestError(place, expected: expected, found: "0") }
            truncation = count
        }
    }

    private static func stopStrings(_ fields: inout RequestFields) throws(RequestError) -> [String] {
        guard let value = fields.value("stop") else { return [] }
        let expected = "a string or a list of at most 64 strings, none of them empty"
        let values = value.array ?? [value]
        guard values.count <= 64 else {
            throw RequestError("stop", expected: expected, found: "a list of \(values.count)")
        }
        var strings: [String] = []
        for (index, item) in values.enumerated() {
            guard let string = item.string, !string.isEmpty else {
                throw RequestError(
                    value.array == nil ? "stop" : "stop[\(index)]", expected: expected,
                    found: item == .string("") ? "an empty string" : RequestFields.found(item))
            }
            strings.append(string)
        }
        return strings
    }

    private mutating func readSampling(
        _ fields: inout RequestFields, _ context: RequestContext
    ) throws(RequestError) {
        if let value = try fields.number("temperature", "at least 0", where: { $0 >= 0 }) {
            sampling.temperature = value
        }
        if let value = try fields.number("top_p", "above 0 and at most 1", where: { $0 > 0 && $0 <= 1 }) {
            sampling.topP = value
        }
        if let value = try fields.int("top_k", in: -1 ... .max) { sampling.topK = max(value, 0) }
        if let value = try fields.number("min_p", "from 0 to 1", where: { $0 >= 0 && $0 <= 1 }) {
            sampling.minP = value
        }
        if let value = try fields.number("presence_penalty", "from -2 to 2", where: { $0.magnitude <= 2 }) {
            sampling.presencePenalty = value
        }
        if let value = try fields.number("frequency_penalty", "from -2 to 2", where: { $0.magnitude <= 2 }) {
            sampling.frequencyPenalty = value
        }
        if let value = try fields.number("repetition_penalty", "above 0", where: { $0 > 0 }) {
            sampling.repetitionPenalty = value
        }
        choices = try fields.int("n", in: 1...128) ?? 1
        let seed = try fields.int("seed")
        sampling.seed = seed.map { UInt64(bitPattern: Int64($0)) } ?? UInt64.random(in: .min ... .max)
        for (name, value) in try fields.fields("logit_bias")?.object.members ?? [] {
            guard let token = Int(name), String(token) == name, 0..<context.vocabularySize ~= token else {
                throw RequestError(
                    "logit_bias", expected: "token ids below \(context.vocabularySize) as names",
                    found: "\"\(name.prefix(40))\"")
            }
            guard case .number(let literal) = value, let bias = Double(literal), bias.magnitude <= 100 else {
                throw RequestError(
                    "logit_bias.\(name)", expected: "a number, from -100 to 100", found: RequestFields.found(value))
            }
            sampling.logitBias[token] = Float(bias)
        }
    }

    private mutating func readOutput(_ fields: inout RequestFields, _ context: RequestContext) throws(RequestError) {
        streams = try fields.bool("stream") ?? false
        if let value = fields.value("stream_options") {
            guard streams else {
                throw RequestError(
                    "stream_options", expected: "nothing unless stream is true", found: RequestFields.found(value))
            }
            if var options = try fields.fields("stream_options") {
                includesUsage = try options.bool("include_usage") ?? false
                hasContinuousUsage = try options.bool("continuous_usage_stats") ?? false
            }
        }
        returnsTokens = try fields.bool("return_token_ids") ?? false
        writesTokensAsIDs = try fields.bool("return_tokens_as_token_ids") ?? false
        if let salt = try fields.string("cache_salt") {
            guard !salt.isEmpty else {
                throw RequestError("cache_salt", expected: "a string that is not empty", found: "an empty string")
            }
            cacheSalt = salt
        }
    }
}
