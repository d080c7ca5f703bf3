//  A request for answers, ready for the engine: tokens, constraints, and how answers are read.

import DualityCore
import DualityInference
import Foundation

/// One request and everything that its answers depend on.
package struct AnswerJob: Sendable {
    package enum Kind: Sendable {
        case chat(includesReasoning: Bool)
        /// - Parameter texts: what the answers to each prompt begin with; empty without echo.
        case completion(texts: [String])
    }

    package let model: ServedModel
    package let kind: Kind
    package let options: AnswerOptions
    /// One for each prompt; choice i of prompt p is choice `p * n + i` of the answer.
    package let requests: [ServingRequest]
    package let reading: ReadingRules
    package let id: String
    package let created = Int(Date().timeIntervalSince1970)
    /// Members of the request that nobody knows.
    package let ignored: [String]

    package var isChat: Bool { if case .chat = kind { true } else { false } }
    package var choiceCount: Int { requests.count * options.choices }
    package var promptTokenCount: Int { requests.reduce(0) { $0 + $1.prompt.count } }
}

extension ServedModel {
    /// The job of a chat completion.
    package func job(_ call: ChatCall) throws(RequestError) -> AnswerJob {
        var prompt = try prompt(call.conversation)
        try fit(&prompt, call.options, param: "messages")
        var rules = AnswerRules()
        rules.thought = prompt.thought
        rules.form = call.options.form
        if parsers.hermes {
            rules.tools = call.tools.callable
            rules.toolChoice = call.tools.choice
            rules.allowsParallelCalls = call.tools.allowsParallelCalls
        } else if call.tools.choice != .auto {
            throw RequestError(
                .unsupported,
                "tool_choice: expected auto or none, for this server reads no tool calls "
                    + "(start it with --tool-call-parser hermes)", param: "tool_choice")
        }
        var reading = reading(call.options)
        reading.thought = prompt.thought
        reading.tools = rules.tools.map(\.name)
        let request = try request(prompt, call.options, rules)
        return AnswerJob(
            model: self, kind: .chat(includesReasoning: call.includesReasoning), options: call.options,
            requests: [request], reading: reading, id: Identifiers.new("chatcmpl-"), ignored: call.ignored)
    }

    /// The job of a completion.
    package func job(_ call: CompletionCall) throws(RequestError) -> AnswerJob {
        var rules = AnswerRules()
        rules.form = call.options.form
        var requests: [ServingRequest] = []
        var texts: [String] = []
        for prompt in call.prompts {
            var prepared: PreparedPrompt
            switch prompt {
            case .text(let text): prepared = PreparedPrompt(tokens: tokenizer.encode(text))
            case .tokens(let tokens): prepared = PreparedPrompt(tokens: tokens)
            }
            let whole = prepared.tokens.count
            try fit(&prepared, call.options, param: "prompt")
            var request = try request(prepared, call.options, rules)
            if call.echoes {
                // A prompt that nothing is to follow is read for its scores, wanted or not.
                request.promptScores = call.options.logprobs ?? (call.options.maxTokens == 0 ? 0 : nil)
                if case .text(let text) = prompt, prepared.tokens.count == whole {
                    texts.append(text)
                } else {
                    texts.append((try? tokenizer.decode(prepared.tokens, rows: context.vocabularySize)) ?? "")
                }
            }
            requests.append(request)
        }
        return AnswerJob(
            model: self, kind: .completion(texts: texts), options: call.options, requests: requests,
            reading: reading(call.options), id: Identifiers.new("cmpl-"), ignored: call.ignored)
    }

    private func reading(_ options: AnswerOptions) -> ReadingRules {
        var rules = ReadingRules()
        rules.stopStrings = options.stopStrings
        rules.includesStop = options.includesStop
        rules.skipsSpecial = options.skipsSpecial
        rules.minTokens = options.minTokens
        rules.endTokens = options.stopTokens.union(options.ignoresEnd ? [] : endTokens)
        return rules
    }

    private func request(
        _ prompt: PreparedPrompt, _ options: AnswerOptions, _ rules: AnswerRules
    ) throws(RequestError) -> ServingRequest {
        var request = ServingRequest(prompt: prompt.tokens)
        request.places = prompt.places
        request.sampling = options.sampling
        request.choices = options.choices
        request.maxTokens = options.maxTokens
        request.minTokens = options.minTokens
        request.ignoresEnd = options.ignoresEnd
        request.endTokens = endTokens
        request.stopTokens = options.stopTokens
        request.logprobs = options.logprobs
        request.cacheSalt = options.cacheSalt
        do {
            request.constraint = try compiler.constraint(rules)
            // The first mask is the dearest, and what is wrong with a grammar shows in it.
            _ = try request.constraint?.mask()
        } catch {
            throw RequestError(error)
        }
        return request
    }

    /// Cuts a prompt where the request allows it, and refuses one that is too long.
    private func fit(
        _ prompt: inout PreparedPrompt, _ options: AnswerOptions, param: String
    ) throws(RequestError) {
        let limit = context.maxLength
        let wanted = options.maxTokens ?? 1
        if let truncation = options.truncation {
            let count = truncation > 0 ? truncation : max(1, limit - min(wanted, limit - 1))
            let surplus = prompt.tokens.count - count
            if surplus > 0 {
                prompt.tokens.removeFirst(surplus)
                prompt.places = prompt.places.compactMap { place in
                    var place = place
                    place.tokenCount -= surplus
                    return place.tokenCount > 0 ? place : nil
                }
            }
        }
        guard !prompt.tokens.isEmpty else {
            throw RequestError(param, expected: "a prompt of at least one token", found: "none")
        }
        guard prompt.tokens.count > limit || wanted > limit - prompt.tokens.count else { return }
        throw .contextLength(limit: limit, prompt: prompt.tokens.count, wanted: options.maxTokens, param: param)
    }
}

extension RequestError {
    /// Clients look for the first words of this message.
    static func contextLength(limit: Int, prompt: Int, wanted: Int?, param: String) -> RequestError {
        let answer = wanted.map { ", and \($0) tokens were asked for" } ?? ", which leaves no room for an answer"
        return RequestError(
            .contextLengthExceeded,
            "This model's maximum context length is \(limit) tokens. The prompt has \(prompt) tokens\(answer).",
            param: param)
    }

    /// What the engine says to a request.
    package init(_ rejection: ServingRejection) {
        switch rejection {
        case .queueFull(let seconds):
            self.init(.queueFull, "The queue is full. Try again in \(seconds) s.")
            headers["Retry-After"] = "\(seconds)"
        case .contextLengthExceeded(let limit, let prompt, let wanted):
            self = .contextLength(limit: limit, prompt: prompt, wanted: wanted, param: "messages")
        case .invalid(let error): self.init(error)
        case .shuttingDown: self = .isShuttingDown
        }
    }

    package static var isShuttingDown: RequestError {
        var error = RequestError(.shuttingDown, "The server is shutting down.")
        error.headers["Retry-After"] = "10"
        return error
    }
}

/// Names of requests and calls.
enum Identifiers {
    /// A name that nothing else has.
    static func new(_ prefix: String, digits: Int = 32) -> String {
        var text = prefix
        for _ in 0..<digits { text += String(UInt8.random(in: 0..<16), radix: 16) }
        return text
    }
}
