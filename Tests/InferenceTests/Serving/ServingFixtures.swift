//  Models and requests for the serving engine, what is collected of an answer, and the same answer
//  computed by one sequence alone.

import DualityCore
import DualityQuant
import Foundation
import TestSupport
import Testing

@testable import DualityInference

/// An answer down to its bits.
struct Collected: Equatable {
    struct Choice: Equatable {
        var tokens: [Int] = []
        var bits: [UInt32] = []
        var alternatives: [[TokenScore.Alternative]] = []
        var reason: ServingReason?
    }

    var choices: [Choice]
    var scores: [TokenScore]?

    mutating func add(_ score: TokenScore, to choice: Int) {
        choices[choice].tokens.append(score.token)
        choices[choice].bits.append(score.logProbability.bitPattern)
        choices[choice].alternatives.append(score.alternatives)
    }
}

extension ServingAnswer {
    /// Waits until the request has left the queue.
    func begun() async {
        for await event in events { if case .admitted = event { return } }
    }

    /// Reads the answer to its end.
    func collect(choices: Int = 1) async throws -> (answer: Collected, cached: Int) {
        var collected = Collected(choices: Array(repeating: .init(), count: choices))
        var cached = -1
        for await event in events {
            switch event {
            case .admitted(let tokens): cached = tokens
            case .promptScores(let scores): collected.scores = scores
            case .token(let choice, let score): collected.add(score, to: choice)
            case .finished(let choice, let reason, let usage):
                collected.choices[choice].reason = reason
                #expect(usage.tokens == collected.choices[choice].tokens.count)
            case .failed(let error): throw error
            case .rejected(let rejection): throw rejection
            }
        }
        return (collected, cached)
    }
}

enum ServingFixtures {
    /// The embedded model in int8, loaded once.
    static let embedded = Result { try load(Fixtures.embeddedModel, .int8) }
    /// A small model with attention and Mamba-2 layers.
    static let small = Result { try load(Fixtures.path("models/m2"), .int8) }

    static func load(_ directory: String, _ precision: EnginePrecision) throws -> QuantModel {
        let checkpoint = try Checkpoint(directory: directory)
        return try QuantModel(
            checkpoint, configuration: checkpoint.configuration,
            options: QuantOptions(precision, pool: ThreadPool(threads: 2)))
    }

    static func limits(_ change: (inout ServingLimits) -> Void = { _ in }) -> ServingLimits {
        var limits = ServingLimits()
        limits.cacheMemory = 256 << 20
        change(&limits)
        return limits
    }

    /// Tokens that look like text: from a small set, none of which ends anything.
    static func tokens(_ count: Int, seed: UInt64, vocabulary: Int = 400) -> [Int] {
        var random = RandomSource(seed: seed)
        return (0..<count).map { _ in 3 + random.integer(in: 0...vocabulary) }
    }

    static func request(_ prompt: [Int], tokens: Int = 4, seed: UInt64 = 7) -> ServingRequest {
        var request = ServingRequest(prompt: prompt)
        request.maxTokens = tokens
        request.logprobs = 2
        request.sampling.temperature = 0.9
        request.sampling.topP = 0.95
        request.sampling.seed = seed
        return request
    }

    static func score(_ token: Int, _ logits: [Float], _ count: Int) -> TokenScore {
        logits.withUnsafeBufferPointer { TokenScore(token, logits: $0, alternatives: count) }
    }

    /// The answer that one sequence alone gives, by the plainest loop.
    static func alone(_ request: ServingRequest, on model: QuantModel) throws -> Collected {
        var collected = Collected(choices: Array(repeating: .init(), count: request.choices))
        for choice in 0..<request.choices {
            var sampling = request.sampling
            sampling.seed &+= UInt64(choice)
            var sampler = Sampler(sampling)
            var cache = model.makeCache()
            var tokens = request.prompt
            if let count = request.promptScores {
                var other = model.makeCache()
                let logits = try model.extend(&other, by: tokens, logits: .all)
                collected.scores = (1..<tokens.count).map { t in
                    score(tokens[t], logits.rows(t - 1..<t).elements, count)
                }
            }
            var logits = try model.extend(&cache, by: tokens, logits: .last).elements
            while true {
                let token = try sampler.next(logits: logits, history: tokens)
                collected.add(score(token, logits, request.logprobs ?? 0), to: choice)
                tokens.append(token)
                if request.endTokens.contains(token) {
                    collected.choices[choice].reason = .end(token)
                    break
                }
                if tokens.count - request.prompt.count == request.maxTokens {
                    collected.choices[choice].reason = .length
                    break
                }
                logits = try model.extend(&cache, by: [token], logits: .last).elements
            }
        }
        return collected
    }
}
