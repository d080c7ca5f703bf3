//  Guesses in the rows that a step has left change the number of steps and no bit of an answer.

import DualityCore
import DualityQuant
import TestSupport
import Testing

@testable import DualityInference

@Suite struct ServingLookupTests {
    /// Prompts that repeat themselves, so that guesses are made, and answers that do not always.
    private static func requests() -> [ServingRequest] {
        (0..<12).map { i in
            let phrase = ServingFixtures.tokens(3 + i % 5, seed: UInt64(i), vocabulary: 60)
            var request = ServingFixtures.request(
                Array((0..<(4 + i)).map { _ in phrase }.joined()) + Array(phrase.prefix(2)), tokens: 20 + i,
                seed: UInt64(i))
            switch i % 4 {
            case 0: request.sampling.temperature = 0
            case 1: (request.sampling.temperature, request.sampling.repetitionPenalty) = (0, 1.1)
            case 2: request.sampling.temperature = 0.3
            default: (request.sampling.presencePenalty, request.sampling.logitBias) = (0.2, [phrase[0]: 4])
            }
            if i % 3 == 0 { request.choices = 2 }
            return request
        }
    }

    /// - Returns: the statistics at the end.
    private func check(
        _ model: QuantModel, together count: Int, _ change: (inout ServingLimits) -> Void = { _ in }
    ) async throws -> ServingStatistics {
        let limits = ServingFixtures.limits {
            $0.looksUp = true
            change(&$0)
        }
        let engine = try ServingEngine(model: model, limits: limits)
        let requests = Self.requests()
        for start in stride(from: 0, to: requests.count, by: count) {
            let some = Array(requests[start..<min(start + count, requests.count)])
            for (request, answer) in zip(some, try engine.submit(some)) {
                let (found, _) = try await answer.collect(choices: request.choices)
                #expect(try found == ServingFixtures.alone(request, on: model))
            }
        }
        return engine.statistics
    }

    @Test(arguments: [1, 4]) func guessesChangeNoBit(together: Int) async throws {
        let statistics = try await check(ServingFixtures.small.get(), together: together)
        #expect(statistics.acceptedTokens > 0 && (together > 1 || statistics.acceptedTokens < statistics.draftTokens))
        #expect(statistics.steps < statistics.generationTokens)
        #expect(statistics.running == 0 && statistics.waiting == 0)
    }

    @Test(arguments: ["m2_rope", "swa", "gdn", "qwen3_dense"]) func soInEveryKindOfLayer(name: String) async throws {
        let model = try ServingFixtures.load(Fixtures.path("models/\(name)"), .bf16)
        let statistics = try await check(model, together: 3)
        #expect(statistics.draftTokens > 0)
    }

    @Test func guessesTakeNobodysMemory() async throws {
        let model = try ServingFixtures.small.get()
        let one = model.cacheBytes(tokens: 200)
        let statistics = try await check(model, together: 3) {
            $0.maxModelLength = 200
            $0.cacheMemory = one * 5 / 4
        }
        #expect(statistics.peakBytes <= one * 5 / 4)
    }

    @Test func whatAGrammarLeavesNoChoiceAboutIsReadAtOnce() async throws {
        let model = try ServingFixtures.embedded.get()
        var rules = AnswerRules()
        rules.form = .regex("\\{\"colour\": \"(red|green)\", \"number\": [0-9]{2}, \"rest\": null\\}", place: "regex")
        var request = ServingFixtures.request(ServingFixtures.tokens(40, seed: 3), tokens: 80)
        request.constraint = try ConstraintFixtures.compiler.get().constraint(rules)
        request.endTokens = [ConstraintFixtures.endToken]
        (request.choices, request.sampling.temperature) = (3, 2)
        var answers: [Collected] = []
        var steps: [Int] = []
        for looksUp in [false, true] {
            let engine = try ServingEngine(model: model, limits: ServingFixtures.limits { $0.looksUp = looksUp })
            answers.append(try await engine.submit(request).collect(choices: 3).answer)
            steps.append(engine.statistics.steps)
        }
        #expect(answers[0] == answers[1])
        #expect(answers[0].choices.allSatisfy { $0.reason == .end(ConstraintFixtures.endToken) })
        #expect(steps[1] < steps[0], "\(steps)")
    }
}
